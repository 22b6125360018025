//! What Consul's clients ask of one agent: its log, ports of proxies, checks of what labels make, places of other nodes.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::mpsc,
};

use lobby_testkit::{daemon::Daemon, eventually, expect, process::Signal};
use serde_json::{Value, json};

use crate::{
    catalog::{deregister, put, register},
    fleet::{SOON, all_list, daemon, gossiping},
};

/// Somebody who listens to the log, until this is dropped.
struct Monitor {
    stream: TcpStream,
    lines: mpsc::Receiver<String>,
}

impl Monitor {
    /// Returns when it is heard; also the status.
    fn open(agent: &Daemon, query: &str) -> (u16, Self) {
        let mut stream = TcpStream::connect(agent.http).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(stream, "GET /v1/agent/monitor{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        reader.read_line(&mut head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (sender, lines) = mpsc::channel();
        // Ends with the connection.
        std::thread::spawn(move || {
            let lines = reader.lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        (status, Self { stream, lines })
    }

    /// The first line that has this in it.
    #[track_caller]
    fn line(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(err) => panic!("{text:?} is not there: {err}; {seen:?}"),
            }
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// What the agent logs at `debug` only.
fn disturb(agent: &Daemon) {
    TcpStream::connect(agent.gossip()).unwrap().write_all(&[0xff; 64]).unwrap();
}

#[test]
fn the_log_can_be_listened_to_at_any_level() {
    let mut agent = daemon("a").env("LOG", "error").start();
    let (status, info) = Monitor::open(&agent, "");
    assert_eq!(status, 200);
    let (_, json) = Monitor::open(&agent, "?loglevel=debug&logjson");
    let (_, trace) = Monitor::open(&agent, "?loglevel=trace");
    disturb(&agent);
    let line: Value = serde_json::from_str(&json.line("gossip stream")).unwrap();
    assert_eq!(line["level"], "DEBUG", "{line}");
    trace.line("DEBUG");
    agent.process.signal(Signal::HUP);
    let line = info.line("labels were read again");
    assert!(line.contains("INFO") && !line.contains('\u{1b}'), "{line:?}");
    assert!(info.lines.try_iter().all(|line| !line.contains("DEBUG")));
    json.line("labels were read again");
    assert!(!agent.process.log().contains("labels were read again"), "{}", agent.process.log());
    // Who goes away makes room.
    drop((info, json, trace));
    let mut open = Vec::new();
    eventually(SOON, || {
        let (status, monitor) = Monitor::open(&agent, "");
        open.extend((status == 200).then_some(monitor));
        expect(open.len() == 16, open.len())
    });
    assert_eq!(Monitor::open(&agent, "").0, 429);
    assert_eq!(Monitor::open(&agent, "?loglevel=x").0, 400);
    drop(open);
    eventually(SOON, || {
        let status = Monitor::open(&agent, "").0;
        expect(status == 200, status)
    });
}

#[test]
fn a_monitor_ends_with_its_agent_and_is_for_operators() {
    let mut agent = daemon("a").env("TOKEN", "s3cret").start();
    assert_eq!(Monitor::open(&agent, "").0, 403);
    let (status, monitor) = Monitor::open(&agent, "?token=s3cret");
    assert_eq!(status, 200);
    agent.stop(SOON);
    eventually(SOON, || expect(monitor.lines.recv().is_err(), "more lines"));
}

#[test]
fn a_sidecar_keeps_the_port_that_it_got() {
    let agent = daemon("a").start();
    let web = json!({"Name": "web", "Port": 80, "Connect": {"SidecarService": {}}});
    register(&agent, &web);
    register(&agent, &json!({"Name": "db", "Port": 81, "Connect": {"SidecarService": {}}}));
    let port = |agent: &Daemon, id: &str| agent.get(&format!("/v1/agent/service/{id}-sidecar-proxy")).json()["Port"].clone();
    assert_eq!([port(&agent, "web"), port(&agent, "db")], [21_000, 21_001]);
    let agent = agent.start_again();
    deregister(&agent, "web");
    register(&agent, &json!({"Name": "db", "Port": 82, "Connect": {"SidecarService": {}}}));
    register(&agent, &json!({"Name": "other", "Connect": {"SidecarService": {}}}));
    assert_eq!([port(&agent, "db"), port(&agent, "other")], [21_001, 21_000]);
    let listed = agent.get("/v1/health/connect/db").json();
    assert_eq!(listed[0]["Service"]["Port"], 21_001, "{listed}");
}

#[test]
fn what_a_label_makes_takes_no_checks() {
    let agent = daemon("a").env("LABELS", "service:web:port:80").start();
    let check = json!({"Name": "up", "ServiceID": "web:80", "TTL": "1m"}).to_string();
    let answer = agent.request("PUT", "/v1/agent/check/register", &[], &check);
    assert!(answer.status == 409 && answer.text().contains("service:web:port:80"), "{}", answer.text());
    register(&agent, &json!({"Name": "web", "ID": "web:80", "Port": 80}));
    put(&agent, "/v1/agent/check/register", &check);
}

#[test]
fn a_place_of_a_node_without_an_agent_is_known_to_all() {
    let fleet = gossiping(2);
    all_list(&fleet, &["n0", "n1"]);
    let body = json!({"Node": "ext", "Address": "10.1.1.1", "Check": {"Name": "up", "Definition": {"TCP": "10.1.1.1:1"}}});
    assert_eq!(fleet[0].request("PUT", "/v1/catalog/register", &[], &body.to_string()).status, 200);
    let place = json!([0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    put(&fleet[0], "/v1/coordinate/update", &json!({"Node": "ext", "Coord": {"Vec": place, "Height": 0.001}}).to_string());
    for agent in &fleet {
        eventually(SOON, || {
            let list = agent.get("/v1/coordinate/node/ext");
            expect(list.status == 200 && list.json()[0]["Coord"]["Vec"] == place, list.text())
        });
        let checks = agent.get("/v1/health/node/ext").json();
        assert_eq!(checks[0]["Definition"], json!({"TCP": "10.1.1.1:1"}), "{checks}");
    }
}
