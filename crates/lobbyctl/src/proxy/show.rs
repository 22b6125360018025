//! How people and scripts see a proxy: its status, and what would be done to it.
//!
//! Not here: where all this comes from (`proxy`, `lobby_proxy`).

use lobby_proxy::{
    change::Change,
    haproxy::{
        output::Preview,
        plan::Plan,
        stats::{BackendStatus, Status},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    diff,
    output::{Cell, Tone, heading, plain},
};

/// What `/v1/proxy` says, as far as tables show it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shown {
    services: Vec<ServiceShown>,
    pub(crate) haproxy: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceShown {
    name: String,
    backends: Option<u64>,
    held: u64,
    trouble: Option<String>,
}

/// All that the daemon said.
pub(crate) fn proxy(value: &Value) -> Vec<Vec<Cell>> {
    // What is of another form is for machines.
    let shown = Shown::deserialize(value).unwrap_or_default();
    let mut rows = vec![heading(&["SERVICE", "BACKENDS", "HELD", "TROUBLE"])];
    rows.extend(shown.services.iter().map(|service| {
        let backends = match service.backends {
            Some(n) => plain(n.to_string()),
            None => Cell(Tone::Bad, "no answer yet".into()),
        };
        vec![plain(&service.name), backends, doubtful(service.held), plain(service.trouble.clone().unwrap_or_default())]
    }));
    if let Some(status) = &shown.haproxy {
        rows.push(Vec::new());
        rows.extend(haproxy(status));
    }
    for name in ["nginx", "files", "nerve"] {
        if let Some(Value::Object(numbers)) = value.get(name) {
            rows.push(Vec::new());
            let is_in_step = numbers.get("is_in_step").and_then(Value::as_bool);
            rows.push(vec![Cell(Tone::Heading, name.into()), is_in_step.map_or_else(|| plain("-"), in_step)]);
            let others = numbers.iter().filter(|(key, _)| *key != "is_in_step");
            let scalar = others.filter(|(_, value)| !value.is_object() && !value.is_array() && !value.is_null());
            for (key, value) in scalar {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                // Each further line of a text stands below the first.
                rows.extend(text.lines().enumerate().map(|(at, line)| {
                    let key = if at == 0 { format!("  {key}") } else { String::new() };
                    vec![plain(key), plain(line)]
                }));
            }
        }
    }
    rows
}

/// One HAProxy.
fn haproxy(status: &Status) -> Vec<Vec<Cell>> {
    let row = |name: &str, cell: Cell| vec![Cell(Tone::Heading, name.into()), cell];
    let mut rows = vec![heading(&["BACKEND", "WANTED", "UP", "DRAINING", "HELD"])];
    rows.extend(status.backends.iter().map(|(name, backend)| self::backend(name, backend)));
    rows.push(Vec::new());
    rows.push(row("haproxy", in_step(status.is_in_step)));
    if let Some(version) = &status.version {
        rows.push(row("version", plain(version)));
    }
    if let Some(file) = &status.config_file {
        rows.push(row("file", plain(file.display().to_string())));
    }
    if status.managed_pid.is_some() || status.starts > 0 || status.crashes > 0 || status.backoff_ms.is_some() {
        let pid = status.managed_pid.map_or_else(|| "no process".into(), |pid| format!("process {pid}"));
        let (starts, crashes) = (count(status.starts, "time", "times"), count(status.crashes, "crash", "crashes"));
        let next = status.backoff_ms.map(|wait| format!(", started again in {wait} ms")).unwrap_or_default();
        let tone = if status.managed_pid.is_some() { Tone::Plain } else { Tone::Bad };
        rows.push(row("managed", Cell(tone, format!("{pid}, started {starts}, {crashes}{next}"))));
    }
    if !status.unanswered.is_empty() {
        rows.push(row("waits for", Cell(Tone::Bad, status.unanswered.join(", "))));
    }
    if !status.reload_due.is_empty() {
        rows.push(row("reload due", Cell(Tone::Doubtful, status.reload_due.join("; "))));
    }
    rows.push(row("done", plain(done(status))));
    if let Some(error) = &status.last_error {
        rows.push(row("error", Cell(Tone::Bad, error.clone())));
    }
    rows
}

fn backend(name: &str, BackendStatus { wanted, up, draining, held }: &BackendStatus) -> Vec<Cell> {
    let tone = if up >= wanted { Tone::Good } else { Tone::Bad };
    let up = Cell(tone, up.to_string());
    vec![plain(name), plain(wanted.to_string()), up, doubtful(*draining), doubtful(*held)]
}

/// What it has come to: `2 files, 5 × add server, 1 reload (structure)`.
pub(crate) fn done(status: &Status) -> String {
    let mut parts = vec![count(status.writes, "file", "files")];
    parts.extend(status.commands.iter().map(|(kind, n)| format!("{n} × {kind}")));
    let reasons =
        status.reload_reasons.iter().map(|(reason, n)| if *n == 1 { reason.clone() } else { format!("{n} × {reason}") });
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    let reloads = count(status.reloads, "reload", "reloads");
    parts.push(if reasons.is_empty() { reloads } else { format!("{reloads} ({reasons})") });
    let failed = [
        (status.checks_failed, "checks failed"),
        (status.writes_failed, "writes failed"),
        (status.reloads_failed, "reloads failed"),
        (status.commands_failed, "commands failed"),
    ];
    parts.extend(failed.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    parts.join(", ")
}

/// What would become of all that is kept in step; None: it is not configured.
#[derive(Debug)]
pub(crate) struct Previews {
    pub(crate) haproxy: Option<Preview>,
    pub(crate) nginx: Option<NginxPreview>,
    pub(crate) files: Option<Vec<Change>>,
}

/// What would become of nginx.
#[derive(Debug)]
pub(crate) struct NginxPreview {
    pub(crate) changes: Vec<Change>,
    pub(crate) is_reload: bool,
    pub(crate) warnings: Vec<String>,
}

impl Previews {
    /// The files of nginx and of `files` that would change.
    fn others(&self) -> impl Iterator<Item = &Change> {
        self.nginx.iter().flat_map(|nginx| &nginx.changes).chain(self.files.iter().flatten())
    }
}

/// How files would change, for scripts and for people.
pub(crate) fn diffs(previews: &Previews) -> (Value, String) {
    let haproxy = previews.haproxy.as_ref().and_then(|preview| {
        let (path, old) = preview.file.as_ref()?;
        Some((path, diff::diff(&path.display().to_string(), old.as_deref().unwrap_or_default(), &preview.layout.text)))
    });
    let text = |change: &Change| {
        let [old, new] = [&change.old, &change.new].map(|text| text.as_deref().unwrap_or_default());
        diff::diff(&change.path.display().to_string(), old, new)
    };
    let others: Vec<_> = previews.others().map(|change| (&change.path, text(change))).collect();
    let all: String = haproxy.iter().chain(&others).map(|(_, text)| text.as_str()).collect();
    let (path, diff) = haproxy.unzip();
    let others: Vec<_> = others.iter().map(|(path, diff)| json!({ "path": path, "diff": diff })).collect();
    (json!({ "path": path, "diff": diff, "others": others }), all)
}

/// What would be done.
pub(crate) fn plan(previews: &Previews) -> Vec<Vec<Cell>> {
    let mut rows = previews.haproxy.as_ref().map(haproxy_plan).unwrap_or_default();
    if let Some(nginx) = &previews.nginx {
        let reloads = count(nginx.is_reload.into(), "reload", "reloads");
        rows.push(vec![plain(format!("nginx: {}, {reloads}", changed(&nginx.changes)))]);
        rows.extend(nginx.changes.iter().map(change));
        rows.extend(nginx.warnings.iter().map(|warning| vec![Cell(Tone::Doubtful, format!("warning: {warning}"))]));
    }
    if let Some(changes) = &previews.files {
        rows.push(vec![plain(format!("files: {}", changed(changes)))]);
        rows.extend(changes.iter().map(change));
    }
    rows
}

fn changed(changes: &[Change]) -> String {
    if changes.is_empty() { "unchanged".into() } else { format!("{} changed", count(changes.len() as u64, "file", "files")) }
}

fn change(change: &Change) -> Vec<Cell> {
    vec![plain(format!("  {} {}", verb(change), change.path.display()))]
}

fn verb(change: &Change) -> &'static str {
    match (&change.old, &change.new) {
        (_, None) => "remove",
        (None, Some(_)) => "make",
        (Some(_), Some(_)) => "change",
    }
}

pub(crate) fn haproxy_plan(preview: &Preview) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    let text = match &preview.file {
        None => "none is kept".into(),
        Some((_, Some(_))) if !preview.is_new_file() => "unchanged".into(),
        Some((_, Some(old))) => {
            let (added, removed) = diff::counts(old, &preview.layout.text);
            format!("changed ({} added, {removed} removed)", count(added as u64, "line", "lines"))
        }
        Some((_, None)) => format!("new ({} lines)", preview.layout.text.lines().count()),
    };
    rows.push(vec![plain(format!("file: {text}"))]);
    for (path, plan) in &preview.plans {
        let place = if preview.plans.len() == 1 { "socket".into() } else { format!("socket {}", path.display()) };
        match plan {
            // Whole lines: the summary, then each step.
            Ok(plan) => rows.extend(summary(preview, plan).lines().enumerate().map(|(at, line)| match at {
                0 => vec![plain(format!("{place}: {line}"))],
                _ => vec![plain(line)],
            })),
            Err(err) => rows.push(vec![Cell(Tone::Bad, err.clone())]),
        }
    }
    rows.extend(preview.reload.iter().map(|why| vec![Cell(Tone::Doubtful, format!("reload needed: {why}"))]));
    rows.extend(preview.layout.warnings.iter().map(|warning| vec![Cell(Tone::Doubtful, format!("warning: {warning}"))]));
    rows
}

