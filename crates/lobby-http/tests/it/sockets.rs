//! The serving loop over real sockets: deadlines, bounds, pipelining, the end.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lobby_http::{Config, Limits, Listener, serve};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::fixture::{Fleet, Served, config};

/// Longer than anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A deadline short enough to wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) struct Running {
    pub(crate) served: Served,
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

pub(crate) fn limited(limits: Limits) -> Config {
    Config { limits, ..config() }
}

pub(crate) async fn start(config: Config) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    start_on(listener, addr, Fleet::new(&["own:label"]).serve(config))
}

pub(crate) fn start_on(listener: impl Into<Listener>, addr: SocketAddr, served: Served) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let (app, listener) = (served.app.clone(), listener.into());
    let task = tokio::spawn(serve(listener, app, async move {
        let _ = stopped.await;
    }));
    Running { served, addr, stop: Some(stop), task }
}

impl Running {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends bytes on a new connection and reads until its end.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes).await;
        to_end(&mut stream).await
    }

    /// Stops it and waits for its end.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
    }

    /// The value of a metric.
    async fn metric(&self, sample: &str) -> String {
        let answer = self.served.get("/metrics").await;
        let value = answer.text().lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.unwrap_or("absent").to_owned()
    }

    pub(crate) async fn eventually(&self, sample: &str, want: &str) {
        let end = Instant::now() + PATIENCE;
        while self.metric(sample).await != want {
            assert!(Instant::now() < end, "{sample} is {} instead of {want}", self.metric(sample).await);
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) async fn to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server ends the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one answer of known length.
pub(crate) async fn one_answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            bytes.push(stream.read_u8().await.expect("an answer"));
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
                if body.len() >= length {
                    return text.into_owned();
                }
            }
        }
    };
    timeout(PATIENCE, read).await.expect("an answer in time")
}

pub(crate) async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    one_answer(stream).await
}

#[tokio::test]
async fn requests_share_a_connection_and_may_be_pipelined() {
    let running = start(config()).await;
    let mut stream = running.connect().await;
    assert!(ask(&mut stream, "/v1/health").await.starts_with("HTTP/1.1 200 OK\r\n"));
    let three = "GET /v1/discovery HTTP/1.1\r\nhost: localhost\r\n\r\nGET /none HTTP/1.1\r\nhost: localhost\r\n\r\n\
                 GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(three.as_bytes()).await.unwrap();
    let text = to_end(&mut stream).await;
    let statuses: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")).collect();
    assert_eq!(statuses, ["200 OK", "404 Not Found", "200 OK"], "{text}");
    assert!(text.contains("content-length: ") && !text.contains("chunked"), "{text}");
    assert!(text.ends_with("]\n"));
}

