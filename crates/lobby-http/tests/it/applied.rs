//! Drains that are waited for: who is asked what, and what is told of those that have applied it and those that have not.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::StatusCode;
use bytes::Bytes;
use lobby_core::{
    port::gossip::{Filter, GossipCommand, GossipError, NewQuery, QueryNews},
    wire::applied::{QUERY, Question, YES},
};
use lobby_http::{Config, Limits};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    fixture::{Answer, Fleet, Served, config},
    gossip::{Gossip, Open, gossip, id, serve, serve_with},
};

type Asked = Arc<Mutex<Vec<(NewQuery, Open)>>>;

/// Takes every query and leaves it open.
fn asking() -> (Gossip, Asked) {
    let asked = Asked::default();
    let taken = asked.clone();
    let gossip = gossip(move |command| {
        let GossipCommand::Ask(query, news, answer) = command else { panic!("unexpected {command:?}") };
        let note = format!("{} {:?}", query.event.name, query.timeout);
        taken.lock().unwrap().push((query, news));
        let _ = answer.send(Ok(3));
        note
    });
    (gossip, asked)
}

fn fleet() -> Fleet {
    Fleet::new(&[]).node(2, "web", &[]).node(3, "db", &[]).node(4, "dead", &[]).failed(4).bare("go", &[])
}

async fn drain(served: &Served, method: &str, path: &str) -> Answer {
    served.ask(method, path, &[], "").await
}

