//! What programs report of their own checks, those with a TTL.
//!
//! ```text
//! PUT /v1/agent/check/pass/:id?note=    warn, fail: the note becomes the output
//! PUT /v1/agent/check/update/:id        {"Status": "passing", "Output": "…"}
//! ```
//! An unknown check is 404, one without a TTL 500: clients that keep a heartbeat then register again.
//! Not here: what becomes of a report (`lobby_core::check::state`).

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use lobby_core::{check::Status, instance::Id, port::registry::RegistryCommand, wire::definition};
use serde_json::Value;

use super::{Own, done};
use crate::{
    App, View,
    error::{ApiError, shown},
    path::{RestId, below, write},
    receive, registry, scope,
    writer::Writer,
};

/// Most bytes of a report that travel to the registry, its end: far more than any check keeps, and a full queue of them is
/// no danger.
const REPORT_BYTES: usize = 16 << 10;

/// Consul's words for what is reported.
const WORDS: &str = "passing, warning or critical";

pub(super) fn routes() -> Router<App> {
    let router = below(Router::new(), "/v1/agent/check/pass/", write(pass));
    let router = below(router, "/v1/agent/check/warn/", write(warn));
    let router = below(router, "/v1/agent/check/fail/", write(fail));
    below(router, "/v1/agent/check/update/", write(update))
}

type Said = (State<App>, Extension<View>, RestId<4>, Uri, HeaderMap, Writer);

async fn pass(said: Said) -> Result<Response, ApiError> {
    note(said, Status::Passing).await
}

async fn warn(said: Said) -> Result<Response, ApiError> {
    note(said, Status::Warning).await
}

async fn fail(said: Said) -> Result<Response, ApiError> {
    note(said, Status::Critical).await
}

async fn note(
    (State(app), Extension(view), RestId(id), uri, headers, writer): Said,
    status: Status,
) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    Own::new(&app, &view).may_write_check(&writer, &id)?;
    report(&app, id, status, query.get("note").unwrap_or_default()).await?;
    Ok(done())
}

async fn update(
    (State(app), Extension(view), RestId(id), uri, headers, writer): Said,
    request: Request,
) -> Result<Response, ApiError> {
    scope::query(&uri, &headers, &view)?;
    Own::new(&app, &view).may_write_check(&writer, &id)?;
    let (status, output) = body(&app, request).await?;
    report(&app, id, status, &output).await?;
    Ok(done())
}

/// The status and the output of a body; an absent output is an empty one.
pub(crate) async fn body(app: &App, request: Request) -> Result<(Status, String), ApiError> {
    let bytes = receive::body(app, request.into_body(), app.config().limits.body_bytes).await?;
    let body = definition::parse(&bytes)?;
    let text = |name: &str| match field(&body, name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    let status = text("status");
    let bad = |_| ApiError::Field { field: "status", value: shown(&status), want: WORDS };
    Ok((status.parse().map_err(bad)?, text("output")))
}

/// A field by its name, in whatever case.
fn field<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    body.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Tells the registry.
pub(crate) async fn report(app: &App, check: Id, status: Status, output: &str) -> Result<(), ApiError> {
    let start = output.ceil_char_boundary(output.len().saturating_sub(REPORT_BYTES));
    let note = output[start..].to_owned();
    registry::ask(app, |answer| RegistryCommand::Beat { check, status, note, answer }).await
}
