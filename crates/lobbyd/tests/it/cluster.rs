//! Agents over embedded gossip, with no other server.

use std::time::Duration;

use lobby_testkit::{eventually, expect};

use crate::fleet::{SOON, all_list, daemon, gossiping, is_warm, lists, metric, node, packet, revision, shows_label};

#[test]
fn three_agents_find_each_other_and_see_every_change() {
    let mut fleet = gossiping(3);
    all_list(&fleet, &["n0", "n1", "n2"]);
    fleet.iter().for_each(is_warm);
    assert_eq!(fleet[1].request("POST", "/v1/labels", &[], "added:1\n").text(), "OK");
    fleet.iter().for_each(|daemon| shows_label(daemon, "n1", "added:1"));

    fleet[2].stop(Duration::from_secs(3));
    all_list(&fleet[..2], &["n0", "n1"]);
    eventually(SOON, || expect(node(&fleet[0], "n2").is_null(), (node(&fleet[0], "n2"), fleet[2].process.log())));

    fleet[1].kill();
    lists(&fleet[0], &["n0"]);
    assert_eq!(node(&fleet[0], "n1")["state"], "failed");
}

#[test]
fn ten_agents_list_the_current_second_and_survive_the_first_one() {
    let mut fleet = gossiping(10);
    let names: Vec<_> = (0..10).map(|idx| format!("n{idx}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    all_list(&fleet, &names);
    let checks = |daemon| (0..10).map(|idx| packet(daemon, &format!("n{idx}"))["last_check"].as_u64()).collect::<Vec<_>>();
    eventually(SOON, || {
        let checks = checks(&fleet[3]);
        expect(checks.iter().all(|check| check == &checks[0] && check.is_some()), checks)
    });
    fleet[0].kill();
    all_list(&fleet[1..], &names[1..]);
}

#[test]
fn a_restarted_agent_keeps_its_identity() {
    let mut fleet = gossiping(3);
    all_list(&fleet, &["n0", "n1", "n2"]);
    let before = node(&fleet[0], "n1");
    let mut n1 = fleet.remove(1);
    n1.kill();
    let n1 = n1.start_again();
    eventually(SOON, || {
        let after = node(&fleet[0], "n1");
        let newer = after["generation"].as_u64() > before["generation"].as_u64();
        expect(newer && after["id"] == before["id"] && after["state"] == "alive", after)
    });
    all_list(fleet.iter().chain([&n1]), &["n0", "n1", "n2"]);
}

#[test]
fn agents_of_other_clusters_or_keys_stay_apart() {
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let other_key = "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let first = daemon("first").env("GOSSIP_KEY", key).start();
    let join = first.gossip();
    let keyed = daemon("keyed").env("GOSSIP_KEY", format!("{other_key},{key}")).env("GOSSIP_JOIN", join);
    // Encrypts with a key that the first one does not accept, until the keys are in the same order.
    let wrong = daemon("wrong").env("GOSSIP_KEY", other_key).env("GOSSIP_JOIN", join).start();
    let foreign = daemon("foreign").env("GOSSIP_KEY", key).env("CLUSTER", "other").env("GOSSIP_JOIN", join).start();
    let right = daemon("right").env("GOSSIP_KEY", key).env("GOSSIP_JOIN", join).start();
    all_list([&first, &right], &["first", "right"]);
    eventually(SOON, || {
        let text = first.get("/metrics").text();
        let counted = |verdict: &str| {
            let wanted = format!("verdict=\"{verdict}\"");
            text.lines().any(|line| line.contains("received") && line.contains(&wanted) && !line.ends_with(" 0"))
        };
        expect(counted("foreign") && counted("wrong_key"), text.clone())
    });
    assert_eq!((wrong.hosts(), foreign.hosts()), (vec!["wrong".to_owned()], vec!["foreign".to_owned()]));
    for stranger in [&wrong, &foreign] {
        stranger.process.wait_for_log(SOON, "no seed answers");
        assert!(stranger.process.log().contains(&join.to_string()), "it is named");
    }
    drop(keyed);
}

#[test]
fn an_idle_fleet_changes_no_revision() {
    let fleet = gossiping(3);
    all_list(&fleet, &["n0", "n1", "n2"]);
    fleet.iter().for_each(is_warm);
    let before = revision(&fleet[0]);
    let second = packet(&fleet[0], "n1")["last_check"].as_u64().unwrap();
    eventually(SOON, || {
        let now = packet(&fleet[0], "n1")["last_check"].as_u64().unwrap();
        expect(now >= second + 3, now)
    });
    assert_eq!(revision(&fleet[0]), before);
}

#[test]
fn a_client_only_agent_sees_all_and_is_seen_by_none() {
    let first = daemon("first").start();
    let silent = daemon("silent").env("REGISTER", "false").env("GOSSIP_JOIN", first.gossip()).start();
    lists(&silent, &["first"]);
    assert_eq!(silent.get("/v1/discovery").json()["hostname"], "silent");
    assert_eq!(first.hosts(), ["first"]);
    assert_eq!(silent.hosts(), ["first"]);
}

#[test]
fn a_node_with_as_many_bytes_of_labels_as_it_may_have_is_a_member_like_any_other() {
    let big = daemon("big").start();
    let folder = big.folder().join("labels");
    std::fs::create_dir_all(&folder).unwrap();
    let label = |n: usize| format!("{n:04}:{}\n", "x".repeat(1000));
    std::fs::write(folder.join("many"), (0..2000).map(label).collect::<String>()).unwrap();
    shows_label(&big, "big", label(0).trim());
    let newcomer = daemon("newcomer").env("GOSSIP_JOIN", big.gossip()).start();
    all_list([&newcomer, &big], &["big", "newcomer"]);
    is_warm(&newcomer);
    let n_labels = |daemon| packet(daemon, "big")["labels"].as_array().map_or(0, Vec::len);
    assert_eq!(n_labels(&newcomer), n_labels(&big));
    assert!(n_labels(&big) > 500 && n_labels(&big) < 2000, "what does not fit is left out, the rest stands");
    assert!(metric(&big, "lobby_labels_refused") > 1000.0);
    assert_eq!(big.request("POST", "/v1/labels", &[], "0000:another").status, 400);
    std::fs::write(folder.join("many"), "few:1\n").unwrap();
    shows_label(&newcomer, "big", "few:1");
}
