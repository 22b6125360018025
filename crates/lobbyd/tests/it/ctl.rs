//! lobbyctl against a real agent.

use crate::fleet::{all_list, ctl, daemon, gossiping, json, lists};

#[test]
fn every_verb_against_a_real_fleet() {
    let mut fleet = gossiping(2);
    all_list(&fleet, &["n0", "n1"]);
    let agent = &fleet[0];
    assert_eq!(json(agent, &["resolve", "name:n1"]), serde_json::json!(["n1"]));
    assert_eq!(json(agent, &["discovery"])["hostname"], "n0");
    assert_eq!(json(agent, &["discoveries"]).as_array().unwrap().len(), 2);
    assert_eq!(json(agent, &["discoveries", "labels", "name:n1", "none"])[0]["hostname"], "n1");
    assert_eq!(json(agent, &["discoveries", "search", "name:"]).as_array().unwrap().len(), 2);
    assert_eq!(ctl(agent, &["labels", "add", "a:1", "b:2"]).0, Some(0));
    assert_eq!(ctl(agent, &["labels", "del", "a:1"]).0, Some(0));
    assert_eq!(json(agent, &["discovery"])["labels"], serde_json::json!(["b:2", "name:n0"]));
    assert_eq!(json(agent, &["nodes"]).as_array().unwrap().len(), 2);
    let (code, text) = ctl(agent, &["status"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("gossip"), "{text}");
    assert_eq!(ctl(agent, &["reload"]).0, Some(0));
    let old_style = ["-host", "127.0.0.1", "-json", "discoveries"];
    assert_eq!(ctl(agent, &old_style).0, Some(0));

    assert_eq!(ctl(&fleet[1], &["leave"]).0, Some(0));
    lists(&fleet[0], &["n0"]);
    fleet[0].kill();
    let (code, text) = ctl(&fleet[0], &["discoveries"]);
    assert_eq!(code, Some(69), "{text}");
}

#[test]
fn a_token_is_needed_and_taken_from_the_environment_or_a_flag() {
    let agent = daemon("a").env("TOKEN", "s3cret").start();
    let (code, text) = ctl(&agent, &["discoveries"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("denied"), "{text}");
    assert_eq!(ctl(&agent, &["--token", "s3cret", "discoveries"]).0, Some(0));
}
