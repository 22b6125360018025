//! Calls to a real gRPC server, and to servers that are none or mean no good.

use std::{future::Future, net::SocketAddr};

use h2::server::SendResponse;
use lobby_core::check::kind::Kind;
use lobby_testkit::tls::Ca;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::probe::tests::{SOON, check, check_within, grpc_server::GrpcServer, text};

fn kind(target: impl ToString, tls: Option<Tls>) -> Kind {
    Kind::Grpc { target: target.to_string(), tls }
}

fn any_certificate() -> Option<Tls> {
    Some(Tls { server_name: None, skip_verify: true })
}

#[tokio::test]
async fn a_real_server_tells_each_state() {
    let server = GrpcServer::start(None);
    let cases = [
        ("", Status::Passing, "SERVING"),
        ("/", Status::Passing, "SERVING"),
        ("/up.Service", Status::Passing, "SERVING"),
        ("/down", Status::Critical, "NOT_SERVING"),
        ("/new", Status::Critical, "UNKNOWN"),
        ("/nothing", Status::Critical, "NOT_FOUND"),
    ];
    for (service, status, told) in cases {
        let target = format!("{}{service}", server.address);
        let verdict = check(&kind(&target, None)).await;
        assert_eq!((verdict.status, text(&verdict)), (status, format!("gRPC check {target}: {told}")));
    }
}

#[tokio::test]
async fn a_real_server_with_tls() {
    let ca = Ca::new();
    let server = GrpcServer::start(Some(&ca));
    let verdict = check(&kind(format!("{}/up.Service", server.address), any_certificate())).await;
    assert_eq!(verdict.status, Status::Passing, "{verdict:?}");
    let named = Tls { server_name: Some("check.test".into()), skip_verify: true };
    assert_eq!(check(&kind(&server.address, Some(named))).await.status, Status::Passing);
    let verdict = check(&kind(&server.address, Some(Tls::default()))).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).contains("TLS: ") && !text(&verdict).contains("within"), "{verdict:?}");
    let verdict = check_within(&kind(&server.address, None), Duration::from_secs(1), 4096).await;
    assert_eq!(verdict.status, Status::Critical, "plain to a server that wants TLS");
}

/// Checks a server that does this with the first connection, and goes on with it until that is closed.
async fn check_server<F: Future<Output = ()>>(serve: impl FnOnce(TcpStream) -> F, timeout: Duration) -> Verdict {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let server = async { serve(listener.accept().await.unwrap().0).await };
    let kind = kind(address, None);
    let both = async { tokio::join!(server, check_within(&kind, timeout, 4096)).1 };
    tokio::time::timeout(SOON, both).await.expect("the check ends, and with it the connection")
}

/// Checks a server that answers with this.
async fn check_answer(answer: impl FnOnce(SendResponse<Bytes>)) -> Verdict {
    let serve = |stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_request, respond) = connection.accept().await.unwrap().unwrap();
        answer(respond);
        while connection.accept().await.is_some() {}
    };
    check_server(serve, SOON).await
}

fn grpc_head() -> http::response::Builder {
    Response::builder().header(CONTENT_TYPE, "application/grpc+proto")
}

fn trailers(code: &str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())])
}

/// A message at all: serving.
const SERVING: Bytes = Bytes::from_static(b"\0\0\0\0\x02\x08\x01");

#[tokio::test]
async fn only_a_whole_answer_with_a_good_end_is_passing() {
    let cases = [
        (SERVING, Some("0"), ""),
        (SERVING, None, "no grpc-status"),
        (SERVING, Some("13"), ": INTERNAL"),
        (SERVING, Some("99"), ": 99"),
        (SERVING, Some("x"), ": x"),
        (SERVING.slice(..6), Some("0"), "one whole message"),
        (Bytes::new(), Some("0"), "one whole message"),
        (Bytes::from_static(b"\0\0\0\0\x02\xff\xff"), Some("0"), "not a message"),
    ];
    for (message, code, why) in cases {
        let verdict = check_answer(|mut respond| {
            let mut body = respond.send_response(grpc_head().body(()).unwrap(), false).unwrap();
            body.send_data(message, code.is_none()).unwrap();
            if let Some(code) = code {
                body.send_trailers(trailers(code)).unwrap();
            }
        })
        .await;
        let status = if why.is_empty() { Status::Passing } else { Status::Critical };
        assert_eq!(verdict.status, status, "{verdict:?}");
        assert!(text(&verdict).contains(why), "{why}: {verdict:?}");
    }
}

