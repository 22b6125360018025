//! Requests that wait over real sockets: each is put aside with its head alone, and asked again when its wait is over.

use std::time::Duration;

use lobby_core::{check::Status, local::LocalRecord};
use lobby_http::{Access, Config, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::yield_now,
    time::timeout,
};

use crate::{
    catalog::{check, instance},
    fixture::{Fleet, config},
    sockets::{PATIENCE, Running, ask, limited, one_answer, start_on, to_end},
};

pub(crate) const PATH: &str = "/v1/health/service/alpha";

/// A server over one node with a service, and the fleet that it shows.
pub(crate) async fn start(limits: Limits) -> (Running, Fleet) {
    let mut fleet = written(Fleet::cold(&[], false).warmed(), 1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let running = start_on(listener, addr, Fleet::cold(&[], false).serve(limited(limits)));
    running.served.snapshots.send_replace(fleet.snapshot());
    (running, fleet)
}

fn written(fleet: Fleet, port: u16) -> Fleet {
    let write = |local: &mut LocalRecord| {
        local.set_instance(&instance("a", "alpha", port, &["x"])).unwrap();
        local.set_check(&check("of-a", Some("a"), Status::Passing)).unwrap();
    };
    fleet.written(2, "one", write)
}

/// What one of the headers of an answer says.
fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

/// The statuses of all answers in a text. Bodies need not end with a line end.
fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.lines().next()).collect()
}

/// The query of a request that waits for the next change.
async fn next(running: &Running) -> String {
    let answer = ask(&mut running.connect().await, PATH).await;
    format!("index={}&wait=10m", header(&answer, "x-consul-index"))
}

