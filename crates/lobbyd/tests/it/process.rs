//! The process: configuration, ready line, signals, folders, several on one machine.

use std::{fs, os::unix::net::UnixDatagram, path::PathBuf, time::Duration};

use lobby_testkit::{TempDir, eventually, expect};
use rustix::process::Signal;

use crate::fleet::{SOON, all_list, daemon, gossiping, is_warm, lists, revision};

const QUICK: Duration = Duration::from_secs(10);

#[test]
fn a_bad_configuration_ends_with_64_and_says_what_is_wrong() {
    for (name, value, word) in [
        ("PORT", "http", "PORT"),
        ("DRIVER", "nats", "NATS_URL"),
        ("GOSSIP_ADDR", "0.0.0.0:0", "GOSSIP_KEY"),
        ("GOSSIP_JOIN", "192.0.2.1:1314", "GOSSIP_ADDR"),
        ("LOG", "a=b=c", "LOG"),
        ("EXCHANGE_KEY", "", "EXCHANGE_KEY"),
    ] {
        let (code, log) = daemon("x").env(name, value).run(QUICK);
        assert_eq!(code, Some(64), "{name}: {log}");
        assert!(log.contains(word), "{name}: {log}");
    }
    let (code, log) = daemon("x").arg("--no-such-flag").run(QUICK);
    assert_eq!(code, Some(64), "{log}");
}

#[test]
fn what_cannot_be_bound_or_opened_ends_with_1_and_is_named() {
    let first = daemon("first").start();
    let (code, log) = daemon("second").env("PORT", first.http.port()).run(QUICK);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("PORT"), "{log}");
    let (code, log) = daemon("second").env("GOSSIP_ADDR", first.gossip()).run(QUICK);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("GOSSIP_ADDR"), "{log}");
    let (code, log) = daemon("second").env("DATA_DIR", first.folder().join("data").display()).run(QUICK);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("DATA_DIR"), "{log}");
}

#[test]
fn a_damaged_key_of_the_node_ends_with_64_and_tells_the_remedy() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("node.key");
    fs::write(&key, "xyz").unwrap();
    let start = || daemon("x").env("DATA_DIR", folder.path().display());
    let (code, log) = start().run(QUICK);
    assert_eq!(code, Some(64), "{log}");
    assert!(log.contains("node.key") && log.contains("restore it, or remove it"), "{log}");
    fs::remove_file(&key).unwrap();
    start().start();
    assert!(key.exists());
}

#[test]
fn doubts_are_told_at_the_start_and_by_a_check() {
    let doubtful = || daemon("x").env("DATA_DIR", "data").env("EXCHANGE_UNSIGNED", true);
    let words = ["DATA_DIR = \"data\"", "EXCHANGE_UNSIGNED"];
    // A check listens nowhere, so it may be asked about the network.
    let (code, said) = doubtful().env("HOST", "0.0.0.0").arg("--check-config").run(QUICK);
    assert_eq!(code, Some(0), "{said}");
    assert!(words.iter().chain(&["HOST = 0.0.0.0"]).all(|word| said.contains(word)), "{said}");
    assert_eq!(said.matches("lobbyd: warning:").count(), 3, "{said}");
    let agent = doubtful().start();
    let log = agent.process.log();
    assert!(words.iter().all(|word| log.lines().any(|line| line.contains("WARN") && line.contains(word))), "{log}");
}

#[test]
fn check_and_print_do_not_start_anything() {
    let (code, log) = daemon("x").arg("--check-config").run(QUICK);
    assert_eq!(code, Some(0), "{log}");
    let (code, log) = daemon("x").arg("--token").arg("--check-config").run(QUICK);
    assert_eq!(code, Some(64), "{log}");
    let (code, log) = daemon("x").env("TOKEN", "s3cret").arg("--print-config").run(QUICK);
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("s3cret") && log.contains("token = \"<hidden>\" # TOKEN"), "{log}");
    let (code, log) = daemon("x").arg("--help").run(QUICK);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("Gossip:") && log.contains("--gossip-addr"), "{log}");
}

