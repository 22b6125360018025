//! Registered while a connection is open: the body that lasts, its end on every side, over the router and over a socket.

use std::{pin::pin, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use lobby_core::port::registry::{RegistryError, Source};
use lobby_http::{Caller, Config, Door, Limits, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{Instant, timeout},
};
use tower::ServiceExt;

use crate::fixture::{Fleet, Served, config, local};

/// For everything that must happen, on the real clock.
const PATIENCE: Duration = Duration::from_secs(10);

const WEB: &str = r#"{"name":"web","port":80,"check":{"tcp":"127.0.0.1:80","interval":"200ms"}}"#;

fn request(body: &'static str) -> Request<Body> {
    let mut request = Request::post("/v1/hold").header("host", "localhost").body(Body::from(body)).unwrap();
    request.extensions_mut().insert(local());
    request
}

/// A line end as a chunk of a body, after the end of a head.
const BEAT: &[u8] = b"\r\n\r\n1\r\n\n\r\n";

/// Waits until so many instances are registered.
async fn registered(served: &Served, count: usize) {
    let mut view = served.registry.handle.watch();
    let seen = timeout(PATIENCE, view.wait_for(|view| view.instances.len() == count)).await;
    seen.unwrap_or_else(|_| panic!("never {count} instances")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hold_lasts_as_long_as_its_body() {
    let served = Fleet::new(&[]).serve(config());
    let response = served.router.clone().oneshot(request(WEB)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(served.registry.asked(), ["hold web of web service:web=tcp hold:web=hold"]);
    let view = served.registry.view();
    assert_eq!(view.instances["web"].source, Source::Hold);
    assert_eq!(view.checks["service:web"].spec.interval(), Some(Duration::from_millis(200)));
    let mut body = response.into_body();
    let start = Instant::now();
    for beat in 0..3 {
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(&frame.into_data().unwrap()[..], b"\n");
        assert_eq!(start.elapsed().as_secs(), beat * 10);
    }
    assert_eq!(served.registry.view().instances.len(), 1);
    drop(body);
    registered(&served, 0).await;
    assert_eq!(served.registry.view().checks.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_ends_when_its_instance_is_taken_away_or_replaced() {
    let served = Fleet::new(&[]).serve(config());
    for (path, body) in [("/v1/agent/service/deregister/web", ""), ("/v1/agent/service/register", r#"{"name":"web"}"#)] {
        let mut held = served.router.clone().oneshot(request(WEB)).await.unwrap().into_body();
        held.frame().await.unwrap().unwrap();
        assert_eq!(served.put(path, body).await.status, StatusCode::OK);
        let start = Instant::now();
        let end = timeout(PATIENCE, held.frame()).await.expect("the end");
        assert!(end.is_none() && start.elapsed() < Duration::from_secs(1), "{path}");
    }
    assert_eq!(served.registry.view().instances["web"].source, Source::Api);
}

#[tokio::test]
async fn more_holds_than_there_are_places_for_are_refused() {
    let limits = Limits { holds: 2, ..Limits::default() };
    let served = Fleet::new(&[]).serve(Config { limits, ..config() });
    let mut held = Vec::new();
    for body in [r#"{"name":"a"}"#, r#"{"name":"b"}"#] {
        held.push(served.router.clone().oneshot(request(body)).await.unwrap());
    }
    served.registry.asked();
    for _ in 0..2 {
        let refused = served.ask("POST", "/v1/hold", &[], WEB).await;
        assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"), "{}", refused.text());
    }
    assert_eq!(served.registry.asked(), [""; 0]);
    held.pop();
    assert_eq!(served.router.clone().oneshot(request(WEB)).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn only_a_connection_holds() {
    let served = Fleet::new(&[]).serve(config());
    let held = r#"{"name":"web","check":{"hold":true,"name":"mine"}}"#;
    for (path, body) in [
        ("/v1/agent/service/register", held),
        ("/v1/services/web/web", held),
        ("/v1/agent/service/register", r#"{"name":"web","checks":[{"ttl":"1s"},{"hold":true}]}"#),
        ("/v1/agent/check/register", r#"{"name":"web","hold":true}"#),
    ] {
        let answer = served.put(path, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}: {}", answer.text());
        assert!(answer.text().contains("Hold is accepted by POST /v1/hold only"), "{}", answer.text());
    }
    assert_eq!(served.registry.asked(), [""; 0]);
    for (body, checks) in [(held, " service:web=hold"), (r#"{"name":"web"}"#, " hold:web=hold")] {
        let response = served.router.clone().oneshot(request(body)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(served.registry.asked(), [format!("hold web of web{checks}")], "one of its own is enough");
        drop(response);
        registered(&served, 0).await;
    }
}

#[tokio::test]
async fn a_process_may_name_itself_where_the_connection_knows_it() {
    let served = Fleet::new(&[]).serve(config());
    let body = r#"{"name":"web","check":{"pid":"self"}}"#;
    let refused = served.router.clone().oneshot(request(body)).await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let mut request = request(body);
    let door = Door::Unix { trusted: false, pid: Some(4711), uid: None };
    request.extensions_mut().insert(Caller { door, crowded: false });
    let response = served.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(format!("{:?}", served.registry.view().checks["service:web"].spec.kind()), "Process { pid: 4711 }");
}

#[tokio::test]
async fn what_is_refused_holds_nothing() {
    let served = Fleet::new(&[]).serve(config());
    for body in ["", "{}", r#"{"name":"web","port":-1}"#, r#"{"name":"web","check":{"tcp":"h:1","interval":"1ms"}}"#] {
        assert_eq!(served.ask("POST", "/v1/hold", &[], body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(served.registry.asked(), [""; 0]);
    served.registry.refuse(Some(RegistryError::Stopping));
    assert_eq!(served.ask("POST", "/v1/hold", &[], WEB).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(served.put("/v1/hold", WEB).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

/// The app on a socket, with a client that holds `web`.
async fn over_a_socket() -> (Served, TcpStream, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let served = Fleet::new(&[]).serve(config());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = served.app.clone();
    let task = tokio::spawn(async move { serve(listener, app, async { drop(stopped.await) }).await });
    let mut client = TcpStream::connect(addr).await.unwrap();
    let head = format!("POST /v1/hold HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{WEB}", WEB.len());
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(BEAT) {
        answer.push(timeout(PATIENCE, client.read_u8()).await.expect("an answer in time").unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    registered(&served, 1).await;
    (served, client, stop, task)
}

#[tokio::test]
async fn a_client_that_goes_takes_its_instance_along() {
    let (served, client, _stop, _task) = over_a_socket().await;
    drop(client);
    registered(&served, 0).await;
}

#[tokio::test]
async fn a_stop_of_the_agent_ends_the_body() {
    let (served, mut client, stop, task) = over_a_socket().await;
    stop.send(()).unwrap();
    let mut rest = String::new();
    timeout(PATIENCE, client.read_to_string(&mut rest)).await.expect("the end in time").unwrap();
    assert_eq!(rest, "0\r\n\r\n");
    timeout(PATIENCE, pin!(task)).await.expect("the loop ends").unwrap();
    registered(&served, 0).await;
}
