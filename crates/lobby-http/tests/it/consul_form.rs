//! What all routes in Consul's form have in common: refusals without a line end, headers; and `OPTIONS` of any route.

use axum::http::StatusCode;
use lobby_http::Config;

use crate::fixture::{Fleet, config};

#[tokio::test]
async fn refusals_in_consuls_form_have_no_line_end() {
    let served = Fleet::new(&[]).serve(config());
    for (method, path, status) in [
        ("GET", "/v1/catalog/nodes?dc=dc2", 500),
        ("GET", "/v1/health/service/", 400),
        ("GET", "/v1/coordinate/node/none", 501),
        ("PUT", "/v1/event/fire/", 501),
        ("GET", "/v1/event/list?index=x", 501),
        ("PUT", "/v1/agent/service/register", 400),
        ("PUT", "/v1/agent/service/deregister/none", 404),
        ("GET", "/v1/agent/service/none", 404),
        ("PUT", "/v1/agent/check/pass/none", 404),
        ("GET", "/v1/agent/self?dc=dc2", 500),
        ("GET", "/v1/agent/members?ns=x", 400),
        ("GET", "/v1/status/leader?dc=dc2", 500),
        ("PUT", "/v1/agent/force-leave/none", 501),
        ("PUT", "/v1/catalog/register", 400),
        ("PUT", "/v1/txn", 400),
        ("GET", "/v1/kv/a", 501),
        ("GET", "/v1/acl/tokens", 401),
        ("GET", "/v1/agent/connect/ca/roots", 500),
        ("GET", "/v1/operator/raft/configuration", 404),
        ("DELETE", "/v1/catalog/nodes", 405),
        ("GET", "/v1/agent/service/register", 405),
    ] {
        let answer = served.ask(method, path, &[], "").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text());
        assert!(!answer.text().is_empty() && !answer.text().contains('\n'), "{method} {path}: {:?}", answer.text());
        assert_eq!(answer.header("x-consul-default-acl-policy"), "allow", "{method} {path}");
        let length = answer.header("content-length");
        assert!(length.is_empty() || length == answer.text().len().to_string(), "{method} {path}: {length}");
    }
    let guarded = Fleet::new(&[]).serve(Config { token: Some("t".to_owned()), ..config() });
    assert_eq!(guarded.get("/v1/catalog/nodes").await.text(), r#"{"message": "access denied"}"#);
}

#[tokio::test]
async fn our_own_routes_keep_their_form() {
    let served = Fleet::new(&[]).serve(config());
    for (method, path) in [
        ("GET", "/v1/services/none"),
        ("GET", "/v1/nodes?where=x"),
        ("GET", "/v1/members"),
        ("DELETE", "/v1/agent/info"),
        ("GET", "/v1/why/none"),
        ("GET", "/v1/events?x"),
        ("PUT", "/v1/ask/"),
        ("GET", "/v1/none"),
        ("GET", "/v1/txnx"),
    ] {
        let answer = served.ask(method, path, &[], "").await;
        assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{path}");
        assert!(answer.text().ends_with('\n'), "{method} {path}: {:?}", answer.text());
        assert_eq!(answer.header("x-consul-default-acl-policy"), "", "{method} {path}");
    }
}

#[tokio::test]
async fn good_answers_have_the_headers_that_clients_read() {
    let served = Fleet::new(&[]).node(2, "web", &[]).serve(config());
    for path in ["/v1/agent/self", "/v1/agent/services", "/v1/agent/members", "/v1/status/leader", "/v1/catalog/datacenters"] {
        assert_eq!(served.get(path).await.header("x-consul-default-acl-policy"), "allow", "{path}");
    }
    for (path, consistency) in [
        ("/v1/catalog/nodes", "leader"),
        ("/v1/catalog/nodes?stale", "stale"),
        ("/v1/health/service/web?consistent", "consistent"),
    ] {
        let answer = served.get(path).await;
        let all = ["x-consul-knownleader", "x-consul-lastcontact", "x-consul-effective-consistency"];
        assert_eq!(all.map(|name| answer.header(name)), ["true", "0", consistency], "{path}");
        assert!(answer.header("x-consul-index").parse::<u64>().unwrap() > 0, "{path}");
    }
}

#[tokio::test]
async fn options_tell_the_methods() {
    let served = Fleet::new(&[]).serve(config());
    for (path, wanted) in [
        ("/v1/agent/service/register", &["PUT", "POST"][..]),
        ("/v1/catalog/nodes", &["GET", "HEAD"]),
        ("/v1/services/web/a", &["PUT", "DELETE"]),
        ("/v1/agent/leave", &["PUT"]),
    ] {
        let answer = served.ask("OPTIONS", path, &[], "").await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, ""), "{path}");
        let allowed: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
        assert!(wanted.iter().all(|method| allowed.contains(method)), "{path}: {allowed:?}");
    }
    assert_eq!(served.ask("OPTIONS", "/v1/none", &[], "").await.status, StatusCode::NOT_FOUND);
}
