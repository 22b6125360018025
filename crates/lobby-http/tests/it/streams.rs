//! What takes long over a real socket: streamed answers, blocking requests, clients that go away, the end of the agent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use lobby_core::{catalog::Snapshot, port::gossip::QueryNews};
use lobby_http::{Config, Limits, Listener, serve};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    ask::asking,
    fixture::{Fleet, Served, config},
    gossip::{Gossip, Open, id, serve_with},
};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);

struct Running {
    served: Served,
    _gossip: Gossip,
    open: Arc<Mutex<Vec<Open>>>,
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(limits: Limits) -> Running {
    let (gossip, open) = asking();
    let served = serve_with(Fleet::new(&[]).node(2, "web", &[]), &gossip, Config { limits, ..config() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = served.app.clone();
    let task = tokio::spawn(serve(Listener::Tcp(listener), app, async move {
        let _ = stopped.await;
    }));
    Running { served, _gossip: gossip, open, addr, stop, task }
}

impl Running {
    /// A connection on which this was asked.
    async fn ask(&self, method: &str, path: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        BufReader::new(stream)
    }

    /// The next query that gossip was asked.
    async fn query(&self) -> Open {
        self.eventually(|| self.open.lock().unwrap().pop()).await
    }

    async fn eventually<T>(&self, mut read: impl FnMut() -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = read() {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, found).await.expect("it happens in time")
    }

    async fn metric(&self, line: &str) {
        let seen = async {
            while !self.served.get("/metrics").await.text().lines().any(|other| other == line) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{line} does not come"));
    }
}

async fn line(reader: &mut BufReader<TcpStream>) -> String {
    let mut text = String::new();
    timeout(PATIENCE, reader.read_line(&mut text)).await.expect("a line in time").unwrap();
    text.trim_end().to_owned()
}

/// Reads a head and tells its first line and whether the body comes in chunks.
async fn head(reader: &mut BufReader<TcpStream>) -> (String, bool) {
    let (first, mut chunked) = (line(reader).await, false);
    loop {
        match line(reader).await.as_str() {
            "" => return (first, chunked),
            other => chunked |= other == "transfer-encoding: chunked",
        }
    }
}

/// The next chunk of a body: one line of JSON, or nothing at the end.
async fn chunk(reader: &mut BufReader<TcpStream>) -> String {
    let length = line(reader).await;
    let length = usize::from_str_radix(&length, 16).unwrap_or_else(|err| panic!("{err}: {length:?}"));
    let mut bytes = vec![0; length + 2];
    timeout(PATIENCE, reader.read_exact(&mut bytes)).await.expect("a chunk in time").unwrap();
    String::from_utf8(bytes).unwrap().trim_end().to_owned()
}

const ASKED: &str = "{\"type\":\"asked\",\"name\":\"load\",\"asked\":2}";
const ACK: &str = "{\"type\":\"ack\",\"id\":\"02020202020202020202020202020202\",\"name\":\"web\"}";
const OWN: &str = "{\"id\":\"01010101010101010101010101010101\",\"name\":\"here.example.com\"}";
const ANSWER: &str =
    "{\"type\":\"answer\",\"id\":\"02020202020202020202020202020202\",\"name\":\"web\",\"text\":\"hi\",\"base64\":\"aGk=\"}";

#[tokio::test]
async fn answers_come_as_they_are_given() {
    // A stream is no idle connection, however long nothing comes.
    let running = start(Limits { idle: Duration::from_millis(100), ..Limits::default() }).await;
    let mut reader = running.ask("PUT", "/v1/ask/load?stream&timeout=30s").await;
    let news = running.query().await;
    assert_eq!(head(&mut reader).await, ("HTTP/1.1 200 OK".to_owned(), true));
    assert_eq!(chunk(&mut reader).await, ASKED);
    // Two idle times of waiting, measured by connections that are closed for being idle.
    for _ in 0..2 {
        let mut idle = TcpStream::connect(running.addr).await.unwrap();
        timeout(PATIENCE, idle.read_to_end(&mut Vec::new())).await.expect("closed in time").unwrap();
    }
    news.send(QueryNews::Ack(id(2))).await.unwrap();
    assert_eq!(chunk(&mut reader).await, ACK);
    news.send(QueryNews::Answer(id(2), Bytes::from_static(b"hi"))).await.unwrap();
    assert_eq!(chunk(&mut reader).await, ANSWER);
    running.metric("lobby_http_asks 1").await;
    drop(news);
    let end = format!("{{\"type\":\"end\",\"end\":\"complete\",\"acks\":1,\"answers\":1,\"missing\":[{OWN}]}}");
    assert_eq!(chunk(&mut reader).await, end);
    assert_eq!(chunk(&mut reader).await, "");
    running.metric("lobby_http_asks 0").await;
    // The connection goes on, and is idle from now on.
    reader.get_mut().write_all(b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(head(&mut reader).await.0, "HTTP/1.1 200 OK");
    let mut rest = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut rest)).await.expect("closed for being idle").unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_query() {
    let running = start(Limits::default()).await;
    for path in ["/v1/ask/load?timeout=60s", "/v1/ask/load?timeout=60s&stream"] {
        let reader = running.ask("PUT", path).await;
        let news = running.query().await;
        running.metric("lobby_http_asks 1").await;
        drop(reader);
        // Gossip sees that nobody listens any more.
        timeout(PATIENCE, news.closed()).await.unwrap_or_else(|_| panic!("{path} goes on"));
        running.metric("lobby_http_asks 0").await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_wait() {
    let running = start(Limits::default()).await;
    for path in ["/v1/event/list?index=1&wait=10m", "/v1/health/service/web?index=9000000000000000&wait=10m"] {
        let reader = running.ask("GET", path).await;
        running.metric("lobby_http_waits 1").await;
        drop(reader);
        running.metric("lobby_http_waits 0").await;
    }
    running.metric("lobby_watch_topics 0").await;
}

#[tokio::test]
async fn a_stop_ends_what_takes_long_with_an_answer() {
    let running = start(Limits::default()).await;
    let mut waiting = running.ask("GET", "/v1/event/list?index=1&wait=10m").await;
    running.metric("lobby_http_waits 1").await;
    let mut whole = running.ask("PUT", "/v1/ask/load?timeout=60s").await;
    let first = running.query().await;
    let mut streamed = running.ask("PUT", "/v1/ask/load?timeout=60s&stream").await;
    let second = running.query().await;
    assert_eq!(head(&mut streamed).await.0, "HTTP/1.1 200 OK");
    assert_eq!(chunk(&mut streamed).await, ASKED);
    running.stop.send(()).unwrap();
    for reader in [&mut waiting, &mut whole] {
        assert_eq!(head(reader).await, ("HTTP/1.1 200 OK".to_owned(), false));
    }
    let mut rest = String::new();
    timeout(PATIENCE, waiting.read_to_string(&mut rest)).await.expect("the end").unwrap();
    assert_eq!(rest, "[]");
    let mut rest = String::new();
    timeout(PATIENCE, whole.read_to_string(&mut rest)).await.expect("the end").unwrap();
    assert!(rest.contains("\"end\": \"stopping\""), "{rest}");
    let web = OWN.replace("01", "02").replace("here.example.com", "web");
    let end = format!("{{\"type\":\"end\",\"end\":\"stopping\",\"acks\":0,\"answers\":0,\"missing\":[{OWN},{web}]}}");
    assert_eq!(chunk(&mut streamed).await, end);
    assert_eq!(chunk(&mut streamed).await, "");
    timeout(PATIENCE, running.task).await.expect("the loop ends").unwrap();
    timeout(PATIENCE, async { tokio::join!(first.closed(), second.closed()) }).await.expect("gossip is let go");
}

/// The fleet that is served, and one node more.
fn more() -> Arc<Snapshot> {
    let mut fleet = Fleet::new(&[]).node(2, "web", &[]);
    fleet.snapshot();
    fleet.node(3, "more", &[]).snapshot()
}

#[tokio::test]
async fn an_event_stream_lasts_until_either_side_ends_it() {
    // Nor is it an idle connection.
    let running = start(Limits { idle: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stays = running.ask("GET", "/v1/events?kind=member").await;
    assert_eq!(head(&mut stays).await, ("HTTP/1.1 200 OK".to_owned(), true));
    assert!(chunk(&mut stays).await.starts_with("event: snapshot\nid: 0101"));
    let mut leaves = running.ask("GET", "/v1/events").await;
    head(&mut leaves).await;
    running.metric("lobby_http_streams 2").await;
    drop(leaves);
    running.metric("lobby_http_streams 1").await;
    for _ in 0..2 {
        let mut idle = TcpStream::connect(running.addr).await.unwrap();
        timeout(PATIENCE, idle.read_to_end(&mut Vec::new())).await.expect("closed in time").unwrap();
    }
    running.served.snapshots.send_replace(more());
    let told = chunk(&mut stays).await;
    assert!(told.starts_with("event: member-join\n") && told.contains("\"name\":\"more\""), "{told}");
    running.stop.send(()).unwrap();
    assert_eq!(chunk(&mut stays).await, "");
    timeout(PATIENCE, running.task).await.expect("the loop ends").unwrap();
    assert!(running.served.get("/metrics").await.text().contains("\nlobby_http_streams 0\n"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_stream_is_let_go() {
    let running = start(Limits { write_stall: Duration::from_millis(50), ..Limits::default() }).await;
    // More than the sockets in between hold: 11 MB.
    let labels: Vec<String> = (0..900).map(|n| format!("{n:01000}")).collect();
    let labels: Vec<_> = labels.iter().map(String::as_str).collect();
    let mut fleet = Fleet::new(&[]).node(2, "web", &[]);
    fleet.snapshot();
    running.served.snapshots.send_replace((3..15).fold(fleet, |fleet, id| fleet.node(id, &format!("n{id}"), &labels)).snapshot());
    let reader = running.ask("GET", "/v1/events").await;
    running.metric("lobby_http_refused_total{reason=\"write_stall\"} 1").await;
    running.metric("lobby_http_streams 0").await;
    drop(reader);
}

#[tokio::test]
async fn the_head_of_a_stream_alone_leaves_the_connection_free() {
    let running = start(Limits::default()).await;
    let mut reader = running.ask("HEAD", "/v1/events").await;
    assert_eq!(head(&mut reader).await.0, "HTTP/1.1 200 OK");
    running.metric("lobby_http_streams 0").await;
    reader.get_mut().write_all(b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(head(&mut reader).await.0, "HTTP/1.1 200 OK");
}
