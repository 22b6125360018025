//! `/v1/nodes`: every node apart, failed ones too.

use expect_test::expect;
use lobby_core::{
    id::{NodeId, Origin},
    port::PeerEvent,
};

use crate::fixture::{Fleet, GOSSIP, config};

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
    expect![[r#"
        [
          {
            "id": "01010101010101010101010101010101",
            "name": "here.example.com",
            "state": "alive",
            "addresses": [],
            "generation": 5,
            "version": 2,
            "exchanges": [],
            "age_ms": 0,
            "labels": [
              "own"
            ],
            "own": true,
            "conflict": false,
            "lobbyd": null,
            "datacenter": null
          },
          {
            "id": "02020202020202020202020202020202",
            "name": "twin",
            "state": "alive",
            "addresses": [
              "10.0.0.7",
              "2a03::7"
            ],
            "generation": 7,
            "version": 3,
            "exchanges": [
              {
                "name": "gossip",
                "state": "alive"
              }
            ],
            "age_ms": 0,
            "labels": [
              "a:1"
            ],
            "own": false,
            "conflict": true,
            "lobbyd": "0.1.0",
            "datacenter": "dc1"
          },
          {
            "id": "03030303030303030303030303030303",
            "name": "twin",
            "state": "alive",
            "addresses": [
              "10.0.0.7",
              "2a03::7"
            ],
            "generation": 7,
            "version": 3,
            "exchanges": [
              {
                "name": "gossip",
                "state": "alive"
              }
            ],
            "age_ms": 0,
            "labels": [],
            "own": false,
            "conflict": true,
            "lobbyd": "0.1.0",
            "datacenter": "dc1"
          },
          {
            "id": "04040404040404040404040404040404",
            "name": "gone",
            "state": "failed",
            "addresses": [
              "10.0.0.7",
              "2a03::7"
            ],
            "generation": 7,
            "version": 3,
            "exchanges": [
              {
                "name": "gossip",
                "state": "failed"
              }
            ],
            "age_ms": 0,
            "labels": [
              "b"
            ],
            "own": false,
            "conflict": false,
            "lobbyd": "0.1.0",
            "datacenter": "dc1"
          },
          {
            "id": "05050505050505050505050505050505",
            "name": "shaky",
            "state": "suspect",
            "addresses": [
              "10.0.0.7",
              "2a03::7"
            ],
            "generation": 7,
            "version": 3,
            "exchanges": [
              {
                "name": "gossip",
                "state": "suspect"
              }
            ],
            "age_ms": 0,
            "labels": [],
            "own": false,
            "conflict": false,
            "lobbyd": "0.1.0",
            "datacenter": "dc1"
          },
          {
            "id": null,
            "name": "go",
            "state": "alive",
            "addresses": [],
            "generation": 0,
            "version": 0,
            "exchanges": [
              {
                "name": "nats",
                "state": "alive"
              }
            ],
            "age_ms": 3000,
            "labels": [
              "service:ns"
            ],
            "own": false,
            "conflict": false,
            "lobbyd": null,
            "datacenter": null
          }
        ]
    "#]]
    .assert_eq(answer.text());
}

#[tokio::test]
async fn an_unlisted_agent_is_not_among_them() {
    let served = Fleet::cold(&["own"], false).warmed().serve(config());
    assert_eq!(served.get("/v1/nodes").await.text(), "[]\n");
}

#[tokio::test]
async fn many_nodes_are_rendered_aside() {
    let fleet = (0..1500_u16).fold(Fleet::new(&[]), |fleet, i| fleet.bare(&format!("node-{i}"), &["x"]));
    let answer = fleet.serve(config()).get("/v1/nodes").await;
    let nodes: Vec<serde_json::Value> = serde_json::from_slice(&answer.bytes).unwrap();
    assert_eq!(nodes.len(), 1501);
    assert_eq!(nodes.iter().filter(|node| node["id"].is_null() && node["age_ms"] == 3000).count(), 1500);
}
