//! `/v1/events`: what a stream begins with, what it tells, and how a client goes on that comes back.
//!
//! Over a real socket: `streams`. What is told adds up: `event_law`.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, header},
};
use expect_test::expect;
use http_body_util::BodyExt;
use lobby_core::{catalog::Snapshot, check::Status, local::LocalRecord, record::meta};
use lobby_http::{Config, Limits};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use crate::{
    catalog::{check, instance},
    fixture::{Fleet, Served, config, local},
};

/// Our own id and the colon after it.
const AGENT: &str = "01010101010101010101010101010101:";

/// An open stream.
pub(crate) struct Open {
    pub(crate) body: Body,
}

/// One event, or the moving of an id.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// One node with a service.
pub(crate) fn fleet() -> Fleet {
    Fleet::cold(&[], false).warmed().written(2, "one", |local| {
        local.set_meta(meta::ADDRESSES, "10.0.0.2");
        local.set_labels(["zone:eu".parse().unwrap()]);
        local.set_instance(&instance("a", "alpha", 80, &["x"])).unwrap();
        local.set_check(&check("of-a", Some("a"), Status::Passing)).unwrap();
    })
}

fn status(fleet: Fleet, status: Status) -> Fleet {
    fleet.written(2, "one", |local| local.set_check(&check("of-a", Some("a"), status)).unwrap())
}

fn set(fleet: Fleet, id: &str, service: &str) -> Fleet {
    fleet.written(2, "one", |local| local.set_instance(&instance(id, service, 80, &[])).unwrap())
}

/// An app that shows this snapshot.
fn showing(snapshot: &Arc<Snapshot>, limits: Limits) -> Served {
    let served = Fleet::cold(&[], false).warmed().serve(Config { limits, ..config() });
    served.snapshots.send_replace(snapshot.clone());
    served
}

/// The app, and the fleet that it shows.
pub(crate) fn served(mut fleet: Fleet) -> (Served, Fleet) {
    let snapshot = fleet.snapshot();
    (showing(&snapshot, Limits::default()), fleet)
}

impl Served {
    pub(crate) fn show(&self, mut fleet: Fleet) -> Fleet {
        self.snapshots.send_replace(fleet.snapshot());
        fleet
    }

    pub(crate) async fn open(&self, path: &str, last: &str) -> Open {
        let mut request = Request::builder().uri(path).header(header::HOST, "127.0.0.1:1313");
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(local());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let read = |name| parts.headers.get(name).map_or("", |value| value.to_str().unwrap());
        assert_eq!((parts.status.as_u16(), read("content-type"), read("cache-control")), (200, "text/event-stream", "no-store"));
        Open { body }
    }

    async fn metric(&self, name: &str) -> u64 {
        let answer = self.get("/metrics").await;
        answer.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().parse().unwrap()
    }
}

impl Open {
    async fn text(&mut self) -> String {
        let frame = timeout(Duration::from_secs(60), self.body.frame()).await.expect("something comes");
        String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap()
    }

    /// All events of one piece.
    pub(crate) async fn events(&mut self) -> Vec<Event> {
        let text = self.text().await;
        assert!(text.ends_with("\n\n"), "{text:?}");
        text.trim_end().split("\n\n").map(event).collect()
    }

    pub(crate) async fn event(&mut self) -> Event {
        let mut events = self.events().await;
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }
}

pub(crate) fn event(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => event.name = name.to_owned(),
            Some(("id", id)) => event.id = id.to_owned(),
            Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
            _ => {}
        }
    }
    event
}

pub(crate) fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

fn id(served: &Served) -> String {
    format!("{AGENT}{}", served.snapshots.borrow().revision.0)
}

