//! `lobbyctl run` against a real agent: when it registers, what brings the registration back, and whose processes are seen.
//!
//! Not here: signals and the order of requests, which lobbyctl's own tests have.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use lobby_testkit::{TempDir, daemon::Daemon, eventually, expect, process::find};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    catalog::deregister,
    fleet::{SOON, ctl_command, daemon, lobbyctl},
};

/// A `lobbyctl run`, told to stop when dropped.
struct Running {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Running {
    /// Of a program that runs until it is told to stop.
    fn start(mut command: Command, options: &[&str]) -> Self {
        command.args(["run", "--name", "web"]).args(options).args(["--", "/bin/sleep", "60"]);
        command.env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said }
    }

    /// The next line that it says.
    fn says(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, which a test says by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The checks of `web`, by id; waits until it is there.
#[track_caller]
fn checks(agent: &Daemon) -> Value {
    eventually(SOON, || {
        let status = agent.get("/v1/agent/service/web").status;
        expect(status == 200, status)
    });
    agent.get("/v1/agent/checks").json()
}

/// The kind of the check that names the program.
#[track_caller]
fn bond(agent: &Daemon) -> String {
    let checks = checks(agent);
    let mut bonds = checks.as_object().unwrap().iter().filter(|(id, _)| id.starts_with("service:web:process:"));
    let kind = bonds.next().unwrap().1["Type"].as_str().unwrap().to_owned();
    assert!(bonds.next().is_none() && checks.as_object().unwrap().keys().all(|id| !id.contains("canary")), "{checks}");
    kind
}

#[test]
fn nobody_hears_of_it_before_a_command_passes_here_and_then_it_passes() {
    let agent = daemon("a").env("ENABLE_SCRIPT_CHECKS", "true").start();
    let folder = TempDir::new().unwrap();
    let (ready, tried) = (folder.path().join("ready"), folder.path().join("tried"));
    let check = format!("script:echo x >> {}; test -e {}", tried.display(), ready.display());
    let _running = Running::start(ctl_command(&agent, &[]), &["--check", &check]);
    eventually(SOON, || {
        let tries = fs::read_to_string(&tried).unwrap_or_default();
        expect(tries.lines().count() > 2, tries)
    });
    assert_eq!(agent.get("/v1/agent/services").json(), json!({}));
    let index = agent.get("/v1/health/service/web").header("x-consul-index").map(str::to_owned);
    fs::write(&ready, "").unwrap();
    let checks = checks(&agent);
    assert!(checks.as_object().unwrap().values().all(|check| check["Status"] == "passing"), "{checks}");
    assert_eq!(agent.get("/v1/health/service/web?passing").json().as_array().unwrap().len(), 1);
    assert_ne!(agent.get("/v1/health/service/web").header("x-consul-index").map(str::to_owned), index);
}

#[test]
fn it_comes_back_after_a_deregistration_and_to_an_agent_that_has_forgotten_it() {
    let mut agent = daemon("a").start();
    // The same address for the second life of the agent.
    let port = agent.http.port();
    let mut running = Running::start(ctl_command(&agent, &[]), &["--id", "web"]);
    assert_eq!(bond(&agent), "process");
    deregister(&agent, "web");
    let said = "lobbyctl: web is registered no more, but its program runs: it will be registered again\n";
    assert_eq!(running.says(), said);
    assert_eq!(bond(&agent), "process");

    agent.kill();
    let empty = daemon("a").env("PORT", port).start();
    assert_eq!(running.says(), said);
    assert_eq!(bond(&empty), "process");
    kill_process(Pid::from_child(&running.child), Signal::TERM).unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(128 + 15));
    assert_eq!(empty.get("/v1/agent/services").json(), json!({}), "deregistered when told to stop");
    assert_eq!(running.says(), "");
}

/// In another container the same number is another process. Over TCP as well as over the socket, whose connection tells
/// the number of lobbyctl but not that of its program.
#[test]
fn a_process_that_the_agent_does_not_see_is_bound_by_a_connection() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("lobby.sock").display().to_string();
    let agent = daemon("a").env("SOCKET", &socket).start();
    for reach in [&["--unix-socket", &*socket][..], &[]] {
        let running = Running::start(ctl_command(&agent, reach), &[]);
        assert_eq!(bond(&agent), "process", "{reach:?}");
        drop(running);

        let mut elsewhere = Command::new(find("unshare"));
        elsewhere.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(lobbyctl()).args(reach);
        elsewhere.env_clear().env("PORT", agent.http.port().to_string());
        let mut running = Running::start(elsewhere, &[]);
        assert_eq!(bond(&agent), "hold", "{reach:?}");
        let said = running.says();
        assert!(said.contains("does not see our processes"), "{said}");
        running.child.kill().unwrap();
        eventually(Duration::from_secs(10), || {
            let own = agent.get("/v1/agent/services").json();
            expect(own == json!({}), own)
        });
    }
}