#[test]
fn dev_agents_are_hosts_of_their_own_and_leave_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let start = |join: &str| {
        let builder = daemon("dev").without_env("HOSTNAME").without_env("DATA_DIR").without_env("GOSSIP_ADDR");
        let builder = builder.env("TMPDIR", folder.path().display()).arg("--dev");
        if join.is_empty() { builder.start() } else { builder.arg("--join").arg(join).start() }
    };
    let mut first = start("");
    let mut second = start(&first.gossip().to_string());
    eventually(SOON, || expect(first.hosts().len() == 2, first.hosts()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    first.stop(QUICK);
    second.stop(QUICK);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_stop_takes_less_than_two_seconds_and_frees_the_ports() {
    let mut fleet = gossiping(2);
    all_list(&fleet, &["n0", "n1"]);
    fleet[1].stop(Duration::from_secs(2));
    lists(&fleet[0], &["n0"]);
    let again = fleet.pop().unwrap().start_again();
    all_list(fleet.iter().chain([&again]), &["n0", "n1"]);
}

#[test]
fn leaving_over_http_is_a_clean_stop() {
    let mut fleet = gossiping(2);
    all_list(&fleet, &["n0", "n1"]);
    assert_eq!(fleet[1].request("PUT", "/v1/agent/leave", &[], "").status, 200);
    assert_eq!(fleet[1].process.wait(QUICK).code(), Some(0));
    lists(&fleet[0], &["n0"]);
}

#[test]
fn a_restart_by_signal_says_no_goodbye() {
    let mut fleet = gossiping(2);
    all_list(&fleet, &["n0", "n1"]);
    fleet.iter().for_each(is_warm);
    let before = revision(&fleet[0]);
    fleet[1].process.signal(Signal::USR2);
    assert_eq!(fleet[1].process.wait(QUICK).code(), Some(0));
    assert_eq!(fleet[0].hosts(), ["n0", "n1"], "still listed");
    assert_eq!(revision(&fleet[0]), before);
}

/// The socket that a service manager listens on, and what comes next from it.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: TempDir,
}

impl Manager {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(QUICK)).unwrap();
        Self { socket, path, _folder: folder }
    }

    /// The next message that is no sign of life, or with `beats` the next of any kind.
    #[track_caller]
    fn next(&self, beats: bool) -> String {
        let mut buffer = [0; 256];
        loop {
            let n_bytes = self.socket.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..n_bytes]).into_owned();
            if beats || !text.starts_with("WATCHDOG=1") {
                return text;
            }
        }
    }
}

#[test]
fn systemd_is_told_when_everything_listens_of_reloads_and_of_the_end() {
    let manager = Manager::start();
    let mut agent = daemon("a").env("NOTIFY_SOCKET", manager.path.display()).start();
    assert_eq!(manager.next(true).trim(), "READY=1");
    agent.process.signal(Signal::HUP);
    let reloading = manager.next(true);
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(manager.next(true).trim(), "READY=1");
    agent.stop(QUICK);
    assert_eq!(manager.next(true).trim(), "STOPPING=1", "no sign of life was asked for, so none came");
}

#[test]
fn systemd_is_told_again_and_again_that_the_agent_lives() {
    let manager = Manager::start();
    let watched = |name, usec: &str| daemon(name).env("NOTIFY_SOCKET", manager.path.display()).env("WATCHDOG_USEC", usec);
    let mut agent = watched("a", "100000").start();
    let beat = || assert_eq!(manager.next(true).trim(), "WATCHDOG=1");
    assert_eq!(manager.next(true).trim(), "READY=1");
    (0..3).for_each(|_| beat());
    agent.process.signal(Signal::STOP);
    agent.process.signal(Signal::CONT);
    beat();
    agent.stop(QUICK);
    assert_eq!(manager.next(false).trim(), "STOPPING=1");
    // Meant for another process.
    let mut agent = watched("b", "1").env("WATCHDOG_PID", "1").start();
    assert_eq!(manager.next(true).trim(), "READY=1");
    agent.stop(QUICK);
    assert_eq!(manager.next(true).trim(), "STOPPING=1");
}

#[test]
fn the_unix_socket_serves_the_same_and_replaces_what_a_crash_left() {
    use std::io::{Read, Write};
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lobby.sock");
    let mut agent = daemon("a").env("SOCKET", format!("{}:0600", path.display())).start();
    let ask = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.write_all(b"GET /v1/discovery HTTP/1.1\r\nHost: lobby\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask().contains("\"hostname\": \"a\""));
    agent.kill();
    let _again = agent.start_again();
    assert!(ask().contains("\"hostname\": \"a\""));
}
