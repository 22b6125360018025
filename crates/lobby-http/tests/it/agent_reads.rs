//! What the agent shows of its own instances and checks, and waiting for another content hash.

use std::time::Duration;

use axum::http::StatusCode;
use expect_test::expect;
use lobby_core::check::Status;
use serde_json::json;
use tokio::time::timeout;

use crate::fixture::{Fleet, Served, config};

fn serve(labels: &[&str]) -> Served {
    Fleet::new(labels).located("dc1").serve(config())
}

async fn register(served: &Served, body: &str) {
    let answer = served.put("/v1/agent/service/register", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

async fn keys(served: &Served, path: &str) -> Vec<String> {
    let answer = served.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    answer.json().as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn instances_exactly_as_consul_shows_them() {
    let served = serve(&[]);
    assert_eq!(served.get("/v1/agent/services").await.text(), "{}");
    register(&served, r#"{"Name":"foo"}"#).await;
    let answer = served.get("/v1/agent/services").await;
    assert_eq!((answer.header("content-type"), answer.header("x-consul-index")), ("application/json", ""));
    let bare = json!({"foo": {"ID":"foo","Service":"foo","Tags":[],"Meta":{},"Port":0,"Address":"",
        "Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1"}});
    assert_eq!(answer.json(), bare);
    register(&served, r#"{"name":"foo","tagged_addresses":{"lan":{"address":"10.0.0.1","port":81}},"kind":"mesh-gateway","tags":["b","a"],"weights":{"passing":3}}"#).await;
    expect![[r#"{"foo":{"Kind":"mesh-gateway","ID":"foo","Service":"foo","Tags":["b","a"],"Meta":{},"Port":0,"Address":"","TaggedAddresses":{"lan":{"Address":"10.0.0.1","Port":81}},"Weights":{"Passing":3,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1"}}"#]]
    .assert_eq(served.get("/v1/agent/services").await.text());
    assert!(served.get("/v1/agent/services?pretty").await.text().starts_with("{\n    \"foo\": {\n"));
}

#[tokio::test]
async fn instances_of_labels_are_among_them_until_one_is_registered_under_their_id() {
    let served = serve(&["service:smtp", "service:web:port:80", "service:web:tag:v1"]);
    assert_eq!(keys(&served, "/v1/agent/services").await, ["smtp", "web:80"]);
    register(&served, r#"{"ID":"web:80","Name":"web","Port":8080}"#).await;
    let services = served.get("/v1/agent/services").await.json();
    assert_eq!((&services["web:80"]["Port"], &services["web:80"]["Tags"]), (&json!(8080), &json!([])));
    assert_eq!(served.get("/v1/agent/service/smtp").await.json()["Service"], "smtp");
}

#[tokio::test]
async fn filters() {
    let served = serve(&[]);
    register(&served, r#"{"ID":"a","Name":"web","Tags":["v1"],"Port":80,"Check":{"TTL":"1s","Status":"passing"}}"#).await;
    register(&served, r#"{"ID":"b","Name":"web","Meta":{"k":"v"},"Check":{"TTL":"1s"}}"#).await;
    for (path, want) in [
        ("/v1/agent/services?filter=", &["a", "b"][..]),
        ("/v1/agent/services?filter=%22v1%22+in+Tags", &["a"]),
        ("/v1/agent/services?filter=Meta.k==v", &["b"]),
        ("/v1/agent/services?filter=Port==80+and+Service==web", &["a"]),
        ("/v1/agent/services?filter=Service==x", &[]),
        ("/v1/agent/checks?filter=Status==passing", &["service:a"]),
        ("/v1/agent/checks?filter=ServiceID==b", &["service:b"]),
        ("/v1/agent/checks?filter=%22v1%22+in+ServiceTags", &["service:a"]),
        ("/v1/agent/checks?filter=Name+matches+web", &["service:a", "service:b"]),
    ] {
        assert_eq!(keys(&served, path).await, want, "{path}");
    }
    for path in ["services?filter=Status==passing", "services?filter=((", "checks?filter=Port==80", "checks?filter=Name+is+empty"]
    {
        let answer = served.get(&format!("/v1/agent/{path}")).await;
        assert_eq!((answer.status, answer.text().starts_with("filter: ")), (StatusCode::BAD_REQUEST, true), "{path}");
    }
}

#[tokio::test]
async fn checks_with_their_whole_output_and_maintenance() {
    let served = serve(&[]);
    assert_eq!(served.get("/v1/agent/checks").await.text(), "{}");
    register(
        &served,
        r#"{"Name":"web","Tags":["v1"],"Check":{"HTTP":"http://h/","Interval":"90s","Timeout":"20ms","Notes":"n"}}"#,
    )
    .await;
    served.put("/v1/agent/check/register", r#"{"Name":"mem","TTL":"10s"}"#).await;
    let long = "x".repeat(2000);
    served.put(&format!("/v1/agent/check/pass/mem?note={long}"), "").await;
    expect![[r#"{"Node":"here.example.com","CheckID":"service:web","Name":"Service 'web' check","Status":"critical","Notes":"n","Output":"","ServiceID":"web","ServiceName":"web","ServiceTags":["v1"],"Type":"http","Interval":"1m30s","Timeout":"20ms","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0}"#]]
    .assert_eq(&served.get("/v1/agent/checks").await.text().split_once("\"service:web\":").unwrap().1.replace("}}", "}"));
    let checks = served.get("/v1/agent/checks").await.json();
    let mem = &checks["mem"];
    assert_eq!((&mem["Output"], &mem["ServiceID"], &mem["ServiceTags"]), (&json!(long), &json!(""), &json!([])));
    assert_eq!((&mem["Type"], &mem["Interval"], &mem["Timeout"]), (&json!("ttl"), &json!(""), &json!("")));
    served.put("/v1/agent/service/maintenance/web?enable=true&reason=r", "").await;
    served.put("/v1/agent/maintenance?enable=true", "").await;
    let want = ["_node_maintenance", "_service_maintenance:web", "mem", "service:web"];
    assert_eq!(keys(&served, "/v1/agent/checks").await, want);
    let checks = served.get("/v1/agent/checks").await.json();
    let out = &checks["_service_maintenance:web"];
    assert_eq!((&out["Status"], &out["Notes"], &out["Type"]), (&json!("critical"), &json!("r"), &json!("maintenance")));
    served.put("/v1/agent/service/maintenance/web?enable=false", "").await;
    served.put("/v1/agent/maintenance?enable=false", "").await;
    assert_eq!(keys(&served, "/v1/agent/checks").await, ["mem", "service:web"]);
}

#[tokio::test]
async fn one_instance_with_its_hash() {
    let served = serve(&[]);
    register(&served, r#"{"ID":"/a/b","Name":"web"}"#).await;
    let first = served.get("/v1/agent/service//a/b").await;
    let hash = first.header("x-consul-contenthash").to_owned();
    assert_eq!((first.json()["ContentHash"].as_str().unwrap(), first.header("x-consul-index")), (hash.as_str(), ""));
    assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    assert_eq!(served.get("/v1/agent/service/%2Fa%2Fb").await.header("x-consul-contenthash"), hash);
    register(&served, r#"{"ID":"/a/b","Name":"web","Port":1}"#).await;
    let second = served.get("/v1/agent/service//a/b").await;
    assert_ne!(second.header("x-consul-contenthash"), hash);
    let unknown = served.get("/v1/agent/service/none").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.text().starts_with("unknown service ID \"none\""), "{}", unknown.text());
    assert_eq!(served.get("/v1/agent/service/").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(served.get("/v1/agent/service/x?hash=a&wait=5").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_hash_that_is_known_is_waited_on() {
    let served = serve(&["service:smtp"]);
    register(&served, r#"{"Name":"web","Check":{"TTL":"1s"}}"#).await;
    let hash = served.get("/v1/agent/service/web").await.header("x-consul-contenthash").to_owned();
    // An old hash is answered at once, though the clock stands still.
    let old = timeout(Duration::ZERO, served.get("/v1/agent/service/web?hash=0000&wait=1m")).await.unwrap();
    assert_eq!(old.header("x-consul-contenthash"), hash);
    // Without a change the wait ends by itself, a sixteenth late at most.
    let start = tokio::time::Instant::now();
    let same = served.get(&format!("/v1/agent/service/web?hash={hash}&wait=10s")).await;
    let waited = start.elapsed();
    assert_eq!(same.header("x-consul-contenthash"), hash);
    assert!((Duration::from_secs(10)..Duration::from_millis(10_700)).contains(&waited), "{waited:?}");
    // What a check says is no change of the instance; another port is, and so is its end.
    let path = format!("/v1/agent/service/web?hash={hash}&wait=5m");
    let change = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        served.registry.judge("service:web", Status::Passing);
        tokio::time::sleep(Duration::from_secs(1)).await;
        register(&served, r#"{"Name":"web","Port":1}"#).await;
    };
    let start = tokio::time::Instant::now();
    let (answer, ()) = tokio::join!(served.get(&path), change);
    assert_eq!((answer.json()["Port"].as_u64(), start.elapsed().as_secs()), (Some(1), 2));
    // So is a node that takes nothing new.
    let path = format!("/v1/agent/service/web?hash={}", answer.header("x-consul-contenthash"));
    let (answer, drained) = tokio::join!(served.get(&path), served.put("/v1/drain", ""));
    assert_eq!((&answer.json()["Weights"], drained.status), (&json!({"Passing": 0, "Warning": 0}), StatusCode::OK));
    let path = format!("/v1/agent/service/web?hash={}", answer.header("x-consul-contenthash"));
    let (answer, gone) = tokio::join!(served.get(&path), served.put("/v1/agent/service/deregister/web", ""));
    assert_eq!((answer.status, gone.status), (StatusCode::NOT_FOUND, StatusCode::OK));
}
