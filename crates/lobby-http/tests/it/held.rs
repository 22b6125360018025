//! While most nodes are failed: outputs of services show theirs as before, everything else tells the truth.

use std::time::Duration;

use lobby_core::{
    check::Status,
    id::{NodeId, Origin},
    port::PeerEvent,
    record::meta,
};
use serde_json::{Value, json};

use crate::{
    catalog::{check, instance},
    event_stream::{names, served},
    fixture::{Fleet, GOSSIP, Served, config},
};

/// Ourselves and nodes 2 to 7, each with an instance of `web`; that of node 3 is critical by its own check.
fn fleet() -> Fleet {
    (2..=7).fold(Fleet::new(&[]), |fleet, n| {
        fleet.written(n, &format!("n{n}"), |local| {
            local.set_labels(["zone:eu".parse().unwrap()]);
            local.set_meta(meta::ADDRESSES, &format!("10.0.0.{n}"));
            local.set_instance(&instance(&format!("web-{n}"), "web", 80, &[])).unwrap();
            if n == 3 {
                local.set_check(&check("own", Some("web-3"), Status::Critical)).unwrap();
            }
        })
    })
}

fn held() -> Fleet {
    (2..=6).fold(fleet(), Fleet::failed)
}

async fn each(served: &Served, path: &str, pointer: &str) -> String {
    let answer = served.get(path).await.json();
    let values = answer.as_array().unwrap().iter().map(|value| value.pointer(pointer).cloned().unwrap_or_default());
    let texts = values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    texts.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn outputs_of_services_show_held_nodes_as_they_were() {
    let served = held().serve(config());
    for (path, pointer, want) in [
        ("/v1/health/service/web?passing", "/Node/Node", "n2 n4 n5 n6 n7"),
        ("/v1/health/node/n2", "/Status", "passing"),
        ("/v1/health/node/n3", "/CheckID", "own serfHealth"),
        ("/v1/health/node/n3", "/Status", "critical passing"),
        ("/v1/catalog/service/web", "/Node", "n2 n3 n4 n5 n6 n7"),
        ("/v1/services/web?where=status%3Dpassing", "/node_held", "true true true true false"),
        ("/v1/services/web", "/node_failed", "false false false false false false"),
        ("/v1/http_sd?passing", "/targets/0", "10.0.0.2:80 10.0.0.4:80 10.0.0.5:80 10.0.0.6:80 10.0.0.7:80"),
    ] {
        assert_eq!(each(&served, path, pointer).await, want, "{path}");
    }
    assert!(served.get("/v1/services").await.text().contains("\"passing\": 5"));
}

#[tokio::test]
async fn everything_else_tells_the_truth() {
    let served = held().serve(config());
    for (path, pointer, want) in [
        ("/", "/hostname", "here.example.com n7"),
        ("/v1/resolve?label=zone:eu", "", "n7"),
        ("/v1/nodes", "/state", "alive failed failed failed failed failed alive"),
        ("/v1/nodes", "/held", "null true true true true true null"),
        ("/v1/nodes?where=status%3Dcritical", "/name", "n2 n3 n4 n5 n6"),
        ("/v1/why/web", "/verdict", "failed failed failed failed failed passing"),
    ] {
        assert_eq!(each(&served, path, pointer).await, want, "{path}");
    }
    let why = served.get("/v1/why/web").await.json();
    let reason = "5 of the 7 nodes of gossip fell silent at once";
    assert_eq!(why[0]["hold"], json!({"since": 1_630_612_478, "until": 1_630_612_538, "exchange": "gossip", "reason": reason}));
    assert_eq!((&why[0]["owner"]["state"], &why[5]["hold"]), (&json!("failed"), &Value::Null));
    let health = served.get("/v1/health").await.json();
    assert_eq!((&health["exchanges"][0]["held"], &health["exchanges"][1]["held"]), (&json!(5), &Value::Null));
    let metrics = served.get("/metrics").await;
    for line in ["lobby_hold_nodes{exchange=\"gossip\"} 5", "lobby_hold_nodes{exchange=\"nats\"} 0", "lobby_holds_total 0"] {
        assert!(metrics.text().lines().any(|other| other == line), "{line}");
    }
}

#[tokio::test]
async fn after_a_minute_they_are_gone() {
    let almost = held().after(Duration::from_millis(59_999)).serve(config());
    assert_eq!(each(&almost, "/v1/health/service/web?passing", "/Node/Node").await, "n2 n4 n5 n6 n7");
    let served = held().after(Duration::from_secs(60)).serve(config());
    assert_eq!(each(&served, "/v1/health/service/web?passing", "/Node/Node").await, "n7");
    assert_eq!(each(&served, "/v1/health/node/n2", "/Status").await, "critical");
    assert_eq!(served.get("/v1/why/web").await.json()[0]["hold"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn streams_tell_of_the_nodes_at_once_and_of_their_services_later() {
    let (served, fleet) = served(fleet());
    let mut stream = served.open("/v1/events", "").await;
    stream.event().await;
    let fleet = served.show((2..=6).fold(fleet, Fleet::failed));
    assert_eq!(names(&stream.events().await), ["member-failed"; 5]);
    let seen = PeerEvent::Seen(Origin::Node(NodeId::from_bytes([2; 16])), Duration::ZERO);
    let fleet = served.show(fleet.event(GOSSIP, seen));
    assert_eq!(names(&stream.events().await), ["member-join"]);
    let _fleet = served.show(fleet.after(Duration::from_secs(60)));
    assert_eq!(names(&stream.events().await), ["service-down"; 4]);
}
