//! A fleet of Go daemons and ours on one NATS server cannot tell each other apart.

use std::time::Duration;

use lobby_testkit::{TempDir, eventually, expect, go_peer::GoPeer, process::Process, server::nats};

use crate::fleet::{SOON, daemon, is_warm, lists, node, packet, shows_label};

#[test]
fn go_daemons_and_ours_list_each_other() {
    let server = nats::start("");
    let mut go = GoPeer::connect(server.address, "lobby.discovery");
    let start = |name: &str| daemon(name).env("NATS_URL", nats::url(&server)).env("KEEP_ALIVE", 1);
    let mut ours = start("ours").env("LABELS", "service:smtp,public_ip6:2a03::1").start();
    let want = Some(vec!["public_ip6:2a03::1".to_owned(), "service:smtp".to_owned()]);
    eventually(SOON, || expect(go.labels("ours") == want, go.labels("ours")));

    go.hi("go-1", &["service:web", "service:web", "b", "a"]);
    shows_label(&ours, "go-1", "service:web");
    assert_eq!(packet(&ours, "go-1")["labels"], serde_json::json!(["a", "b", "service:web"]), "sorted, without duplicates");
    assert!(node(&ours, "go-1")["id"].is_null());

    ours.request("POST", "/v1/labels", &[], "now:1");
    eventually(SOON, || {
        let labels = go.labels("ours").unwrap_or_default();
        expect(labels.contains(&"now:1".to_owned()), labels)
    });
    go.goodbye("go-1");
    lists(&ours, &["ours"]);

    let asker = start("asker").start();
    lists(&asker, &["asker", "ours"]);
    ours.stop(Duration::from_secs(2));
    eventually(SOON, || expect(go.labels("ours").is_none(), go.labels("ours")));
    assert_eq!(go.incompatible(), Vec::<String>::new(), "asking and answering use subjects that it does not hear");
}

#[test]
fn only_old_daemons_make_a_newcomer_warm_after_a_keep_alive() {
    let server = nats::start("");
    let mut go = GoPeer::connect(server.address, "lobby.discovery");
    let ours = daemon("ours").env("NATS_URL", nats::url(&server)).env("KEEP_ALIVE", 2).start();
    assert_eq!(ours.get("/v1/prometheus/x").status, 503, "an empty answer before the first keep-alive is no answer");
    go.hi("go-1", &["prometheus:x"]);
    eventually(SOON, || {
        let answer = ours.get("/v1/prometheus/x");
        expect(answer.status == 200, answer.text())
    });
    is_warm(&ours);
    assert_eq!(ours.get("/v1/prometheus/unknown").text().trim(), "[]");
}

#[test]
fn what_is_no_packet_is_counted_and_changes_nothing() {
    let server = nats::start("");
    let mut go = GoPeer::connect(server.address, "lobby.discovery");
    let ours = daemon("ours").env("NATS_URL", nats::url(&server)).env("KEEP_ALIVE", 1).start();
    is_warm(&ours);
    for text in
        ["", "{", "[]", r#"{"discovery":{"hostname":"x"},"message":"resync"}"#, r#"{"discovery":{"hostname":""},"message":"hi"}"#]
    {
        go.publish(text);
    }
    go.hi("ours", &["forged:1"]);
    go.goodbye("ours");
    go.hi("last", &[]);
    lists(&ours, &["last", "ours"]);
    assert_eq!(packet(&ours, "ours")["labels"], serde_json::json!([]));
    let metrics = ours.get("/metrics").text();
    let garbage: f64 = metrics
        .lines()
        .filter(|line| line.contains("verdict=\"garbage\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!(garbage >= 5.0, "{metrics}");
}

#[test]
fn a_node_of_both_kinds_of_one_name_is_listed_once() {
    let server = nats::start("");
    let mut go = GoPeer::connect(server.address, "lobby.discovery");
    let start = |name: &str| daemon(name).env("NATS_URL", nats::url(&server)).env("KEEP_ALIVE", 1).start();
    let (watcher, _moved) = (start("watcher"), start("moved"));
    lists(&watcher, &["moved", "watcher"]);
    go.hi("moved", &["old:1"]);
    go.hi("last", &[]);
    lists(&watcher, &["last", "moved", "watcher"]);
    assert_eq!(packet(&watcher, "moved")["labels"], serde_json::json!([]), "the record with an id hides the bare one");
    for (name, signed) in [("watcher", true), ("moved", true), ("last", false)] {
        assert_eq!(node(&watcher, name)["signed"], signed, "{name}: an old daemon proves nothing");
    }
}

#[test]
fn a_changed_host_name_is_a_goodbye_of_the_old_one() {
    let server = nats::start("");
    let go = GoPeer::connect(server.address, "lobby.discovery");
    let watcher = daemon("watcher").env("NATS_URL", nats::url(&server)).start();
    let folder = TempDir::new().unwrap();
    // A host name of its own, so that this machine keeps its.
    let mut command = std::process::Command::new("unshare");
    command.args(["--uts", "sh", "-c", "hostname old-name && exec \"$0\"", env!("CARGO_BIN_EXE_lobbyd")]);
    command.env_remove("HOSTNAME").env("NATS_URL", nats::url(&server)).env("PORT", "0");
    command.env("DATA_DIR", folder.path().join("data")).env("LABELS", "x:1");
    let agent = Process::start("lobbyd with a host name of its own", command);
    let id = eventually(SOON, || {
        let hosts = watcher.hosts();
        let old = hosts.iter().find(|host| host.starts_with("old-name"));
        old.map(|old| node(&watcher, old)["id"].clone()).ok_or(hosts)
    });
    rename(&agent, "new-name");
    lists(&watcher, &["new-name", "watcher"]);
    assert_eq!(node(&watcher, "new-name")["id"], id, "the same node under another name");
    eventually(SOON, || expect(go.labels("new-name").is_some() && go.labels("old-name").is_none(), "the old daemon's list"));
}

fn rename(agent: &Process, name: &str) {
    let pid = agent.pid().to_string();
    let renamed = std::process::Command::new("nsenter").args(["-t", &pid, "-u", "hostname", name]).status().unwrap();
    assert!(renamed.success());
}