async fn send(running: &Running, text: &str) -> TcpStream {
    let mut stream = running.connect().await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn what_is_sent_behind_a_waiting_request_is_answered_after_it() {
    let (running, fleet) = start(Limits::default()).await;
    let next = next(&running).await;
    let mut text =
        format!("GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\nGET {PATH}?{next} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    text += "GET /none HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/status/leader HT";
    let mut stream = send(&running, &text).await;
    running.eventually("lobby_http_waits", "1").await;
    stream.write_all(b"TP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    running.served.snapshots.send_replace(written(fleet, 2).snapshot());
    let text = to_end(&mut stream).await;
    assert_eq!(statuses(&text), ["200 OK", "200 OK", "404 Not Found", "200 OK"], "{text}");
    assert!(text.contains("\"Port\":2") && !text.contains("\"Port\":1"), "{text}");
}

#[tokio::test]
async fn what_comes_while_a_request_waits_is_answered_after_it() {
    let (running, mut fleet) = start(Limits::default()).await;
    let next = next(&running).await;
    let mut stream = send(&running, &format!("GET {PATH}?{next} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    running.eventually("lobby_http_waits", "1").await;
    // More than is looked at while it waits, and of two requests.
    let long = "y".repeat(3000);
    stream
        .write_all(format!("GET /none?{long} HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/health HTTP/1.1\r\n").as_bytes())
        .await
        .unwrap();
    running.eventually("lobby_http_waits", "1").await;
    fleet = written(fleet, 2);
    running.served.snapshots.send_replace(fleet.snapshot());
    assert!(one_answer(&mut stream).await.contains("\"Port\":2"));
    assert!(one_answer(&mut stream).await.starts_with("HTTP/1.1 404 "));
    stream.write_all(b"Host: localhost\r\n\r\n").await.unwrap();
    assert!(one_answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_request_is_asked_again_as_it_was() {
    let (running, fleet) = start(Limits::default()).await;
    let next = next(&running).await;
    let counted = "lobby_http_requests_total{route=\"health_lists\",status=\"2xx\"}";
    running.eventually(counted, "1").await;
    // Of HTTP/1.0, which ends the connection; and one that wants no body, with a header that is not text.
    let mut old = send(&running, &format!("GET {PATH}?{next}&pretty HTTP/1.0\r\n\r\n")).await;
    let head = format!("HEAD {PATH}?{next}&pretty HTTP/1.1\r\nHost: localhost\r\nX-Odd: \u{fc}\r\n");
    let mut headless = send(&running, &format!("{head}X-Consul-Token: a\r\nConnection: close\r\n\r\n")).await;
    running.eventually("lobby_http_waits", "2").await;
    // Waiting is not yet an answer.
    running.eventually(counted, "1").await;
    running.served.snapshots.send_replace(written(fleet, 2).snapshot());
    let old = to_end(&mut old).await;
    assert!(old.starts_with("HTTP/1.0 200 OK\r\n") && old.contains("\"Port\": 2"), "{old}");
    let headless = to_end(&mut headless).await;
    let (head, body) = headless.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "");
    assert_eq!((head.lines().next(), header(head, "connection")), (Some("HTTP/1.1 200 OK"), "close"));
    assert_eq!(header(head, "content-length"), header(&old, "content-length"));
    running.eventually(counted, "3").await;
    running.eventually("lobby_http_waits", "0").await;
}

#[tokio::test]
async fn a_wait_ends_with_its_time() {
    let (running, _fleet) = start(Limits::default()).await;
    let answer = ask(&mut running.connect().await, PATH).await;
    let index = header(&answer, "x-consul-index");
    let mut stream = running.connect().await;
    // Again and again on one connection.
    for _ in 0..3 {
        let again = ask(&mut stream, &format!("{PATH}?index={index}&wait=50ms")).await;
        assert_eq!((header(&again, "x-consul-index"), again.lines().next()), (index, Some("HTTP/1.1 200 OK")));
    }
    running.eventually("lobby_watch_topics", "0").await;
}

#[tokio::test]
async fn a_waiting_request_is_not_an_idle_connection() {
    let short = Duration::from_millis(100);
    let limits = Limits { idle: short, header_read: short, write_stall: short, ..Limits::default() };
    let (running, _fleet) = start(limits).await;
    let index = next(&running).await.replace("10m", "500ms");
    let mut stream = running.connect().await;
    assert!(ask(&mut stream, &format!("{PATH}?{index}")).await.starts_with("HTTP/1.1 200 OK"));
    // Only from here on.
    assert_eq!(to_end(&mut stream).await, "");
}

#[tokio::test]
async fn a_stop_answers_who_waits() {
    let (mut running, _fleet) = start(Limits::default()).await;
    let next = next(&running).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(send(&running, &format!("GET {PATH}?{next} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await);
    }
    running.eventually("lobby_http_waits", "3").await;
    running.stop().await;
    for mut stream in streams {
        let text = to_end(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("\"Port\":1"), "{text}");
        assert_eq!(header(&text, "connection"), "close");
    }
}

#[tokio::test]
async fn so_many_are_put_aside() {
    let (running, _fleet) = start(Limits { waits: 1, ..Limits::default() }).await;
    let next = next(&running).await;
    let first = send(&running, &format!("GET {PATH}?{next} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    running.eventually("lobby_http_waits", "1").await;
    let mut second = running.connect().await;
    let refused = ask(&mut second, &format!("{PATH}?{next}")).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    drop(first);
    running.eventually("lobby_http_waits", "0").await;
    second.write_all(format!("GET {PATH}?{next} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    running.eventually("lobby_http_waits", "1").await;
    let nothing = timeout(Duration::from_millis(1), second.read_u8()).await;
    assert!(nothing.is_err(), "it waits");
}

#[tokio::test]
async fn a_body_is_never_taken_for_a_request() {
    let (running, _fleet) = start(Limits::default()).await;
    let inner = "GET /v1/status/leader HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // Of a route that reads no body, and that waits in its handler for it has one.
    let next = next(&running).await.replace("10m", "50ms");
    let outer = format!("GET {PATH}?{next} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", inner.len());
    let last = "GET /none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut stream = send(&running, &format!("{outer}{inner}{last}")).await;
    let text = timeout(PATIENCE, to_end(&mut stream)).await.unwrap();
    assert_eq!(statuses(&text), ["200 OK", "404 Not Found"], "{text}");
}

#[tokio::test]
async fn a_client_that_goes_with_more_behind_its_request_frees_its_place() {
    let (running, _fleet) = start(Limits::default()).await;
    let next = next(&running).await;
    let text = format!("GET {PATH}?{next} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // In one piece with it, and after it.
    let first = send(&running, &format!("{text}GET /v1/health HT")).await;
    let mut second = send(&running, &text).await;
    running.eventually("lobby_http_waits", "2").await;
    second.write_all(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    drop((first, second));
    running.eventually("lobby_http_waits", "0").await;
    running.eventually("lobby_http_connections", "0").await;
}

#[tokio::test]
async fn the_longest_head_is_asked_again() {
    let (running, fleet) = start(Limits::default()).await;
    let next = next(&running).await;
    // Its lines end as short as they may.
    let mut text = format!("GET {PATH}?{next} HTTP/1.1\nHost:localhost\n");
    for n in 0..80 {
        text += &format!("X-{n}:{}\n", "y".repeat(190));
    }
    text += &format!("X:{}\n\n", "y".repeat((16 << 10) - 5 - text.len()));
    let mut stream = send(&running, &text).await;
    running.eventually("lobby_http_waits", "1").await;
    running.served.snapshots.send_replace(written(fleet, 2).snapshot());
    let answer = one_answer(&mut stream).await;
    assert!(answer.contains("\"Port\":2"), "{answer}");
}

#[tokio::test]
async fn who_may_no_longer_read_is_told_so_after_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    let write = |secret: &str| std::fs::write(&path, format!("[[token]]\nname = \"reader\"\nsecret = \"{secret}\"\n")).unwrap();
    write("reader-s3cret");
    let access = Access::read(Some(path.clone()), None).unwrap();
    let mut fleet = written(Fleet::cold(&[], false).warmed(), 1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let config = Config { access: access.clone(), ..config() };
    let running = start_on(listener, addr, Fleet::cold(&[], false).serve(config));
    running.served.snapshots.send_replace(fleet.snapshot());
    let mut stream = running.connect().await;
    let token = "token=reader-s3cret";
    let answer = ask(&mut stream, &format!("{PATH}?{token}")).await;
    let index = header(&answer, "x-consul-index");
    let text = format!("GET {PATH}?index={index}&wait=10m&{token} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let waits = async {
        let headers = [("x-consul-token", "reader-s3cret")];
        while !running.served.ask("GET", "/metrics", &headers, "").await.text().contains("\nlobby_http_waits 1\n") {
            yield_now().await;
        }
    };
    timeout(PATIENCE, waits).await.expect("it waits in time");
    write("another-s3cret");
    access.reload().unwrap();
    running.served.snapshots.send_replace(written(fleet, 2).snapshot());
    let answer = one_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && !answer.contains("Port"), "{answer}");
}
