//! Taking one instance, or all of the node, out and back in.
//!
//! ```text
//! PUT /v1/agent/service/maintenance/:id?enable=true&reason=…
//! PUT /v1/agent/maintenance?enable=true&reason=…                for operators
//! ```
//! Both may be repeated. Not here: the check that stands for it (`lobby_core::check::spec`), draining (`services`).

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use lobby_core::port::registry::{RegistryCommand, Target};

use super::{Own, done};
use crate::{
    App, View,
    error::{ApiError, shown},
    path::{RestId, below, write},
    query::Query,
    registry, scope,
    writer::Writer,
};

pub(super) fn routes() -> Router<App> {
    below(Router::new(), "/v1/agent/service/maintenance/", write(service))
}

pub(super) fn verbs() -> Router<App> {
    Router::new().route("/v1/agent/maintenance", write(node))
}

async fn service(
    State(app): State<App>,
    Extension(view): Extension<View>,
    RestId(id): RestId<4>,
    uri: Uri,
    headers: HeaderMap,
    writer: Writer,
) -> Result<Response, ApiError> {
    Own::new(&app, &view).may_write(&writer, &id)?;
    maintain(&app, Target::Instance(id), &scope::query(&uri, &headers, &view)?).await
}

async fn node(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    maintain(&app, Target::Node, &scope::query(&uri, &headers, &view)?).await
}

async fn maintain(app: &App, target: Target, query: &Query<'_>) -> Result<Response, ApiError> {
    // Without one the registry keeps that of the first, or has words of its own.
    let reason = enable(query)?.then(|| query.get("reason").unwrap_or_default().to_owned());
    registry::ask(app, |answer| RegistryCommand::Maintain(target, reason, answer)).await?;
    Ok(done())
}

/// The flag, which must be there, as Go reads it.
fn enable(query: &Query<'_>) -> Result<bool, ApiError> {
    let text = query.get("enable").unwrap_or_default();
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Ok(true),
        "0" | "f" | "false" => Ok(false),
        _ => Err(ApiError::Field { field: "enable", value: shown(text), want: "true or false" }),
    }
}