/// After half a second these nodes answer.
async fn answers(asked: &Asked, answers: &[(u8, &'static [u8])]) {
    sleep(Duration::from_millis(500)).await;
    let asked = asked.lock().unwrap();
    let (_, news) = asked.last().unwrap();
    for (node, payload) in answers {
        news.try_send(QueryNews::Ack(id(*node))).unwrap();
        news.try_send(QueryNews::Answer(id(*node), Bytes::from_static(payload))).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_answered_as_soon_as_all_have_applied_it() {
    let (gossip, asked) = asking();
    let served = serve(fleet(), &gossip);
    served.put("/v1/services/web/a", "").await;
    served.registry.asked();
    for (method, path, want) in [
        ("PUT", "/v1/drain?wait=5s", "drain Node true"),
        ("DELETE", "/v1/drain?wait=5s", "drain Node false"),
        ("PUT", "/v1/services/web/a/drain?wait", "drain Instance(\"a\") true"),
        ("DELETE", "/v1/services/web/a/drain?wait=60s", "drain Instance(\"a\") false"),
    ] {
        let start = Instant::now();
        let (answer, ()) = tokio::join!(drain(&served, method, path), answers(&asked, &[(1, YES), (2, YES), (9, YES), (3, YES)]));
        assert_eq!(answer.json(), json!({"applied": 3, "asked": 3, "missing": []}), "{method} {path}");
        assert_eq!((answer.status, start.elapsed()), (StatusCode::OK, Duration::from_millis(500)));
        assert_eq!(served.registry.asked(), [want]);
    }
    let times: Vec<_> = ["5s", "5s", "10s", "60s"].iter().map(|time| format!("{QUERY} {time}")).collect();
    assert_eq!(gossip.asked(), times);
    for (query, news) in asked.lock().unwrap().iter() {
        let own = served.snapshots.borrow().local.record.stamp;
        assert_eq!(Question::decode(&query.event.payload), Ok(Question { id: id(1), stamp: own }));
        assert_eq!((&query.event.filter, query.ack, query.relays), (&Filter::default(), true, 0));
        assert!(news.is_closed(), "nobody waits any more");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_named() {
    // Gossip keeps the query open for longer than its time, or ends it.
    for (ends, waits) in [(false, Duration::from_secs(3)), (true, Duration::from_millis(500))] {
        let (gossip, asked) = asking();
        let served = serve(fleet(), &gossip);
        let start = Instant::now();
        // The web server says something else, twice.
        let answer = async {
            answers(&asked, &[(1, YES), (1, YES), (2, b""), (2, b"\x02")]).await;
            if ends {
                asked.lock().unwrap().clear();
            }
        };
        let (answer, ()) = tokio::join!(drain(&served, "PUT", "/v1/drain?wait=2s"), answer);
        assert_eq!(answer.json(), json!({"applied": 1, "asked": 3, "missing": ["db", "web"]}));
        assert_eq!((answer.status, start.elapsed()), (StatusCode::OK, waits));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_without_gossip_or_by_who_is_not_listed() {
    let nobody = json!({"applied": 0, "asked": 0, "missing": []});
    let served = fleet().serve(config());
    assert_eq!(drain(&served, "PUT", "/v1/drain?wait=1m").await.json(), nobody);
    assert_eq!(served.registry.asked(), ["drain Node true"]);
    let (gossip, _) = asking();
    let served = serve(Fleet::cold(&[], false).warmed().node(2, "web", &[]), &gossip);
    assert_eq!(drain(&served, "PUT", "/v1/drain?wait=1m").await.json(), nobody);
    assert_eq!((served.registry.asked(), gossip.asked().len()), (vec!["drain Node true".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn labels_are_waited_for_as_well() {
    let (gossip, asked) = asking();
    let served = serve(fleet(), &gossip);
    for method in ["POST", "DELETE"] {
        let change = served.ask(method, "/v1/labels?wait=5s", &[], "a:b\n");
        let (answer, ()) = tokio::join!(change, answers(&asked, &[(1, YES), (2, YES), (3, YES)]));
        assert_eq!(answer.json(), json!({"applied": 3, "asked": 3, "missing": []}), "{method}");
        assert_eq!(served.ask(method, "/v1/labels?x=%zz", &[], "a:b\n").await.text(), "OK", "as before");
        assert_eq!(served.ask(method, "/v1/labels?wait=0s", &[], "c:d\n").await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(served.told().len(), 4);
    assert!(served.told().iter().all(|told| !told.contains("c:d")), "{:?}", served.told());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_changes_nothing() {
    let (gossip, asked) = asking();
    let served = serve_with(fleet(), &gossip, Config { limits: Limits { asks: 1, ..Limits::default() }, ..config() });
    for wait in ["0s", "49ms", "61s", "5", "-1s", "ever", "1e9s"] {
        let answer = drain(&served, "PUT", &format!("/v1/drain?wait={wait}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wait}");
        let want = format!("wait \"{wait}\": expected a duration such as 500ms or 10s, 50ms to 1m\n");
        assert_eq!(answer.text(), want);
    }
    let second = async {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(drain(&served, "DELETE", "/v1/drain?wait=1s").await.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(drain(&served, "DELETE", "/v1/drain").await.text(), "OK", "who does not wait needs no place");
    };
    let (answer, (), ()) = tokio::join!(drain(&served, "PUT", "/v1/drain?wait=1s"), answers(&asked, &[(1, YES)]), second);
    assert_eq!(answer.json()["applied"], 1);
    assert_eq!(served.registry.asked(), ["drain Node true", "drain Node false"]);
    // The drain stands although gossip does not ask.
    let busy = crate::gossip::gossip(|command| {
        let GossipCommand::Ask(_, _, answer) = command else { panic!("unexpected {command:?}") };
        let _ = answer.send(Err(GossipError::Busy("queries")));
        String::new()
    });
    let served = serve(fleet(), &busy);
    assert_eq!(drain(&served, "PUT", "/v1/drain?wait=1s").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(served.registry.asked(), ["drain Node true"]);
}

#[tokio::test]
async fn the_description_tells_of_waiting() {
    let served = fleet().serve(config());
    let document = served.get("/v1/openapi.json").await.json();
    for path in ["/v1/drain", "/v1/services/{name}/{id}/drain"] {
        for verb in ["put", "delete"] {
            let operation = &document["paths"][path][verb];
            let names: Vec<_> = operation["parameters"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
            assert!(names.contains(&&Value::from("wait")), "{verb} {path}");
            assert_eq!(operation["responses"]["429"]["description"], "Too many streams are open, or queries under way");
        }
    }
}
