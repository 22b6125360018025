//! Members, events, queries, handlers, coordinates: what Serf's users do, by lobbyctl and over HTTP.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use lobby_testkit::{TempDir, daemon::Daemon, eventually, expect, process::Signal};
use serde_json::Value;

use crate::fleet::{SOON, all_list, ctl, ctl_command, daemon, gossiping, json, lists, node};

fn script(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn event_names(agent: &Daemon) -> Vec<String> {
    let events = agent.get("/v1/event/list").json();
    events.as_array().unwrap().iter().map(|event| event["Name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn events_reach_everybody_once_and_late_joiners_see_them_without_a_handler_run() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let handler = script(
        folder.path(),
        "on",
        &format!("echo \"$LOBBY_EVENT $LOBBY_USER_EVENT $SERF_USER_EVENT $(cat)\" >> {}", out.display()),
    );
    let mut fleet = gossiping(3);
    fleet.push(daemon("n3").env("GOSSIP_JOIN", fleet[0].gossip()).env("ON", format!("user:deploy={handler}")).start());
    all_list(&fleet, &["n0", "n1", "n2", "n3"]);
    let (code, text) = ctl(&fleet[1], &["event", "deploy", "v1.2"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(ctl(&fleet[2], &["event", "other", "x"]).0, Some(0));
    for agent in &fleet {
        eventually(SOON, || {
            let mut names = event_names(agent);
            names.sort();
            expect(names == ["deploy", "other"], names)
        });
    }
    eventually(SOON, || expect(lines(&out) == ["user deploy deploy v1.2"], lines(&out)));

    let late = folder.path().join("late");
    let handler = script(folder.path(), "late.sh", &format!("echo run >> {}", late.display()));
    let newcomer = daemon("n4").env("GOSSIP_JOIN", fleet[0].gossip()).env("ON", format!("user={handler}")).start();
    eventually(SOON, || expect(event_names(&newcomer).len() == 2, event_names(&newcomer)));
    assert_eq!(ctl(&fleet[0], &["event", "after"]).0, Some(0));
    eventually(SOON, || expect(!lines(&late).is_empty(), lines(&late)));
    assert_eq!(lines(&late), ["run"], "events of before are not replayed");

    let (code, text) = ctl(&fleet[0], &["event", "big", &"x".repeat(1025)]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("1024"), "the bound is named: {text}");
}

#[test]
fn a_query_that_the_stop_of_its_daemon_ends_is_a_failure_that_says_so() {
    let folder = TempDir::new().unwrap();
    let started = folder.path().join("started");
    let handler = script(folder.path(), "slow", &format!("touch {}; exec sleep 60", started.display()));
    for signal in [Signal::TERM, Signal::USR2] {
        let mut agent = daemon("n0").env("ON", format!("query:slow={handler}")).start();
        std::thread::scope(|scope| {
            let mut asking = ctl_command(&agent, &["query", "slow", "--timeout", "50s"]);
            let asked = scope.spawn(move || asking.output().unwrap());
            eventually(SOON, || expect(started.exists(), "the handler runs"));
            agent.process.signal(signal);
            let output = asked.join().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{signal:?}: {text}");
            assert!(text.contains("the daemon is stopping"), "{signal:?}: {text}");
        });
        fs::remove_file(&started).unwrap();
    }
}

#[test]
fn a_query_is_acknowledged_by_all_and_answered_by_handlers_that_match() {
    let folder = TempDir::new().unwrap();
    let handler = script(folder.path(), "load", "echo \"load of $LOBBY_SELF_NAME for $(cat)\"");
    let on = format!("query:load={handler}");
    let first = daemon("n0").env("ON", &on).env("LABELS", "role:web").start();
    let join = first.gossip();
    let second = daemon("n1").env("ON", &on).env("LABELS", "role:db").env("GOSSIP_JOIN", join).start();
    let third = daemon("n2").env("GOSSIP_JOIN", join).start();
    let fleet = [first, second, third];
    all_list(&fleet, &["n0", "n1", "n2"]);

    let answer = fleet[2].request("POST", "/v1/ask/load?timeout=5s", &[], "you").json();
    let acks: Vec<_> = answer["acks"].as_array().unwrap().iter().map(|ack| ack["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(acks.len(), 3, "{answer}");
    let texts = |answer: &Value| {
        let answers = answer["answers"].as_array().unwrap().clone();
        let mut texts: Vec<_> = answers.iter().map(|each| each["text"].as_str().unwrap().trim().to_owned()).collect();
        texts.sort();
        texts
    };
    assert_eq!(texts(&answer), ["load of n0 for you", "load of n1 for you"]);
    let answer = fleet[2].request("POST", "/v1/ask/load?timeout=5s&label=role:db", &[], "you").json();
    assert_eq!(texts(&answer), ["load of n1 for you"]);
    let (code, text) = ctl(&fleet[0], &["query", "load", "me", "--timeout", "5s"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("load of n0 for me") && text.contains("load of n1 for me"), "{text}");
}

#[test]
fn member_handlers_see_joins_leaves_and_failures_in_order() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let text = format!("while read name addr role tags; do echo \"$LOBBY_EVENT $name\" >> {}; done", out.display());
    let handler = script(folder.path(), "on", &text);
    let watcher =
        daemon("w").env("AGENT_GRACE", 1).env("ON", format!("member-join,member-leave,member-failed={handler}")).start();
    let start = |name: &str| daemon(name).env("GOSSIP_JOIN", watcher.gossip()).start();
    let (mut a, mut b) = (start("a"), start("b"));
    let seen = |want: &[&str]| {
        eventually(SOON, || {
            let mut lines = lines(&out);
            lines.retain(|line| !line.ends_with(" w"));
            expect(lines.len() == want.len() && want.iter().all(|line| lines.iter().any(|seen| seen == line)), lines)
        });
    };
    seen(&["member-join a", "member-join b"]);
    a.stop(SOON);
    seen(&["member-join a", "member-join b", "member-leave a"]);
    b.kill();
    seen(&["member-join a", "member-join b", "member-leave a", "member-failed b"]);
}

#[test]
fn members_info_join_and_force_leave() {
    let mut fleet = gossiping(2);
    all_list(&fleet, &["n0", "n1"]);
    let alone = daemon("alone").start();
    let (code, text) = ctl(&alone, &["join", &fleet[0].gossip().to_string()]);
    assert_eq!(code, Some(0), "{text}");
    lists(&fleet[1], &["n0", "n1", "alone"]);
    let (code, text) = ctl(&alone, &["join", "127.0.0.1:1"]);
    assert_eq!(code, Some(1), "nobody was reached: {text}");

    eventually(SOON, || {
        let members = json(&fleet[0], &["members"]);
        let list = members.as_array().unwrap().clone();
        let alive = list.iter().filter(|member| member["state"] == "alive").count();
        let measured = list.iter().filter(|member| member["rtt_ms"].is_number()).count();
        expect(alive == 3 && measured >= 2, members)
    });
    let (code, text) = ctl(&fleet[0], &["info"]);
    assert!(code == Some(0) && text.contains("n0"), "{text}");
    eventually(SOON, || {
        let (code, text) = ctl(&fleet[0], &["rtt", "n1", "alone"]);
        expect(code == Some(0) && text.contains("ms"), text)
    });

    let (code, text) = ctl(&fleet[0], &["force-leave", "n1"]);
    assert_eq!(code, Some(1), "it is alive: {text}");
    let mut gone = fleet.pop().unwrap();
    gone.kill();
    eventually(SOON * 2, || expect(node(&fleet[0], "n1")["state"] == "failed", node(&fleet[0], "n1")));
    let (code, text) = ctl(&alone, &["force-leave", "n1", "--prune"]);
    assert_eq!(code, Some(0), "{text}");
    for agent in [&fleet[0], &alone] {
        eventually(SOON, || expect(node(agent, "n1").is_null(), node(agent, "n1")));
    }
    let back = gone.start_again();
    lists(&fleet[0], &["n0", "n1", "alone"]);
    drop(back);
}

#[test]
fn verbs_of_gossip_without_gossip_say_so() {
    let server = lobby_testkit::server::nats::start("");
    let agent = daemon("a").env("DRIVER", "nats").env("NATS_URL", lobby_testkit::server::nats::url(&server)).start();
    for (method, path) in
        [("GET", "/v1/keys"), ("PUT", "/v1/event/fire/x"), ("POST", "/v1/ask/x"), ("PUT", "/v1/agent/join/127.0.0.1")]
    {
        let answer = agent.request(method, path, &[], "");
        assert_eq!(answer.status, 501, "{method} {path}: {}", answer.text());
        assert!(answer.text().contains("gossip"), "{}", answer.text());
    }
}
