//! The client against a listener that gives one canned answer per connection and hands back what it was asked.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use super::*;

mod raw;
mod services;

/// Answers one request with `head` and `body`; joins to the request's text.
fn answer_once(head: &str, body: &str) -> (Client, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 4096]);
        while !is_whole(&request) {
            let n = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..n]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (client, thread)
}

/// Whether the head and as much of a body as it promises are there.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ").map(|text| text.parse().unwrap()));
    request.len() >= end + 4 + length.unwrap_or(0)
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

#[tokio::test]
async fn news_of_a_query_come_before_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (seen, go_on) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 4096];
        let n = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"type\":\"asked\",\"name\":\"x\",").unwrap();
        stream.write_all(b"\"asked\":2}\n").unwrap();
        go_on.recv().unwrap();
        stream.write_all(b"{\"type\":\"answer\",\"id\":\"1\",\"base64\":\"/w==\"}\n{\"type\":\"end\",\"answers\":1,").unwrap();
        stream.write_all(b"\"end\":\"complete\",\"acks\":0}\nmore").unwrap();
        String::from_utf8_lossy(&request[..n]).into_owned()
    });
    let mut asking = client.ask(&Query { timeout: Duration::from_millis(70), ..Query::new("a b", b"") }).await.unwrap();
    assert_eq!(asking.next().await.unwrap(), Some(News::Asked { name: "x".into(), asked: 2 }));
    seen.send(()).unwrap();
    let answer = News::Answer { id: "1".into(), name: None, text: None, payload: vec![0xff] };
    assert_eq!(asking.next().await.unwrap(), Some(answer));
    assert!(matches!(asking.next().await.unwrap(), Some(News::End { answers: 1, .. })));
    assert_eq!(asking.next().await.unwrap(), None);
    let asked = thread.join().unwrap();
    assert!(asked.starts_with("PUT /v1/ask/a%20b?timeout=70ms&ack=true&relay=0&stream=true HTTP/1.1\r\n"), "{asked}");
}

#[tokio::test]
async fn news_that_break_off_or_have_no_end_are_errors() {
    let (client, _) = answer_once("200 OK", "{\"type\":\"ack\",\"id\":\"1\"}\n{\"type\":");
    let mut asking = client.ask(&Query::new("x", b"")).await.unwrap();
    assert!(matches!(asking.next().await, Ok(Some(News::Ack { .. }))));
    assert!(matches!(asking.next().await, Err(ClientError::NotReachable { .. })));
    let (client, _) = answer_once("200 OK", &"x".repeat((1 << 20) + (1 << 19)));
    let mut asking = client.ask(&Query::new("x", b"")).await.unwrap();
    let endless = asking.next().await;
    assert!(matches!(&endless, Err(ClientError::Unexpected { why, .. }) if why.contains("1048576")), "{endless:?}");
    let (client, _) = answer_once("200 OK", "<html>\n");
    assert!(matches!(client.ask(&Query::new("x", b"")).await.unwrap().next().await, Err(ClientError::Unexpected { .. })));
}

#[tokio::test]
async fn what_gossip_shows_is_read_though_fields_are_missing_or_new() {
    let (client, asked) = answer_once("200 OK", r#"[{"id":"1","name":null,"rtt_ms":0.5,"new":1},{}]"#);
    let members = client.members().await.unwrap().value;
    assert_eq!((members[0].rtt_ms, &members[1]), (Some(0.5), &Member::default()));
    assert!(asked.join().unwrap().starts_with("GET /v1/members "));
    let (client, _) = answer_once("200 OK", r#"{"agent":{"name":"a"},"gossip":null,"events":null}"#);
    assert_eq!(client.info().await.unwrap().value.gossip, None);
    let (client, _) = answer_once("200 OK", "[]");
    assert!(matches!(client.coordinate("x").await, Err(ClientError::Unexpected { .. })));
    let (client, asked) = answer_once("200 OK", r#"{"done":[],"refused":[{"id":"1","name":"a","why":"full"}]}"#);
    let outcome = client.use_key("fp").await.unwrap();
    assert_eq!((outcome.refused[0].node.name.as_deref(), &*outcome.refused[0].why), (Some("a"), "full"));
    assert!(asked.join().unwrap().starts_with("PUT /v1/keys/use "));
}

#[tokio::test]
async fn an_event_is_as_consul_shows_it() {
    let body = r#"{"ID":"b8b1f0de","Name":"deploy","Payload":"aGk=","NodeFilter":"","ServiceFilter":"","TagFilter":"","Version":1,"LTime":7}"#;
    let (client, asked) = answer_once("200 OK", body);
    let audience = Audience { tag: Some("a&b".into()), labels: vec!["x".into(), "y".into()], ..Audience::default() };
    let event = client.fire("deploy", b"", &audience).await.unwrap();
    assert_eq!((event.payload.as_slice(), event.ltime), (&b"hi"[..], 7));
    assert_eq!(serde_json::to_string(&event).unwrap(), body);
    assert!(asked.join().unwrap().starts_with("PUT /v1/event/fire/deploy?tag=a%26b&label=x&label=y HTTP"));
    let (client, _) = answer_once("200 OK", r#"[{"ID":"1","Payload":null},{"ID":"2","Payload":"!"}]"#);
    assert!(matches!(client.events(None).await, Err(ClientError::Unexpected { .. })));
}