#[tokio::test(start_paused = true)]
async fn the_whole_picture_then_each_difference() {
    let (served, fleet) = served(fleet());
    let mut stream = served.open("/v1/events", "").await;
    let revision = format!(":{}", served.snapshots.borrow().revision.0);
    let first = stream.text().await.replace(&revision, ":REVISION");
    expect![[r#"
        event: snapshot
        id: 01010101010101010101010101010101:REVISION
        data: {"agent":"01010101010101010101010101010101","revision":REVISION,"warm":true,"members":[{"id":"02020202020202020202020202020202","name":"one","addresses":["10.0.0.2"],"labels":["zone:eu"],"datacenter":null,"lobbyd":null,"drain":false,"status":"passing"}],"services":[{"service":"alpha","id":"a","node":"one","node_id":"02020202020202020202020202020202","address":"10.0.0.2","port":80,"tags":["x"],"meta":{},"weights":{"passing":1,"warning":1},"drain":false,"from_label":false,"status":"passing","checks":[{"id":"of-a","name":"about of-a","of":"instance","kind":"","status":"passing"}]}]}

    "#]]
    .assert_eq(&first);
    let before = id(&served);
    let fleet = served.show(status(fleet, Status::Critical));
    let told = stream.event().await;
    assert_eq!((told.name.as_str(), &told.id, &told.data["status"]), ("service-status", &id(&served), &"critical".into()));
    assert_ne!(told.id, before);
    let fleet = served.show(fleet.written(2, "one", |local| {
        local.set_instance(&instance("a", "alpha", 81, &["x"])).unwrap();
        local.set_check(&check("of-a", Some("a"), Status::Passing)).unwrap();
    }));
    assert_eq!(names(&stream.events().await), ["service-update"]);
    let fleet = served.show(set(fleet, "a", "beta"));
    assert_eq!(names(&stream.events().await), ["service-down", "service-up"]);
    let fleet = served.show(fleet.written(2, "one", |local| local.set_meta(meta::DATACENTER, "dc2")));
    assert_eq!(names(&stream.events().await), ["member-update"]);
    let fleet = served.show(fleet.written(3, "two", |local| local.set_instance(&instance("b", "beta", 1, &[])).unwrap()));
    assert_eq!(names(&stream.events().await), ["member-join", "service-up"]);
    let fleet = served.show(fleet.failed(3));
    let told = stream.events().await;
    assert_eq!(names(&told), ["service-down", "member-failed"]);
    assert_eq!([&told[0].data["why"], &told[1].data["why"]], ["failed", "failed"]);
    // Whoever is cut off after the first of them knows a state that there never was.
    assert_eq!([&told[0].id, &told[1].id], [&format!("{}+", id(&served)), &id(&served)]);
    let _fleet = served.show(fleet.written(2, "one", LocalRecord::leave));
    let told = stream.events().await;
    assert_eq!((names(&told), &told[0].data["why"]), (vec!["service-down", "member-leave"], &"left".into()));
}

#[tokio::test(start_paused = true)]
async fn a_filter_is_a_window() {
    let (served, fleet) = served(set(fleet(), "b", "beta"));
    let open = async |query| {
        let mut stream = served.open(&format!("/v1/events?{query}"), "").await;
        let first = stream.event().await.data;
        let count = |name: &str| first[name].as_array().map(Vec::len);
        (stream, count("members"), count("services"))
    };
    let (mut alpha, members, services) = open("service=ALPHA").await;
    assert_eq!((members, services), (None, Some(1)));
    let (mut well, members, services) = open("where=service=alpha+and+status=passing&kind=service").await;
    assert_eq!((members, services), (None, Some(1)));
    let (mut zone, members, services) = open("label=zone").await;
    assert_eq!((members, services), (Some(1), Some(2)));
    let (mut downs, members, services) = open("kind=service-down&kind=member-leave").await;
    assert_eq!((members, services), (Some(1), Some(2)));
    let (mut members_alone, members, services) = open("kind=member").await;
    assert_eq!((members, services), (Some(1), None));
    let fleet = served.show(status(fleet, Status::Warning));
    assert_eq!(names(&alpha.events().await), ["service-status"]);
    let told = well.event().await;
    assert_eq!((told.name.as_str(), &told.data["why"]), ("service-down", &"filter".into()));
    assert_eq!(names(&zone.events().await), ["service-status"]);
    let fleet = served.show(status(fleet, Status::Passing));
    assert_eq!(names(&well.events().await), ["service-up"]);
    assert_eq!(names(&alpha.events().await), ["service-status"]);
    assert_eq!(names(&zone.events().await), ["service-status"]);
    // What the node carries no more, its instances do not carry either.
    let fleet = served.show(fleet.written(2, "one", |local| {
        local.set_labels([]);
    }));
    let told = zone.events().await;
    assert_eq!(names(&told), ["service-down", "service-down", "member-leave"]);
    assert!(told.iter().all(|event| event.data["why"] == "filter"));
    assert_eq!(names(&members_alone.events().await), ["member-update"]);
    let _fleet = served.show(fleet.written(2, "one", |local| {
        local.remove_instance(&"b".parse().unwrap());
    }));
    let told = downs.event().await;
    assert_eq!((told.name.as_str(), &told.data["id"], &told.data["why"]), ("service-down", &"b".into(), &"deregistered".into()));
    for query in ["kind=x", "where=x", "servce=web", "kind=%ff"] {
        assert_eq!(served.get(&format!("/v1/events?{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_told_what_was_missed() {
    let (served, fleet) = served(fleet());
    let mut stays = served.open("/v1/events", "").await;
    let seen = stays.event().await.id;
    assert_eq!(served.open("/v1/events", &seen).await.text().await, ":\n\n");
    let fleet = served.show(set(fleet, "b", "beta"));
    stays.event().await;
    let _fleet = served.show(status(fleet, Status::Critical));
    stays.event().await;
    for path in ["/v1/events?".to_owned(), format!("/v1/events?last_event_id={seen}")] {
        let last = if path.contains("last") { "" } else { &seen };
        let mut back = served.open(&path, last).await;
        let told = back.events().await;
        assert_eq!(names(&told), ["service-status", "service-up"]);
        assert_eq!([&told[0].id, &told[1].id], [&format!("{}+", id(&served)), &id(&served)]);
    }
    // Nothing of what was missed is asked for.
    assert_eq!(served.open("/v1/events?kind=member", &seen).await.text().await, ":\n\n");
    let (unknown, part) = (format!("{AGENT}7"), id(&served) + "+");
    for (last, why) in [(unknown.as_str(), "too-old"), (&part, "cut-off"), ("0202:7", "foreign"), ("what", "foreign")] {
        let mut back = served.open("/v1/events", last).await;
        let reset = back.text().await;
        assert_eq!(reset, format!("event: reset\nid: \ndata: {{\"why\":\"{why}\"}}\n\n"));
        let whole = back.event().await;
        assert_eq!((whole.name.as_str(), &whole.id), ("snapshot", &id(&served)));
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_states_are_remembered() {
    let (served, mut fleet) = served(fleet());
    let mut stays = served.open("/v1/events", "").await;
    let first = stays.event().await.id;
    let mut ids = Vec::new();
    for n in 0..256 {
        fleet = served.show(status(fleet, if n % 2 == 0 { Status::Critical } else { Status::Passing }));
        ids.push(stays.event().await.id);
        if n == 254 {
            assert_eq!(names(&served.open("/v1/events", &first).await.events().await), ["service-status"]);
        }
    }
    let mut back = served.open("/v1/events", &first).await;
    assert!(back.text().await.contains("\"too-old\""));
    let mut back = served.open("/v1/events", &ids[0]).await;
    assert_eq!(names(&back.events().await), ["service-status"]);
}

#[tokio::test(start_paused = true)]
async fn without_news_there_is_a_sign_of_life() {
    let (served, fleet) = served(fleet());
    let start = Instant::now();
    let mut stream = served.open("/v1/events?service=alpha", "").await;
    let first = stream.event().await.id;
    assert_eq!((stream.text().await.as_str(), start.elapsed()), (":\n\n", Duration::from_secs(15)));
    // What others are told of moves the id on, so that it does not grow old.
    let _fleet = served.show(set(fleet, "b", "beta"));
    let moved = stream.text().await;
    assert_eq!((moved, start.elapsed()), (format!(":\nid: {}\n\n", id(&served)), Duration::from_secs(30)));
    assert_ne!(id(&served), first);
    assert_eq!(served.open("/v1/events?service=alpha", &id(&served)).await.text().await, ":\n\n");
    assert_eq!((stream.text().await.as_str(), start.elapsed()), (":\n\n", Duration::from_secs(45)));
}

#[tokio::test(start_paused = true)]
async fn nobody_listens_for_long_and_nothing_is_remembered() {
    let (served, fleet) = served(fleet());
    let last = served.open("/v1/events", "").await.event().await.id;
    let fleet = served.show(set(fleet, "b", "beta"));
    tokio::time::sleep(Duration::from_secs(4 * 60)).await;
    assert_eq!(names(&served.open("/v1/events", &last).await.events().await), ["service-up"]);
    tokio::time::sleep(Duration::from_secs(6 * 60)).await;
    let mut back = served.open("/v1/events", &last).await;
    assert!(back.text().await.contains("\"too-old\""));
    back.event().await;
    // It follows again.
    let _fleet = served.show(set(fleet, "c", "gamma"));
    assert_eq!(names(&back.events().await), ["service-up"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_skips_what_came_and_went() {
    let (served, mut fleet) = served(fleet());
    let mut slow = served.open("/v1/events", "").await;
    let mut quick = served.open("/v1/events", "").await;
    slow.event().await;
    quick.event().await;
    for n in 0..100 {
        fleet = served.show(set(fleet, "gone", "x"));
        assert_eq!(names(&quick.events().await), ["service-up"]);
        fleet = fleet.written(2, "one", |local| assert!(local.remove_instance(&"gone".parse().unwrap())));
        fleet = served.show(status(fleet, [Status::Warning, Status::Critical][n % 2]));
        assert_eq!(names(&quick.events().await), ["service-down", "service-status"]);
    }
    let told = slow.event().await;
    assert_eq!((told.name.as_str(), &told.id), ("service-status", &id(&served)));
}

#[tokio::test(start_paused = true)]
async fn many_listeners_share_what_is_rendered() {
    let (served, fleet) = served(fleet());
    let mut streams = Vec::new();
    for n in 0..1000 {
        let mut stream = served.open(if n % 2 == 0 { "/v1/events" } else { "/v1/events?service=beta" }, "").await;
        stream.event().await;
        streams.push(stream);
    }
    assert_eq!(served.metric("lobby_http_streams").await, 1000);
    assert_eq!(served.metric("lobby_stream_bodies_total").await, 2, "one whole picture for each filter");
    let start = Instant::now();
    let fleet = served.show(status(fleet, Status::Critical));
    for stream in streams.iter_mut().step_by(2) {
        assert_eq!(names(&stream.events().await), ["service-status"]);
    }
    assert!(start.elapsed() < Duration::from_millis(200));
    assert_eq!(served.metric("lobby_stream_bodies_total").await, 3, "one difference, and none for those whom it is not about");
    let _fleet = served.show(set(fleet, "b", "beta"));
    for stream in &mut streams {
        assert_eq!(names(&stream.events().await), ["service-up"]);
    }
    assert_eq!(served.metric("lobby_stream_bodies_total").await, 5);
    drop(streams);
    assert_eq!(served.metric("lobby_http_streams").await, 0);
}

#[tokio::test]
async fn so_many_streams_are_open() {
    let snapshot = fleet().snapshot();
    let served = showing(&snapshot, Limits { streams: 2, ..Limits::default() });
    let first = served.open("/v1/events", "").await;
    let _second = served.open("/v1/events", "").await;
    let refused = served.get("/v1/events").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
    assert_eq!(served.metric("lobby_http_refused_total{reason=\"busy\"}").await, 1);
    assert_eq!((served.metric("lobby_http_streams").await, served.metric("lobby_http_streams_bound").await), (2, 2));
    drop(first);
    served.open("/v1/events", "").await;
    assert_eq!(served.ask("HEAD", "/v1/events", &[], "").await.status, 200);
    assert_eq!(served.metric("lobby_http_streams").await, 1, "the first picture alone takes no place");
}

#[tokio::test(start_paused = true)]
async fn the_first_complete_picture_is_told() {
    let mut cold = Fleet::cold(&["service:web"], true);
    let snapshot = cold.snapshot();
    let served = showing(&snapshot, Limits::default());
    let mut stream = served.open("/v1/events?kind=member", "").await;
    assert_eq!(stream.event().await.data["warm"], false);
    let _warm = served.show(cold.warmed());
    let told = stream.event().await;
    assert_eq!((told.name.as_str(), told.data.to_string().as_str()), ("warm", "{\"warm\":true}"));
}