/// The plan's own words; a reload for the file counts in its first line too.
fn summary(preview: &Preview, plan: &Plan) -> String {
    let text = plan.to_string();
    if preview.reload.is_empty() { text } else { text.replacen("0 reloads", "1 reload", 1) }
}

/// The same for scripts: that of HAProxy, with the others in it.
pub(crate) fn plan_json(previews: &Previews) -> Value {
    let files = |changes: &[Change]| {
        let file = |change: &Change| json!({ "path": change.path, "action": verb(change) });
        changes.iter().map(file).collect::<Vec<_>>()
    };
    let haproxy = previews.haproxy.as_ref();
    let is_reload = previews.nginx.as_ref().is_some_and(|nginx| nginx.is_reload);
    let is_in_step = haproxy.is_none_or(Preview::is_in_step) && !is_reload && previews.others().next().is_none();
    let mut value = haproxy.map_or_else(|| json!({}), haproxy_json);
    value["in_step"] = is_in_step.into();
    value["nginx"] = previews.nginx.as_ref().map_or(
        Value::Null,
        |nginx| json!({ "files": files(&nginx.changes), "reload": nginx.is_reload, "warnings": nginx.warnings }),
    );
    value["files"] = previews.files.as_deref().map_or(Value::Null, |changes| files(changes).into());
    value
}

