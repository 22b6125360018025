//! A rolling restart of every agent, as an upgrade does it, under many services and open watches: nobody is told anything.

use lobby_testkit::{
    daemon::{Builder, Daemon},
    eventually, expect,
    port::{free, free_address},
    process::Signal,
};
use serde_json::{Value, json};

use crate::{
    catalog::{Watch, ids, now, register},
    fleet::{SOON, all_list, daemon, is_warm, node},
};

const AGENTS: usize = 3;
const SERVICES: usize = 200;
const WATCHES: usize = 50;

fn start() -> Vec<Daemon> {
    let gossip: Vec<_> = (0..AGENTS).map(|_| free_address()).collect();
    let build = |idx: usize| -> Builder {
        let others: Vec<_> = gossip.iter().filter(|each| **each != gossip[idx]).map(ToString::to_string).collect();
        // Addresses that last: clients and peers look for each agent where it was.
        let builder = daemon(&format!("n{idx}")).env("AGENT_GRACE", 20).env("PORT", free());
        builder.env("GOSSIP_ADDR", gossip[idx]).env("GOSSIP_JOIN", others.join(","))
    };
    let fleet: Vec<_> = (0..AGENTS).map(|idx| build(idx).start()).collect();
    all_list(&fleet, &["n0", "n1", "n2"]);
    fleet.iter().for_each(is_warm);
    fleet
}

fn service(idx: usize, tag: &str) -> Value {
    json!({"Name": format!("svc-{idx}"), "Port": 1000 + idx, "Tags": [tag], "Check": {"TTL": "1h", "Status": "passing"}})
}

/// Waits until `daemon` shows everybody alive.
#[track_caller]
fn sees_all(daemon: &Daemon) {
    eventually(SOON, || {
        let states: Vec<_> = (0..AGENTS).map(|idx| node(daemon, &format!("n{idx}"))["state"].clone()).collect();
        expect(states.iter().all(|state| state == "alive"), states)
    });
}

#[test]
fn a_rolling_restart_of_all_agents_is_no_change_to_any_watch_and_watches_resume() {
    let mut fleet = start();
    (0..SERVICES).for_each(|idx| register(&fleet[idx % AGENTS], &service(idx, "before")));
    for daemon in &fleet {
        eventually(SOON, || {
            let services = daemon.get("/v1/catalog/services").json();
            let n_services = services.as_object().map_or(0, serde_json::Map::len);
            // All of them, and `consul`.
            expect(n_services == SERVICES + 1, n_services)
        });
    }
    let watches: Vec<_> =
        (0..WATCHES).map(|idx| Watch::start(fleet[(idx / AGENTS) % AGENTS].http, &format!("svc-{idx}"))).collect();
    for (idx, watch) in watches.iter().enumerate() {
        watch.until(|entries| ids(entries) == [format!("svc-{idx}")]);
    }
    // What a registration does may still be under way when its service is listed.
    let counts = |watches: &[Watch]| watches.iter().map(|watch| watch.seen().len()).collect::<Vec<_>>();
    let before = counts(&watches);

    let mut away = Vec::new();
    for idx in 0..AGENTS {
        let mut daemon = fleet.remove(idx);
        let left = now();
        daemon.process.signal(Signal::USR2);
        assert!(daemon.process.wait(SOON).success());
        fleet.insert(idx, daemon.start_again());
        is_warm(&fleet[idx]);
        fleet.iter().for_each(sees_all);
        away.push((fleet[idx].http, left, now()));
    }
    for (idx, (watch, before)) in watches.iter().zip(before).enumerate() {
        let (_, left, back) = *away.iter().find(|(address, ..)| *address == watch.address).unwrap();
        let seen = watch.seen();
        for later in &seen[before..] {
            assert_eq!(later.entries, seen[before - 1].entries, "svc-{idx} has changed");
            let is_own = later.is_resumed || (left..=back).contains(&later.at);
            assert!(is_own, "the watch of svc-{idx} was woken by another agent's restart: {later:?}");
        }
    }

    (0..WATCHES).for_each(|idx| register(&fleet[idx % AGENTS], &service(idx, "after")));
    for watch in &watches {
        watch.until(|entries| entries[0]["Service"]["Tags"] == json!(["after"]));
    }
}
