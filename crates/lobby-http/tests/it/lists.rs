//! Lobby's REST: lists, filters, the local packet, resolve, labels.

use axum::http::StatusCode;
use expect_test::{Expect, expect};
use lobby_core::time::WallSecond;

use crate::fixture::{Fleet, NOW, Served, config};

fn fleet() -> Served {
    Fleet::new(&["service:api", "location:prague"])
        .node(2, "smtp.example.com", &["service:smtp", "public_ip4:1.2.3.4", "public_ip6:2a03::1"])
        .bare("ns.example.com", &["service:ns", "location:prague"])
        .node(3, "gone.example.com", &["service:smtp"])
        .failed(3)
        .serve(config())
}

async fn check(path: &str, want: Expect) {
    let answer = fleet().get(path).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8");
    want.assert_eq(answer.text());
}

#[tokio::test]
async fn the_list_of_everybody() {
    let want = expect![[r#"
        [
          {
            "hostname": "here.example.com",
            "labels": [
              "location:prague",
              "service:api"
            ],
            "last_check": 1630612478
          },
          {
            "hostname": "ns.example.com",
            "labels": [
              "location:prague",
              "service:ns"
            ],
            "last_check": 1630612475
          },
          {
            "hostname": "smtp.example.com",
            "labels": [
              "public_ip4:1.2.3.4",
              "public_ip6:2a03::1",
              "service:smtp"
            ],
            "last_check": 1630612478
          }
        ]
    "#]];
    check("/", want).await;
    let served = fleet();
    let list = served.get("/").await;
    for path in ["/v1", "/v1/", "/v1/discoveries", "/?labels=", "/?labels=&prefixes=", "/v1/discoveries?labels=%2C+", "/?other=x"]
    {
        assert_eq!(served.get(path).await.bytes, list.bytes, "{path}");
    }
}

#[tokio::test]
async fn a_filtered_list_shows_whole_packets() {
    check(
        "/?labels=service:ns,none",
        expect![[r#"
        [
          {
            "hostname": "ns.example.com",
            "labels": [
              "location:prague",
              "service:ns"
            ],
            "last_check": 1630612475
          }
        ]
    "#]],
    )
    .await;
    let served = fleet();
    let list = served.get("/?labels=service:ns,none").await;
    assert_eq!(served.get("/v1?labels=service%3Ans").await.bytes, list.bytes);
    assert_eq!(served.get("/?prefixes=service:n,rack:").await.bytes, list.bytes);
    // Labels win when both are given.
    assert_eq!(served.get("/?prefixes=service:&labels=service:ns").await.bytes, list.bytes);
}

#[tokio::test]
async fn filtered_discoveries_show_matching_labels_only() {
    check(
        "/v1/discoveries?prefixes=public_ip,service:api",
        expect![[r#"
        [
          {
            "hostname": "here.example.com",
            "labels": [
              "service:api"
            ],
            "last_check": 1630612478
          },
          {
            "hostname": "smtp.example.com",
            "labels": [
              "public_ip4:1.2.3.4",
              "public_ip6:2a03::1"
            ],
            "last_check": 1630612478
          }
        ]
    "#]],
    )
    .await;
}

#[tokio::test]
async fn nobody_matches() {
    check(
        "/?labels=service:none",
        expect![[r#"
        []
    "#]],
    )
    .await;
    check(
        "/v1/discoveries?prefixes=none",
        expect![[r#"
        []
    "#]],
    )
    .await;
}

#[tokio::test]
async fn the_local_packet() {
    check(
        "/v1/discovery",
        expect![[r#"
        {
          "hostname": "here.example.com",
          "labels": [
            "location:prague",
            "service:api"
          ],
          "last_check": 1630612478
        }
    "#]],
    )
    .await;
    let unlisted = Fleet::cold(&["a"], false).serve(config());
    expect![[r#"
        {
          "hostname": "here.example.com",
          "labels": [
            "a"
          ],
          "last_check": 1630612478
        }
    "#]]
    .assert_eq(unlisted.get("/v1/discovery").await.text());
    expect![[r#"
        []
    "#]]
    .assert_eq(unlisted.get("/").await.text());
}

#[tokio::test]
async fn resolve() {
    check(
        "/v1/resolve?label=location:prague",
        expect![[r#"
        [
          "here.example.com",
          "ns.example.com"
        ]
    "#]],
    )
    .await;
    check(
        "/v1/resolve?label=location",
        expect![[r#"
        []
    "#]],
    )
    .await;
    check(
        "/v1/resolve",
        expect![[r#"
        []
    "#]],
    )
    .await;
    check(
        "/v1/resolve?label=public_ip6%3A2a03::1",
        expect![[r#"
        [
          "smtp.example.com"
        ]
    "#]],
    )
    .await;
}

#[tokio::test]
async fn bad_queries_are_told() {
    let answer = fleet().get("/?labels=%zz").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    expect![[r#"
        query: bad percent-encoding in "%zz"; expected percent-encoded UTF-8
    "#]]
    .assert_eq(answer.text());
}

#[tokio::test]
async fn every_answer_tells_how_good_the_picture_is() {
    for path in ["/", "/v1/resolve?label=x", "/v1/prometheus/x", "/v1/nodes", "/v1/health", "/metrics", "/none"] {
        let answer = fleet().get(path).await;
        let got = ["x-lobby-revision", "x-lobby-warm", "x-lobby-age"].map(|name| answer.header(name).to_owned());
        assert_eq!(got, ["101", "true", "0"], "{path}");
        let answer = Fleet::cold(&[], true).serve(config()).get(path).await;
        let got = ["x-lobby-revision", "x-lobby-warm", "x-lobby-age"].map(|name| answer.header(name).to_owned());
        assert_eq!(got, ["101", "false", "20"], "{path}");
    }
}

#[tokio::test]
async fn a_list_moves_with_the_second_and_the_revision() {
    let served = fleet();
    let first = served.get("/").await;
    assert_eq!(served.get("/").await.bytes, first.bytes);
    served.clock.lock().unwrap().wall = WallSecond(NOW.wall.0 + 1);
    let second = served.get("/").await;
    assert!(second.text().contains("1630612479"), "{}", second.text());
    assert_ne!(first.header("etag"), second.header("etag"));
    let mut fleet = Fleet::new(&["new"]).node(9, "x", &[]);
    fleet.snapshot();
    served.snapshots.send_replace(fleet.node(8, "y", &[]).snapshot());
    let third = served.get("/").await;
    assert!(third.text().contains("\"y\""), "{}", third.text());
    assert_eq!((third.header("x-lobby-revision"), third.header("etag")), ("102", "W/\"102-1630612479\""));
}

#[tokio::test]
async fn who_holds_an_answer_gets_304() {
    let served = fleet();
    for path in ["/", "/?labels=service:ns", "/v1/discoveries", "/v1/discovery", "/v1/resolve?label=x", "/v1/nodes"] {
        let etag = served.get(path).await.header("etag").to_owned();
        let answer = served.ask("GET", path, &[("if-none-match", &etag)], "").await;
        assert_eq!((answer.status, answer.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        assert_eq!(answer.header("etag"), etag);
        assert_eq!((answer.header("x-lobby-revision"), answer.header("vary")), ("101", "accept-encoding"));
        let answer = served.ask("GET", path, &[("if-none-match", "W/\"1-1\"")], "").await;
        assert_eq!((answer.status, answer.header("etag")), (StatusCode::OK, etag.as_str()), "{path}");
    }
}

#[tokio::test]
async fn an_unlisted_agent_changes_its_own_packet_without_a_revision() {
    let served = Fleet::cold(&["a"], false).serve(config());
    let first = served.get("/v1/discovery").await;
    served.snapshots.send_replace(Fleet::cold(&["a"], false).relabelled(&["b"]).snapshot());
    let second = served.get("/v1/discovery").await;
    assert_eq!(first.header("x-lobby-revision"), second.header("x-lobby-revision"));
    assert!(second.text().contains("\"b\""), "{}", second.text());
    assert_ne!(first.header("etag"), second.header("etag"));
}

#[tokio::test]
async fn gzip_holds_the_same_bytes() {
    let labels: Vec<_> = (0..100).map(|i| format!("label:{i}")).collect();
    let texts: Vec<_> = labels.iter().map(String::as_str).collect();
    for n_nodes in [1, 40] {
        let fleet = (0..n_nodes).fold(Fleet::new(&[]), |fleet, i| fleet.node(i + 2, &format!("node-{i}"), &texts));
        let served = fleet.serve(config());
        let plain = served.get("/").await;
        for _ in 0..2 {
            let packed = served.ask("GET", "/", &[("accept-encoding", "deflate, gzip")], "").await;
            assert!(packed.bytes.len() < plain.bytes.len() / 4);
            assert!(packed.unpacked() == plain.bytes);
        }
        assert_eq!(plain.header("content-encoding"), "");
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let served = fleet();
    let get = served.get("/").await;
    let head = served.ask("HEAD", "/", &[], "").await;
    assert_eq!((head.status, head.bytes.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), get.bytes.len().to_string());
    assert_eq!(head.header("etag"), get.header("etag"));
}

#[tokio::test]
async fn runtime_labels_are_added_and_removed() {
    let served = fleet();
    let answer = served.ask("POST", "/v1/labels", &[("content-type", "application/x-whatever")], "b:2\r\n\n  a:1 \nb:2").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "OK"));
    let answer = served.ask("DELETE", "/v1/labels", &[], "b:2").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "OK"));
    let answer = served.ask("POST", "/v1/labels", &[], "\n \n").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "OK"));
    assert_eq!(served.told(), ["add [\"a:1\", \"b:2\"]", "remove [\"b:2\"]"]);
}

#[tokio::test]
async fn one_bad_label_refuses_all() {
    let served = fleet();
    let answer = served.ask("POST", "/v1/labels", &[], "good\nba\td").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    expect![[r#"
        label "ba\td": a label must not contain the control character '\t'; expected one label a line
    "#]]
    .assert_eq(answer.text());
    let answer = served.ask("POST", "/v1/labels", &[], &"ž".repeat(600)).await;
    expect![[r#"
        label "žžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžžž": a label may have at most 1024 bytes, this one has 1200; expected one label a line
    "#]].assert_eq(answer.text());
    let answer = served.ask("POST", "/v1/labels", &[], &"x\n".repeat(1 << 20)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    expect![[r#"
        body: too large; at most 1048576 bytes are accepted
    "#]]
    .assert_eq(answer.text());
    assert!(served.told().is_empty());
}

#[tokio::test]
async fn a_body_that_is_no_text_is_refused() {
    let served = fleet();
    let request = axum::http::Request::post("/v1/labels").header("host", "localhost").body(vec![0xff].into()).unwrap();
    let answer = served.send(crate::fixture::local(), request).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    expect![[r#"
        body: not UTF-8; expected one label a line
    "#]]
    .assert_eq(answer.text());
}

#[tokio::test]
async fn unknown_routes_and_methods() {
    let served = fleet();
    for path in ["/v2", "/v1/discoveries/", "//", "/v1/../", "/v1/labels/x", "/v1/prometheus/", "/v1/prometheus/a/b"] {
        assert_eq!(served.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    expect![[r#"
        no route "/v1//discoveries"
    "#]]
    .assert_eq(served.get("/v1//discoveries").await.text());
    for (method, path, allow) in [
        ("POST", "/", "GET,HEAD"),
        ("GET", "/v1/labels", "POST,DELETE"),
        ("DELETE", "/v1/health", "GET,HEAD"),
        ("GET", "/v1/agent/leave", "PUT,POST"),
    ] {
        let answer = served.ask(method, path, &[], "").await;
        assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, allow), "{method} {path}");
        assert!(answer.text().starts_with(&format!("method {method} ")), "{}", answer.text());
    }
}

#[tokio::test]
async fn disable_api_leaves_health_and_metrics() {
    let served = Fleet::new(&[]).serve(lobby_http::Config { disable_api: true, ..config() });
    for path in ["/v1/health", "/metrics"] {
        assert_eq!(served.get(path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/", "/v1/discovery", "/v1/nodes", "/v1/prometheus/x", "/v1/labels", "/v1/agent/leave"] {
        assert_eq!(served.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
