//! A copied DATA_DIR: two processes with one node id. The younger one draws a new id and starts anew in the same process.

use std::fs;

use lobby_testkit::{TempDir, eventually, expect, port::free_address};

use crate::fleet::{SOON, all_list, daemon, gossiping, node};

#[test]
fn the_younger_of_two_with_one_id_becomes_another_node_in_the_same_process() {
    let mut fleet = gossiping(2);
    all_list(&fleet, &["n0", "n1"]);
    let id = fleet[1].ready["id"].clone();
    let copy = TempDir::new().unwrap();
    for file in ["node.key", "state"] {
        fs::copy(fleet[1].folder().join("data").join(file), copy.path().join(file)).unwrap();
    }
    // The same port in both lives of it, so that it is found again.
    let young = daemon("n2")
        .env("DATA_DIR", copy.path().display())
        .env("PORT", free_address().port())
        .env("GOSSIP_JOIN", fleet[0].gossip())
        .env("LABELS", "name:n2")
        .start();
    assert_eq!(young.ready["id"], id, "it is a copy");
    young.process.wait_for_log(SOON, "starting anew");
    fleet.push(young);
    all_list(&fleet, &["n0", "n1", "n2"]);
    for agent in &fleet {
        eventually(SOON, || {
            let (old, new) = (node(agent, "n1"), node(agent, "n2"));
            let both = old["id"] == id && old["state"] == "alive" && new["id"] != id && new["state"] == "alive";
            expect(both, (old, new))
        });
    }
    let environment = fs::read(format!("/proc/{}/environ", fleet[2].process.pid())).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(environment.split('\0').any(|variable| variable == "LOBBY_REBORN=1"), "{environment}");
    assert_eq!(fleet[2].process.ended(), None);
    assert!(!fleet[1].process.log().contains("starting anew"), "the older one stays who it is");
    for mut agent in fleet {
        agent.stop(SOON);
    }
}
