//! User events in Consul's shape: firing, listing, blocking.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use lobby_core::port::gossip::{EVENT_PAYLOAD_BYTES, GossipCommand, GossipError};
use lobby_http::{Config, Limits};
use tokio::time::{Instant, sleep};

use crate::{
    fixture::{Answer, Fleet, config},
    gossip::{Gossip, event, event_index, gossip, serve, serve_with},
};

/// Fires whatever comes, but for patterns with a lone bracket.
fn firing() -> Gossip {
    gossip(|command| {
        let GossipCommand::Fire(new, answer) = command else { panic!("unexpected {command:?}") };
        let note = format!("{} {:?} {:?}", new.name, new.payload, new.filter.labels);
        let bad = new.filter.node.as_deref() == Some("[");
        let fired = Arc::new(lobby_core::port::gossip::UserEvent { event: new, ..event(1, "", b"") });
        let why = "\"[\" is no regular expression".to_owned();
        let _ = answer.send(if bad { Err(GossipError::Invalid { field: "node", why }) } else { Ok(fired) });
        note
    })
}

#[tokio::test]
async fn firing_answers_with_consuls_object() {
    let gossip = firing();
    let served = serve(Fleet::new(&[]), &gossip);
    let answer = served.put("/v1/event/fire/deploy?dc=&node=web.*&service=api&tag=v1", "hi").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(
        answer.text(),
        "{\"ID\":\"01010101-0101-0101-1010-101010101010\",\"Name\":\"deploy\",\"Payload\":\"aGk=\",\"NodeFilter\":\"web.*\",\
         \"ServiceFilter\":\"api\",\"TagFilter\":\"v1\",\"Version\":1,\"LTime\":0}"
    );
    let answer = served.ask("POST", "/v1/event/fire/a%2Fb+c%20%C5%BE?label=rack:7&label=role:db&label=", &[], "").await;
    let json = answer.json();
    assert!(json["Name"] == "a/b+c ž" && json["Payload"].is_null() && json["NodeFilter"] == "", "{json}");
    // A payload is bytes.
    let mut request = axum::http::Request::put("/v1/event/fire/x").header("host", "localhost");
    request = request.header("content-type", "application/x-www-form-urlencoded");
    let bytes: Vec<u8> = (0..=255).cycle().take(EVENT_PAYLOAD_BYTES).collect();
    let answer = served.send(crate::fixture::local(), request.body(bytes.clone().into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        gossip.asked(),
        [
            "deploy b\"hi\" []".to_owned(),
            "a/b+c ž b\"\" [\"rack:7\", \"role:db\"]".to_owned(),
            format!("x {:?} []", bytes::Bytes::from(bytes)),
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_fired_says_why() {
    let gossip = firing();
    let served = serve(Fleet::new(&[]), &gossip);
    let refused = async |path: &str, body: &str| {
        let answer = served.put(path, body).await;
        (answer.status.as_u16(), answer.text().to_owned())
    };
    let long = "n".repeat(65);
    for (path, status, word) in [
        ("/v1/event/fire/", 400, "name: 0 bytes given; 1 to 64 are accepted"),
        (&format!("/v1/event/fire/{long}"), 400, "name: 65 bytes given"),
        ("/v1/event/fire/_lobby:keys", 400, "name: names that begin with _lobby:"),
        ("/v1/event/fire/_lobby%3akeys", 400, "name: names that begin with _lobby:"),
        ("/v1/event/fire/%ff", 400, "path: not UTF-8"),
        ("/v1/event/fire/a%0d%0ab", 400, "path: "),
        ("/v1/event/fire/x?node=%", 400, "query: bad percent-encoding"),
        (&format!("/v1/event/fire/x?node={}&label={long}", "p".repeat(64)), 400, "filter: 129 bytes in all patterns together"),
        ("/v1/event/fire/x?node=[", 400, "node: \"[\" is no regular expression"),
        (
            "/v1/event/fire/x?label=a&lable=role:db",
            400,
            "query: unknown parameter \"lable\"; accepted are node, service, tag, label,",
        ),
        ("/v1/event/fire/x?Node=a", 400, "query: unknown parameter \"Node\""),
        (
            "/v1/event/fire/x?node=[&dc=&ns=a&partition=b&token=c&pretty&stale&consistent&service=x&tag=y&relay-factor=1",
            400,
            "node: \"[\" is no regular expression",
        ),
        ("/v1/event/fire/x?dc=dc2", 500, "No path to datacenter"),
        ("/v1/event/fire/a/b", 404, "no route"),
    ] {
        let (code, text) = refused(path, "").await;
        assert!(code == status && text.contains(word), "{path}: {code} {text}");
    }
    let (code, text) = refused("/v1/event/fire/x", &"x".repeat(EVENT_PAYLOAD_BYTES + 1)).await;
    assert_eq!((code, text.as_str()), (413, "body: too large; at most 1024 bytes are accepted"));
    assert_eq!(gossip.asked().len(), 2, "only the pattern is gossip's to judge");
}

fn index_of(answer: &Answer) -> u64 {
    assert_eq!((answer.header("x-consul-knownleader"), answer.header("x-consul-lastcontact")), ("true", "0"));
    answer.header("x-consul-index").parse().unwrap()
}

fn names(answer: &Answer) -> Vec<String> {
    answer.json().as_array().unwrap().iter().map(|event| event["Name"].as_str().unwrap().to_owned()).collect()
}

fn quiet() -> Gossip {
    gossip(|command| panic!("unexpected {command:?}"))
}

#[tokio::test]
async fn the_list_is_oldest_first_and_its_index_made_of_the_newest() {
    let gossip = quiet();
    let served = serve(Fleet::new(&[]), &gossip);
    let answer = served.get("/v1/event/list").await;
    assert_eq!((answer.text(), index_of(&answer)), ("[]", 1));
    for (query, want) in [("", "leader"), ("?stale", "stale"), ("?consistent", "consistent")] {
        let answer = served.get(&format!("/v1/event/list{query}")).await;
        assert_eq!(answer.header("x-consul-effective-consistency"), want, "{query}");
    }
    assert_eq!(served.get("/v1/event/list?stale&consistent").await.status, StatusCode::BAD_REQUEST);
    gossip.tell(event(1, "deploy", b"v1"));
    gossip.tell(event(2, "other", b""));
    let answer = served.get("/v1/event/list?node=nobody").await;
    assert_eq!(
        answer.text(),
        "[{\"ID\":\"01010101-0101-0101-1010-101010101010\",\"Name\":\"deploy\",\"Payload\":\"djE=\",\"NodeFilter\":\"\",\
         \"ServiceFilter\":\"\",\"TagFilter\":\"\",\"Version\":1,\"LTime\":41},\
         {\"ID\":\"02020202-0202-0202-2020-202020202020\",\"Name\":\"other\",\"Payload\":null,\"NodeFilter\":\"\",\
         \"ServiceFilter\":\"\",\"TagFilter\":\"\",\"Version\":1,\"LTime\":42}]"
    );
    assert_eq!(index_of(&answer), event_index(2));
    let answer = served.get("/v1/event/list?name=deploy").await;
    assert_eq!((names(&answer), index_of(&answer)), (vec!["deploy".to_owned()], event_index(1)));
    let answer = served.get("/v1/event/list?name=none").await;
    assert_eq!((answer.text(), index_of(&answer)), ("[]", 1));
}

#[tokio::test(start_paused = true)]
async fn a_list_is_held_until_there_is_news() {
    let gossip = quiet();
    gossip.tell(event(2, "deploy", b""));
    let served = serve(Fleet::new(&[]), &gossip);
    // An index that is not the present one is answered at once, be it higher or lower.
    let start = Instant::now();
    for index in ["", "0", "1", "18446744073709551615"] {
        assert_eq!(names(&served.get(&format!("/v1/event/list?index={index}&wait=9m")).await), ["deploy"]);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);

    let path = format!("/v1/event/list?name=deploy&index={}", event_index(2));
    let news = async {
        sleep(Duration::from_secs(100)).await;
        // Of another name, so that the wait goes on.
        gossip.tell(event(3, "other", b""));
        sleep(Duration::from_secs(100)).await;
        gossip.tell(event(1, "deploy", b""));
    };
    let (answer, ()) = tokio::join!(served.get(&path), news);
    assert_eq!(start.elapsed(), Duration::from_secs(200));
    assert_eq!((names(&answer).len(), index_of(&answer)), (2, event_index(1)));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time_with_the_same_index() {
    let gossip = quiet();
    gossip.tell(event(2, "deploy", b""));
    let served = serve(Fleet::new(&[]), &gossip);
    for (wait, seconds) in [("", 300), ("&wait=0s", 300), ("&wait=16s", 16), ("&wait=24h", 600)] {
        let start = Instant::now();
        let answer = served.get(&format!("/v1/event/list?index={}{wait}", event_index(2))).await;
        let (least, most) = (Duration::from_secs(seconds), Duration::from_secs(seconds) * 17 / 16);
        let took = start.elapsed();
        assert!(took >= least && took <= most + Duration::from_millis(10), "{wait:?}: {took:?}");
        assert_eq!((names(&answer).len(), index_of(&answer)), (1, event_index(2)));
    }
    for bad in ["index=x", "index=1&wait=5", "index=1&wait=-1s"] {
        assert_eq!(served.get(&format!("/v1/event/list?{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_are_counted_and_bounded() {
    let gossip = quiet();
    let limits = Limits { waits: 2, ..Limits::default() };
    let served = serve_with(Fleet::new(&[]), &gossip, Config { limits, ..config() });
    let path = "/v1/event/list?index=1&wait=1m";
    let third = async {
        sleep(Duration::from_secs(1)).await;
        let metrics = served.get("/metrics").await;
        for line in ["lobby_http_waits 2", "lobby_http_waits_bound 2"] {
            assert!(metrics.text().lines().any(|other| other == line), "{line} is not in\n{}", metrics.text());
        }
        served.get(path).await
    };
    let (first, second, third) = tokio::join!(served.get(path), served.get(path), third);
    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!((third.status, third.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    let metrics = served.get("/metrics").await;
    for line in ["lobby_http_waits 0", "lobby_http_refused_total{reason=\"busy\"} 1"] {
        assert!(metrics.text().lines().any(|other| other == line), "{line} is not in\n{}", metrics.text());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_has_waited_is_told_how_the_picture_is_now() {
    let gossip = quiet();
    let mut fleet = Fleet::new(&[]);
    let old = fleet.snapshot();
    let new = fleet.node(2, "web", &[]).snapshot();
    let served = serve(Fleet::new(&[]), &gossip);
    served.snapshots.send_replace(old);
    let change = async {
        sleep(Duration::from_secs(1)).await;
        served.snapshots.send_replace(new.clone());
    };
    let (answer, ()) = tokio::join!(served.get("/v1/event/list?index=1&wait=1m"), change);
    assert_eq!(answer.header("x-lobby-revision"), new.revision.0.to_string());
}
