//! catalog/register and catalog/deregister: bodies, what they change, who may.

use axum::http::StatusCode;
use lobby_core::{catalog::Snapshot, external::node_data, instance::Instance};

use crate::fixture::{Fleet, Served, config};

const REGISTER: &str = "/v1/catalog/register";
const DEREGISTER: &str = "/v1/catalog/deregister";

fn serve() -> Served {
    Fleet::new(&[]).located("dc1").serve(config())
}

async fn done(served: &Served, path: &str, body: &str) {
    let answer = served.put(path, body).await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("content-type")),
        (StatusCode::OK, "true", "application/json"),
        "{body}"
    );
}

/// The node's address, services and checks.
fn shown(snapshot: &Snapshot, name: &str) -> Option<String> {
    let host = snapshot.hosts.get(name)?;
    let record = &host.nodes[0].record;
    let services: Vec<_> = record.instances().map(|instance| instance.id.to_string()).collect();
    let check = |check: lobby_core::check::view::CheckView| {
        format!("{}={}@{}", check.id, check.status, check.instance.map(|id| id.to_string()).unwrap_or_default())
    };
    let checks: Vec<_> = record.checks().map(check).collect();
    Some(format!("{} [{}] [{}]", node_data(record).address, services.join(" "), checks.join(" ")))
}

