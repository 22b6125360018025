//! Queries to the fleet: as one object at the end, and their bounds. Streams are in `streams`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::StatusCode;
use bytes::Bytes;
use expect_test::expect;
use lobby_core::{
    id::Origin,
    port::{
        Gone, PeerEvent,
        gossip::{GossipCommand, GossipError, QueryNews},
    },
};
use lobby_http::{Config, Limits};
use tokio::time::{Instant, sleep};

use crate::{
    fixture::{Fleet, GOSSIP, config},
    gossip::{Gossip, Open, gossip, id, serve, serve_with},
};

/// Takes every query and leaves it open; the test answers it.
pub(crate) fn asking() -> (Gossip, Arc<Mutex<Vec<Open>>>) {
    let opened = Arc::new(Mutex::new(Vec::new()));
    let open = opened.clone();
    let gossip = gossip(move |command| {
        let GossipCommand::Ask(query, news, answer) = command else { panic!("unexpected {command:?}") };
        let note = format!(
            "{} {:?} {:?} {:?} ack {} relays {}",
            query.event.name, query.event.payload, query.event.filter.labels, query.timeout, query.ack, query.relays
        );
        if query.event.filter.node.as_deref() == Some("full") {
            let _ = answer.send(Err(GossipError::Busy("queries")));
        } else {
            opened.lock().unwrap().push(news);
            let _ = answer.send(Ok(3));
        }
        note
    });
    (gossip, open)
}

