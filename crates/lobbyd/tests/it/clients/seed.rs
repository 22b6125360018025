//! The programs of the slides "Service Discovery With Node.js and Consul", as they stand there: npm consul with callbacks,
//! Consul's default address.
//!
//! `service-data.js` and `service-www.js` are the slides' text, unedited. What they leave to the reader is in files of its
//! own around them. Port 8500 is fixed, so all of it is in a network namespace, where nobody else can have it.

use std::{fs, path::PathBuf};

use lobby_testkit::{
    TempDir, eventually, expect,
    http::Response,
    netns::{self, Netns},
    process::{Process, Signal, find},
};
use serde_json::{Value, json};

use super::{alone, file, modules};
use crate::fleet::SOON;

struct Machine {
    ns: Netns,
    folder: TempDir,
    agent: Process,
}

impl Machine {
    /// An agent that answers where Consul would.
    fn start() -> Self {
        let (ns, folder) = (Netns::new(), TempDir::new().unwrap());
        let mut command = ns.command(env!("CARGO_BIN_EXE_lobbyd").as_ref());
        let below = |name: &str| folder.path().join(name);
        alone(&mut command).env("HOSTNAME", "edge-7").env("SOCKET", below("sock")).env("DATA_DIR", below("data"));
        command.env("LABELS_PATH", below("labels")).env("DNS_ADDR", "off").env("CONSUL_ADDR", "127.0.0.1:8500");
        let agent = Process::start("lobbyd", command);
        let machine = Self { ns, folder, agent };
        eventually(SOON, || machine.get("/v1/health").map_err(|err| (err.to_string(), machine.agent.log())));
        machine
    }

    fn get(&self, path: &str) -> std::io::Result<Response> {
        netns::request(&self.folder.path().join("sock"), "GET", path, "")
    }

    #[track_caller]
    fn json(&self, path: &str) -> Value {
        self.get(path).unwrap_or_else(|err| panic!("GET {path}: {err}")).json()
    }

    /// Joins these files to one program and starts it on this machine.
    fn node(&self, name: &str, parts: &[&str], arg: &str) -> Process {
        let program: PathBuf = self.folder.path().join(format!("{name}.js"));
        fs::write(&program, parts.iter().map(|part| fs::read_to_string(file(part)).unwrap()).collect::<String>()).unwrap();
        let mut command = self.ns.command(&find("node"));
        alone(&mut command).env("NODE_PATH", modules("callbacks")).arg(program).arg(arg);
        Process::start(name, command)
    }

    fn data(&self, port: u16) -> Process {
        self.node(&format!("data-{port}"), &["service-data.before.js", "service-data.js"], &port.to_string())
    }
}

/// Waits until service-www.js knows exactly the instances at these ports.
#[track_caller]
fn knows(www: &Process, ports: &[u16]) {
    let mut want: Vec<_> = ports.iter().map(|port| format!("http://127.0.0.1:{port}/")).collect();
    want.sort();
    eventually(SOON, || {
        let log = www.log();
        let last = log.lines().rev().find_map(|line| line.strip_prefix("instances ")).unwrap_or("null");
        let mut known: Vec<String> = serde_json::from_str(last).unwrap_or_default();
        known.sort();
        expect(last != "null" && known == want, log)
    });
}

#[test]
fn the_slides_programs_find_each_other_and_forget_who_is_killed_or_leaves() {
    let machine = Machine::start();
    let mut www = machine.node("www", &["service-www.before.js", "service-www.js", "service-www.after.js"], "");
    knows(&www, &[]);
    let (mut first, mut second) = (machine.data(9001), machine.data(9002));
    knows(&www, &[9001, 9002]);
    for (program, port) in [(&first, 9001), (&second, 9002)] {
        program.wait_for_log(SOON, "told Consul that we are healthy");
        www.wait_for_log(SOON, &format!("answer from {port}"));
    }

    // Ten seconds after its last heartbeat it is out, and still registered.
    first.kill();
    knows(&www, &[9002]);
    let critical = machine.json("/v1/health/state/critical");
    let of = |checks: &Value| checks.as_array().unwrap().iter().map(|check| check["ServiceName"].clone()).collect::<Vec<_>>();
    assert_eq!(of(&critical), [json!("data")], "{critical}");
    assert_eq!(machine.json("/v1/agent/services").as_object().unwrap().len(), 2);

    second.signal(Signal::INT);
    let status = second.wait(SOON);
    assert_eq!(status.code(), Some(0), "{}", second.log());
    let log = second.log();
    assert!(log.contains("SIGINT. De-Registering..."), "{log}");
    let end = log.lines().find(|line| line.starts_with("de-registered."));
    assert!(matches!(end, Some("de-registered. undefined" | "de-registered. null")), "{log}");
    knows(&www, &[]);
    assert_eq!(machine.json("/v1/agent/services").as_object().unwrap().len(), 1, "the killed one waits for its minute");
    assert!(www.ended().is_none(), "{}", www.log());
    // It was asked while it was dead and listed: the seconds that the slides themselves name as a drawback.
    let failed = www
        .log()
        .lines()
        .filter(|line| line.starts_with("failed"))
        .all(|line| line.contains("ECONN") || line.contains("hang up"));
    assert!(failed, "{}", www.log());
}
