//! `check pass|warn|fail CHECK-ID [NOTE]`: reports to a check with a TTL.
//!
//! An instance may be named too, if one of its checks is of this kind: that is looked for only when no check has the id, so
//! that a heartbeat costs one request.

use lobby::client::{Client, ClientError};

use crate::{
    cli::service::{Report, Word},
    failure::hinted,
    output::Output,
};

pub(crate) async fn run(client: &Client, report: &Report, out: Output) -> anyhow::Result<()> {
    let (status, note) = (report.word.status(), report.note.as_deref().unwrap_or_default());
    match client.report(&report.check, status, note).await {
        Err(ClientError::Refused { status: 404, message }) if !message.starts_with("no route") => {
            let check = only_check(client, &report.check).await?;
            client.report(&check, status, note).await?;
        }
        reported => reported?,
    }
    out.done(match report.word {
        Word::Pass => "passing",
        Word::Warn => "warning",
        Word::Fail => "critical",
    })
}

/// The one check with a TTL of this instance.
async fn only_check(client: &Client, instance: &str) -> anyhow::Result<String> {
    let checks = client.own_checks().await?.value.into_values();
    let mut ids: Vec<_> = checks.filter(|it| it.instance == instance && it.r#type == "ttl").map(|it| it.id).collect();
    match ids.len() {
        1 => Ok(ids.remove(0)),
        0 => Err(hinted(
            format!("{instance}: no check of this id is registered at this daemon, and no instance with a check that has a TTL"),
            "reports go to the daemon on the machine of the service; `lobbyctl service NAME --json` shows the ids",
        )),
        n => Err(hinted(format!("{instance} has {n} checks with a TTL: {}", ids.join(", ")), "name one of them")),
    }
}
