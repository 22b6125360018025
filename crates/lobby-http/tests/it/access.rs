//! Tokens through the router: each form and its rank, what named tokens may do, reading their file again.

use std::{fs, path::PathBuf};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use expect_test::expect;
use lobby_http::{Access, Caller, Config, Door};
use tempfile::TempDir;

use crate::fixture::{Answer, Fleet, Served, config, from, local};

const TOKENS: &str = r#"
[[token]]
name = "reader"
secret = "reader-s3cret"

[[token]]
name = "deploy"
secret = "deploy-s3cret"
read = false
write = ["web-*"]

[[token]]
name = "labels"
secret = "labels-s3cret"
read = false
write = ["*"]

[[token]]
name = "admin"
secret_sha256 = "16175223c8ddce5ace0493c948569c211b03c4c6bb3d3e484434999448cffe01"
operator = true
"#;

/// Its digest is the last one above.
const ADMIN: &str = "admin-secret";

struct Guarded {
    served: Served,
    access: Access,
    path: PathBuf,
    _folder: TempDir,
}

fn guarded(token: Option<&str>, text: &str) -> Guarded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    fs::write(&path, text).unwrap();
    let access = Access::read(Some(path.clone()), None).unwrap();
    let config = Config { token: token.map(str::to_owned), access: access.clone(), ..config() };
    Guarded { served: Fleet::new(&[]).serve(config), access, path, _folder: folder }
}

fn with_token() -> Served {
    Fleet::new(&[]).serve(Config { token: Some("s3cret".to_owned()), ..config() })
}

impl Guarded {
    async fn ask(&self, method: &str, path: &str, token: &str) -> Answer {
        self.served.ask(method, path, &[("x-consul-token", token)], "a:b").await
    }

    async fn status(&self, method: &str, path: &str, token: &str) -> u16 {
        self.ask(method, path, token).await.status.as_u16()
    }
}