/// Answers of two nodes after half a second each, then the end.
async fn answers(open: &Mutex<Vec<Open>>) {
    sleep(Duration::from_millis(500)).await;
    let news = open.lock().unwrap().pop().unwrap();
    news.try_send(QueryNews::Ack(id(2))).unwrap();
    news.try_send(QueryNews::Answer(id(2), Bytes::from_static(b"0.5 \"ok\"\n"))).unwrap();
    sleep(Duration::from_millis(500)).await;
    news.try_send(QueryNews::Answer(id(9), Bytes::from_static(b"\xff\x00"))).unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_answers_at_the_end() {
    let (gossip, open) = asking();
    let served = serve(Fleet::new(&[]).node(2, "web", &[]), &gossip);
    let start = Instant::now();
    let path = "/v1/ask/load?label=role:db&timeout=5s&relay=2";
    let (answer, ()) = tokio::join!(served.put(path, "since boot"), answers(&open));
    assert_eq!((answer.status, start.elapsed()), (StatusCode::OK, Duration::from_secs(1)));
    assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8");
    expect![[r#"
        {
          "name": "load",
          "asked": 0,
          "end": "complete",
          "acks": [
            {
              "id": "02020202020202020202020202020202",
              "name": "web"
            }
          ],
          "answers": [
            {
              "id": "02020202020202020202020202020202",
              "name": "web",
              "text": "0.5 \"ok\"\n",
              "base64": "MC41ICJvayIK"
            },
            {
              "id": "09090909090909090909090909090909",
              "name": null,
              "text": null,
              "base64": "/wA="
            }
          ],
          "missing": [],
          "dropped": 0
        }
    "#]]
    .assert_eq(answer.text());
    let (_, ()) = tokio::join!(served.ask("POST", "/v1/ask/load?ack=false", &[], ""), answers(&open));
    assert_eq!(
        gossip.asked(),
        ["load b\"since boot\" [\"role:db\"] 5s ack true relays 2", "load b\"\" [] 2s ack false relays 0"]
    );
}

/// Gossip ends before the API does, and takes the query with it.
#[tokio::test(start_paused = true)]
async fn a_query_that_ends_with_the_agent_says_so() {
    for restarts in [false, true] {
        let (gossip, open) = asking();
        let served = serve(Fleet::new(&[]), &gossip);
        let stop = async {
            sleep(Duration::from_millis(500)).await;
            served.snapshots.send_replace(Fleet::new(&[]).ended(restarts).snapshot());
            open.lock().unwrap().pop().unwrap();
        };
        let (answer, ()) = tokio::join!(served.put("/v1/ask/load", ""), stop);
        assert_eq!(answer.json()["end"], "stopping", "restarts: {restarts}");
    }
    // The stop kills the handler that was to answer, which looks like an end as any other.
    let (gossip, open) = asking();
    let served = serve(Fleet::new(&[]), &gossip);
    let stop = async {
        sleep(Duration::from_millis(500)).await;
        served.app.stopping();
        open.lock().unwrap().pop().unwrap();
    };
    let (answer, ()) = tokio::join!(served.put("/v1/ask/load", ""), stop);
    assert_eq!(answer.json()["end"], "stopping");
    // The same without a last word.
    let (gossip, open) = asking();
    let served = serve(Fleet::new(&[]), &gossip);
    let stop = async {
        sleep(Duration::from_millis(500)).await;
        drop(gossip);
        open.lock().unwrap().pop().unwrap();
    };
    let (answer, ()) = tokio::join!(served.put("/v1/ask/load", ""), stop);
    assert_eq!(answer.json()["end"], "stopping");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_named() {
    let fleet = || {
        let fleet = Fleet::new(&["role:lb"]).node(2, "web", &["role:web"]).node(3, "db", &[]).node(4, "dead", &[]).failed(4);
        let fleet = fleet.node(5, "gone", &["role:web"]).bare("go", &["role:web"]);
        fleet.event(GOSSIP, PeerEvent::Gone(Origin::Node(id(5)), Gone::Unattended))
    };
    for (query, asked, want) in [
        ("", 4, serde_json::json!(["db", "gone", "here.example.com"])),
        ("?label=role:web", 2, serde_json::json!(["gone"])),
        ("?node=^d", 1, serde_json::json!(["db"])),
        ("?node=nobody", 0, serde_json::json!([])),
        ("?ack=false", 4, serde_json::json!(null)),
        ("?ack=false&node=^d", 1, serde_json::json!(null)),
    ] {
        let (gossip, open) = asking();
        let served = serve(fleet(), &gossip);
        let path = format!("/v1/ask/load{query}");
        let (answer, ()) = tokio::join!(served.put(&path, ""), answers(&open));
        let json = answer.json();
        // Gossip said 3, which are all that it knows.
        assert_eq!(json["asked"], asked, "{query}");
        let mut missing = json["missing"].clone();
        if let Some(missing) = missing.as_array_mut() {
            missing.iter_mut().for_each(|who| *who = who["name"].take());
            missing.sort_by_key(ToString::to_string);
        }
        assert_eq!(missing, want, "{query}: {json}");
        // Without acknowledgements our own is none either.
        assert_eq!(json["acks"].as_array().unwrap().len(), usize::from(!query.starts_with("?ack=false")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_gossip_forgets_ends_all_the_same() {
    let (gossip, _open) = asking();
    let served = serve(Fleet::new(&[]), &gossip);
    let start = Instant::now();
    let answer = served.put("/v1/ask/load?timeout=4s", "").await;
    assert_eq!((answer.status, start.elapsed()), (StatusCode::OK, Duration::from_secs(5)));
    assert_eq!(answer.json()["answers"], serde_json::json!([]));
}

#[tokio::test(start_paused = true)]
async fn queries_under_way_are_bounded() {
    let (gossip, open) = asking();
    let served = serve_with(Fleet::new(&[]), &gossip, Config { limits: Limits { asks: 1, ..Limits::default() }, ..config() });
    let second = async {
        sleep(Duration::from_millis(100)).await;
        let metrics = served.get("/metrics").await;
        assert!(metrics.text().contains("lobby_http_asks 1\n"), "{}", metrics.text());
        served.put("/v1/ask/load", "").await
    };
    let (first, second, ()) = tokio::join!(served.put("/v1/ask/load", ""), second, answers(&open));
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!((second.status, second.text()), (StatusCode::TOO_MANY_REQUESTS, "too many queries at a time\n"));
    assert_eq!(second.header("retry-after"), "1");
    // The place is free again, and one that gossip refuses, or that is malformed, takes none.
    for bad in ["?node=full", "?timeout=9h", "?node=full"] {
        assert_ne!(served.put(&format!("/v1/ask/load{bad}"), "").await.status, StatusCode::OK);
    }
    assert!(served.get("/metrics").await.text().contains("lobby_http_asks 0\n"));
    let (again, ()) = tokio::join!(served.put("/v1/ask/load", ""), answers(&open));
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn more_answers_than_one_object_holds_are_counted() {
    let (gossip, open) = asking();
    let served = serve(Fleet::new(&[]), &gossip);
    let flood = async {
        sleep(Duration::from_millis(1)).await;
        let news = open.lock().unwrap().pop().unwrap();
        for _ in 0..130 {
            news.send(QueryNews::Answer(id(2), Bytes::from(vec![b'x'; 64 << 10]))).await.unwrap();
        }
    };
    let (answer, ()) = tokio::join!(served.put("/v1/ask/load", ""), flood);
    let json = answer.json();
    assert_eq!((json["answers"].as_array().unwrap().len(), &json["dropped"]), (128, &serde_json::json!(2)));
}

#[tokio::test]
async fn what_cannot_be_asked_says_why() {
    let (gossip, _open) = asking();
    let served = serve(Fleet::new(&[]), &gossip);
    for (path, status, word) in [
        ("/v1/ask/", 400, "name: 0 bytes"),
        ("/v1/ask/_lobby:keys", 400, "lobbyd's own"),
        ("/v1/ask/x?timeout=2", 400, "timeout \"2\": expected a duration such as 500ms or 2s, 50ms to 1m"),
        ("/v1/ask/x?timeout=0s", 400, "timeout"),
        ("/v1/ask/x?timeout=61s", 400, "timeout"),
        ("/v1/ask/x?relay=9", 400, "relay \"9\": expected a number from 0 to 5"),
        ("/v1/ask/x?relay=-1", 400, "relay"),
        ("/v1/ask/x?ack=maybe", 400, "ack \"maybe\": expected no value, true or false"),
        ("/v1/ask/x?stream=2", 400, "stream"),
        (
            "/v1/ask/x?lable=role:db",
            400,
            "query: unknown parameter \"lable\"; accepted are node, service, tag, label, timeout, ack,",
        ),
        ("/v1/ask/x?relay-factor=1", 400, "query: unknown parameter \"relay-factor\""),
        ("/v1/ask/x?node=full&dc=&ns=a&partition=b&token=c&pretty&stale&consistent&service=x&tag=y", 429, "too many queries"),
        ("/v1/ask/x?node=full", 429, "too many queries"),
    ] {
        let answer = served.put(path, "").await;
        assert!(answer.status == status && answer.text().contains(word), "{path}: {} {}", answer.status, answer.text());
    }
    assert_eq!(served.put("/v1/ask/x", &"x".repeat(1025)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(gossip.asked().len(), 2);
}