#[tokio::test]
async fn what_is_registered_adds_up_and_goes_piece_by_piece() {
    let served = serve();
    let node = |served: &Served| shown(&served.snapshots.borrow(), "n1");
    // As py-consul and node-consul spell it.
    done(&served, REGISTER, r#"{"node":"n1","address":"10.1.10.11","service":{"service":"s1","id":"id1"}}"#).await;
    done(&served, REGISTER, r#"{"Node":"n1","Address":"10.1.10.11","Service":{"Service":"s1","ID":"id2","Tags":["master"]},"Check":{"Name":"up","Status":"passing","ServiceID":"id2"}}"#).await;
    done(
        &served,
        REGISTER,
        r#"{"Node":"n1","SkipNodeUpdate":true,"Checks":[{"CheckID":"c","Name":"c"}],"WriteRequest":{"Token":"x"}}"#,
    )
    .await;
    assert_eq!(node(&served).unwrap(), "10.1.10.11 [id1 id2] [c=critical@ up=passing@id2]");
    let revision = served.snapshots.borrow().revision;
    done(&served, REGISTER, r#"{"node":"n1","address":"10.1.10.11","service":{"service":"s1","id":"id1"}}"#).await;
    assert_eq!(served.snapshots.borrow().revision, revision, "the same again is no change");
    done(&served, DEREGISTER, r#"{"Node":"n1","CheckID":"c"}"#).await;
    done(&served, DEREGISTER, r#"{"Node":"n1","ServiceID":"id2"}"#).await;
    assert_eq!(node(&served).unwrap(), "10.1.10.11 [id1] []");
    done(&served, DEREGISTER, r#"{"Node":"n1","ServiceID":"id2"}"#).await;
    done(&served, DEREGISTER, r#"{"Node":"n1"}"#).await;
    assert_eq!(node(&served), None);
    done(&served, DEREGISTER, r#"{"Node":"n1"}"#).await;
    done(&served, DEREGISTER, r#"{"Node":"never-there"}"#).await;
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused() {
    let served = serve();
    for (path, body, status, words) in [
        (REGISTER, "", 400, "decode"),
        (REGISTER, "{", 400, "Request decode failed"),
        (REGISTER, r#"{"Address":"10.0.0.1"}"#, 400, "Node"),
        (REGISTER, r#"{"Node":"n1"}"#, 400, "address"),
        (REGISTER, r#"{"Node":"n1","Address":"10.0.0.1","Datacenter":"dc2"}"#, 500, "No path to datacenter"),
        (
            REGISTER,
            r#"{"Node":"n1","Address":"10.0.0.1","Service":{"Service":"s","Address":"0.0.0.0"}}"#,
            400,
            "Invalid service address",
        ),
        (DEREGISTER, r#"{"ServiceID":"x"}"#, 400, "Node"),
        (DEREGISTER, r#"{"Node":"n1","Datacenter":"dc2"}"#, 500, "No path to datacenter"),
    ] {
        let answer = served.put(path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
        assert!(answer.text().contains(words), "{body}: {}", answer.text());
    }
    let answer = served.put(&format!("{REGISTER}?dc=dc2"), r#"{"Node":"n1","Address":"10.0.0.1"}"#).await;
    assert_eq!(answer.status.as_u16(), 500);
    assert_eq!(shown(&served.snapshots.borrow(), "n1"), None);
}

#[tokio::test]
async fn consuls_views_show_it_as_it_was_registered() {
    let served = serve();
    done(&served, REGISTER, r#"{"Node":"n1","ID":"40e4a748-2192-161a-0510-9bf59fe950b5","Address":"10.1.10.11","TaggedAddresses":{"lan":"10.1.10.11"},"NodeMeta":{"rack":"r2"},"Service":{"Service":"s1","Port":80},"Check":{"Name":"up","Status":"passing","ServiceID":"s1"}}"#).await;
    let json = async |path: &str| -> serde_json::Value { serde_json::from_str(served.get(path).await.text()).unwrap() };
    let entries = json("/v1/health/service/s1?passing&node-meta=rack:r2").await;
    let entry = &entries[0];
    assert_eq!(entry["Node"]["ID"], "40e4a748-2192-161a-0510-9bf59fe950b5");
    assert_eq!(entry["Node"]["Address"], "10.1.10.11");
    assert_eq!(entry["Node"]["Meta"], serde_json::json!({"rack": "r2"}));
    assert_eq!(entry["Node"]["TaggedAddresses"], serde_json::json!({"lan": "10.1.10.11"}));
    let checks: Vec<_> = entry["Checks"].as_array().unwrap().iter().map(|check| check["CheckID"].as_str().unwrap()).collect();
    assert_eq!(checks, ["up"], "nobody's serf tells of it");
    let nodes = json("/v1/catalog/nodes").await;
    assert!(nodes.as_array().unwrap().iter().any(|node| node["Node"] == "n1"));
    assert_eq!(json("/v1/catalog/node/n1").await["Services"]["s1"]["Port"], 80);
    assert_eq!(json("/v1/nodes").await.as_array().unwrap().iter().find(|node| node["name"] == "n1").unwrap()["external"], true);
    // No member, and nobody's leader.
    assert!(!served.get("/v1/agent/members").await.text().contains("\"n1\""));
    assert!(!served.get("/v1/status/leader").await.text().contains("10.1.10.11"));
    done(&served, DEREGISTER, r#"{"Node":"n1"}"#).await;
    assert_eq!(json("/v1/health/service/s1").await, serde_json::json!([]));
}

#[tokio::test]
async fn the_definition_of_a_check_comes_back() {
    let served = serve();
    let body = r#"{"Node":"n1","Address":"10.1.10.11","Service":{"Service":"s1"},"Checks":[{"Name":"up","ServiceID":"s1","Definition":{"http":"http://10.1.10.11/","Header":{"X-A":["1","2"]},"Method":"HEAD","TCP":"10.1.10.11:80","IntervalDuration":10000000000,"Timeout":"5s","DeregisterCriticalServiceAfter":"90m"}},{"Name":"plain"}]}"#;
    done(&served, REGISTER, body).await;
    let want = serde_json::json!({
        "HTTP": "http://10.1.10.11/", "Header": {"X-A": ["1", "2"]}, "Method": "HEAD", "TCP": "10.1.10.11:80",
        "Interval": "10s", "Timeout": "5s", "DeregisterCriticalServiceAfter": "1h30m0s",
    });
    let checks = served.get("/v1/health/node/n1").await.json();
    assert_eq!((&checks[0]["CheckID"], &checks[0]["Definition"]), (&"plain".into(), &serde_json::json!({})));
    assert_eq!((&checks[1]["CheckID"], &checks[1]["Definition"]), (&"up".into(), &want));
    let service = served.get("/v1/health/service/s1").await.json();
    let up = service[0]["Checks"].as_array().unwrap().iter().find(|check| check["CheckID"] == "up").unwrap();
    assert_eq!(up["Definition"], want);
    // What says nothing of it any more has none.
    done(&served, REGISTER, r#"{"Node":"n1","Address":"10.1.10.11","Check":{"Name":"up","ServiceID":"s1"}}"#).await;
    assert_eq!(served.get("/v1/health/node/n1").await.json()[1]["Definition"], serde_json::json!({}));
    let long = format!(r#"{{"Node":"n1","Address":"a","Check":{{"Name":"up","Definition":{{"Body":"{}"}}}}}}"#, "x".repeat(8192));
    let answer = served.put(REGISTER, &long).await;
    assert!(answer.status == StatusCode::BAD_REQUEST && answer.text().contains("definition"), "{}", answer.text());
}

/// An agent `web` with one instance that is open to tags of others and one that is not.
fn open_fleet() -> Fleet {
    Fleet::new(&[]).located("dc1").written(2, "web", |local| {
        for (id, open) in [("open", true), ("closed", false)] {
            let mut instance = Instance::new(id.parse().unwrap(), "shop".parse().unwrap());
            (instance.tags, instance.enable_tag_override, instance.port) = (["own".to_owned()].into(), open, 80);
            local.set_instance(&instance).unwrap();
        }
    })
}

#[tokio::test]
async fn an_agents_service_takes_tags_if_it_was_registered_so_and_nothing_else() {
    let served = open_fleet().serve(config());
    let tags = async |path: &str| -> String {
        let json: serde_json::Value = serde_json::from_str(served.get(path).await.text()).unwrap();
        let services = json.as_array().unwrap().iter().filter(|service| service["ServiceID"] == "open");
        services.map(|service| service["ServiceTags"].to_string()).collect()
    };
    let list = "/v1/catalog/service/shop";
    assert_eq!(tags(list).await, r#"["own"]"#);
    let index = served.get(list).await.header("x-consul-index").parse::<u64>().unwrap();
    // The port, the node and its pairs are the agent's.
    let body = r#"{"Node":"WEB","Address":"10.1.1.1","NodeMeta":{"a":"b"},"Service":{"ID":"open","Service":"shop","Tags":["canary","v2"],"Port":1}}"#;
    done(&served, REGISTER, body).await;
    assert_eq!(tags(list).await, r#"["canary","v2"]"#);
    assert!(served.get(list).await.header("x-consul-index").parse::<u64>().unwrap() > index);
    let json: serde_json::Value = serde_json::from_str(served.get("/v1/catalog/node/web").await.text()).unwrap();
    let open = &json["Services"]["open"];
    assert_eq!((&open["Port"], &open["Tags"]), (&80.into(), &serde_json::json!(["canary", "v2"])), "{json}");
    assert_eq!(tags("/v1/catalog/service/shop?tag=canary").await, r#"["canary","v2"]"#);
    assert_eq!(tags("/v1/catalog/service/shop?tag=own").await, "");
    assert!(served.get("/").await.text().contains("service:shop:tag:canary"));
    for body in [
        r#"{"Node":"web","Address":"10.1.1.1"}"#,
        r#"{"Node":"web","Address":"10.1.1.1","Service":{"ID":"closed","Service":"shop","Tags":["x"]}}"#,
        r#"{"Node":"web","Address":"10.1.1.1","Service":{"ID":"open","Service":"other","Tags":["x"]}}"#,
        r#"{"Node":"web","Address":"10.1.1.1","Service":{"ID":"new","Service":"shop","EnableTagOverride":true}}"#,
        r#"{"Node":"web","Address":"10.1.1.1","Service":{"ID":"open","Service":"shop"},"Check":{"Name":"c","ServiceID":"open"}}"#,
    ] {
        let answer = served.put(REGISTER, body).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{body}: {}", answer.text());
        assert!(answer.text().contains("has an agent") && answer.text().contains("EnableTagOverride"), "{}", answer.text());
    }
    let answer = served.put(REGISTER, &body.replace("v2", "a\\nb")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    assert_eq!(tags(list).await, r#"["canary","v2"]"#);
    done(&served, DEREGISTER, r#"{"Node":"web","ServiceID":"open"}"#).await;
    assert_eq!(tags(list).await, r#"["own"]"#, "the service is its agent's, and comes back with its own tags");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_does_not_answer_is_waited_for_half_a_minute() {
    let served = serve();
    let start = tokio::time::Instant::now();
    let answer = served.put(REGISTER, r#"{"Node":"stuck","Address":"10.1.10.11"}"#).await;
    assert_eq!(start.elapsed(), std::time::Duration::from_secs(30));
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::GATEWAY_TIMEOUT, "1"), "{}", answer.text());
    assert_eq!(answer.text(), "the disk does not answer; whether the write counts is not known");
    done(&served, REGISTER, r#"{"Node":"n1","Address":"10.1.10.11"}"#).await;
}
