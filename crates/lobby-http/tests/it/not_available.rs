//! What Consul has and this version does not: a status that its clients expect, and a word that says so.

use axum::http::StatusCode;

use crate::fixture::{Fleet, config};

#[tokio::test]
async fn what_is_missing_says_so() {
    let served = Fleet::new(&[]).serve(config());
    for (method, path, status, words) in [
        ("GET", "/v1/kv/a/b?recurse", 501, "the key/value store: not available in this version"),
        ("PUT", "/v1/kv/a", 501, "key/value"),
        ("GET", "/v1/kv/", 501, "key/value"),
        ("PUT", "/v1/session/create", 501, "sessions"),
        ("POST", "/v1/query", 501, "prepared queries"),
        ("GET", "/v1/query/x/execute", 501, "prepared queries"),
        ("PUT", "/v1/acl/bootstrap", 401, "ACL support disabled"),
        ("GET", "/v1/acl/token/self", 401, "ACL support disabled"),
        ("PUT", "/v1/agent/token/default", 401, "ACL support disabled"),
        ("GET", "/v1/agent/connect/ca/roots", 500, "mesh"),
        ("GET", "/v1/agent/connect/ca/leaf/web", 500, "mesh"),
        ("POST", "/v1/agent/connect/authorize", 500, "mesh"),
        ("GET", "/v1/operator/raft/configuration", 404, "not available in lobbyd"),
        ("GET", "/v1/snapshot", 404, "snapshots"),
        ("GET", "/v1/config/service-defaults", 404, "configuration"),
        ("GET", "/v1/discovery-chain/web", 404, "chains"),
        ("GET", "/v1/connect/ca/roots", 404, "mesh"),
        ("GET", "/v1/peerings", 404, "peering"),
        ("GET", "/v1/peering/x", 404, "peering"),
        ("GET", "/v1/partitions", 404, "partitions"),
        ("GET", "/v1/exported-services", 404, "exported"),
        ("GET", "/v1/internal/ui/services", 404, "web interface"),
        ("GET", "/v1/unheard/of", 404, "no route"),
    ] {
        let answer = served.ask(method, path, &[], "").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text());
        assert!(answer.text().contains(words), "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "text/plain; charset=UTF-8");
    }
}

#[tokio::test]
async fn the_doors_are_before_them() {
    let served = Fleet::new(&[]).serve(lobby_http::Config { token: Some("t".to_owned()), ..config() });
    for path in ["/v1/kv/a", "/v1/acl/tokens", "/v1/connect/ca/roots"] {
        assert_eq!(served.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}
