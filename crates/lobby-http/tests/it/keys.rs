//! The keys of the cluster: the list, and changes.

use axum::http::StatusCode;
use expect_test::expect;
use lobby_core::port::gossip::{GossipCommand, GossipError, KeyChange, KeyOutcome, Keys};

use crate::{
    fixture::Fleet,
    gossip::{Gossip, gossip, id, serve},
};

fn keys() -> Gossip {
    gossip(|command| match command {
        GossipCommand::Keys(answer) => {
            let held = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
            let nodes = vec![(id(1), held(&["aa", "bb"])), (id(2), held(&["bb"])), (id(9), held(&[]))];
            let _ = answer.send(Ok(Keys { nodes, own: held(&["aa", "bb"]) }));
            "list".to_owned()
        }
        GossipCommand::ChangeKeys(change, answer) => {
            let (note, key) = match change {
                KeyChange::Install(key) => ("install", key),
                KeyChange::Use(key) => ("use", key),
                KeyChange::Remove(key) => ("remove", key),
            };
            let _ = answer.send(match key.as_str() {
                "early" => Err(GossipError::Keys("2 of 3 nodes have the key bb: install it first".to_owned())),
                "short" => Err(GossipError::Invalid { field: "key", why: "expected base64 of 32 bytes".to_owned() }),
                _ => Ok(KeyOutcome {
                    done: vec![id(1)],
                    refused: vec![(id(2), "the file could not be written".to_owned())],
                    silent: vec![id(9)],
                }),
            });
            format!("{note} {key:?}")
        }
        other => panic!("unexpected {other:?}"),
    })
}

#[tokio::test]
async fn who_has_which_key() {
    let served = serve(Fleet::new(&[]).node(2, "web", &[]), &keys());
    expect![[r#"
        {
          "own": [
            "aa",
            "bb"
          ],
          "keys": [
            {
              "key": "aa",
              "nodes": 1,
              "primary": 1
            },
            {
              "key": "bb",
              "nodes": 2,
              "primary": 1
            }
          ],
          "nodes": [
            {
              "id": "01010101010101010101010101010101",
              "name": "here.example.com",
              "keys": [
                "aa",
                "bb"
              ]
            },
            {
              "id": "02020202020202020202020202020202",
              "name": "web",
              "keys": [
                "bb"
              ]
            },
            {
              "id": "09090909090909090909090909090909",
              "name": null,
              "keys": []
            }
          ]
        }
    "#]]
    .assert_eq(served.get("/v1/keys").await.text());
}

#[tokio::test]
async fn a_change_tells_who_did_it() {
    let gossip = keys();
    let served = serve(Fleet::new(&[]).node(2, "web", &[]), &gossip);
    let answer = served.put("/v1/keys/install", " AAAA=\n").await;
    assert_eq!(answer.status, StatusCode::OK);
    let json = answer.json();
    assert_eq!(json["done"][0]["name"], "here.example.com");
    assert_eq!(json["refused"][0]["name"], "web");
    assert_eq!(json["refused"][0]["why"], "the file could not be written");
    assert!(json["silent"][0]["name"].is_null() && json["silent"][0]["id"].is_string(), "{json}");
    assert_eq!(served.ask("POST", "/v1/keys/use", &[], "bb").await.status, StatusCode::OK);
    assert_eq!(served.put("/v1/keys/remove", "aa").await.status, StatusCode::OK);
    // Each is answered when the list shows it.
    assert_eq!(gossip.asked(), ["install \"AAAA=\"", "list", "use \"bb\"", "list", "remove \"aa\"", "list"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_answered_when_the_list_shows_it_or_a_second_later() {
    for (late, want) in [(3, 4), (1000, 20)] {
        let mut n_lists = 0;
        let gossip = gossip(move |command| {
            match command {
                GossipCommand::Keys(answer) => {
                    n_lists += 1;
                    let (old, new) = (vec!["aa".to_owned()], vec!["aa".to_owned(), "bb".to_owned()]);
                    let done = if n_lists > late { new.clone() } else { old.clone() };
                    let nodes = vec![(id(1), new.clone()), (id(2), done), (id(3), old)];
                    let _ = answer.send(Ok(Keys { nodes, own: new }));
                }
                GossipCommand::ChangeKeys(_, answer) => {
                    let _ =
                        answer.send(Ok(KeyOutcome { done: vec![id(1), id(2)], silent: vec![id(3)], ..KeyOutcome::default() }));
                }
                other => panic!("unexpected {other:?}"),
            }
            String::new()
        });
        let served = serve(Fleet::new(&[]), &gossip);
        assert_eq!(served.put("/v1/keys/install", "bb").await.status, StatusCode::OK);
        assert_eq!(gossip.asked().len(), 1 + want, "late by {late}");
    }
}

#[tokio::test]
async fn a_change_that_cannot_be() {
    let gossip = keys();
    let served = serve(Fleet::new(&[]), &gossip);
    let answer = served.put("/v1/keys/use", "early").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::CONFLICT, "2 of 3 nodes have the key bb: install it first\n"));
    let answer = served.put("/v1/keys/install", "short").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::BAD_REQUEST, "key: expected base64 of 32 bytes\n"));
    assert_eq!(served.put("/v1/keys/install", " \n").await.status, StatusCode::BAD_REQUEST);
    let answer = served.put("/v1/keys/install", &"x".repeat(257)).await;
    assert_eq!((answer.status, answer.header("connection")), (StatusCode::PAYLOAD_TOO_LARGE, "close"));
    let answer = served.ask("PUT", "/v1/keys/rotate", &[], "x").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(gossip.asked(), ["use \"early\"", "install \"short\""]);
}