#[tokio::test]
async fn what_is_no_grpc_server_says_what_it_is() {
    let cases = [
        (Response::builder().status(404), "404 Not Found"),
        (Response::builder(), "no gRPC server"),
        (Response::builder().header(CONTENT_TYPE, "text/html"), "no gRPC server"),
        (grpc_head(), "no grpc-status"),
        (
            grpc_head().header("grpc-status", "14").header("grpc-message", "a\tb\u{7f}".trim_end_matches('\u{7f}')),
            "UNAVAILABLE: a\\tb",
        ),
    ];
    for (head, why) in cases {
        let verdict = check_answer(|mut respond| drop(respond.send_response(head.body(()).unwrap(), true).unwrap())).await;
        assert_eq!(verdict.status, Status::Critical);
        assert!(text(&verdict).contains(why), "{why}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_long_message_of_an_error_is_cut() {
    let long = "x".repeat(10_000);
    let head = grpc_head().header("grpc-status", "2").header("grpc-message", &long);
    let verdict = check_answer(|mut respond| drop(respond.send_response(head.body(()).unwrap(), true).unwrap())).await;
    let text = text(&verdict);
    assert!(text.contains("UNKNOWN: xxx") && text.len() < 300, "{text}");
}

#[tokio::test]
async fn too_much_is_refused() {
    let verdict = check_answer(|mut respond| {
        let mut body = respond.send_response(grpc_head().body(()).unwrap(), false).unwrap();
        body.send_data(vec![0; ANSWER_BYTES + 1].into(), false).unwrap();
    })
    .await;
    assert!(text(&verdict).ends_with("the answer has more than 4096 bytes"), "{verdict:?}");
    let verdict = check_answer(|mut respond| {
        let head = grpc_head().header("x", "y".repeat(20_000));
        respond.send_response(head.body(()).unwrap(), false).unwrap();
    })
    .await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(!text(&verdict).contains("within"), "{verdict:?}");
}

/// Waits for the question, says `start`, and then `more` until the other side hangs up.
async fn never_stop(mut stream: TcpStream, start: &[u8], more: &[u8]) {
    // What comes before the question is shorter than this.
    stream.read_exact(&mut [0; 100]).await.unwrap();
    let _ = stream.write_all(start).await;
    while stream.write_all(more).await.is_ok() {}
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test]
async fn whoever_never_stops_is_cut_off_before_the_deadline() {
    let settings = frame(4, 0, 0, b"");
    let headers = [&settings[..], &frame(1, 0, 1, b"\x88")].concat();
    let cases = [
        ("garbage", vec![], b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("zeros", vec![], vec![0; 1000]),
        ("settings", settings.clone(), frame(4, 0, 0, b"")),
        ("pings", settings.clone(), frame(6, 0, 0, &[1; 8])),
        ("unknown frames", settings.clone(), frame(0x77, 0, 0, &[1; 1000])),
        ("window updates", settings.clone(), frame(8, 0, 0, &[0, 0, 0, 1])),
        ("continuations", headers.clone(), frame(9, 0, 1, b"\0\x01a\x01b")),
        ("empty data", [&settings[..], &frame(1, 4, 1, b"\x88")].concat(), frame(0, 0, 1, b"")),
        ("resets", settings.clone(), frame(3, 0, 1, &[0; 4])),
    ];
    for (what, start, more) in cases {
        let verdict = check_server(|stream| async move { never_stop(stream, &start, &more).await }, SOON * 2).await;
        assert_eq!(verdict.status, Status::Critical, "{what}");
        let text = text(&verdict);
        assert!(!text.contains("within") && text.len() < 400, "{what}: {text}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_a_hang_up_at_once() {
    let listen_only = |mut stream: TcpStream| async move { while stream.read(&mut [0; 100]).await.is_ok_and(|n| n > 0) {} };
    let verdict = check_server(listen_only, Duration::from_millis(500)).await;
    assert!(text(&verdict).ends_with(": no answer within 500ms"), "{verdict:?}");
    let verdict = check_server(|stream| async move { drop(stream) }, SOON * 2).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(!text(&verdict).contains("within"), "{verdict:?}");
}

#[tokio::test]
async fn what_no_call_can_be_made_of_is_critical() {
    for target in ["", ":", "[::1", "a b:1", "nothing.invalid:1/x"] {
        assert_eq!(check(&kind(target, None)).await.status, Status::Critical, "{target}");
    }
}
