//! GET of any route: what goes out, and that every answer comes back as it is.

use std::time::Duration;

use super::{super::Raw, *};

#[tokio::test]
async fn an_answer_of_any_status_is_told_with_its_headers() {
    let (client, asked) = answer_once("404 Not Found\r\nX-Consul-Index: 42\r\nX-Lobby-Warm: false", "gone");
    let client = Client::new(&format!("{}base/", client.url())).unwrap();
    let raw = client.get_raw("/v1/kv/a%2Fb?recurse&index=7&wait=60000ms", Duration::from_secs(60), 4).await.unwrap();
    assert_eq!(raw, Raw { status: 404, index: Some(42), warm: Some(false), last_contact: None, body: b"gone".to_vec() });
    assert!(asked.join().unwrap().starts_with("GET /base/v1/kv/a%2Fb?recurse&index=7&wait=60000ms HTTP/1.1\r\n"));
}

#[tokio::test]
async fn what_an_agent_does_not_say_is_not_there() {
    let (client, asked) = answer_once("200 OK\r\nX-Consul-Index: many", "");
    let raw = client.get_raw("/v1/agent/self", Duration::ZERO, 0).await.unwrap();
    assert_eq!(raw, Raw { status: 200, index: None, warm: None, last_contact: None, body: Vec::new() });
    assert!(!asked.join().unwrap().to_lowercase().contains("token"));
}

#[tokio::test]
async fn the_token_goes_out_for_lobbyd_and_for_consul() {
    let (client, asked) = answer_once("200 OK", "[]");
    client.with_token("secret").unwrap().get_raw("/v1/x", Duration::ZERO, 2).await.unwrap();
    let asked = asked.join().unwrap();
    assert!(asked.contains("authorization: Token secret\r\n") && asked.contains("x-consul-token: secret\r\n"), "{asked}");
}

#[tokio::test]
async fn another_authorization_leaves_the_token_its_form_of_consul() {
    let (client, asked) = answer_once("200 OK", "[]");
    let client = client.with_token("secret").unwrap().with_authorization("Basic dTpw").unwrap();
    assert!(!format!("{client:?}").contains("dTpw"), "{client:?}");
    client.get_raw("/v1/x", Duration::ZERO, 2).await.unwrap();
    let asked = asked.join().unwrap();
    assert!(asked.contains("authorization: Basic dTpw\r\n") && asked.contains("x-consul-token: secret\r\n"), "{asked}");
    assert!(!asked.contains("Token secret"), "{asked}");
    assert!(matches!(Client::new("http://h").unwrap().with_authorization("\n"), Err(ClientError::BadToken)));
}

#[tokio::test]
async fn a_body_is_read_up_to_its_bound() {
    let (client, _) = answer_once("200 OK", "12345");
    let answer = client.get_raw("/v1/x", Duration::ZERO, 4).await;
    assert!(matches!(answer, Err(ClientError::Unexpected { why, .. }) if why == "more than 4 bytes"));
}

#[tokio::test]
async fn no_path_leads_elsewhere() {
    let client = Client::new("http://127.0.0.1:1/base").unwrap();
    for path in ["", "v1/x", "@example.com/", "/v1/../x", "/v1/%2e%2E/x", "/a b", "/v1/x#part\n"] {
        let answer = client.get_raw(path, Duration::ZERO, 1).await;
        assert!(matches!(answer, Err(ClientError::BadUrl { .. })), "{path}");
    }
    assert!(matches!(client.get_raw("/v1/x", Duration::ZERO, 1).await, Err(ClientError::NotReachable { .. })));
}
