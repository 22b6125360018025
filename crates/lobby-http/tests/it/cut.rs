//! Requests over real sockets, cut and joined as a network does it: their answers are the same, and none is asked twice or never.

use lobby_http::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::yield_now,
};

use crate::{
    fixture::config,
    parked::{PATH, start},
    sockets::{Running, SHORT, large_fleet, one_answer, start_on, to_end},
};

const INNER: &str = "GET /v1/never HTTP/1.1\r\nHost: localhost\r\n\r\n";

const HOST: &str = "Host: localhost\r\n";

/// A request that is put aside and asked again soon.
const WAITS: &str = "index=18446744073709551615&wait=1ms";

/// All kinds of requests on one connection; what looks like one stands in a body too.
pub(crate) fn dialogue() -> String {
    let requests = [
        format!("GET {PATH} HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET {PATH}?index=1 HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET {PATH}?{WAITS} HTTP/1.1\r\n{HOST}X-Empty:\r\nX-Blank: \t a \r\n\r\n"),
        format!("HEAD {PATH}?{WAITS} HTTP/1.1\nHost: localhost\n\n"),
        format!("POST /v1/labels HTTP/1.1\r\n{HOST}Content-Length: {}\r\n\r\n{INNER}", INNER.len()),
        format!("GET http://localhost{PATH}?{WAITS} HTTP/1.1\r\n{HOST}\r\n"),
        format!(
            "POST /v1/labels HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nc:d\r\n2;x=y\r\n,e\r\n0\r\nX: 1\r\n\r\n"
        ),
        format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n"),
        format!("OPTIONS {PATH} HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"),
        format!("GET /v1/none?{} HTTP/1.1\r\n{HOST}\r\n", "y".repeat(1500)),
        format!("GET {PATH}?{WAITS} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        format!("GET {PATH}?{WAITS} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
        INNER.to_owned(),
    ];
    requests.concat()
}

/// The same with bodies that nobody reads. The connection may end after each of them, but they are no requests.
fn unread() -> String {
    let body = format!("Content-Length: {}\r\n\r\n{INNER}", INNER.len());
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{INNER}\r\n0\r\n\r\n", INNER.len());
    let both = format!("Content-Length: 5\r\n{chunked}");
    let requests = [
        format!("GET {PATH}?{WAITS} HTTP/1.1\r\n{HOST}{body}"),
        format!("GET {PATH}?{WAITS} HTTP/1.1\r\n{HOST}Expect: 100-continue\r\n{body}"),
        format!("GET {PATH}?{WAITS} HTTP/1.1\r\n{HOST}{chunked}"),
        format!("PUT /v1/none HTTP/1.1\r\n{HOST}{chunked}"),
        format!("HEAD /v1/none HTTP/1.1\r\n{HOST}{body}"),
        format!("GET {PATH}?{WAITS} HTTP/1.1\r\n{HOST}{both}"),
        INNER.to_owned(),
    ];
    requests.concat()
}

/// The answers to a text that comes in pieces, without what is not the same at all times.
async fn answers(running: &Running, pieces: impl Iterator<Item = &[u8]>) -> Vec<String> {
    let stream = running.connect().await;
    stream.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let reading = tokio::spawn(async move { to_end(&mut reader).await });
    for piece in pieces {
        // The other end closes before it has read all.
        let _ = writer.write_all(piece).await;
        for _ in 0..8 {
            yield_now().await;
        }
    }
    let text = reading.await.unwrap();
    text.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect()
}

pub(crate) fn statuses(answers: &[String]) -> Vec<&str> {
    answers.iter().filter_map(|line| Some(line.split_once("HTTP/1.")?.1.split_once(' ')?.1)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_requests_are_cut_their_answers_are_the_same() {
    let (running, _fleet) = start(Limits::default()).await;
    let text = dialogue();
    let bytes = text.as_bytes();
    let whole = answers(&running, std::iter::once(bytes)).await;
    let (ok, none) = ("200 OK", "404 Not Found");
    assert_eq!(statuses(&whole), [ok, ok, ok, ok, ok, ok, ok, none, ok, none, ok, ok]);
    for size in [1, 2, 3, 5, 31, 64, 700, 1024] {
        assert!(answers(&running, bytes.chunks(size)).await == whole, "in pieces of {size}");
    }
    for at in (1..bytes.len()).step_by(7) {
        let (left, right) = bytes.split_at(at);
        let cut = answers(&running, [left, right].into_iter()).await;
        assert!(cut == whole, "cut after {:?}: {:?}", &text[..at], statuses(&cut));
    }
    running.eventually("lobby_http_waits", "0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_reads_is_no_request() {
    let (running, _fleet) = start(Limits::default()).await;
    let text = unread();
    let bytes = text.as_bytes();
    let (ok, none) = ("200 OK", "404 Not Found");
    let want = [ok, ok, ok, none, none, ok];
    for at in (1..bytes.len()).step_by(7) {
        let (left, right) = bytes.split_at(at);
        let cut = answers(&running, [left, right].into_iter()).await;
        let cut = statuses(&cut);
        assert!(want.starts_with(&cut) && !cut.is_empty(), "cut after {:?}: {cut:?}", &text[..at]);
    }
}

#[tokio::test]
async fn an_empty_line_behind_a_request_begins_no_other() {
    let limits = Limits { idle: SHORT, header_read: 2 * SHORT, ..Limits::default() };
    let (running, _fleet) = start(limits).await;
    let mut stream = running.connect().await;
    stream.write_all(format!("GET {PATH} HTTP/1.1\r\n{HOST}\r\n\r\n\r\n").as_bytes()).await.unwrap();
    assert!(one_answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(to_end(&mut stream).await, "", "not that a head is late");
    running.eventually("lobby_http_connections_idle_closed_total", "1").await;
}

#[tokio::test]
async fn who_has_nothing_more_to_say_gets_the_rest_of_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api");
    let running = start_on(UnixListener::bind(&path).unwrap(), "127.0.0.1:1".parse().unwrap(), large_fleet().serve(config()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // It has begun, and does not fit into the socket.
    stream.read_u8().await.unwrap();
    stream.shutdown().await.unwrap();
    for _ in 0..100 {
        yield_now().await;
    }
    assert!(to_end(&mut stream).await.len() > 500_000);
    running.eventually("lobby_http_connections", "0").await;
}
