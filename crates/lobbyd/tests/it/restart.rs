//! Agents that end in different ways, and what the others make of it: announced restarts, kill -9, goodbyes.

use std::{thread, time::Duration};

use lobby_testkit::{
    daemon::Daemon,
    eventually, expect,
    port::free_address,
    process::Signal,
    server::{nats, redis},
};
use serde_json::json;

use crate::{
    catalog::register,
    fleet::{SOON, all_list, daemon, lists, node, packet, revision, shows_label, throughout},
};

/// `n` daemons over gossip with this AGENT_GRACE.
fn graceful(n: usize, grace: u32) -> Vec<Daemon> {
    let start = |name: &str| daemon(name).env("AGENT_GRACE", grace).env("LABELS", format!("name:{name}"));
    let mut fleet = vec![start("n0").start()];
    for idx in 1..n {
        let join = fleet[0].gossip();
        fleet.push(start(&format!("n{idx}")).env("GOSSIP_JOIN", join).start());
    }
    let names: Vec<_> = (0..n).map(|idx| format!("n{idx}")).collect();
    all_list(&fleet, &names.iter().map(String::as_str).collect::<Vec<_>>());
    fleet
}

#[track_caller]
fn is(daemon: &Daemon, name: &str, state: &str) {
    eventually(SOON, || {
        let node = node(daemon, name);
        expect(node["state"] == state, node)
    });
}

#[test]
fn a_restart_within_the_grace_is_no_change_to_anybody() {
    let mut fleet = graceful(3, 20);
    let restarted = fleet.pop().unwrap();
    fleet.iter().for_each(|daemon| shows_label(daemon, "n2", "name:n2"));
    let before: Vec<_> = fleet.iter().map(revision).collect();
    let generation = node(&fleet[0], "n2")["generation"].clone();
    let mut restarted = restarted;
    for signal in [Signal::USR2, Signal::KILL] {
        restarted.process.signal(signal);
        restarted.process.wait(SOON);
        let state = if signal == Signal::USR2 { "restarting" } else { "unattended" };
        fleet.iter().for_each(|daemon| is(daemon, "n2", state));
        fleet.iter().for_each(|daemon| assert_eq!(daemon.hosts().len(), 3, "still listed"));
        restarted = restarted.start_again();
        fleet.iter().for_each(|daemon| is(daemon, "n2", "alive"));
        let after: Vec<_> = fleet.iter().map(revision).collect();
        assert_eq!(after, before, "a restart by {signal:?} was a change");
    }
    assert!(node(&fleet[0], "n2")["generation"].as_u64() > generation.as_u64());
}

#[test]
fn after_the_grace_it_is_failed() {
    let mut fleet = graceful(3, 2);
    for (signal, state) in [(Signal::USR2, "restarting"), (Signal::KILL, "unattended")] {
        let mut last = fleet.pop().unwrap();
        let name = last.node();
        last.process.signal(signal);
        last.process.wait(SOON);
        is(&fleet[0], &name, state);
        is(&fleet[0], &name, "failed");
        assert!(!fleet[0].hosts().contains(&name));
    }
}

#[test]
fn a_stopped_process_is_not_dead() {
    let mut fleet = graceful(4, 10);
    let before = revision(&fleet[0]);
    fleet[3].process.signal(Signal::STOP);
    throughout(Duration::from_secs(2), || {
        let state = node(&fleet[0], "n3")["state"].clone();
        assert!(state == "alive" || state == "suspect", "{state}");
    });
    fleet[3].process.signal(Signal::CONT);
    is(&fleet[0], "n3", "alive");
    assert_eq!(revision(&fleet[0]), before);
}

#[test]
fn the_catalog_on_disk_is_served_as_stale_until_somebody_is_heard() {
    // The same addresses in both lives: neither may depend on the other's file of peers.
    let address = free_address();
    let mut first = daemon("n0").env("GOSSIP_ADDR", address).start();
    let mut second = daemon("n1").env("GOSSIP_JOIN", address).start();
    all_list([&first, &second], &["n0", "n1"]);
    second.stop(SOON);
    first.kill();
    let second = second.start_again();
    // The only seed is gone: not warm, and what is listed is what was known.
    lists(&second, &["n0", "n1"]);
    assert_eq!(second.get("/").header("x-lobby-warm"), Some("false"));
    assert_eq!(node(&second, "n0")["state"], "stale");
    let first = first.start_again();
    is(&second, "n0", "alive");
    drop(first);
}

#[test]
fn a_restarted_agent_is_never_seen_without_its_labels_and_services_while_a_broker_is_away() {
    let (mut nats, redis) = (nats::start(""), redis::start(&[]));
    let drivers = |name: &str| {
        let agent = daemon(name).env("DRIVER", "gossip,nats,redis").env("NATS_URL", nats::url(&nats));
        agent.env("REDIS_PORT", redis.address.port())
    };
    let watcher = drivers("n0").start();
    let mut restarted = drivers("n1").env("GOSSIP_JOIN", watcher.gossip()).start();
    assert_eq!(restarted.request("POST", "/v1/labels", &[], "runtime:1").status, 200);
    register(&restarted, &json!({"Name": "web", "ID": "web-1", "Port": 80, "Check": {"TTL": "1h", "Status": "passing"}}));
    let wanted = ["runtime:1", "service:web"];
    wanted.iter().for_each(|label| shows_label(&watcher, "n1", label));
    nats.kill();
    for signal in [Signal::USR2, Signal::KILL, Signal::TERM] {
        let generation = node(&watcher, "n1")["generation"].as_u64();
        restarted = thread::scope(|scope| {
            let restart = scope.spawn(|| {
                restarted.process.signal(signal);
                restarted.process.wait(SOON);
                restarted.start_again()
            });
            eventually(3 * SOON, || {
                // One answer is of one snapshot.
                let packet = packet(&watcher, "n1");
                let has = |label: &&str| packet["labels"].as_array().is_some_and(|labels| labels.iter().any(|has| has == label));
                assert!(packet.is_null() || wanted.iter().all(has), "half a node after {signal:?}: {packet}");
                let node = node(&watcher, "n1");
                let is_back = node["state"] == "alive" && node["generation"].as_u64() > generation;
                expect(is_back && restart.is_finished(), node)
            });
            restart.join().expect("it starts")
        });
    }
}
