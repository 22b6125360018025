//! Our own REST for services: what is offered in the fleet, changes at this agent, and the description of it all.

use std::sync::Arc;

use axum::http::StatusCode;
use expect_test::expect;
use lobby_core::{
    check::{
        Status,
        view::{CheckKind, CheckView},
    },
    id::{Generation, NodeId},
    instance::Instance,
    local::LocalRecord,
    port::{PeerEvent, registry::RegistryError},
    record::meta,
};
use lobby_http::Config;
use serde_json::{Value, json};

use crate::fixture::{Fleet, GOSSIP, NOW, Served, config, from};

fn instance(id: &str, service: &str, tags: &[&str]) -> Instance {
    let mut instance = Instance::new(id.parse().unwrap(), service.parse().unwrap());
    instance.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    instance.meta = Arc::new([("ver".to_owned(), "3".to_owned())].into());
    instance.port = 80;
    instance
}

fn check(id: &str, of: Option<&str>, status: Status) -> CheckView {
    let mut check = CheckView::new(id.parse().unwrap(), format!("check {id}"), of.map(|of| of.parse().unwrap()));
    (check.status, check.kind, check.output) = (status, CheckKind::Ttl, "said".to_owned());
    check
}

/// Two nodes: `a` with three instances and a label of its own, `b` with one that warns; `b` may drain.
fn fleet(b_drains: bool) -> Fleet {
    let record = |byte: u8, name: &str, fill: &dyn Fn(&mut LocalRecord)| {
        let mut local = LocalRecord::new(NodeId::from_bytes([byte; 16]), Generation(1), name.parse().unwrap());
        local.set_meta(meta::ADDRESSES, &format!("10.0.0.{byte},2a03::{byte}"));
        fill(&mut local);
        local.commit(NOW.moment).unwrap()
    };
    let a = record(2, "a", &|local| {
        local.set_labels(["zone:eu".parse().unwrap(), "service:smtp:port:25".parse().unwrap()]);
        local.set_instance(&instance("web-1", "web", &["v1"])).unwrap();
        local.set_instance(&Instance { address: "192.0.2.9".into(), ..instance("/x/y", "web", &["v2"]) }).unwrap();
        local.set_check(&check("service:web-1", Some("web-1"), Status::Critical)).unwrap();
    });
    let b = record(3, "b", &|local| {
        local.set_instance(&instance("web-1", "web", &["v1"])).unwrap();
        local.set_check(&check("mem", None, Status::Warning)).unwrap();
        if b_drains {
            local.set_meta(meta::DRAIN, "true");
        }
    });
    let fleet = [a, b].into_iter().fold(Fleet::new(&[]), |fleet, record| {
        let origin = record.origin.clone();
        let fleet = fleet.event(GOSSIP, PeerEvent::Record(record));
        fleet.event(GOSSIP, PeerEvent::Seen(origin, std::time::Duration::ZERO))
    });
    fleet.bare("old", &["service:smtp"])
}

