//! How instances of this agent are, for load balancers that look at the status code.
//!
//! ```text
//! GET /v1/agent/health/service/id/:id        one instance
//! GET /v1/agent/health/service/name/:name    those of a service, judged by the worst
//! ```
//! 200 passing, 429 warning, 503 critical or in maintenance; as text the word alone. Checks of the node count.

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use lobby_core::{
    check::{
        Status,
        aggregate::{Shown, aggregate},
    },
    instance::Instance,
    port::registry::LocalCheck,
};
use serde::Serialize;

use super::{Own, datacenter, shown as judged};
use crate::{
    App, View, answer, consul,
    error::{ApiError, shown},
    path::{RestId, below},
    query::Query,
    scope,
    shape::{AgentService, Check},
};

pub(super) fn routes() -> Router<App> {
    below(below(Router::new(), "/v1/agent/health/service/id/", get(by_id)), "/v1/agent/health/service/name/", get(by_name))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Health<'a> {
    aggregated_status: &'static str,
    service: AgentService<'a>,
    checks: Vec<Check<'a>>,
}

type Asked = (State<App>, Extension<View>, RestId<5>, Uri, HeaderMap);

async fn by_id((State(app), Extension(view), RestId(id), uri, headers): Asked) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let own = Own::new(&app, &view);
    let unknown = || ApiError::NotHere { field: "service ID", value: shown(id.as_str()) };
    let (health, state) = health(&own, &view, own.instance(&id).ok_or_else(unknown)?);
    Ok(answer(&query, &headers, state, &health))
}

async fn by_name((State(app), Extension(view), RestId(name), uri, headers): Asked) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let own = Own::new(&app, &view);
    let instances = own.instances().into_values().filter(|instance| instance.service == name);
    let (all, states): (Vec<_>, Vec<_>) = instances.map(|instance| health(&own, &view, instance)).unzip();
    match states.into_iter().max() {
        Some(worst) => Ok(answer(&query, &headers, worst, &all)),
        None => Err(ApiError::NotHere { field: "service", value: shown(name.as_str()) }),
    }
}

fn health<'a>(own: &'a Own, view: &'a View, instance: &'a Instance) -> (Health<'a>, Shown) {
    let judges = |check: &&LocalCheck| check.instance.as_ref().is_none_or(|id| *id == instance.id);
    let checks: Vec<&LocalCheck> = own.local().checks.values().map(|check| &**check).filter(judges).collect();
    let state = aggregate(checks.iter().map(|check| judged(check)), []);
    let node = view.snapshot.local.record.name.as_str();
    let health = Health {
        aggregated_status: state.as_str(),
        service: own.service(instance, datacenter(view)),
        checks: checks.into_iter().map(|check| own.check(node, check)).collect(),
    };
    (health, state)
}

fn answer(query: &Query<'_>, headers: &HeaderMap, state: Shown, body: &impl Serialize) -> Response {
    let status = match state.status() {
        Status::Passing => StatusCode::OK,
        Status::Warning => StatusCode::TOO_MANY_REQUESTS,
        Status::Critical => StatusCode::SERVICE_UNAVAILABLE,
    };
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = query.get("format") == Some("text") || accepts.to_ascii_lowercase().starts_with("text/plain");
    match text {
        true => (status, [(header::CONTENT_TYPE, answer::TEXT)], state.as_str()).into_response(),
        false => (status, consul::json(query, body)).into_response(),
    }
}
