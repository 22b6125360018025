//! Rotation of the gossip key of a running fleet, under load, and what becomes of those who miss it.

use std::{collections::BTreeSet, path::Path, process::Command};

use lobby_testkit::{daemon::Daemon, eventually, expect};
use serde_json::Value;

use crate::fleet::{SOON, all_list, ctl, daemon, json, lobbyctl, metric};

const AGENTS: usize = 10;

fn key() -> String {
    let output = Command::new(lobbyctl()).arg("keygen").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn fleet(key: &str) -> Vec<Daemon> {
    let start = |idx: usize| daemon(&format!("n{idx}")).env("GOSSIP_KEY", key);
    let mut fleet = vec![start(0).start()];
    for idx in 1..AGENTS {
        let join = fleet[0].gossip();
        fleet.push(start(idx).env("GOSSIP_JOIN", join).start());
    }
    let names: Vec<_> = (0..AGENTS).map(|idx| format!("n{idx}")).collect();
    all_list(&fleet, &names.iter().map(String::as_str).collect::<Vec<_>>());
    fleet
}

/// Every label of the list that begins with `load:`.
fn load(daemon: &Daemon) -> BTreeSet<String> {
    let list = daemon.get("/").json();
    let labels = list.as_array().unwrap().iter().flat_map(|packet| packet["labels"].as_array().unwrap().clone());
    labels.filter_map(|label| label.as_str().filter(|text| text.starts_with("load:")).map(str::to_owned)).collect()
}

fn keys_of(daemon: &Daemon) -> Value {
    json(daemon, &["keys", "list"])
}

#[test]
fn a_rotation_under_load_loses_no_change_and_the_old_key_is_worth_nothing_afterwards() {
    let (old, new) = (key(), key());
    let mut fleet = fleet(&old);
    let mut wanted = BTreeSet::new();
    let mut change = |fleet: &[Daemon], n: usize| {
        let label = format!("load:{n}");
        assert_eq!(fleet[n % fleet.len()].request("POST", "/v1/labels", &[], &label).status, 200);
        wanted.insert(label);
        wanted.clone()
    };
    (0..10).for_each(|n| _ = change(&fleet, n));
    let (code, text) = ctl(&fleet[3], &["keys", "use", &new]);
    assert_eq!(code, Some(1), "nobody has it: {text}");
    for (step, verb) in ["install", "use", "remove"].into_iter().enumerate() {
        let which = if verb == "remove" { &old } else { &new };
        // What was installed or put to use is told by the records, within moments.
        eventually(SOON, || {
            let (code, text) = ctl(&fleet[3], &["keys", verb, which]);
            expect(code == Some(0), text)
        });
        (10..40).for_each(|n| _ = change(&fleet, step * 100 + n));
    }
    let want = change(&fleet, 1000);
    for agent in &fleet {
        eventually(SOON, || expect(load(agent) == want, load(agent)));
        for verdict in ["wrong_key", "old_key"] {
            let lost = format!("lobby_packets_received_total{{exchange=\"gossip\",kind=\"datagram\",verdict=\"{verdict}\"}}");
            assert_eq!(metric(agent, &lost), 0.0, "{verdict}");
        }
    }
    let list = keys_of(&fleet[0]).to_string();
    assert!(!list.contains(&old) && !list.contains(&new), "no key is ever shown: {list}");

    // Who comes back with the new key only from its file is in; a stranger with the old one is not, and is counted.
    let mut back = fleet.pop().unwrap();
    back.stop(SOON);
    let back = back.start_again();
    eventually(SOON, || expect(load(&back) == want, load(&back)));
    let stranger = daemon("stranger").env("GOSSIP_KEY", &old).env("GOSSIP_JOIN", fleet[0].gossip()).start();
    eventually(SOON, || {
        let refused =
            metric(&fleet[0], "lobby_packets_received_total{exchange=\"gossip\",kind=\"stream\",verdict=\"wrong_key\"}");
        expect(refused > 0.0, refused)
    });
    assert_eq!(stranger.hosts(), ["stranger"]);
    let file = back.folder().join("data/gossip.keys");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file_of(&file).permissions()) & 0o777, 0o600);
}

fn file_of(path: &Path) -> std::fs::Metadata {
    path.metadata().unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

#[test]
fn a_node_that_was_down_during_the_installation_gets_the_key_when_it_is_back() {
    let (old, new) = (key(), key());
    let mut fleet = fleet(&old);
    let mut away = fleet.pop().unwrap();
    away.stop(SOON);
    eventually(SOON, || {
        let (code, text) = ctl(&fleet[0], &["keys", "install", &new]);
        expect(code == Some(0), text)
    });
    let _back = away.start_again();
    eventually(SOON * 2, || {
        let (code, text) = ctl(&fleet[1], &["keys", "use", &new]);
        expect(code == Some(0), text)
    });
}
