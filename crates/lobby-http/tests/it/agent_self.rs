//! Who the agent says that it is, in the shapes that Consul's clients decode at their start.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    fixture::{Fleet, Served, config},
    gossip::{member, member_at, serve, viewed},
};

fn gossiping() -> Served {
    let fleet = Fleet::new(&["service:smtp"]).located("dc1").node(2, "web", &[]);
    serve(fleet, &viewed(vec![member_at(1, 250.0), member(2, "alive")]))
}

async fn json(served: &Served, path: &str) -> Value {
    let answer = served.get(path).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"), "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn the_agent_itself() {
    for served in [gossiping(), Fleet::new(&["service:smtp"]).located("dc1").serve(config())] {
        let own = json(&served, "/v1/agent/self").await;
        let keys: Vec<_> = own.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["Config", "Coord", "DebugConfig", "Member", "Meta", "Stats", "xDS"]);
        assert!(own.as_object().unwrap().values().all(Value::is_object), "{own}");
        let config = &own["Config"];
        assert_eq!((&config["Datacenter"], &config["NodeName"]), (&json!("dc1"), &json!("here.example.com")));
        assert_eq!(config["NodeID"], "01010101-0101-0101-0101-010101010101");
        assert_eq!((&config["Server"], &config["Version"]), (&json!(true), &json!("1.22.0")));
        assert_eq!(own["Stats"]["agent"], json!({"checks": "0", "services": "1"}));
        assert_eq!(own["Stats"]["consul"]["leader_addr"], json(&served, "/v1/status/leader").await);
        let texts = |stats: &Value| stats.as_object().unwrap().values().all(Value::is_string);
        assert!(own["Stats"].as_object().unwrap().values().all(texts), "{own}");
        let members = json(&served, "/v1/agent/members").await;
        let listed = members.as_array().unwrap().iter().find(|member| member["Name"] == "here.example.com");
        assert_eq!(listed, Some(&own["Member"]));
        assert_eq!((&own["Member"]["Status"], &own["Member"]["Tags"]["dc"]), (&json!(1), &json!("dc1")));
        assert_eq!(own["Coord"]["Vec"].as_array().unwrap().len(), 8);
    }
    assert_eq!(json(&gossiping(), "/v1/agent/self").await["Coord"]["Vec"][0], 0.25);
}

#[tokio::test]
async fn it_counts_what_is_registered_and_what_labels_make() {
    let served = gossiping();
    served.put("/v1/agent/service/register", r#"{"Name":"web","Checks":[{"TTL":"1s"},{"TTL":"2s"}]}"#).await;
    served.put("/v1/agent/check/register", r#"{"Name":"mem","TTL":"1s"}"#).await;
    let own = json(&served, "/v1/agent/self").await;
    assert_eq!(own["Stats"]["agent"], json!({"checks": "3", "services": "2"}));
}

#[tokio::test]
async fn version_host_and_metrics() {
    let served = gossiping();
    let version = json(&served, "/v1/agent/version").await;
    assert_eq!(version, json!({"SHA":"","BuildDate":"2025-01-01T00:00:00Z","HumanVersion":"1.22.0","FIPS":""}));
    assert!(!version.to_string().contains("ent"));
    let host = json(&served, "/v1/agent/host").await;
    let keys: Vec<_> = host.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["CPU", "CollectionTime", "Disk", "Errors", "Host", "Memory"]);
    let metrics = json(&served, "/v1/agent/metrics").await;
    let want = json!({"Timestamp":"2021-09-02 19:54:38 +0000 UTC","Gauges":[],"Points":[],"Counters":[],"Samples":[]});
    assert_eq!(metrics, want);
    let text = served.get("/v1/agent/metrics?format=prometheus").await;
    assert!(text.header("content-type").starts_with("text/plain") && text.text().contains("\nlobby_revision "));
    let open = served.ask("GET", "/v1/agent/metrics", &[("accept", "application/openmetrics-text")], "").await;
    assert!(open.text().contains("\nlobby_revision "));
    assert_eq!(served.get("/v1/agent/self?dc=dc2").await.status, StatusCode::INTERNAL_SERVER_ERROR);
}
