//! `/v1/proxy` and the metrics of the local proxy: who may read, what is said without one, and how many services are told apart.

use std::{collections::BTreeSet, sync::Arc};

use axum::http::StatusCode;
use lobby_core::stats::{ProxyBackends, ProxyCounts, ProxyOutput};
use lobby_http::{App, Config, router};
use serde_json::{Value, json};

use crate::fixture::{Fleet, Served, config};

/// What the proxy of every fixture says.
pub(crate) fn status() -> Value {
    let service = json!({ "name": "web", "backends": 2, "held": 1, "trouble": null });
    let silent = json!({ "name": "db", "backends": null, "held": 0, "trouble": "connection refused" });
    json!({ "services": [service, silent], "haproxy": { "is_in_step": true }, "nginx": null, "files": null, "nerve": null })
}

/// What it counts: more services than are told apart.
pub(crate) fn counts() -> ProxyCounts {
    let backends = (0..300).map(|n| ProxyBackends { name: format!("s{n}"), wanted: 2, up: 1, draining: 0, held: 0 });
    let haproxy = ProxyOutput {
        is_in_step: true,
        writes: 4,
        reloads: 1,
        reload_reasons: vec![("structure".into(), 1)],
        ..Default::default()
    };
    ProxyCounts {
        services: 300,
        unanswered: 1,
        backends: backends.collect(),
        outputs: vec![("haproxy", haproxy), ("nginx", ProxyOutput { checks_failed: 2, ..Default::default() })],
        commands: vec![("add server".into(), 5), ("set server".into(), 7)],
        repaired: 3,
        starts: 2,
        crashes: 1,
        ..ProxyCounts::default()
    }
}

fn without_proxy(served: Served) -> Served {
    let mut handles = served.handles.clone();
    (handles.proxy, handles.proxy_counts) = (None, None);
    let app = App::new(config(), handles.clone());
    Served { router: router(app.clone()), app, handles, ..served }
}

#[tokio::test]
async fn it_is_shown_as_it_says() {
    let served = Fleet::new(&[]).serve(config());
    let answer = served.get("/v1/proxy").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, status()));
    assert_eq!(served.put("/v1/proxy", "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    // What the description says of it.
    let document = served.get("/v1/openapi.json").await.json();
    let operation = &document["paths"]["/v1/proxy"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(operation["$ref"], "#/components/schemas/Proxy");
    let schema = &document["components"]["schemas"]["Proxy"];
    let named: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(named, status().as_object().unwrap().keys().cloned().collect());
    assert_eq!(schema["required"], json!(["haproxy", "services"]));
}

#[tokio::test]
async fn without_one_that_is_said() {
    let served = without_proxy(Fleet::new(&[]).serve(config()));
    let answer = served.get("/v1/proxy").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.text().starts_with("proxy: none is configured at this agent"), "{}", answer.text());
    assert!(!served.get("/metrics").await.text().contains("lobby_proxy_"));
    let mut handles = served.handles.clone();
    handles.proxy = Some(Arc::new(|| Value::Null));
    let served = Served { router: router(App::new(config(), handles)), ..served };
    assert_eq!(served.get("/v1/proxy").await.status, StatusCode::NOT_FOUND, "none after a reload");
}

#[tokio::test]
async fn it_takes_the_right_to_read() {
    let served = Fleet::new(&[]).serve(Config { token: Some("secret".into()), ..config() });
    assert_eq!(served.get("/v1/proxy").await.status, StatusCode::FORBIDDEN);
    assert_eq!(served.ask("GET", "/v1/proxy", &[("authorization", "secret")], "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn its_numbers_are_metrics_and_few() {
    let served = Fleet::new(&[]).serve(config());
    served.get("/v1/proxy").await;
    let answer = served.get("/metrics").await;
    for line in [
        "lobby_proxy_services 300",
        "lobby_proxy_unanswered 1",
        "lobby_proxy_backends_wanted{service=\"s0\"} 2",
        "lobby_proxy_backends_up{service=\"s255\"} 1",
        "lobby_proxy_backends_wanted{service=\"other/\"} 88",
        "lobby_proxy_in_step{output=\"haproxy\"} 1",
        "lobby_proxy_in_step{output=\"nginx\"} 0",
        "lobby_proxy_writes_total{output=\"haproxy\"} 4",
        "lobby_proxy_checks_failed_total{output=\"nginx\"} 2",
        "lobby_proxy_reload_reasons_total{output=\"haproxy\",reason=\"structure\"} 1",
        "lobby_proxy_commands_total{kind=\"add server\"} 5",
        "lobby_proxy_repaired_total 3",
        "lobby_proxy_managed_starts_total 2",
        "lobby_proxy_managed_crashes_total 1",
        "lobby_http_requests_total{route=\"proxy\",status=\"2xx\"} 1",
    ] {
        assert!(answer.text().lines().any(|other| other == line), "{line} is not in\n{}", answer.text());
    }
    assert!(!answer.text().contains("\"s256\""));
}
