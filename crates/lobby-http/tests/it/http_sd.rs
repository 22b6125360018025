//! `/v1/http_sd`: which instances are targets, with which labels.

use std::sync::Arc;

use axum::http::StatusCode;
use expect_test::expect;
use lobby_core::{check::Status, instance::Instance, record::meta};
use serde_json::Value;

use crate::{
    catalog::{check, instance},
    fixture::{Fleet, config},
};

fn with_meta(mut instance: Instance, pairs: &[(&str, &str)]) -> Instance {
    instance.meta = Arc::new(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    instance
}

/// Two services on three nodes, the last of which is failed.
fn fleet() -> Fleet {
    Fleet::cold(&[], false)
        .warmed()
        .located("dc1")
        .written(2, "b", |local| {
            local.set_meta(meta::ADDRESSES, "2001:db8::7,10.0.0.7");
            local.set_meta(meta::DATACENTER, "dc2");
            let pairs = [("a-b", "first"), ("a_b", "last"), ("Ver", "1"), ("text", "ž \" \n{")];
            local.set_instance(&with_meta(instance("web-1", "web", 80, &["x", "a,b"]), &pairs[..3])).unwrap();
            local.set_instance(&instance("no-port", "web", 0, &["x"])).unwrap();
            local.set_instance(&Instance { address: "[2001:db8::9]".into(), ..instance("db", "db", 5432, &[]) }).unwrap();
        })
        .written(3, "a", |local| {
            local.set_instance(&Instance { drain: true, ..instance("web-2", "Web", 81, &["x", "y"]) }).unwrap();
            local.set_check(&check("c", Some("web-2"), Status::Warning)).unwrap();
        })
        .written(4, "gone", |local| local.set_instance(&instance("web-3", "web", 80, &["x"])).unwrap())
        .failed(4)
}

#[tokio::test]
async fn each_instance_is_a_target() {
    let served = fleet().serve(config());
    let answer = served.get("/v1/http_sd?service=web").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json; charset=UTF-8"));
    expect![[r#"
        [
          {
            "targets": [
              "a:81"
            ],
            "labels": {
              "__meta_lobby_datacenter": "dc1",
              "__meta_lobby_drain": "true",
              "__meta_lobby_id": "web-2",
              "__meta_lobby_node": "a",
              "__meta_lobby_service": "Web",
              "__meta_lobby_status": "warning",
              "__meta_lobby_tags": ",x,y,"
            }
          },
          {
            "targets": [
              "[2001:db8::7]:80"
            ],
            "labels": {
              "__meta_lobby_datacenter": "dc2",
              "__meta_lobby_drain": "false",
              "__meta_lobby_id": "web-1",
              "__meta_lobby_meta_Ver": "1",
              "__meta_lobby_meta_a_b": "last",
              "__meta_lobby_node": "b",
              "__meta_lobby_service": "Web",
              "__meta_lobby_status": "passing",
              "__meta_lobby_tags": ",x,a,b,"
            }
          }
        ]
    "#]]
    .assert_eq(answer.text());
    let held = served.ask("GET", "/v1/http_sd?service=web", &[("if-none-match", answer.header("etag"))], "").await;
    assert_eq!(held.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn which_are_asked_for() {
    let served = fleet().serve(config());
    for (query, want) in [
        ("", "[2001:db8::9]:5432 a:81 [2001:db8::7]:80"),
        ("?service=", "[2001:db8::9]:5432 a:81 [2001:db8::7]:80"),
        ("?service=WEB&service=db&service=web", "[2001:db8::9]:5432 a:81 [2001:db8::7]:80"),
        ("?service=none", ""),
        ("?service=web&passing", "[2001:db8::7]:80"),
        ("?service=web&passing=false", "a:81 [2001:db8::7]:80"),
        ("?tag=x", "a:81 [2001:db8::7]:80"),
        ("?tag=x&tag=y", "a:81"),
        ("?where=not+service=web", "[2001:db8::9]:5432"),
        ("?where=status=warning+or+service=db", "[2001:db8::9]:5432 a:81"),
    ] {
        let answer = served.get(&format!("/v1/http_sd{query}")).await.json();
        let groups = answer.as_array().unwrap().iter();
        let targets: Vec<_> = groups.map(|group| group["targets"][0].as_str().unwrap().to_owned()).collect();
        assert_eq!(targets.join(" "), want, "{query}");
    }
    for (query, word) in [
        ("?servce=web", "accepted are service, tag, passing, where"),
        ("?passing=x", "passing \"x\""),
        ("?where=x", "where: at byte 0"),
        ("?tag=%", "percent"),
    ] {
        let answer = served.get(&format!("/v1/http_sd{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.text().contains(word), "{query}: {}", answer.text());
    }
}

#[tokio::test]
async fn nothing_is_known_yet() {
    let cold = Fleet::cold(&["service:web:port:80"], true).serve(config());
    let answer = cold.get("/v1/http_sd?service=none").await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert_eq!(cold.get("/v1/http_sd?service=web").await.status, StatusCode::OK);
    let warm = Fleet::new(&[]).serve(config());
    let answer = warm.get("/v1/http_sd?service=none").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "[]\n"));
}

#[tokio::test]
async fn a_change_shows_at_once_and_many_are_made_aside() {
    let mut fleet = fleet();
    let before = fleet.snapshot();
    let served = Fleet::new(&[]).serve(config());
    served.snapshots.send_replace(before);
    assert_eq!(served.get("/v1/http_sd").await.json().as_array().unwrap().len(), 3);
    let many = fleet.written(5, "many", |local| {
        for n in 1..=1500 {
            local.set_instance(&instance(&format!("i{n}"), "many", n, &[])).unwrap();
        }
    });
    served.snapshots.send_replace({ many }.snapshot());
    let groups = served.get("/v1/http_sd").await.json();
    assert_eq!(groups.as_array().map(Vec::len), Some(1503));
    let valid = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let labels = groups.as_array().unwrap().iter().flat_map(|group| group["labels"].as_object().unwrap());
    assert!(labels.into_iter().all(|(name, value)| valid(name) && matches!(value, Value::String(_))));
}
