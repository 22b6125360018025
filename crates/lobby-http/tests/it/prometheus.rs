//! `/v1/prometheus/:name` over a catalog. The rules of the labels are tested beside them.

use axum::http::StatusCode;
use expect_test::expect;
use lobby_http::prometheus::target::Group;

use crate::fixture::{Fleet, config};

#[tokio::test]
async fn one_group_per_server() {
    let served = Fleet::new(&["service:api"])
        .node(2, "a.example.com", &["prometheus:nodes", "prometheus:nodes:location:prague", "prometheus:nodes:host:192.168.1.1"])
        .bare("b.example.com", &["prometheus:nodes"])
        .node(3, "c.example.com", &["prometheus:nodesx:host:no"])
        .serve(config());
    let answer = served.get("/v1/prometheus/nodes").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json; charset=UTF-8"));
    expect![[r#"
        [
          {
            "Labels": {
              "location": "prague"
            },
            "Targets": [
              "192.168.1.1:9100"
            ]
          },
          {
            "Labels": {},
            "Targets": [
              "b.example.com:9100"
            ]
          }
        ]
    "#]]
    .assert_eq(answer.text());
    // Served from what was kept: the same bytes, and 304 for who holds them.
    assert_eq!(served.get("/v1/prometheus/n%6Fdes").await.bytes, answer.bytes);
    let held = served.ask("GET", "/v1/prometheus/nodes", &[("if-none-match", answer.header("etag"))], "").await;
    assert_eq!(held.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn an_unknown_name_is_empty_once_warm() {
    let cold = Fleet::cold(&["prometheus:self"], true).serve(config());
    let answer = cold.get("/v1/prometheus/none").await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    expect![[r#"
        not warm: the first complete picture has not arrived yet, try again
    "#]]
    .assert_eq(answer.text());
    assert_eq!(cold.get("/v1/prometheus/self").await.status, StatusCode::OK);
    let warm = Fleet::new(&[]).serve(config());
    let answer = warm.get("/v1/prometheus/none").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "[]\n"));
    assert_eq!(warm.get("/v1/prometheus/%ff").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_is_kept_goes_with_its_revision() {
    let served = Fleet::new(&["prometheus:x"]).serve(config());
    let first = served.get("/v1/prometheus/x").await;
    let mut fleet = Fleet::new(&["prometheus:x"]);
    fleet.snapshot();
    served.snapshots.send_replace(fleet.node(2, "new", &["prometheus:x"]).snapshot());
    let second = served.get("/v1/prometheus/x").await;
    let groups = |bytes: &[u8]| serde_json::from_slice::<Vec<Group>>(bytes).unwrap().len();
    assert_eq!((groups(&first.bytes), groups(&second.bytes)), (1, 2));
}

#[tokio::test]
async fn more_names_than_are_kept() {
    let labels: Vec<_> = (0..100).map(|i| format!("prometheus:n{i}:i:{i}")).collect();
    let served = Fleet::new(&labels.iter().map(String::as_str).collect::<Vec<_>>()).serve(config());
    for _ in 0..2 {
        for i in 0..100 {
            let answer = served.get(&format!("/v1/prometheus/n{i}")).await;
            let groups: Vec<Group> = serde_json::from_slice(&answer.bytes).unwrap();
            assert_eq!(groups[0].labels["i"], i.to_string());
        }
    }
}

#[tokio::test]
async fn a_selector_takes_some() {
    let served = Fleet::new(&["prometheus:x", "zone:eu"])
        .node(2, "a", &["prometheus:x", "zone:us"])
        .node(3, "b", &["zone:us"])
        .serve(config());
    let targets = async |query: &str| {
        let answer = served.get(&format!("/v1/prometheus/x{query}")).await;
        let groups: Vec<Group> = serde_json::from_slice(&answer.bytes).unwrap();
        groups.into_iter().flat_map(|group| group.targets).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(targets("").await, "a:9100 here.example.com:9100");
    assert_eq!(targets("?where=label=zone:us").await, "a:9100");
    assert_eq!(targets("?where=not+label=zone:us").await, "here.example.com:9100");
    // What was asked with a selector is not kept for those who ask without.
    assert_eq!(targets("?where=").await, "a:9100 here.example.com:9100");
    assert_eq!(served.get("/v1/prometheus/x?where=(").await.status, StatusCode::BAD_REQUEST);
    let cold = Fleet::cold(&["prometheus:x"], true).serve(config());
    assert_eq!(cold.get("/v1/prometheus/x?where=label=none").await.status, StatusCode::SERVICE_UNAVAILABLE);
}
