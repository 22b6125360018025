//! `/v1/health` in the states an agent can be in.

use std::sync::Arc;

use expect_test::{Expect, expect};
use lobby_core::port::{LinkState, PeerEvent};
use lobby_http::{App, router};
use serde_json::{Value, json};

use crate::fixture::{Fleet, GOSSIP, NATS, Served, config};

async fn check(fleet: Fleet, want: Expect) {
    let answer = fleet.serve(config()).get("/v1/health").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8");
    want.assert_eq(answer.text());
}

#[tokio::test]
async fn warm() {
    check(
        Fleet::new(&[]),
        expect![[r#"
            {
              "ok": true,
              "warm": true,
              "revision": 101,
              "age": 0,
              "id": "01010101010101010101010101010101",
              "node": "here.example.com",
              "exchanges": [
                {
                  "name": "gossip",
                  "state": "up",
                  "warm": true,
                  "given_up": false
                },
                {
                  "name": "nats",
                  "state": "up",
                  "warm": true,
                  "given_up": false
                }
              ],
              "proxy": {
                "in_step": true,
                "crashes": 0
              }
            }
        "#]],
    )
    .await;
}

#[tokio::test]
async fn just_started_with_one_link_up() {
    let fleet = Fleet::cold(&[], true).event(GOSSIP, PeerEvent::Link(LinkState::Up)).event(GOSSIP, PeerEvent::Warm);
    check(
        fleet,
        expect![[r#"
            {
              "ok": true,
              "warm": false,
              "revision": 101,
              "age": 20,
              "id": "01010101010101010101010101010101",
              "node": "here.example.com",
              "exchanges": [
                {
                  "name": "gossip",
                  "state": "up",
                  "warm": true,
                  "given_up": false
                },
                {
                  "name": "nats",
                  "state": "connecting",
                  "warm": false,
                  "given_up": false
                }
              ],
              "proxy": {
                "in_step": true,
                "crashes": 0
              }
            }
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_broken_link() {
    let fleet = Fleet::new(&[]).event(NATS, PeerEvent::Link(LinkState::Down { why: "connection \"reset\"".into() }));
    check(
        fleet,
        expect![[r#"
            {
              "ok": true,
              "warm": true,
              "revision": 101,
              "age": 0,
              "id": "01010101010101010101010101010101",
              "node": "here.example.com",
              "exchanges": [
                {
                  "name": "gossip",
                  "state": "up",
                  "warm": true,
                  "given_up": false
                },
                {
                  "name": "nats",
                  "state": "down",
                  "why": "connection \"reset\"",
                  "warm": true,
                  "given_up": false
                }
              ],
              "proxy": {
                "in_step": true,
                "crashes": 0
              }
            }
        "#]],
    )
    .await;
}

#[tokio::test]
async fn how_the_proxy_is() {
    let error = format!("haproxy ended: exit status: 1\n{}", "x".repeat(500));
    let crashing = json!({ "is_in_step": false, "crashes": 3, "backoff_ms": 800, "last_error": error });
    for (status, want) in [
        (Value::Null, Value::Null),
        (json!({ "haproxy": null, "files": { "is_in_step": true } }), json!({ "in_step": true, "crashes": 0 })),
        (json!({ "files": { "is_in_step": true, "unanswered": ["web"] } }), json!({ "in_step": false, "crashes": 0 })),
        (
            json!({ "haproxy": crashing, "nginx": { "is_in_step": true } }),
            json!({ "in_step": false, "crashes": 3, "backoff_ms": 800, "last_error": "haproxy ended: exit status: 1" }),
        ),
    ] {
        let served = Fleet::new(&[]).serve(config());
        let mut handles = served.handles.clone();
        let said = status.clone();
        handles.proxy = Some(Arc::new(move || said.clone()));
        let served = Served { router: router(App::new(config(), handles)), ..served };
        let health = served.get("/v1/health").await.json();
        assert_eq!((&health["proxy"], &health["ok"]), (&want, &json!(true)), "{status}");
    }
}
