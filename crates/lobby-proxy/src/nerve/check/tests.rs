//! Checks against a real redis-server, a small server of HTTP, and a stand-in for RabbitMQ that speaks what it speaks.

mod stand_in;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use lobby_testkit::server;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    net::TcpListener,
};

use super::*;
use crate::{fetch::Response, settings::Secret};

/// Nobody may ask.
#[derive(Clone)]
struct NoFetch;

impl Fetch for NoFetch {
    async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        panic!("{request:?}")
    }
}

/// Answers so, and keeps what was asked.
#[derive(Clone)]
struct Answers(Result<Response, FetchError>, Arc<Mutex<Vec<Request>>>);

impl Fetch for Answers {
    async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        self.1.lock().unwrap().push(request);
        self.0.clone()
    }
}

/// Plain HTTP over a socket, as the testkit's client has it.
#[derive(Clone)]
struct Plain;

impl Fetch for Plain {
    async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        let asked = tokio::task::spawn_blocking(move || {
            let (address, path) = request.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
            lobby_testkit::http::get(address.parse().unwrap(), &format!("/{path}"))
        });
        let response = asked.await.unwrap().map_err(|err| FetchError(err.to_string()))?;
        Ok(Response { status: response.status, body: response.body, ..Response::default() })
    }
}

fn check(address: SocketAddr, kind: CheckKind) -> Check {
    let timeout = Duration::from_secs(10);
    Check { name: "it".into(), host: address.ip().to_string(), port: address.port(), timeout, rise: 1, fall: 1, kind }
}

fn http(uri: &str) -> Http {
    Http { uri: uri.into(), timeout: Duration::from_secs(10), ..Http::default() }
}

#[tokio::test]
async fn tcp_passes_while_somebody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = check(listener.local_addr().unwrap(), CheckKind::Tcp);
    look(&tcp, &NoFetch).await.unwrap();
    let by_name = Check { host: "localhost".into(), ..tcp.clone() };
    look(&by_name, &NoFetch).await.unwrap();
    drop(listener);
    let err = look(&tcp, &NoFetch).await.unwrap_err();
    assert!(matches!(&err, CheckError::Io(err) if err.kind() == io::ErrorKind::ConnectionRefused), "{err}");
    look(&check(tcp_of(&tcp), CheckKind::Noop), &NoFetch).await.unwrap();
}

fn tcp_of(check: &Check) -> SocketAddr {
    SocketAddr::new(check.host.parse().unwrap(), check.port)
}

#[tokio::test]
async fn a_real_redis_passes_while_it_serves() {
    let mut redis = server::redis::start(&[]);
    let it = check(redis.address, CheckKind::Redis);
    look(&it, &NoFetch).await.unwrap();
    redis.kill();
    look(&it, &NoFetch).await.unwrap_err();
    let closed = server::redis::start(&["--requirepass", "secret"]);
    let err = look(&check(closed.address, CheckKind::Redis), &NoFetch).await.unwrap_err();
    assert!(matches!(&err, CheckError::Answer(text) if text.contains("NOAUTH")), "{err}");
}

#[tokio::test]
async fn a_server_that_only_accepts_does_not_pass_as_redis_or_rabbitmq() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for kind in [CheckKind::Redis, guest()] {
        let silent = Check { timeout: Duration::from_millis(50), ..check(address, kind) };
        let err = look(&silent, &NoFetch).await.unwrap_err();
        assert!(matches!(err, CheckError::Late(_)), "{err}");
    }
}

