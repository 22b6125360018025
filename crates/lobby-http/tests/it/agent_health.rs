//! The health of instances as status codes, as JSON and as one word.

use axum::http::StatusCode;
use lobby_core::check::Status;
use serde_json::{Value, json};

use crate::fixture::{Fleet, Served, config};

async fn serve() -> Served {
    let served = Fleet::new(&["service:smtp"]).located("dc1").serve(config());
    for body in [
        r#"{"ID":"a","Name":"web","Check":{"TTL":"1s","Status":"passing"}}"#,
        r#"{"ID":"b","Name":"web","Check":{"TTL":"1s","Status":"passing"}}"#,
    ] {
        assert_eq!(served.put("/v1/agent/service/register", body).await.status, StatusCode::OK);
    }
    served
}

async fn state(served: &Served, path: &str) -> (u16, Value) {
    let answer = served.get(&format!("/v1/agent/health/service/{path}")).await;
    let word = served.get(&format!("/v1/agent/health/service/{path}?format=text")).await;
    assert_eq!((answer.status, word.header("content-type")), (word.status, "text/plain; charset=UTF-8"));
    let body = answer.json();
    let one = body.as_array().map_or(vec![body.clone()], Clone::clone);
    assert!(one.iter().any(|health| health["AggregatedStatus"] == word.text()), "{}: {body}", word.text());
    (answer.status.as_u16(), body)
}

#[tokio::test]
async fn the_worst_check_decides() {
    let served = serve().await;
    let (status, body) = state(&served, "id/a").await;
    assert_eq!((status, &body["AggregatedStatus"]), (200, &json!("passing")));
    assert_eq!(body["Service"]["ID"], "a");
    assert_eq!(body["Checks"].as_array().unwrap().len(), 1);
    for (judged, id, name) in [(Status::Warning, 429, 429), (Status::Critical, 503, 503), (Status::Passing, 200, 200)] {
        served.registry.judge("service:b", judged);
        assert_eq!(state(&served, "id/a").await.0, 200);
        assert_eq!((state(&served, "id/b").await.0, state(&served, "name/web").await.0), (id, name), "{judged}");
    }
    let (_, both) = state(&served, "name/web").await;
    assert_eq!(both.as_array().unwrap().iter().map(|one| one["Service"]["ID"].clone()).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn checks_of_the_node_and_maintenance_count() {
    let served = serve().await;
    served.put("/v1/agent/check/register", r#"{"Name":"mem","TTL":"1s","Status":"warning"}"#).await;
    let (status, body) = state(&served, "id/a").await;
    assert_eq!((status, body["Checks"].as_array().unwrap().len()), (429, 2));
    assert_eq!(state(&served, "id/smtp").await.0, 429);
    served.put("/v1/agent/service/maintenance/a?enable=true", "").await;
    let (status, body) = state(&served, "id/a").await;
    assert_eq!((status, &body["AggregatedStatus"]), (503, &json!("maintenance")));
    assert_eq!((state(&served, "name/web").await.0, state(&served, "id/b").await.0), (503, 429));
}

#[tokio::test]
async fn a_word_for_those_who_accept_text() {
    let served = serve().await;
    let accepting = |accept| [("accept", accept)];
    let ask = async |accept| served.ask("GET", "/v1/agent/health/service/id/a", &accepting(accept), "").await;
    assert_eq!(ask("text/plain").await.text(), "passing");
    assert_eq!(ask("application/json").await.header("content-type"), "application/json");
    assert_eq!(ask("*/*").await.header("content-type"), "application/json");
}

#[tokio::test]
async fn unknown_and_missing_names() {
    let served = serve().await;
    for (path, words) in [("id/none", "service ID \"none\""), ("name/none", "service \"none\""), ("name/a", "service \"a\"")] {
        let answer = served.get(&format!("/v1/agent/health/service/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.text().starts_with(words), "{}", answer.text());
    }
    for path in ["id/", "name/"] {
        let answer = served.get(&format!("/v1/agent/health/service/{path}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
    }
}
