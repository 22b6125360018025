//! The client against a listener that gives one canned answer per connection and hands back what it was asked.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use super::*;

/// Answers one request with `head` and `body`; joins to the request's text.
fn answer_once(head: &str, body: &str) -> (Client, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut part = [0; 4096];
        // Requests of these tests end with an empty line, or with the labels that they send.
        while !request.ends_with(b"b:2\n") && (request.starts_with(b"POST") || !request.ends_with(b"\r\n\r\n")) {
            let n = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..n]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (client, thread)
}

#[tokio::test]
async fn an_answer_carries_the_state_of_the_picture() {
    let body = r#"[{"hostname":"a","labels":["b:1"],"last_check":7,"new":{}}]"#;
    let (client, asked) = answer_once("200 OK\r\nX-Lobby-Revision: 42\r\nX-Lobby-Warm: false\r\nX-Lobby-Age: 3", body);
    let answer = client.list(Filter::Labels(&["b:1", "ž & +"])).await.unwrap();
    assert_eq!(answer.value[0].hostname, "a");
    assert_eq!((answer.revision, answer.warm, answer.age), (Some(42), Some(false), Some(Duration::from_secs(3))));
    assert!(asked.join().unwrap().starts_with("GET /?labels=b%3A1%2C%C5%BE+%26+%2B HTTP/1.1\r\n"));
}

#[tokio::test]
async fn names_in_a_path_are_escaped_and_a_base_path_is_kept() {
    let (client, asked) = answer_once("200 OK", r#"[{"Labels":{"rack":"1"},"Targets":["h:9100"]}]"#);
    let client = Client::new(&format!("{}lobby/", client.url())).unwrap();
    assert_eq!(client.prometheus("a/b?").await.unwrap().value[0].targets, ["h:9100"]);
    assert!(asked.join().unwrap().starts_with("GET /lobby/v1/prometheus/a%2Fb%3F HTTP/1.1\r\n"));
}

#[tokio::test]
async fn labels_travel_one_a_line_with_the_token() {
    let (client, asked) = answer_once("200 OK", "OK");
    let labels = ["a:1".parse().unwrap(), "b:2".parse().unwrap()];
    client.with_token("secret").unwrap().add_labels(&labels).await.unwrap();
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("POST /v1/labels "), "{asked}");
    assert!(asked.contains("authorization: Token secret\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\na:1\nb:2\n"), "{asked}");
}

#[tokio::test]
async fn errors_say_what_the_daemon_said() {
    let (client, _) = answer_once("403 Forbidden", r#"{"message": "access denied"}"#);
    assert!(matches!(client.discovery().await, Err(ClientError::Denied { message }) if message == "access denied"));
    let (client, _) = answer_once("503 Service Unavailable", "not warm\n");
    let refused = client.prometheus("x").await;
    assert!(matches!(refused, Err(ClientError::Refused { status: 503, message }) if message == "not warm"));
    let (client, _) = answer_once("200 OK", "<html>");
    assert!(matches!(client.nodes().await, Err(ClientError::Unexpected { .. })));
    let (client, _) = answer_once("302 Found\r\nLocation: http://example.com/", "");
    assert!(matches!(client.nodes().await, Err(ClientError::Refused { status: 302, .. })));
}

#[tokio::test]
async fn nobody_there_is_not_reachable() {
    // Nobody has listened on tcpmux for decades.
    let err = Client::new("http://127.0.0.1:1").unwrap().health().await.unwrap_err();
    assert!(matches!(&err, ClientError::NotReachable { url, .. } if url == "http://127.0.0.1:1/"));
    assert!(err.cause().contains("refused"), "{}", err.cause());
}

#[test]
fn what_is_not_an_address_is_refused() {
    for url in ["", "127.0.0.1:1313", "ftp://h", "http://", "mailto:a"] {
        assert!(matches!(Client::new(url), Err(ClientError::BadUrl { .. })), "{url}");
    }
    assert!(Client::new("http://[::1]:1313").is_ok());
    let client = Client::new("http://h").unwrap();
    assert!(matches!(client.with_token("a\nb"), Err(ClientError::BadToken)));
}
