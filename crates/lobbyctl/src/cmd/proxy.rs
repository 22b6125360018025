//! `proxy status`, and `proxy plan`, `diff` and `apply`, which work without a proxy that runs.
//!
//! ```text
//! settings ─► picture ─┬─ plan, diff ─► compared with what is there, shown
//!                      └─ apply ─► a lobbyd keeps that file? ─ yes ─► waits until it is in step
//!                                   └ no ─► lobby_proxy's own task, until all is in step
//! ```
//! Not here: settings and picture (`proxy`), tables (`proxy::show`), what is done and in which order (`lobby_proxy`).

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use lobby::client::{Client, ClientError};
use lobby_proxy::{
    Settings, file_output,
    haproxy::{
        output,
        stats::{Stats, Status},
    },
    nginx::{self, files::Files},
    settings::Haproxy,
};
use serde::Deserialize as _;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    cli::{
        door::Door,
        proxy::{Proxy, Source},
    },
    failure::say,
    output::{Cell, Output, plain},
    proxy::{
        self,
        show::{self, NginxPreview, Previews},
    },
};

/// How often it is looked whether all is in step: nobody notices the rest.
const LOOK: Duration = Duration::from_millis(50);

/// A turn of the task and one reload, as far as they are not configured: a check, a reload and a start took less than a second
/// together where they were measured.
const TURN: Duration = Duration::from_secs(5);

pub(crate) async fn run(door: &Door, verb: &Proxy, out: Output) -> anyhow::Result<ExitCode> {
    match verb {
        Proxy::Status => out.value(&door.client()?.proxy().await?.value, show::proxy)?,
        Proxy::Plan(source) => {
            let preview = preview(door, source).await?;
            out.value(&show::plan_json(&preview), |_| show::plan(&preview))?;
        }
        Proxy::Diff(source) => {
            let (value, text) = show::diffs(&preview(door, source).await?);
            out.text(&value, &text)?;
        }
        Proxy::Apply(source) => return apply(door, source, out).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn preview(door: &Door, source: &Source) -> anyhow::Result<Previews> {
    let settings = proxy::settings(source)?;
    let door = &proxy::door(source, door)?;
    let picture = proxy::picture(&settings, door, source.timeout).await?;
    let nginx = settings.nginx.as_ref().filter(|nginx| nginx.do_writes);
    let nginx = nginx.and_then(|nginx| Some((nginx, Files::new(nginx)?))).map(|(nginx, files)| {
        let layout = nginx::text::layout(&settings, &picture);
        let changes = files.changes(&layout)?;
        let is_reload = nginx.do_reloads && (files.is_reload_due() || !changes.is_empty());
        anyhow::Ok(NginxPreview { changes, is_reload, warnings: layout.warnings })
    });
    let files = settings.file_output.as_ref().map(|_| file_output::changes(&settings, &picture));
    Ok(Previews {
        haproxy: output::preview(&settings, &picture, &proxy::surroundings()).await,
        nginx: nginx.transpose()?,
        files: files.transpose().map_err(anyhow::Error::msg)?,
    })
}

async fn apply(door: &Door, source: &Source, out: Output) -> anyhow::Result<ExitCode> {
    let mut settings = proxy::settings(source)?;
    let door = &proxy::door(source, door)?;
    let haproxy = settings.haproxy.clone();
    let haproxy =
        haproxy.context("no haproxy is configured, and nginx and files are left to lobbyd: `plan` and `diff` show them")?;
    if settings.nginx.is_some() || settings.file_output.is_some() {
        say("only haproxy is looked at: nginx and files are left to lobbyd");
        // Whose services are not waited for either.
        settings.services.iter_mut().for_each(|service| (service.nginx, service.file_output) = (None, false));
    }
    let within = source.timeout + haproxy.drain + haproxy.restart_interval + TURN;
    let client = door.client()?;
    if let Some(status) = kept(&client, &haproxy).await? {
        let status = wait_for(&client, &haproxy, status, within).await?;
        return tell(&status, "lobbyd", Some(client.url()), out);
    }
    let picture = proxy::picture(&settings, door, source.timeout).await?;
    if let Some(preview) = output::preview(&settings, &picture, &proxy::surroundings()).await {
        show::haproxy_plan(&preview).iter().flatten().for_each(|Cell(_, line)| say(line));
    }
    // Nobody changes it.
    let (_picture, seen) = watch::channel(picture);
    let stats = Arc::new(Stats::default());
    let does_reloads = haproxy.do_reloads;
    let is_over = {
        let stats = stats.clone();
        async move {
            let end = Instant::now() + within;
            while !is_over(&stats.status(), does_reloads) && Instant::now() < end {
                sleep(LOOK).await;
            }
        }
    };
    let settings: Arc<Settings> = Arc::new(settings);
    output::run(settings, seen, proxy::surroundings(), stats.clone(), is_over).await;
    tell(&stats.status(), "lobbyctl", None, out)
}

/// All is done, or what is left is not ours to do.
fn is_over(status: &Status, does_reloads: bool) -> bool {
    let is_refused = status.checks_failed > 0 || status.writes_failed > 0;
    status.is_in_step || is_refused || (!does_reloads && !status.reload_due.is_empty())
}

/// What a daemon says of the HAProxy whose file this is; None: none keeps it.
async fn kept(client: &Client, haproxy: &Haproxy) -> anyhow::Result<Option<Status>> {
    let shown = match client.proxy().await {
        Ok(answer) => show::Shown::deserialize(&answer.value).unwrap_or_default(),
        Err(ClientError::NotReachable { .. } | ClientError::Refused { status: 404, .. }) => return Ok(None),
        // Two hands on one file are worse than none.
        Err(err) => return Err(err.into()),
    };
    let is_same = |status: &Status| match (&status.config_file, &haproxy.config_file_path) {
        (Some(theirs), Some(ours)) => proxy::is_same_file(theirs, ours),
        _ => false,
    };
    Ok(shown.haproxy.filter(is_same))
}

async fn wait_for(client: &Client, haproxy: &Haproxy, first: Status, within: Duration) -> anyhow::Result<Status> {
    let end = Instant::now() + within;
    let mut status = first;
    while !status.is_in_step && Instant::now() < end {
        sleep(LOOK).await;
        status = match kept(client, haproxy).await? {
            Some(status) => status,
            None => bail!("the daemon at {} does not keep this file any more: try again", client.url()),
        };
    }
    Ok(status)
}

/// What was done, by whom, and whether that was enough.
fn tell(status: &Status, by: &str, url: Option<&str>, out: Output) -> anyhow::Result<ExitCode> {
    let value = json!({ "by": by, "haproxy": status });
    out.value(&value, |_| {
        let mut lines = Vec::new();
        match url {
            Some(url) => lines.push(format!("the lobbyd at {url} keeps this file: nothing was done here")),
            None => lines.push(format!("done: {}", show::done(status))),
        }
        lines.push(if status.is_in_step { "in step".into() } else { "not in step".into() });
        lines.extend(status.reload_due.iter().map(|why| format!("reload needed: {why}")));
        lines.extend(status.last_error.iter().cloned());
        lines.iter().flat_map(|text| text.lines()).map(|line| vec![plain(line)]).collect::<Vec<Vec<Cell>>>()
    })?;
    Ok(if status.is_in_step { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