#[tokio::test]
async fn a_slow_head_ends_with_408() {
    let running = start(limited(Limits { header_read: SHORT, ..Limits::default() })).await;
    let text = running.exchange(b"GET / HTTP/1.1\r\nhost: loc").await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n") && text.ends_with("not received in time\n"), "{text}");
    running.eventually("lobby_http_refused_total{reason=\"header_timeout\"}", "1").await;
    // Also when it is not the first request of its connection.
    let mut stream = running.connect().await;
    ask(&mut stream, "/").await;
    stream.write_all(b"GET ").await.unwrap();
    assert!(to_end(&mut stream).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_silence() {
    let running = start(limited(Limits { idle: SHORT, ..Limits::default() })).await;
    let mut stream = running.connect().await;
    ask(&mut stream, "/").await;
    assert_eq!(to_end(&mut stream).await, "");
    assert_eq!(running.exchange(b"").await, "");
    running.eventually("lobby_http_connections_idle_closed_total", "2").await;
    running.eventually("lobby_http_connections", "0").await;
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let running = start(config()).await;
    let text =
        running.exchange(format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(20_000)).as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    let text = running.exchange(format!("GET /?labels={} HTTP/1.1\r\n\r\n", "y".repeat(1_000_000)).as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    running.eventually("lobby_http_refused_total{reason=\"header_too_large\"}", "2").await;
    let mut stream = running.connect().await;
    assert!(ask(&mut stream, &format!("/?labels={}", "y".repeat(15_000))).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let running = start(config()).await;
    let body = "label:x\n".repeat(1 << 18);
    let post = "POST /v1/labels HTTP/1.1\r\nhost: localhost\r\n";
    let text = running.exchange(format!("{post}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 413 ") && text.contains("connection: close"), "{text}");
    let text =
        running.exchange(format!("{post}transfer-encoding: chunked\r\n\r\n200000\r\n{body}\r\n0\r\n\r\n").as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    // Whoever asks first need not send it.
    let text = running.exchange(format!("{post}expect: 100-continue\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    running.eventually("lobby_http_refused_total{reason=\"body_too_large\"}", "3").await;
    assert!(running.served.told().is_empty());
}

#[tokio::test]
async fn a_slow_body_ends_with_408() {
    let running = start(limited(Limits { body_read: SHORT, ..Limits::default() })).await;
    let text = running.exchange(b"POST /v1/labels HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nabc").await;
    assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("connection: close"), "{text}");
    running.eventually("lobby_http_refused_total{reason=\"body_timeout\"}", "1").await;
}

#[tokio::test]
async fn what_is_not_http_gets_400() {
    let running = start(config()).await;
    let text = running.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    running.eventually("lobby_http_refused_total{reason=\"malformed\"}", "1").await;
}

#[tokio::test]
async fn too_many_connections() {
    let running = start(limited(Limits { connections: 10, ..Limits::default() })).await;
    let mut streams = Vec::new();
    for _ in 0..9 {
        let mut stream = running.connect().await;
        assert!(ask(&mut stream, "/").await.starts_with("HTTP/1.1 200 OK"));
        streams.push(stream);
    }
    // From 90 % on only health and metrics are answered, at the bound nothing is.
    let text = running.exchange(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 429 ") && text.contains("retry-after: 1\r\n"), "{text}");
    running.eventually("lobby_http_connections", "9").await;
    let mut last = running.connect().await;
    assert!(ask(&mut last, "/v1/health").await.starts_with("HTTP/1.1 200 OK"));
    let text = running.exchange(b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 503 ") && text.ends_with("\r\n\r\nall connections are taken\n"), "{text}");
    for (reason, count) in [("crowded", "1"), ("full", "1"), ("dropped", "0")] {
        running.eventually(&format!("lobby_http_refused_total{{reason=\"{reason}\"}}"), count).await;
    }
    drop((streams, last));
    running.eventually("lobby_http_connections", "0").await;
    assert!(ask(&mut running.connect().await, "/").await.starts_with("HTTP/1.1 200 OK"));
}

/// An address of this machine that is not loopback; there is none without a network.
fn own_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing: only the route is looked up.
    socket.connect("192.0.2.99:9").ok()?;
    socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| !ip.is_loopback())
}

#[tokio::test]
async fn too_many_connections_of_one_address() {
    let Some(own) = own_address() else {
        println!("skipped: this machine has only loopback addresses");
        return;
    };
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = Fleet::new(&[]).serve(limited(Limits { per_address: 2, ..Limits::default() }));
    let running = start_on(listener, SocketAddr::new(own, port), served);
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = running.connect().await;
        assert!(ask(&mut stream, "/").await.starts_with("HTTP/1.1 200 OK"));
        streams.push(stream);
    }
    let text = running.exchange(b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 429 Too Many Requests\r\n") && text.contains("retry-after: 1\r\n"), "{text}");
    assert!(
        text.contains("content-length: 39\r\n") && text.ends_with("\r\n\r\ntoo many connections from this address\n"),
        "{text}"
    );
    running.eventually("lobby_http_refused_total{reason=\"address\"}", "1").await;
    // Our own machine is another client, without such a bound.
    let loopback = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port);
    for _ in 0..3 {
        let mut stream = TcpStream::connect(loopback).await.unwrap();
        assert!(ask(&mut stream, "/").await.starts_with("HTTP/1.1 200 OK"));
        streams.push(stream);
    }
    drop(streams);
    running.eventually("lobby_http_connections", "0").await;
    assert!(ask(&mut running.connect().await, "/").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn only_so_many_are_told_why_they_get_no_place() {
    let running = start(limited(Limits { connections: 1, ..Limits::default() })).await;
    let mut first = running.connect().await;
    assert!(ask(&mut first, "/").await.starts_with("HTTP/1.1 200 OK"));
    // Each of them is read from for a moment after its answer, so many at once are under way together.
    let mut streams = Vec::new();
    let count = async |reason: &str| {
        let text = running.metric(&format!("lobby_http_refused_total{{reason=\"{reason}\"}}")).await;
        text.parse::<usize>().unwrap()
    };
    let end = Instant::now() + PATIENCE;
    while count("dropped").await == 0 {
        assert!(Instant::now() < end);
        for _ in 0..100 {
            streams.push(running.connect().await);
        }
        while count("full").await + count("dropped").await < streams.len() {
            assert!(Instant::now() < end);
            tokio::task::yield_now().await;
        }
    }
    assert!(count("full").await >= 64);
    running.eventually("lobby_http_connections", "1").await;
}

#[tokio::test]
async fn a_stop_lets_requests_finish() {
    let mut running = start(config()).await;
    let mut idle = running.connect().await;
    ask(&mut idle, "/").await;
    let mut busy = running.connect().await;
    busy.write_all(b"POST /v1/labels HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        .await
        .unwrap();
    // The handler has begun to read the body when it asks for it.
    assert!(one_answer(&mut busy).await.starts_with("HTTP/1.1 100 "));
    running.stop.take().unwrap().send(()).unwrap();
    assert_eq!(to_end(&mut idle).await, "");
    busy.write_all(b"a:b").await.unwrap();
    let text = to_end(&mut busy).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("connection: close"), "{text}");
    timeout(PATIENCE, running.task).await.unwrap().unwrap();
    assert_eq!(running.served.told(), ["add [\"a:b\"]"]);
    assert!(TcpStream::connect(running.addr).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let mut running = start(config()).await;
    let mut busy = running.connect().await;
    busy.write_all(b"POST /v1/labels HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        .await
        .unwrap();
    one_answer(&mut busy).await;
    // From here on time passes only while everybody waits.
    tokio::time::pause();
    let stopped = Instant::now();
    running.stop.take().unwrap().send(()).unwrap();
    running.task.await.unwrap();
    // With the second that a goodbye may take, the agent is gone within two.
    assert!(stopped.elapsed() < Duration::from_millis(600), "{:?}", stopped.elapsed());
    tokio::time::resume();
    assert_eq!(to_end(&mut busy).await, "");
}

#[tokio::test]
async fn the_unix_socket_knows_its_operator() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api");
    let listener = UnixListener::bind(&path).unwrap();
    let config = Config { token: Some("s3cret".to_owned()), ..config() };
    let running = start_on(listener, "127.0.0.1:1".parse().unwrap(), Fleet::new(&[]).serve(config));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"PUT /v1/agent/reload HTTP/1.1\r\nhost: whatever\r\n\r\n").await.unwrap();
    let answer = one_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(ask(&mut stream, "/").await.starts_with("HTTP/1.1 403 "));
    assert_eq!(running.served.told(), ["reload"]);
}

/// Its list has half a mebibyte.
pub(crate) fn large_fleet() -> Fleet {
    let labels: Vec<_> = (0..500).map(|i| format!("{i}:{}", "x".repeat(1000))).collect();
    Fleet::new(&labels.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api");
    let listener = UnixListener::bind(&path).unwrap();
    let served = large_fleet().serve(limited(Limits { write_stall: SHORT, ..Limits::default() }));
    let running = start_on(listener, "127.0.0.1:1".parse().unwrap(), served);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    running.eventually("lobby_http_refused_total{reason=\"write_stall\"}", "1").await;
    running.eventually("lobby_http_connections", "0").await;
    // One that reads gets it all.
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(to_end(&mut stream).await.len() > 500_000);
}

#[tokio::test]
async fn noise_does_no_harm() {
    let running = start(limited(Limits { header_read: SHORT, idle: SHORT, ..Limits::default() })).await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let whole = b"POST /v1/labels?labels=%61 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\na:b\n";
    for _ in 0..200 {
        let mut bytes = whole.to_vec();
        for _ in 0..=random() % 4 {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        bytes.truncate(1 + random() as usize % whole.len());
        let mut stream = running.connect().await;
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        to_end(&mut stream).await;
    }
    assert!(ask(&mut running.connect().await, "/").await.starts_with("HTTP/1.1 200 OK"));
}
