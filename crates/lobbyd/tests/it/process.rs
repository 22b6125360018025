//! The process: configuration, ready line, signals, folders, several on one machine.

use std::{fs, time::Duration};

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
fn check_and_print_do_not_start_anything() {
    let (code, log) = daemon("x").arg("--check-config").run(QUICK);
    assert_eq!(code, Some(0), "{log}");
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

#[test]
fn systemd_is_told_when_everything_listens_and_when_it_ends() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(QUICK)).unwrap();
    let mut agent = daemon("a").env("NOTIFY_SOCKET", path.display()).start();
    let mut buffer = [0; 256];
    let n_bytes = socket.recv(&mut buffer).unwrap();
    assert!(buffer[..n_bytes].starts_with(b"READY=1"));
    agent.stop(QUICK);
    let n_bytes = socket.recv(&mut buffer).unwrap();
    assert!(buffer[..n_bytes].starts_with(b"STOPPING=1"));
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
