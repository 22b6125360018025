//! Several exchanges at once: either may fail without anybody noticing.

use std::time::Duration;

use lobby_testkit::{
    eventually, expect,
    server::{nats, redis},
};

use crate::fleet::{SOON, all_list, daemon, is_warm, lists, revision, shows_label, throughout};

#[test]
fn a_mixed_agent_lists_both_sides_and_republishes_neither() {
    let server = nats::start("");
    let url = nats::url(&server);
    let mixed = daemon("mixed").env("DRIVER", "gossip,nats").env("NATS_URL", &url).start();
    let on_nats = daemon("on-nats").env("NATS_URL", &url).start();
    let on_gossip = daemon("on-gossip").env("GOSSIP_JOIN", mixed.gossip()).start();
    lists(&mixed, &["mixed", "on-gossip", "on-nats"]);
    all_list([&on_nats], &["mixed", "on-nats"]);
    all_list([&on_gossip], &["mixed", "on-gossip"]);
    let newcomer = daemon("newcomer").env("NATS_URL", &url).start();
    is_warm(&newcomer);
    throughout(Duration::from_secs(2), || {
        assert!(!newcomer.hosts().contains(&"on-gossip".to_owned()));
        assert!(!on_gossip.hosts().contains(&"on-nats".to_owned()));
    });
}

#[test]
fn killing_either_exchange_loses_no_entry_and_is_no_change() {
    let mut server = nats::start("");
    let url = nats::url(&server);
    let first = daemon("n0").env("DRIVER", "gossip,nats").env("NATS_URL", &url).start();
    let start =
        |name: &str| daemon(name).env("DRIVER", "gossip,nats").env("NATS_URL", &url).env("GOSSIP_JOIN", first.gossip()).start();
    let fleet = [&start("n1"), &start("n2"), &first];
    all_list(fleet, &["n0", "n1", "n2"]);
    fleet.into_iter().for_each(is_warm);
    for daemon in fleet {
        // One record by two ways is one node that both exchanges hold alive.
        eventually(SOON, || {
            let nodes = daemon.get("/v1/nodes").json();
            let others = nodes.as_array().unwrap().iter().filter(|node| node["own"] == false);
            let both = others.filter(|node| node["exchanges"].as_array().is_some_and(|exchanges| exchanges.len() == 2));
            expect(both.count() == 2 && nodes.as_array().unwrap().len() == 3, nodes.clone())
        });
    }
    let before: Vec<_> = fleet.into_iter().map(revision).collect();
    server.kill();
    throughout(Duration::from_secs(5), || fleet.into_iter().for_each(|daemon| assert_eq!(daemon.hosts().len(), 3)));
    assert_eq!(fleet.into_iter().map(revision).collect::<Vec<_>>(), before);
    fleet[0].request("POST", "/v1/labels", &[], "over:gossip");
    fleet.into_iter().for_each(|daemon| shows_label(daemon, "n1", "over:gossip"));
}

#[test]
fn a_death_is_seen_as_fast_as_the_fastest_exchange_sees_it() {
    let server = nats::start("");
    let url = nats::url(&server);
    let first = daemon("n0").env("DRIVER", "gossip,nats").env("NATS_URL", &url).start();
    let second = daemon("n1").env("DRIVER", "gossip,nats").env("NATS_URL", &url).env("GOSSIP_JOIN", first.gossip()).start();
    all_list([&first, &second], &["n0", "n1"]);
    for daemon in [&first, &second] {
        is_warm(daemon);
    }
    // A third one that is killed is lost by gossip in seconds; NATS alone would take its TTL of 30 s.
    let mut third = daemon("n2").env("DRIVER", "gossip,nats").env("NATS_URL", &url).env("GOSSIP_JOIN", first.gossip()).start();
    all_list([&first, &second, &third], &["n0", "n1", "n2"]);
    third.kill();
    all_list([&first, &second], &["n0", "n1"]);
}

#[test]
fn three_exchanges_at_once() {
    let (nats_server, redis_server) = (nats::start(""), redis::start(&[]));
    let first = daemon("n0")
        .env("DRIVER", "Gossip, NATS ,redis")
        .env("NATS_URL", nats::url(&nats_server))
        .env("REDIS_PORT", redis_server.address.port())
        .start();
    let on_redis = daemon("n1").env("DRIVER", "redis").env("REDIS_PORT", redis_server.address.port()).start();
    let on_nats = daemon("n2").env("NATS_URL", nats::url(&nats_server)).start();
    lists(&first, &["n0", "n1", "n2"]);
    lists(&on_redis, &["n0", "n1"]);
    lists(&on_nats, &["n0", "n2"]);
}
