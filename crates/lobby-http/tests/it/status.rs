//! Who stands for a leader: the same agent in every answer, the lowest address among those alive.

use axum::http::StatusCode;
use lobby_core::{
    id::{Generation, NodeId, Origin, Version},
    port::PeerEvent,
    record::{Entry, Key, Phase, Record, Stamp, meta},
};

use crate::{
    fixture::{Fleet, GOSSIP, Served, config},
    gossip::{member, member_at, serve, viewed},
};

/// A live node with this list of addresses.
fn at(fleet: Fleet, byte: u8, addresses: &str) -> Fleet {
    let origin = Origin::Node(NodeId::from_bytes([byte; 16]));
    let stamp = Stamp { generation: Generation(1), version: Version(1) };
    let value = Some(addresses.as_bytes().into());
    let entries = vec![(Key::meta(meta::ADDRESSES), Entry { version: Version(1), value })];
    let name = format!("n{byte}").parse().unwrap();
    let record = Record::from_parts(origin.clone(), name, stamp, Version(0), Phase::Running, entries).unwrap();
    fleet.event(GOSSIP, PeerEvent::Record(record.into())).event(GOSSIP, PeerEvent::Seen(origin, std::time::Duration::ZERO))
}

async fn leader(served: &Served) -> String {
    let leader = served.get("/v1/status/leader").await;
    assert_eq!((leader.status, leader.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(served.get("/v1/status/peers").await.text(), format!("[{}]", leader.text()));
    leader.json().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_agent_alone_leads() {
    assert_eq!(leader(&Fleet::new(&[]).serve(config())).await, "127.0.0.1:8300");
    assert_eq!(leader(&Fleet::cold(&[], false).serve(config())).await, "127.0.0.1:8300");
}

#[tokio::test]
async fn the_lowest_address_of_those_alive_leads() {
    let fleet = || at(at(at(Fleet::cold(&[], false), 9, "10.0.0.9"), 3, "10.0.0.10,10.0.0.1"), 4, "2a03::4");
    assert_eq!(leader(&fleet().serve(config())).await, "10.0.0.9:8300", "as numbers, and by the best address of each");
    assert_eq!(leader(&fleet().failed(9).serve(config())).await, "10.0.0.10:8300");
    assert_eq!(leader(&fleet().failed(9).failed(3).serve(config())).await, "[2a03::4]:8300");
    let nobody = at(Fleet::cold(&[], false), 2, "no address").bare("go", &["public_ip4:10.0.0.1"]);
    assert_eq!(leader(&nobody.serve(config())).await, "127.0.0.1:8300");
}

#[tokio::test]
async fn every_answer_names_the_same_agent() {
    // The lowest address is that of a node without an agent, the next that of one that has failed.
    let fleet = at(at(at(Fleet::new(&[]), 2, "10.0.0.2"), 3, "10.0.0.3,10.0.0.1"), 4, "10.0.0.4").failed(2);
    let members = [(2, "failed"), (3, "alive"), (4, "alive")].map(|(id, state)| member(id, state));
    let served = serve(fleet, &viewed([vec![member_at(1, 1.0)], members.to_vec()].concat()));
    served.put("/v1/catalog/register", r#"{"Node":"x","Address":"10.0.0.1","Service":{"Service":"x"}}"#).await;
    assert_eq!(leader(&served).await, "10.0.0.3:8300");
    let own = served.get("/v1/agent/self").await.json();
    assert_eq!(own["Stats"]["consul"], serde_json::json!({"leader": "false", "leader_addr": "10.0.0.3:8300", "server": "true"}));
    let servers = served.get("/v1/catalog/service/consul").await.json();
    assert_eq!((servers[0]["Address"].as_str(), servers[0]["ServicePort"].as_u64()), (Some("10.0.0.3"), Some(8300)));
    assert_eq!(servers.as_array().unwrap().len(), 1);
    let members = served.get("/v1/agent/members").await.json();
    let members = members.as_array().unwrap();
    let leaders: Vec<_> = members.iter().filter(|member| member["Addr"] == "10.0.0.3").collect();
    assert_eq!((leaders.len(), &leaders[0]["Name"], &leaders[0]["Tags"]["port"]), (1, &servers[0]["Node"], &"8300".into()));
    assert!(members.iter().all(|member| member["Name"] != "x"), "it has no agent");
    let checks = served.get("/v1/health/node/x").await.json();
    assert_eq!(checks, serde_json::json!([]), "nor does anybody tell whether it lives");
}

#[tokio::test]
async fn another_data_centre_has_no_leader_here() {
    let served = Fleet::new(&[]).located("dc1").serve(config());
    for path in ["/v1/status/leader", "/v1/status/peers"] {
        assert_eq!(served.get(&format!("{path}?dc=dc1")).await.status, StatusCode::OK);
        assert_eq!(served.get(&format!("{path}?dc=dc2")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}
