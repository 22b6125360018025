//! Token, foreign pages, rebound names, operator verbs.

use axum::{
    body::Body,
    http::{Request, StatusCode, Version},
};
use expect_test::expect;
use lobby_http::{Caller, Config, Door};

use crate::fixture::{Fleet, Served, config, from, local};

fn with_token() -> Served {
    Fleet::new(&[]).serve(Config { token: Some("s3cret".to_owned()), ..config() })
}

#[tokio::test]
async fn the_token_covers_everything_but_health() {
    let served = with_token();
    for path in ["/", "/v1/discovery", "/v1/resolve", "/v1/prometheus/x", "/v1/labels", "/v1/nodes", "/metrics", "/none"] {
        let answer = served.get(path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8");
        assert_eq!(answer.text(), "{\"message\": \"access denied\"}\n");
    }
    expect![[r#"
        {
          "ok": true,
          "warm": true
        }
    "#]]
    .assert_eq(served.get("/v1/health").await.text());
    let answer = served.ask("GET", "/v1/health", &[("authorization", "Token s3cret")], "").await;
    assert!(answer.text().contains("exchanges"), "{}", answer.text());
}

#[tokio::test]
async fn forms_of_the_token() {
    let served = with_token();
    for (given, want) in [
        ("Token s3cret", StatusCode::OK),
        ("token  s3cret ", StatusCode::OK),
        ("s3cret", StatusCode::OK),
        ("Token s3cre", StatusCode::FORBIDDEN),
        ("Token s3crets", StatusCode::FORBIDDEN),
        ("Bearer s3cret", StatusCode::OK),
        ("bearer   s3cret  more", StatusCode::OK),
        ("Bearer", StatusCode::FORBIDDEN),
        ("Basic s3cret", StatusCode::FORBIDDEN),
        ("Negotiate s3cret", StatusCode::FORBIDDEN),
        ("Token", StatusCode::FORBIDDEN),
        ("", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(served.ask("GET", "/", &[("authorization", given)], "").await.status, want, "{given:?}");
    }
    let worded = Fleet::new(&[]).serve(Config { token: Some("Token x".to_owned()), ..config() });
    assert_eq!(worded.ask("GET", "/", &[("authorization", "Token x")], "").await.status, StatusCode::OK);
    let empty = Fleet::new(&[]).serve(Config { token: Some(String::new()), ..config() });
    assert_eq!(empty.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_drive_the_api() {
    let served = Fleet::new(&[]).serve(config());
    for method in ["GET", "POST"] {
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("origin", "http://evil.example")],
            &[("origin", "null")],
            &[("origin", "https://127.0.0.1:1313.evil.example")],
            &[("origin", "http://127.0.0.1:80")],
            &[("origin", "http://evil.example"), ("authorization", "Token s3cret")],
        ] {
            let answer = served.ask(method, "/v1/labels", headers, "owned:yes").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {headers:?}");
        }
    }
    assert!(served.told().is_empty());
    for headers in [
        &[("origin", "http://127.0.0.1:1313"), ("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://LOCALHOST"), ("host", "localhost")],
    ] {
        assert_eq!(served.ask("GET", "/", headers, "").await.status, StatusCode::OK, "{headers:?}");
    }
}

const HOSTS: &[(&str, bool)] = &[
    ("127.0.0.1:1313", true),
    ("10.1.2.3", true),
    ("[::1]:1313", true),
    ("[::1]", true),
    ("localhost", true),
    ("LocalHost:1313", true),
    ("localhost.", true),
    ("here.example.com:1313", true),
    ("lobby.internal", true),
    ("evil.example", false),
    ("evil.example:1313", false),
    ("127.0.0.1.evil.example", false),
    ("localhost.evil.example", false),
    ("localhost:1313:x", false),
    ("[evil]", false),
    ("", false),
];

#[tokio::test]
async fn a_rebound_name_does_not_reach_an_agent_over_loopback() {
    let served = Fleet::new(&[]).serve(Config { allowed_hosts: vec!["Lobby.internal".to_owned()], ..config() });
    for (host, good) in HOSTS {
        let answer = served.ask("GET", "/", &[("host", host)], "").await;
        assert_eq!(answer.status == StatusCode::OK, *good, "{host:?}: {}", answer.text());
        let request = || Request::get("/").header("host", *host).body(Body::empty()).unwrap();
        // Also where the listener has every address: the page's browser runs on this machine.
        for peer in ["127.0.0.1:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            let answer = served.send(from(peer, false), request()).await;
            assert_eq!(answer.status == StatusCode::OK, *good, "{host:?} from {peer}: {}", answer.text());
        }
        assert_eq!(
            served.send(from("10.0.0.9:5", false), request()).await.status,
            StatusCode::OK,
            "{host:?} on a public address"
        );
        let unix = Caller { door: Door::Unix { trusted: false, pid: None, uid: None }, crowded: false };
        assert_eq!(served.send(unix, request()).await.status, StatusCode::OK, "{host:?} on the unix socket");
    }
    let answer = served.ask("GET", "/v1/health", &[("host", "evil.example")], "").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    expect![[r#"
        Host "evil.example": expected an IP address, localhost, the node's name, or a name in ALLOWED_HOSTS
    "#]]
    .assert_eq(answer.text());
}

#[tokio::test]
async fn exactly_one_host() {
    let served = Fleet::new(&[]).serve(config());
    let status =
        async |request: axum::http::request::Builder| served.send(local(), request.body(Body::empty()).unwrap()).await.status;
    assert_eq!(status(Request::get("/")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(Request::get("/").version(Version::HTTP_10)).await, StatusCode::OK);
    assert_eq!(status(Request::get("/").header("host", "localhost").header("host", "x")).await, StatusCode::BAD_REQUEST);
    // The absolute form must not smuggle another name past the header, nor the header past it.
    assert_eq!(status(Request::get("http://evil.example/").header("host", "localhost")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(Request::get("http://evil.example/").version(Version::HTTP_10)).await, StatusCode::FORBIDDEN);
    assert_eq!(status(Request::get("http://localhost/").header("host", "localhost")).await, StatusCode::OK);
}

#[tokio::test]
async fn who_may_use_operator_verbs() {
    let trusted = Caller { door: Door::Unix { trusted: true, pid: None, uid: None }, crowded: false };
    let untrusted = Caller { door: Door::Unix { trusted: false, pid: None, uid: None }, crowded: false };
    let mapped = from("[::ffff:127.0.0.1]:5", false);
    let open = Fleet::new(&[]).serve(config());
    let closed = Fleet::new(&[]).serve(Config { operator_loopback: false, ..config() });
    let token = with_token();
    for (served, caller, given, want) in [
        (&open, local(), "", true),
        (&open, mapped, "", true),
        (&open, from("10.0.0.9:5", false), "", false),
        (&open, from("10.0.0.9:5", false), "Token s3cret", false),
        (&open, untrusted, "", false),
        (&open, trusted, "", true),
        (&closed, local(), "", false),
        (&closed, trusted, "", true),
        (&token, local(), "", false),
        (&token, local(), "Token s3cret", true),
        (&token, from("10.0.0.9:5", false), "Token s3cret", true),
        (&token, untrusted, "", false),
        (&token, trusted, "", true),
    ] {
        let request = Request::put("/v1/agent/reload").header("host", "localhost").header("authorization", given);
        let answer = served.send(caller, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status == StatusCode::OK, want, "{caller:?} {given:?}: {}", answer.text());
        assert!(want || answer.status == StatusCode::FORBIDDEN);
    }
    let want = "operator verbs need TOKEN, the unix socket as root or the agent's user, or, without TOKEN, a loopback peer";
    assert_eq!(closed.ask("PUT", "/v1/agent/leave", &[], "").await.text(), want);
    assert_eq!(open.ask("PUT", "/v1/agent/leave", &[], "").await.status, StatusCode::OK);
    assert_eq!(open.told().last().unwrap(), "leave");
}

#[tokio::test]
async fn a_request_from_nowhere_gets_the_fewest_rights() {
    let served = Fleet::new(&[]).serve(config());
    let status = async |host: &str, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("host", host).body(Body::empty()).unwrap();
        tower::ServiceExt::oneshot(served.router.clone(), request).await.unwrap().status()
    };
    assert_eq!(status("localhost", "GET", "/").await, StatusCode::OK);
    assert_eq!(status("evil.example", "GET", "/").await, StatusCode::FORBIDDEN);
    assert_eq!(status("localhost", "PUT", "/v1/agent/leave").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn while_crowded_only_health_and_metrics_are_answered() {
    let served = Fleet::new(&[]).serve(config());
    let crowded = Caller { crowded: true, ..local() };
    let request = |path| Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
    let answer = served.send(crowded, request("/")).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!((answer.header("retry-after"), answer.header("connection")), ("1", "close"));
    assert_eq!(served.send(crowded, request("/v1/health")).await.status, StatusCode::OK);
    assert_eq!(served.send(crowded, request("/metrics")).await.status, StatusCode::OK);
}
