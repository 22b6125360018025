//! `/v1/members`, the same as Consul shows it, and what the agent says about itself.

use axum::http::StatusCode;
use expect_test::{expect, expect_file};

use crate::{
    fixture::{Fleet, config},
    gossip::{Gossip, hex, member, member_at, serve, viewed},
};

fn fleet() -> (Fleet, Gossip) {
    let fleet = Fleet::new(&["own:label"]).located("dc1").node(2, "web", &["a:1"]).node(3, "gone", &[]).failed(3);
    let mut members = vec![member_at(1, 0.0), member_at(2, 10.0), member(3, "failed"), member(9, "restarting")];
    members[3].addr = "[2a03::9]:1314".parse().unwrap();
    (fleet, viewed(members))
}

#[tokio::test]
async fn every_member_with_what_the_catalog_knows_of_it() {
    let (fleet, gossip) = fleet();
    let served = serve(fleet, &gossip);
    let answer = served.get("/v1/members").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json; charset=UTF-8"));
    expect_file!["members.json"].assert_eq(answer.text());
}

#[tokio::test]
async fn members_as_consul_shows_them() {
    let (fleet, gossip) = fleet();
    let served = serve(fleet, &gossip);
    let answer = served.get("/v1/agent/members?segment=").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.text().contains(['\n', ' ']), "{}", answer.text());
    let members = answer.json();
    let members = members.as_array().unwrap();
    let shown: Vec<_> =
        members.iter().map(|member| (member["Name"].as_str().unwrap(), member["Status"].as_u64().unwrap())).collect();
    let nameless = hex(9);
    assert_eq!(shown, [(nameless.as_str(), 2), ("gone", 4), ("here.example.com", 1), ("web", 1)]);
    expect![[r#"
        {
          "Addr": "10.0.0.7",
          "DelegateCur": 4,
          "DelegateMax": 5,
          "DelegateMin": 2,
          "Name": "web",
          "Port": 1314,
          "ProtocolCur": 2,
          "ProtocolMax": 5,
          "ProtocolMin": 1,
          "Status": 1,
          "Tags": {
            "build": "1.22.0:lobbyd-0.1.0",
            "dc": "dc1",
            "id": "02020202-0202-0202-0202-020202020202",
            "port": "8300",
            "role": "consul",
            "vsn": "2",
            "vsn_max": "3",
            "vsn_min": "2"
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&members[3]).unwrap());
    let pretty = served.get("/v1/agent/members?pretty").await;
    assert!(pretty.text().starts_with("[\n    {\n        \"Name\"") && pretty.text().ends_with("]\n"), "{}", pretty.text());
    let wan = served.get("/v1/agent/members?wan=").await.json();
    let wan: Vec<_> = wan.as_array().unwrap().iter().map(|member| (&member["Name"], &member["Port"])).collect();
    assert_eq!(wan[3], (&serde_json::json!("web.dc1"), &serde_json::json!(8302)));
    assert_eq!(served.get("/v1/agent/members?dc=dc2").await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn who_is_gone_is_called_by_its_last_name() {
    let mut members = vec![member_at(1, 0.0), member(2, "left"), member(3, "failed"), member(4, "failed")];
    // The catalog's word comes first, as of whom it knows.
    for (idx, name) in [(1, "went"), (2, "died"), (3, "renamed")] {
        members[idx].name = Some(name.parse().unwrap());
    }
    let served = serve(Fleet::new(&[]).located("dc1").node(4, "known", &[]).failed(4), &viewed(members));
    let names = async |path: &str, field: &str| -> Vec<String> {
        let members = served.get(path).await.json();
        members.as_array().unwrap().iter().map(|member| member[field].as_str().unwrap_or("?").to_owned()).collect()
    };
    assert_eq!(names("/v1/agent/members", "Name").await, ["died", "here.example.com", "known", "went"]);
    assert_eq!(names("/v1/members", "name").await, ["died", "here.example.com", "known"], "who left is nobody's member");
}

#[tokio::test]
async fn members_and_the_catalog_say_the_same_of_a_node() {
    let fleet = Fleet::new(&[]).node(2, "alone", &[]).node(3, "gone", &[]).failed(3);
    // Gossip has no agent there; the catalog, which knows of AGENT_GRACE, still lists the first.
    let gossip = viewed(vec![member_at(1, 0.0), member(2, "unattended"), member(3, "unattended"), member(4, "unattended")]);
    let served = serve(fleet, &gossip);
    let members = served.get("/v1/agent/members").await.json();
    for (name, status, health) in [("alone", 1, "passing"), ("gone", 4, "critical")] {
        let member = members.as_array().unwrap().iter().find(|member| member["Name"] == name).unwrap();
        let checks = served.get(&format!("/v1/health/node/{name}")).await.json();
        assert_eq!((&member["Status"], &checks[0]["Status"]), (&status.into(), &health.into()), "{name}");
        let node = served.get(&format!("/v1/catalog/node/{name}")).await.json();
        assert_eq!(member["Tags"]["id"], node["Node"]["ID"]);
    }
    let nameless = members.as_array().unwrap().iter().find(|member| member["Name"] == hex(4)).unwrap();
    assert_eq!(nameless["Status"], 1);
}

#[tokio::test]
async fn what_the_agent_says_about_itself() {
    let (fleet, gossip) = fleet();
    gossip.tell(crate::gossip::event(1, "deploy", b""));
    let served = serve(fleet, &gossip);
    let answer = served.get("/v1/agent/info").await;
    expect_file!["info.json"].assert_eq(answer.text());
    // Without gossip the rest is there all the same.
    let served = Fleet::new(&["own:label"]).serve(config());
    let info = served.get("/v1/agent/info").await.json();
    assert!(info["gossip"].is_null() && info["events"].is_null() && info["agent"]["name"] == "here.example.com", "{info}");
}

#[tokio::test]
async fn without_gossip_its_routes_say_how_to_get_it() {
    let served = Fleet::new(&[]).serve(config());
    let body = "x";
    for (method, path) in [
        ("GET", "/v1/members"),
        ("PUT", "/v1/agent/join/10.0.0.1:1314"),
        ("PUT", "/v1/agent/force-leave/x"),
        ("GET", "/v1/keys"),
        ("PUT", "/v1/keys/install"),
        ("PUT", "/v1/keys/use"),
        ("PUT", "/v1/keys/remove"),
        ("PUT", "/v1/event/fire/x"),
        ("GET", "/v1/event/list"),
        ("GET", "/v1/event/list?index=1"),
        ("PUT", "/v1/ask/x"),
        ("GET", "/v1/coordinate/nodes"),
        ("GET", "/v1/coordinate/node/x"),
        ("GET", "/v1/nodes?near=x"),
    ] {
        let answer = served.ask(method, path, &[], body).await;
        assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{method} {path}: {}", answer.text());
        assert_eq!(answer.text().trim_end(), "this agent does not gossip: add gossip to DRIVER");
    }
    // Consul's clients ask for members at their start.
    let members = served.get("/v1/agent/members").await.json();
    let alone = (&members[0]["Name"], &members[0]["Addr"], &members[0]["Status"]);
    assert_eq!(alone, (&"here.example.com".into(), &"127.0.0.1".into(), &1.into()));
    assert_eq!(members.as_array().unwrap().len(), 1);
}

/// A gossip that has ended, and one that is stuck.
#[tokio::test(start_paused = true)]
async fn a_gossip_that_does_not_answer_is_not_waited_for_without_end() {
    let stuck = crate::gossip::gossip(|command| {
        std::mem::forget(command);
        String::new()
    });
    let served = serve(Fleet::new(&[]), &stuck);
    let answer = served.get("/v1/members").await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::GATEWAY_TIMEOUT, "1"));
    let ended = crate::gossip::gossip(|command| {
        drop(command);
        String::new()
    });
    let served = serve(Fleet::new(&[]), &ended);
    let answer = served.get("/v1/members").await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
}