#[tokio::test]
async fn redis_answers_are_bounded_and_exact() {
    for (answer, is_good) in [
        (b"+PONG\r\n:1\r\n".to_vec(), true),
        (b"+PONG\r\n:0\r\n".to_vec(), true),
        (b"+PONG\r\n:2\r\n".to_vec(), false),
        (b"+PONG\r\n".to_vec(), false),
        (b"-ERR\r\n:0\r\n".to_vec(), false),
        (vec![b'+'; 1 << 20], false),
    ] {
        let (ours, mut theirs) = duplex(1 << 21);
        theirs.write_all(&answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        let passes = redis::talk(ours).await.is_ok();
        assert_eq!(passes, is_good, "{:?}", String::from_utf8_lossy(&answer[..answer.len().min(20)]));
    }
}

#[tokio::test]
async fn http_is_asked_as_it_is_written() {
    let asked = Arc::default();
    let fetch = Answers(Ok(Response { status: 200, ..Response::default() }), Arc::clone(&asked));
    let headers = [("X-A".to_owned(), "b".to_owned())];
    let tls = Http { is_tls: true, headers: headers.clone().into(), ..http("/health?a=b") };
    look(&check("[::1]:443".parse().unwrap(), CheckKind::Http(tls)), &fetch).await.unwrap();
    look(&check("127.0.0.1:80".parse().unwrap(), CheckKind::Http(http("/"))), &fetch).await.unwrap();
    let asked = asked.lock().unwrap();
    assert_eq!((asked[0].method, asked[0].url.as_str(), asked[0].is_insecure), ("GET", "https://[::1]:443/health?a=b", true));
    assert_eq!((&asked[0].headers[..], asked[0].timeout), (&headers[..], Duration::from_secs(10)));
    assert_eq!((asked[1].url.as_str(), asked[1].is_insecure), ("http://127.0.0.1:80/", false));
}

#[tokio::test]
async fn http_passes_by_status_and_body() {
    let body = || b"all is well".to_vec();
    for (status, expect, is_good) in [
        (199, None, false),
        (200, None, true),
        (399, None, true),
        (400, None, false),
        (503, None, false),
        (200, Some("is"), true),
        (200, Some("all is well"), true),
        (200, Some("ill"), false),
        (200, Some("all is well, and more"), false),
        (500, Some("is"), false),
    ] {
        let fetch = Answers(Ok(Response { status, body: body(), ..Response::default() }), Arc::default());
        let kind = CheckKind::Http(Http { expect: expect.map(str::to_owned), ..http("/") });
        let passes = look(&check("127.0.0.1:80".parse().unwrap(), kind), &fetch).await.is_ok();
        assert_eq!(passes, is_good, "{status} {expect:?}");
    }
    let broken = Answers(Err(FetchError("refused".into())), Arc::default());
    look(&check("127.0.0.1:80".parse().unwrap(), CheckKind::Http(http("/"))), &broken).await.unwrap_err();
}

#[tokio::test]
async fn a_real_server_of_http_passes_while_it_serves() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let it = check(listener.local_addr().unwrap(), CheckKind::Http(http("/health")));
    let serves = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let n = stream.read(&mut asked).await.unwrap();
            let status = if asked[..n].starts_with(b"GET /health ") { "204 No Content" } else { "404 Not Found" };
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
        }
    });
    look(&it, &Plain).await.unwrap();
    let other = Check { kind: CheckKind::Http(http("/other")), ..it.clone() };
    assert!(matches!(look(&other, &Plain).await.unwrap_err(), CheckError::Status(404)));
    serves.abort();
    assert!(serves.await.unwrap_err().is_cancelled());
    look(&it, &Plain).await.unwrap_err();
}

fn guest() -> CheckKind {
    CheckKind::Rabbitmq { username: "guest".into(), password: Secret("guest".into()) }
}

proptest::proptest! {
    /// Whatever bytes come, it ends, and does not pass.
    #[test]
    fn hostile_bytes_do_not_pass(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for is_redis in [true, false] {
                let (ours, mut theirs) = duplex(1 << 16);
                theirs.write_all(&bytes).await.unwrap();
                theirs.shutdown().await.unwrap();
                let result = if is_redis { redis::talk(ours).await } else { rabbitmq::talk(ours, "a", "b").await };
                assert!(result.is_err(), "{is_redis}: {bytes:?}");
            }
        });
    }
}