#[tokio::test]
async fn the_query_beats_the_consul_header_beats_authorization() {
    let served = with_token();
    for (path, headers, want) in [
        ("/?token=s3cret", &[][..], true),
        ("/?token=s3cre%74", &[], true),
        ("/?labels=&token=s3cret", &[], true),
        ("/?token=wrong", &[], false),
        ("/?Token=s3cret", &[], false),
        ("/", &[("x-consul-token", "s3cret")], true),
        ("/", &[("X-Consul-Token", " s3cret ")], true),
        ("/", &[("x-consul-token", "wrong")], false),
        ("/", &[("x-consul-token", "Bearer s3cret")], false),
        ("/", &[("authorization", "Bearer s3cret")], true),
        // The first one that is there counts, right or wrong.
        ("/?token=wrong", &[("x-consul-token", "s3cret"), ("authorization", "Token s3cret")], false),
        ("/?token=s3cret", &[("x-consul-token", "wrong"), ("authorization", "Token wrong")], true),
        ("/", &[("x-consul-token", "wrong"), ("authorization", "Token s3cret")], false),
        ("/", &[("x-consul-token", "s3cret"), ("authorization", "Bearer wrong")], true),
        // An empty one is not there, and a password is not a token.
        ("/?token=", &[("x-consul-token", ""), ("authorization", "s3cret")], true),
        ("/", &[("authorization", "Basic dXNlcjpzM2NyZXQ=")], false),
        ("/?token=s3cret", &[("authorization", "Basic dXNlcjpwYXNz")], true),
        ("/?token=%zz", &[], false),
    ] {
        let answer = served.ask("GET", path, headers, "").await;
        assert_eq!(answer.status == StatusCode::OK, want, "{path} {headers:?}: {}", answer.text());
        assert!(want || answer.status == StatusCode::FORBIDDEN, "{path} {headers:?}");
    }
    let basic = Fleet::new(&[]).serve(Config { token: Some("Basic abc".to_owned()), ..config() });
    assert_eq!(basic.ask("GET", "/", &[("authorization", "Basic abc")], "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn where_none_is_set_any_token_is_ignored() {
    let served = Fleet::new(&[]).serve(config());
    for (path, headers) in [
        ("/?token=root", &[][..]),
        ("/", &[("x-consul-token", "root")]),
        ("/", &[("authorization", "Bearer root")]),
        ("/", &[("authorization", "Basic cm9vdDpyb290")]),
    ] {
        assert_eq!(served.ask("GET", path, headers, "").await.status, StatusCode::OK, "{path} {headers:?}");
    }
    assert_eq!(served.ask("POST", "/v1/labels?token=root", &[], "a:b").await.status, StatusCode::OK);
    assert_eq!(served.ask("PUT", "/v1/agent/reload?token=root", &[], "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_file_of_tokens_closes_the_api_for_everybody_else() {
    let empty = guarded(None, "");
    for (method, path) in
        [("GET", "/"), ("GET", "/metrics"), ("POST", "/v1/labels"), ("PUT", "/v1/agent/reload"), ("GET", "/none")]
    {
        assert_eq!(empty.status(method, path, "x").await, 403, "{method} {path}");
        assert_eq!(empty.status(method, path, "").await, 403, "{method} {path}");
    }
    expect![[r#"
        {
          "ok": true,
          "warm": true
        }
    "#]]
    .assert_eq(empty.served.get("/v1/health").await.text());
    assert!(empty.served.told().is_empty());
}

#[tokio::test]
async fn each_named_token_may_do_what_its_rules_say() {
    let guarded = guarded(None, TOKENS);
    // Reading, labels, an operator verb, a route that is not there, by a write.
    for (token, want) in [
        ("reader-s3cret", [200, 403, 403, 403]),
        ("deploy-s3cret", [403, 403, 403, 404]),
        ("labels-s3cret", [403, 200, 403, 404]),
        (ADMIN, [200, 200, 200, 403]),
        ("nobody", [403, 403, 403, 403]),
    ] {
        let got = [
            guarded.status("GET", "/v1/nodes", token).await,
            guarded.status("POST", "/v1/labels", token).await,
            guarded.status("PUT", "/v1/agent/reload", token).await,
            guarded.status("PUT", "/none", token).await,
        ];
        assert_eq!(got, want, "{token}");
    }
    assert_eq!(guarded.status("HEAD", "/", "reader-s3cret").await, 200);
    assert!(guarded.ask("GET", "/v1/health", "reader-s3cret").await.text().contains("exchanges"));
    assert!(!guarded.ask("GET", "/v1/health", "deploy-s3cret").await.text().contains("exchanges"));
    assert_eq!(guarded.ask("GET", "/", "nobody").await.text(), "{\"message\": \"access denied\"}\n");
    expect![[r#"token "reader" may not use operator verbs"#]]
        .assert_eq(guarded.ask("PUT", "/v1/agent/leave", "reader-s3cret").await.text());
    let metrics = guarded.ask("GET", "/metrics", ADMIN).await;
    for sample in ["lobby_http_refused_total{reason=\"rights\"} 10", "lobby_http_refused_total{reason=\"token\"} 5"] {
        assert!(metrics.text().contains(sample), "{sample}: {}", metrics.text());
    }
}

#[tokio::test]
async fn token_and_file_go_together() {
    let guarded = guarded(Some("owner-s3cret"), TOKENS);
    for (token, want) in [("owner-s3cret", [200, 200, 200]), ("reader-s3cret", [200, 403, 403]), ("", [403, 403, 403])] {
        let got = [
            guarded.status("GET", "/", token).await,
            guarded.status("POST", "/v1/labels", token).await,
            guarded.status("PUT", "/v1/agent/reload", token).await,
        ];
        assert_eq!(got, want, "{token}");
    }
}

#[tokio::test]
async fn operator_rights_by_door_and_token() {
    let guarded = guarded(None, TOKENS);
    let unix = |trusted| Caller { door: Door::Unix { trusted, pid: None, uid: None }, crowded: false };
    for (caller, token, want) in [
        (local(), "", false),
        (local(), ADMIN, true),
        (from("10.0.0.9:5", false), ADMIN, true),
        (from("10.0.0.9:5", false), "reader-s3cret", false),
        (unix(true), "", true),
        (unix(true), "reader-s3cret", true),
        (unix(false), "", false),
        (unix(false), ADMIN, true),
    ] {
        let request = Request::put("/v1/agent/reload").header("host", "localhost").header("x-consul-token", token);
        let answer = guarded.served.send(caller, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status == StatusCode::OK, want, "{caller:?} {token:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_reload_takes_a_good_file_and_leaves_the_old_tokens_for_a_bad_one() {
    let guarded = guarded(None, TOKENS);
    let statuses =
        async |tokens: [&str; 2]| [guarded.status("GET", "/", tokens[0]).await, guarded.status("GET", "/", tokens[1]).await];
    let both = ["reader-s3cret", "next-s3cret"];
    assert_eq!(statuses(both).await, [200, 403]);
    fs::write(&guarded.path, "[[token]]\nname = \"next\"\nsecret = \"next-s3cret\"\n").unwrap();
    assert_eq!(statuses(both).await, [200, 403], "not before it is asked for");
    guarded.access.reload().unwrap();
    assert_eq!(statuses(both).await, [403, 200]);
    for bad in ["[[token]]\nname = \"next\"\n", "no toml"] {
        fs::write(&guarded.path, bad).unwrap();
        let errors = guarded.access.reload().unwrap_err();
        assert_eq!((errors.len(), errors[0].setting()), (1, "TOKENS_FILE"));
        assert!(errors[0].to_string().contains(guarded.path.to_str().unwrap()), "{}", errors[0]);
        assert_eq!(statuses(both).await, [403, 200], "{bad}");
    }
    fs::remove_file(&guarded.path).unwrap();
    assert!(guarded.access.reload().is_err());
    assert_eq!(statuses(both).await, [403, 200]);
}