fn haproxy_json(preview: &Preview) -> Value {
    let file = preview.file.as_ref().map(|(path, old)| {
        let (added, removed) = diff::counts(old.as_deref().unwrap_or_default(), &preview.layout.text);
        json!({ "path": path, "changed": preview.is_new_file(), "added": added, "removed": removed })
    });
    let texts = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>();
    let processes = preview.plans.iter().map(|(socket, plan)| match plan {
        Ok(plan) => json!({
            "socket": socket,
            "actions": texts(&mut plan.actions.iter().map(ToString::to_string)),
            "reload": texts(&mut plan.reload.iter().map(ToString::to_string)),
            "waiting": texts(&mut plan.waiting.iter().map(|waiting| format!("{}/{}", waiting.key.0, waiting.key.1))),
            "error": null,
        }),
        Err(err) => json!({ "socket": socket, "error": err }),
    });
    json!({
        "version": preview.version.map(|version| version.to_string()),
        "file": file,
        "processes": processes.collect::<Vec<_>>(),
        "reload": preview.reload,
        "warnings": preview.layout.warnings,
    })
}

fn in_step(yes: bool) -> Cell {
    if yes { Cell(Tone::Good, "in step".into()) } else { Cell(Tone::Doubtful, "not in step yet".into()) }
}

fn doubtful(n: u64) -> Cell {
    Cell(if n == 0 { Tone::Plain } else { Tone::Doubtful }, n.to_string())
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
