//! What the other files share: starting daemons and waiting for what they list.

use std::{path::PathBuf, process::Command, time::Duration};

use lobby_testkit::{
    daemon::{Builder, Daemon},
    eventually, expect,
};
use serde_json::Value;

/// Longer than anything here takes on two busy cores.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A daemon of this name.
pub(crate) fn daemon(name: &str) -> Builder {
    Daemon::build(env!("CARGO_BIN_EXE_lobbyd"), name)
}

/// `n` daemons over gossip, `n0` first and the others joining it, each with a label `name:<its name>`.
pub(crate) fn gossiping(n: usize) -> Vec<Daemon> {
    let mut fleet = vec![daemon("n0").env("LABELS", "name:n0").start()];
    for idx in 1..n {
        let name = format!("n{idx}");
        let join = fleet[0].gossip();
        fleet.push(daemon(&name).env("LABELS", format!("name:{name}")).env("GOSSIP_JOIN", join).start());
    }
    fleet
}

/// Waits until each of them lists exactly these host names.
#[track_caller]
pub(crate) fn all_list<'a>(fleet: impl IntoIterator<Item = &'a Daemon>, names: &[&str]) {
    for daemon in fleet {
        lists(daemon, names);
    }
}

/// Waits until it lists exactly these host names, in the order of names.
#[track_caller]
pub(crate) fn lists(daemon: &Daemon, names: &[&str]) {
    let mut want = names.to_vec();
    want.sort_unstable();
    eventually(SOON, || {
        let hosts = daemon.hosts();
        expect(hosts == want, hosts)
    });
}

/// Waits until it is warm.
#[track_caller]
pub(crate) fn is_warm(daemon: &Daemon) {
    eventually(SOON, || {
        let health = daemon.get("/v1/health").json();
        expect(health["warm"] == true, health)
    });
}

/// The packet of one host in `GET /`, null when it is not listed.
#[track_caller]
pub(crate) fn packet(daemon: &Daemon, host: &str) -> Value {
    let list = daemon.get("/").json();
    let found = list.as_array().into_iter().flatten().find(|packet| packet["hostname"] == host);
    found.cloned().unwrap_or(Value::Null)
}

/// Waits until `daemon` shows `label` on `host`.
#[track_caller]
pub(crate) fn shows_label(daemon: &Daemon, host: &str, label: &str) {
    eventually(SOON, || {
        let packet = packet(daemon, host);
        let has = packet["labels"].as_array().is_some_and(|labels| labels.iter().any(|text| text == label));
        expect(has, packet)
    });
}

/// The revision of its lists.
#[track_caller]
pub(crate) fn revision(daemon: &Daemon) -> u64 {
    let answer = daemon.get("/");
    let text = answer.header("x-lobby-revision").expect("every answer carries its revision");
    text.parse().expect("a revision is a number")
}

/// What `GET /v1/nodes` says of the node of this name.
#[track_caller]
pub(crate) fn node(daemon: &Daemon, name: &str) -> Value {
    let nodes = daemon.get("/v1/nodes").json();
    let found = nodes.as_array().into_iter().flatten().find(|node| node["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}

/// One number of `GET /metrics`; zero when it is not there yet.
#[track_caller]
pub(crate) fn metric(daemon: &Daemon, series: &str) -> f64 {
    let text = daemon.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.map_or(0.0, |value| value.parse().expect("a metric is a number"))
}

/// Fails as soon as `check` does, ends after `duration`.
#[track_caller]
pub(crate) fn throughout(duration: Duration, mut check: impl FnMut()) {
    let until = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() + duration;
    eventually(duration + SOON, || {
        check();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        expect(now >= until, now)
    });
}

/// lobbyctl lies beside lobbyd; the test command builds both.
pub(crate) fn lobbyctl() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_lobbyd")).with_file_name("lobbyctl");
    assert!(path.is_file(), "lobbyctl is not built: run the test command of README.md, or `cargo build -p lobbyctl`");
    path
}

/// lobbyctl against this daemon.
pub(crate) fn ctl_command(agent: &Daemon, arguments: &[&str]) -> Command {
    let mut command = Command::new(lobbyctl());
    command.env_clear().env("PORT", agent.http.port().to_string()).args(arguments);
    command
}

/// Runs lobbyctl against this daemon: exit code, and both outputs.
pub(crate) fn ctl(agent: &Daemon, arguments: &[&str]) -> (Option<i32>, String) {
    let output = ctl_command(agent, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

/// Runs `lobbyctl --json`; panics unless it succeeds.
#[track_caller]
pub(crate) fn json(agent: &Daemon, arguments: &[&str]) -> Value {
    let arguments: Vec<_> = ["--json"].into_iter().chain(arguments.iter().copied()).collect();
    let (code, text) = ctl(agent, &arguments);
    assert_eq!(code, Some(0), "{text}");
    serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err}: {text}"))
}