async fn names(served: &Served, path: &str, field: &str) -> Vec<String> {
    let answer = served.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    answer.json().as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn services_in_short() {
    let served = fleet(true).serve(config());
    let answer = served.get("/v1/services").await;
    assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8");
    assert_eq!(
        answer.json(),
        json!([
            {"name":"smtp","instances":2,"passing":2,"warning":0,"critical":0,"draining":0,"tags":[]},
            {"name":"web","instances":3,"passing":1,"warning":1,"critical":1,"draining":1,"tags":["v1","v2"]},
        ])
    );
    let metrics = served.get("/metrics").await;
    assert!(metrics.text().contains("lobby_http_requests_total{route=\"services\",status=\"2xx\"} 1\n"), "{}", metrics.text());
    assert_eq!(Fleet::new(&[]).serve(config()).get("/v1/services").await.json(), json!([]));
}

#[tokio::test]
async fn the_instances_of_a_service() {
    let served = fleet(false).serve(config());
    let answer = served.get("/v1/services/WEB").await.json();
    expect![[r#"
        {
          "address": "10.0.0.2",
          "age_ms": 0,
          "checks": [
            {
              "id": "service:web-1",
              "kind": "ttl",
              "name": "check service:web-1",
              "notes": "",
              "of": "instance",
              "output": "said",
              "status": "critical"
            }
          ],
          "drain": false,
          "from_label": false,
          "id": "web-1",
          "maintenance": false,
          "meta": {
            "ver": "3"
          },
          "node": "a",
          "node_failed": false,
          "node_held": false,
          "node_id": "02020202020202020202020202020202",
          "port": 80,
          "service": "web",
          "status": "critical",
          "tags": [
            "v1"
          ],
          "weights": {
            "passing": 1,
            "warning": 1
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&answer[1]).unwrap());
    assert_eq!((&answer[0]["id"], &answer[0]["address"]), (&json!("/x/y"), &json!("192.0.2.9")));
    assert_eq!((&answer[2]["status"], &answer[2]["checks"][0]["of"]), (&json!("warning"), &json!("node")));
    let smtp = served.get("/v1/services/smtp").await.json();
    let old = &smtp[1];
    assert_eq!((&old["node_id"], &old["address"], &old["age_ms"]), (&Value::Null, &json!("old"), &json!(3000)));
    assert!(smtp.as_array().unwrap().iter().all(|one| one["from_label"] == true));
    let draining = fleet(true).serve(config()).get("/v1/services/web").await.json();
    let weights: Vec<_> = draining.as_array().unwrap().iter().map(|one| &one["weights"]["passing"]).collect();
    assert_eq!(weights, [1, 1, 0], "what drains weighs nothing");
    let unknown = served.get("/v1/services/none").await;
    assert_eq!((unknown.status, unknown.text()), (StatusCode::NOT_FOUND, "service \"none\": nobody offers it\n"));
    let failed = fleet(false).failed(2).serve(config()).get("/v1/services/web").await.json();
    assert_eq!((&failed[0]["node_failed"], &failed[0]["status"]), (&json!(true), &json!("critical")));
}

#[tokio::test]
async fn many_instances_are_listed_as_few_are() {
    let mut local = LocalRecord::new(NodeId::from_bytes([9; 16]), Generation(1), "big".parse().unwrap());
    for n in 0..1001 {
        local.set_instance(&instance(&format!("w{n:04}"), "web", &["v1"])).unwrap();
    }
    let record = local.commit(NOW.moment).unwrap();
    let seen = PeerEvent::Seen(record.origin.clone(), std::time::Duration::ZERO);
    let served = Fleet::new(&[]).event(GOSSIP, PeerEvent::Record(record)).event(GOSSIP, seen).serve(config());
    assert_eq!(served.get("/v1/services").await.json()[0]["passing"], 1001);
    let ids = names(&served, "/v1/services/web", "id").await;
    assert_eq!((ids.len(), ids[1000].as_str()), (1001, "w1000"));
}

#[tokio::test]
async fn selectors() {
    let served = fleet(false).serve(config());
    for (selector, services, webs) in [
        ("", &["smtp", "web"][..], &["/x/y", "web-1", "web-1"][..]),
        ("service=WEB", &["web"], &["/x/y", "web-1", "web-1"]),
        ("tag=v2", &["web"], &["/x/y"]),
        ("label=zone:eu", &["smtp", "web"], &["/x/y", "web-1"]),
        ("label=service:web:tag:v2", &["web"], &["/x/y"]),
        ("status=critical", &["web"], &["web-1"]),
        ("status=passing+and+not+service=smtp", &["web"], &["/x/y"]),
        ("tag=none", &[], &[]),
    ] {
        assert_eq!(names(&served, &format!("/v1/services?where={selector}"), "name").await, services, "{selector}");
        assert_eq!(names(&served, &format!("/v1/services/web?where={selector}"), "id").await, webs, "{selector}");
    }
    let counted = served.get("/v1/services?where=tag=v1").await.json();
    assert_eq!((&counted[0]["instances"], &counted[0]["passing"]), (&json!(2), &json!(0)));
    for path in ["/v1/services?where=nothing", "/v1/services/web?where=(("] {
        let answer = served.get(path).await;
        assert_eq!((answer.status, answer.text().starts_with("where: ")), (StatusCode::BAD_REQUEST, true), "{path}");
    }
}

#[tokio::test]
async fn registering_and_taking_away() {
    let served = Fleet::new(&["service:smtp"]).serve(config());
    let put = async |path: &str, body: &str| {
        let answer = served.put(path, body).await;
        (answer.status.as_u16(), answer.text().trim_end().to_owned())
    };
    let ok = (200, "OK".to_owned());
    let body = r#"{"port":80,"tags":["v1"],"enable_tag_override":true,"check":{"tcp":"h:1","interval":"200ms"}}"#;
    assert_eq!(put("/v1/services/web/%2Fa%2Fb", body).await, ok);
    assert_eq!(put("/v1/services/web/plain", "").await, ok);
    assert_eq!(put("/v1/services/web/plain", r#"{"Name":"web","id":"plain"}"#).await, ok);
    let asked = served.registry.asked();
    assert_eq!(
        asked,
        ["register /a/b of web service:/a/b=tcp replace", "register plain of web replace", "register plain of web replace"]
    );
    let interval = served.registry.view().checks["service:/a/b"].spec.interval();
    assert_eq!(interval, Some(std::time::Duration::from_millis(200)));
    for (path, body, words) in [
        ("/v1/services/web/a", r#"{"name":"other"}"#, r#"body: name "other": expected "web""#),
        ("/v1/services/web/a", r#"{"ID":7}"#, r#"body: id "7": expected "a""#),
        ("/v1/services/web/a", "[]", "JSON object"),
        ("/v1/services/web/a", "{", "Request decode failed"),
        ("/v1/services/web/a", r#"{"check":{"tcp":"h:1","interval":"1ms"}}"#, "Interval must be at least"),
        ("/v1/services/web/%0a", "", "path"),
    ] {
        let (status, text) = put(path, body).await;
        assert!(status == 400 && text.contains(words), "{path} {body}: {status} {text}");
    }
    let delete = async |path: &str| served.ask("DELETE", path, &[], "").await.status.as_u16();
    assert_eq!(delete("/v1/services/other/plain").await, 404, "it is of another service");
    assert_eq!(delete("/v1/services/web/none").await, 404);
    assert_eq!(served.registry.asked(), [""; 0]);
    assert_eq!((delete("/v1/services/web/plain").await, delete("/v1/services/web/%2Fa%2Fb").await), (200, 200));
    let label = "service:smtp".parse().unwrap();
    served.registry.refuse(Some(RegistryError::FromLabel { id: "smtp".parse().unwrap(), label }));
    assert_eq!(delete("/v1/services/smtp/smtp").await, 409);
    assert_eq!(served.registry.asked(), ["deregister plain", "deregister /a/b", "deregister smtp"]);
}

#[tokio::test]
async fn draining_and_reports() {
    let served = Fleet::new(&[]).serve(config());
    served.put("/v1/services/web/a", r#"{"check":{"ttl":"1s"}}"#).await;
    served.put("/v1/services/web/b", r#"{"check":{"ttl":"1s"}}"#).await;
    served.registry.asked();
    for (method, path, body, status) in [
        ("PUT", "/v1/services/web/a/drain", "", 200),
        ("DELETE", "/v1/services/web/a/drain", "", 200),
        ("PUT", "/v1/services/db/a/drain", "", 404),
        ("DELETE", "/v1/services/web/none/drain", "", 404),
        ("PUT", "/v1/drain", "", 200),
        ("DELETE", "/v1/drain", "", 200),
        ("PUT", "/v1/services/web/a/checks/service:a", r#"{"status":"warning","output":"slow"}"#, 200),
        ("PUT", "/v1/services/web/a/checks/service:a", r#"{"status":"fine"}"#, 400),
        ("PUT", "/v1/services/web/a/checks/service:a", "", 400),
        ("PUT", "/v1/services/web/a/checks/service:b", r#"{"status":"passing"}"#, 404),
        ("PUT", "/v1/services/web/none/checks/service:a", r#"{"status":"passing"}"#, 404),
    ] {
        let answer = served.ask(method, path, &[], body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}: {}", answer.text());
        assert!(status != 200 || answer.text() == "OK");
    }
    let want = [
        "drain Instance(\"a\") true",
        "drain Instance(\"a\") false",
        "drain Node true",
        "drain Node false",
        "warning service:a \"slow\"",
    ];
    assert_eq!(served.registry.asked(), want);
}

#[tokio::test]
async fn draining_the_node_is_for_operators() {
    let served = Fleet::new(&[]).serve(Config { operator_loopback: false, ..config() });
    let send = async |method: &str, path: &str| {
        let request = axum::http::Request::builder().method(method).uri(path).header("host", "10.0.0.1");
        let request = request.body(axum::body::Body::empty()).unwrap();
        served.send(from("10.0.0.9:5000", false), request).await.status
    };
    for method in ["PUT", "DELETE"] {
        assert_eq!(send(method, "/v1/drain").await, StatusCode::FORBIDDEN);
    }
    assert_eq!(send("PUT", "/v1/services/web/a").await, StatusCode::OK);
    assert_eq!(send("PUT", "/v1/services/web/a/drain").await, StatusCode::OK);
}

const VERBS: [&str; 4] = ["get", "put", "post", "delete"];

#[tokio::test]
async fn the_description_has_every_route_and_no_other() {
    let served = Fleet::new(&[]).serve(config());
    let document = served.get("/v1/openapi.json").await.json();
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!("0.1.0")));
    let paths = document["paths"].as_object().unwrap();
    let described: Vec<_> = paths.keys().map(String::as_str).collect();
    assert_eq!(
        described,
        [
            "/v1/drain",
            "/v1/events",
            "/v1/hold",
            "/v1/http_sd",
            "/v1/nodes",
            "/v1/openapi.json",
            "/v1/proxy",
            "/v1/services",
            "/v1/services/{name}",
            "/v1/services/{name}/{id}",
            "/v1/services/{name}/{id}/checks/{check}",
            "/v1/services/{name}/{id}/drain",
            "/v1/why/{name}",
            "/v1/why/{name}/{id}",
        ]
    );
    for (path, verbs) in paths {
        // With a parameter that streams refuse: they would not end.
        let asked = path.replace(['{', '}'], "") + "?unknown";
        for verb in VERBS {
            let status = served.ask(&verb.to_uppercase(), &asked, &[], "").await.status;
            let known = status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(known, verbs.get(verb).is_some(), "{verb} {path}: {status}");
        }
    }
}

/// Every `$ref` below a value.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == "$ref" => found.push(text.clone()),
            value => references(value, found),
        }),
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_whole_and_true() {
    let served = fleet(false).serve(config());
    let document = served.get("/v1/openapi.json").await.json();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 5);
    for reference in &found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    let mut ids = Vec::new();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for operation in verbs.as_object().unwrap().values() {
            ids.push(operation["operationId"].as_str().unwrap());
            let parameters = operation["parameters"].as_array().unwrap();
            let in_path: Vec<_> = parameters.iter().filter(|parameter| parameter["in"] == "path").collect();
            assert_eq!(in_path.len(), path.matches('{').count(), "{path}");
            assert!(in_path.iter().all(|parameter| path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap()))));
        }
    }
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "each has an id of its own");
    // What is answered has the properties that are described, all of them and no other.
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let web = served.get("/v1/services/web").await.json();
    for (schema, answered) in [
        ("Service", &served.get("/v1/services").await.json()[0]),
        ("Instance", &web[1]),
        ("Check", &web[1]["checks"][0]),
        ("Why", &served.get("/v1/why/web").await.json()[1]),
        ("TargetGroup", &served.get("/v1/http_sd").await.json()[0]),
    ] {
        let schema = &document["components"]["schemas"][schema];
        assert_eq!(keys(&schema["properties"]), keys(answered));
        assert_eq!(schema["required"].as_array().unwrap().len(), keys(answered).len());
    }
    let why = &document["components"]["schemas"]["Why"]["properties"];
    let answered = &served.get("/v1/why/web").await.json()[1];
    assert_eq!(keys(&why["owner"]["properties"]), keys(&answered["owner"]));
    assert_eq!(keys(&why["checks"]["items"]["properties"]), keys(&answered["checks"][0]));
    let node = &document["components"]["schemas"]["Node"];
    let mut required: Vec<String> = serde_json::from_value(node["required"].clone()).unwrap();
    required.sort();
    assert_eq!(required, keys(&served.get("/v1/nodes").await.json()[0]), "the others are there only where they say something");
    assert_eq!(keys(&node["properties"]).len(), required.len() + 4);
}
