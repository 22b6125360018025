//! Real connections to servers that behave, and to some that do not.

use std::net::SocketAddr;

use lobby_core::check::kind::Kind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;
use crate::probe::tests::{SOON, check, check_within, text};

mod tls;

/// Long enough for a busy machine to get to the point where time runs out.
const SHORT: Duration = Duration::from_secs(1);

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads a whole request.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return String::from_utf8(request).unwrap();
            }
        }
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "{text}");
    }
}

/// Answers one request, and tells what it was.
async fn answer(listener: TcpListener, answer: String) -> String {
    let (mut stream, _) = tokio::time::timeout(SOON, listener.accept()).await.expect("a client comes").unwrap();
    let request = read_request(&mut stream).await;
    stream.write_all(answer.as_bytes()).await.unwrap();
    request
}

fn http(address: impl std::fmt::Display) -> Http {
    Http { url: format!("http://{address}/"), ..Http::default() }
}

async fn check_answer(answered: &str) -> Verdict {
    let (listener, address) = listen().await;
    let kind = Kind::Http(http(address));
    tokio::join!(answer(listener, answered.to_owned()), check(&kind)).1
}

#[tokio::test]
async fn the_status_of_the_answer_is_the_result() {
    let cases = [
        ("200 OK", Status::Passing),
        ("204 No Content", Status::Passing),
        ("299 Mine", Status::Passing),
        ("300 Multiple Choices", Status::Critical),
        ("302 Found", Status::Critical),
        ("404 Not Found", Status::Critical),
        ("428 Precondition Required", Status::Critical),
        ("429 Too Many Requests", Status::Warning),
        ("430 Mine", Status::Critical),
        ("500 Internal Server Error", Status::Critical),
        ("999 Mine", Status::Critical),
    ];
    for (line, status) in cases {
        let verdict = check_answer(&format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(verdict.status, status, "{line}");
        assert!(text(&verdict).contains(&line[..3]), "{verdict:?}");
    }
    for bad in
        ["", "nonsense\r\n\r\n", "HTTP/1.1 200", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
    {
        assert_eq!(check_answer(bad).await.status, Status::Critical, "{bad:?}");
    }
}

#[tokio::test]
async fn the_output_is_the_status_line_and_the_body() {
    let (listener, address) = listen().await;
    let kind = Kind::Http(Http { url: format!("http://user:secret@{address}/up"), ..Http::default() });
    let answered = "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nhello".to_owned();
    let (request, verdict) = tokio::join!(answer(listener, answered), check(&kind));
    assert_eq!(text(&verdict), format!("HTTP GET http://{address}/up: 503 Service Unavailable Output: hello"));
    assert!(request.contains("uthorization: Basic dXNlcjpzZWNyZXQ="), "used, but not shown: {request}");
}

#[tokio::test]
async fn the_request_is_what_was_asked_for() {
    let (listener, address) = listen().await;
    let headers =
        [("Host", "web.example"), ("X-Two", "1"), ("X-Two", "2"), ("Content-Length", "999"), ("Connection", "keep-alive")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let asked = Http { method: "PUT".into(), headers: headers.into(), body: "ping".into(), ..http(address) };
    let kind = Kind::Http(asked);
    let answered = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned();
    let (request, verdict) = tokio::join!(answer(listener, answered), check(&kind));
    assert_eq!(verdict.status, Status::Passing);
    assert!(request.starts_with("PUT / HTTP/1.1\r\n") && request.ends_with("\r\n\r\nping"), "{request}");
    let mut lines: Vec<String> = request.lines().skip(1).take_while(|line| !line.is_empty()).map(str::to_lowercase).collect();
    lines.sort();
    let expected = [
        "accept: text/plain, text/*, */*",
        "connection: close",
        "content-length: 4",
        "host: web.example",
        "user-agent: consul health check",
        "x-two: 1",
        "x-two: 2",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn redirects_are_followed_unless_that_is_disabled() {
    for (disable_redirects, status) in [(false, Status::Passing), (true, Status::Critical)] {
        let ((first, address), (second, target)) = (listen().await, listen().await);
        let kind = Kind::Http(Http { disable_redirects, ..http(address) });
        let moved = format!("HTTP/1.1 302 Found\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n");
        let there: JoinHandle<String> = tokio::spawn(answer(second, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()));
        let (_, verdict) = tokio::join!(answer(first, moved), check(&kind));
        assert_eq!(verdict.status, status);
        assert_eq!(there.is_finished(), !disable_redirects);
        there.abort();
    }
}

/// Sends a check of its own host, user and body to a redirect; what comes to the second server, in small letters.
async fn redirected(code: u16, is_elsewhere: bool) -> String {
    let ((first, address), (second, target)) = (listen().await, listen().await);
    let headers = [("Host", "web.example"), ("Authorization", "Basic x"), ("Cookie", "y"), ("X-Mine", "z")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let kind = Kind::Http(Http { method: "POST".into(), headers: headers.into(), body: "ping".into(), ..http(address) });
    let location = if is_elsewhere { format!("http://{target}/there") } else { "there".to_owned() };
    let moved = format!("HTTP/1.1 {code} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let servers = async {
        let (mut stream, _) = first.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(moved.as_bytes()).await.unwrap();
        answer(if is_elsewhere { second } else { first }, ok.to_owned()).await
    };
    let both = async { tokio::join!(servers, check(&kind)) };
    let (request, verdict) = tokio::time::timeout(SOON, both).await.expect("the redirect is followed");
    assert_eq!(verdict.status, Status::Passing, "{verdict:?}");
    request.to_lowercase().replace(&target.to_string(), "target")
}

#[tokio::test]
async fn what_is_for_one_host_stays_there() {
    for code in [301, 302, 303, 307, 308] {
        for is_elsewhere in [false, true] {
            let request = redirected(code, is_elsewhere).await;
            let start = if code < 307 { "get /there " } else { "post /there " };
            assert!(request.starts_with(start) && request.contains("\r\nx-mine: z\r\n"), "{code}: {request}");
            assert_eq!(request.ends_with("\r\n\r\nping"), code >= 307, "{request}");
            for private in ["\r\nauthorization: ", "\r\ncookie: ", "\r\nhost: web.example\r\n"] {
                assert_eq!(request.contains(private), !is_elsewhere, "{code}: {request}");
            }
            assert_eq!(request.contains("\r\nhost: target\r\n"), is_elsewhere, "{code}: {request}");
        }
    }
}

#[tokio::test]
async fn a_redirect_to_what_is_no_http_is_critical() {
    let long = format!("mailto:{}", "x".repeat(100_000));
    for location in ["file:///etc/passwd", "http://[", "\u{1f600}", &long] {
        let verdict = check_answer(&format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(verdict.status, Status::Critical);
        let said = verdict.output().tail;
        assert!(said.contains("redirected to") && said.len() < 1000, "{said}");
    }
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let (listener, address) = listen().await;
    let circle = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            let moved = format!("HTTP/1.1 302 Found\r\nLocation: http://{address}/\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(moved.as_bytes()).await.unwrap();
        }
    };
    let kind = Kind::Http(http(address));
    tokio::select! {
        () = circle => {}
        verdict = check(&kind) => {
            assert_eq!(verdict.status, Status::Critical);
            assert!(text(&verdict).ends_with("more than 10 redirects"), "{verdict:?}");
        }
    }
}

#[tokio::test]
async fn nobody_there_or_nothing_said_is_critical_in_time() {
    let (listener, address) = listen().await;
    let kind = Kind::Http(http(address));
    // The system takes the connection; nobody reads from it.
    let verdict = check_within(&kind, SHORT, 4096).await;
    assert_eq!(verdict.status, Status::Critical);
    assert_eq!(text(&verdict), format!("HTTP GET http://{address}/: no answer within 1s"));
    drop(listener);
    let verdict = check(&kind).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).contains("refused"), "{verdict:?}");
}

/// Says `start` and then `more` until the other side hangs up. How many bytes it could say.
async fn never_stop(listener: TcpListener, start: &str, more: &[u8]) -> usize {
    let (mut stream, _) = listener.accept().await.unwrap();
    read_request(&mut stream).await;
    stream.write_all(start.as_bytes()).await.unwrap();
    let mut n_bytes = start.len();
    while stream.write_all(more).await.is_ok() {
        n_bytes += more.len();
    }
    n_bytes
}

#[tokio::test]
async fn an_endless_body_is_left_and_its_sender_cut_off() {
    let (listener, address) = listen().await;
    let kind = Kind::Http(http(address));
    let server = never_stop(listener, "HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 10_000]);
    let both = async { tokio::join!(server, check_within(&kind, SOON, 1000)) };
    let (n_bytes, verdict) = tokio::time::timeout(SOON, both).await.expect("the server is cut off");
    assert!(n_bytes < 64 << 20, "{n_bytes}: not more than we read and the system buffers");
    assert_eq!(verdict.status, Status::Passing);
    let text = verdict.output().tail;
    assert!(text.len() <= 1000, "{}", text.len());
    assert!(text.contains(": 200 OK (body not read to its end: it has more than 1048576 bytes) Output: [last "), "{text}");
    assert!(text.contains(" of 1048576 bytes]\nxxx"), "{text}");
}

#[tokio::test]
async fn a_body_that_stalls_is_left_at_the_deadline() {
    let (listener, address) = listen().await;
    let kind = Kind::Http(http(address));
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 500 Oh\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
        stream.read(&mut [0]).await.unwrap_or_default()
    };
    let both = async { tokio::join!(server, check_within(&kind, SHORT, 4096)) };
    let (read, verdict) = tokio::time::timeout(SOON, both).await.expect("the connection is closed");
    assert_eq!((read, verdict.status), (0, Status::Critical));
    let text = text(&verdict);
    assert!(text.ends_with(": 500 Internal Server Error (body not read to its end: no answer within 1s) Output: half"), "{text}");
}

#[tokio::test]
async fn an_endless_head_is_refused() {
    for (start, more) in [("HTTP/1.1 200 OK\r\n", &b"x: y\r\n"[..]), ("HTTP/1.1 200 OK\r\nx: ", &[b'y'; 1000])] {
        let (listener, address) = listen().await;
        let kind = Kind::Http(http(address));
        let both = async { tokio::join!(never_stop(listener, start, more), check(&kind)) };
        let (n_bytes, verdict) = tokio::time::timeout(SOON, both).await.expect("the server is cut off");
        assert_eq!(verdict.status, Status::Critical);
        assert!(n_bytes < 64 << 20, "{n_bytes}");
    }
}

#[tokio::test]
async fn a_dropped_run_hangs_up() {
    let (listener, address) = listen().await;
    let kind = Kind::Http(http(address));
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream
    };
    let mut stream = tokio::select! {
        verdict = check(&kind) => panic!("{verdict:?}"),
        stream = server => stream,
    };
    let read = tokio::time::timeout(SOON, stream.read(&mut [0])).await.expect("the connection is closed");
    assert_eq!(read.unwrap_or_default(), 0);
}

#[tokio::test]
async fn the_status_line_survives_a_long_body_and_the_body_a_long_url() {
    let long = "x".repeat(5000);
    let answered = format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{long}");
    let verdict = check_answer(&answered).await;
    let told = text(&verdict);
    assert!(told.starts_with("HTTP GET http://") && told.contains(" of 5000 bytes]\nxxx") && told.len() <= 4096, "{told}");

    let (listener, address) = listen().await;
    let kind = Kind::Http(Http { url: format!("http://{address}/{long}"), ..Http::default() });
    let answered = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody".to_owned();
    let (_, verdict) = tokio::join!(answer(listener, answered), check(&kind));
    assert!(text(&verdict).ends_with(": 200 OK Output: body"));
}

#[tokio::test]
async fn what_no_request_can_be_made_of_is_critical() {
    for (url, header) in [("http://[", ("A", "b")), ("ftp://127.0.0.1/", ("A", "b")), ("http://127.0.0.1:1/", ("A b", "c"))] {
        let headers = vec![(header.0.to_owned(), header.1.to_owned())];
        let verdict = check(&Kind::Http(Http { url: url.into(), headers, ..Http::default() })).await;
        assert_eq!(verdict.status, Status::Critical, "{url}");
        assert!(!text(&verdict).contains("refused"), "{verdict:?}");
    }
}
