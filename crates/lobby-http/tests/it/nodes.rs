//! `/v1/nodes`: every node apart, failed ones too.

use std::time::Duration;

use expect_test::expect_file;
use lobby_core::{
    id::{NodeId, Origin},
    instance::Instance,
    local::LocalRecord,
    port::PeerEvent,
    record::meta,
};

use crate::fixture::{Fleet, GOSSIP, NOW, config};

#[tokio::test]
async fn every_node_with_what_each_exchange_makes_of_it() {
    let served = Fleet::new(&["own"])
        .node(2, "twin", &["a:1"])
        .node(3, "twin", &[])
        .bare("go", &["service:ns"])
        .node(4, "gone", &["b"])
        .failed(4)
        .node(5, "shaky", &[])
        .event(GOSSIP, PeerEvent::Suspect(Origin::Node(NodeId::from_bytes([5; 16]))))
        .serve(config());
    let answer = served.get("/v1/nodes").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json; charset=UTF-8"));
    expect_file!["nodes.json"].assert_eq(answer.text());
}

#[tokio::test]
async fn what_drains_says_so() {
    let drains = |local: &mut LocalRecord| local.set_meta(meta::DRAIN, "true");
    let served = Fleet::new(&[]).written(2, "drains", drains).written(3, "works", |_| {}).serve(config());
    let nodes = served.get("/v1/nodes").await.json();
    let drain = |name| nodes.as_array().unwrap().iter().find(|node| node["name"] == name).unwrap().get("drain");
    assert_eq!((drain("drains"), drain("works")), (Some(&true.into()), None));
}

#[tokio::test]
async fn registered_instances_are_among_the_labels_as_in_lists() {
    let instance = |id: &str, tag: &str| {
        let mut instance = Instance::new(id.parse().unwrap(), "web".parse().unwrap());
        (instance.port, instance.tags) = (80, [tag.to_owned()].into());
        instance
    };
    let fleet = Fleet::new(&[]).written(2, "a", |local| {
        local.set_labels(["zone:eu".parse().unwrap(), "service:web:tag:v1".parse().unwrap()]);
        local.set_instance(&instance("web-1", "v1")).unwrap();
        local.set_instance(&instance("web-2", "v2")).unwrap();
    });
    let served = fleet.serve(config());
    let nodes = served.get("/v1/nodes").await.json();
    let labels = &nodes.as_array().unwrap().iter().find(|node| node["name"] == "a").unwrap()["labels"];
    let want = ["service:web", "service:web:port:80", "service:web:tag:v1", "service:web:tag:v2", "zone:eu"];
    assert_eq!(*labels, serde_json::json!(want));
    let list = served.get("/v1/discoveries").await.json();
    assert_eq!(list.as_array().unwrap().iter().find(|host| host["hostname"] == "a").unwrap()["labels"], *labels);
}

#[tokio::test]
async fn its_tag_moves_with_all_but_the_age() {
    let mut fleet = Fleet::new(&[]).node(2, "a", &[]).bare("go", &[]);
    let snapshot = fleet.snapshot();
    let shaky = fleet.event(GOSSIP, PeerEvent::Suspect(Origin::Node(NodeId::from_bytes([2; 16])))).snapshot();
    assert_eq!(snapshot.revision, shaky.revision);
    let served = Fleet::new(&[]).serve(config());
    served.snapshots.send_replace(snapshot);
    let first = served.get("/v1/nodes").await;
    served.clock.lock().unwrap().moment = NOW.moment + Duration::from_millis(10);
    let older = served.get("/v1/nodes").await;
    assert!(older.text().contains("\"age_ms\": 3010"), "{}", older.text());
    assert_eq!(first.header("etag"), older.header("etag"));
    served.snapshots.send_replace(shaky);
    assert_ne!(served.get("/v1/nodes").await.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn an_unlisted_agent_is_not_among_them() {
    let served = Fleet::cold(&["own"], false).warmed().serve(config());
    assert_eq!(served.get("/v1/nodes").await.text(), "[]\n");
}

#[tokio::test]
async fn many_nodes_are_rendered_aside_and_compressed() {
    let fleet = (0..1500_u16).fold(Fleet::new(&[]), |fleet, i| fleet.bare(&format!("node-{i}"), &["x"]));
    let served = fleet.serve(config());
    let answer = served.get("/v1/nodes").await;
    let nodes: Vec<serde_json::Value> = serde_json::from_slice(&answer.bytes).unwrap();
    assert_eq!(nodes.len(), 1501);
    assert_eq!(nodes.iter().filter(|node| node["id"].is_null() && node["age_ms"] == 3000).count(), 1500);
    let packed = served.ask("GET", "/v1/nodes", &[("accept-encoding", "gzip")], "").await;
    assert!(packed.bytes.len() < answer.bytes.len() / 4 && packed.unpacked() == answer.bytes);
}

#[tokio::test]
async fn a_selector_takes_some() {
    let served = Fleet::new(&["own"])
        .node(2, "twin", &["zone:eu", "service:web:tag:v2"])
        .node(3, "twin", &["zone:us"])
        .node(4, "gone", &["zone:eu"])
        .failed(4)
        .serve(config());
    for (selector, want) in [
        ("label=zone:eu", "twin gone"),
        ("label:zone and not label=zone:us", "twin gone"),
        ("service=web and tag=v2", "twin"),
        ("status=critical", "gone"),
        ("label=nobody", ""),
        ("", "here.example.com twin twin gone"),
    ] {
        let path = format!("/v1/nodes?where={}", selector.replace(' ', "+"));
        let nodes = served.get(&path).await.json();
        let names: Vec<_> = nodes.as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names.join(" "), want, "{selector}");
        // Whom the selector does not take is there all the same.
        let conflict =
            nodes.as_array().unwrap().iter().filter(|node| node["name"] == "twin").all(|node| node["conflict"] == true);
        assert!(conflict, "{selector}");
    }
    let refused = served.get("/v1/nodes?where=zone").await;
    assert_eq!(refused.status.as_u16(), 400);
    assert!(refused.text().starts_with("where: at byte 0: found \"zone\""), "{}", refused.text());
}
