//! `/v1/health` in the states an agent can be in.

use expect_test::{Expect, expect};
use lobby_core::port::{LinkState, PeerEvent};

use crate::fixture::{Fleet, GOSSIP, NATS, config};

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
          ]
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
          ]
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
          ]
        }
    "#]],
    )
    .await;
}
