//! Registering instances and checks, and taking them away.
//!
//! ```text
//! PUT /v1/agent/service/register?replace-existing-checks    the body is one instance, with checks and a sidecar if it wants
//! PUT /v1/agent/service/deregister/:id                      and its checks, and its sidecar
//! PUT /v1/agent/check/register                              of an instance, or of the node
//! PUT /v1/agent/check/deregister/:id
//! ```
//! Not here: what bodies mean (`wire::definition`), whether there is room (the registry).

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use lobby_core::{
    check::spec::ShortIntervals,
    port::registry::RegistryCommand,
    wire::definition::{self, Context},
};
use serde_json::Value;

use super::{Own, done, refuse_hold};
use crate::{
    App, View,
    error::ApiError,
    path::{RestId, below, write},
    receive, registry, scope,
    writer::Writer,
};

pub(super) fn routes() -> Router<App> {
    let router = Router::new()
        .route("/v1/agent/service/register", write(register))
        .route("/v1/agent/check/register", write(register_check));
    let router = below(router, "/v1/agent/service/deregister/", write(deregister));
    below(router, "/v1/agent/check/deregister/", write(deregister_check))
}

async fn register(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
    writer: Writer,
    request: Request,
) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let (body, context) = read(&app, &writer, request, ShortIntervals::Raise).await?;
    let mut registration = definition::registration(&body, &context)?;
    registration.replace_checks = query.has("replace-existing-checks");
    let sidecar = definition::sidecar(&body, &registration);
    let own = Own::new(&app, &view);
    own.may_replace(&writer, &registration)?;
    if let Some(sidecar) = &sidecar {
        own.may_replace(&writer, sidecar)?;
        // So that an instance does not come without its proxy.
        own.local().port(&sidecar.instance).map_err(ApiError::Registry)?;
    }
    registry::ask_as(&app, &writer, |answer| RegistryCommand::Register(Box::new(registration), answer)).await?;
    if let Some(sidecar) = sidecar {
        registry::ask_as(&app, &writer, |answer| RegistryCommand::Register(Box::new(sidecar), answer)).await?;
    }
    Ok(done())
}

/// The body of a registration, and what it means on this connection.
pub(crate) async fn read(
    app: &App,
    writer: &Writer,
    request: Request,
    short: ShortIntervals,
) -> Result<(Value, Context), ApiError> {
    let bytes = receive::body(app, request.into_body(), app.config().limits.body_bytes).await?;
    Ok((definition::parse(&bytes)?, Context { short, peer_pid: writer.pid }))
}

async fn register_check(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
    writer: Writer,
    request: Request,
) -> Result<Response, ApiError> {
    scope::query(&uri, &headers, &view)?;
    let (body, context) = read(&app, &writer, request, ShortIntervals::Raise).await?;
    let check = definition::check(&body, &context)?;
    refuse_hold(&check)?;
    let own = Own::new(&app, &view);
    own.may_judge(&writer, check.instance.as_ref())?;
    own.may_write_check(&writer, &check.id)?;
    registry::ask_as(&app, &writer, |answer| RegistryCommand::SetCheck(Box::new(check), answer)).await?;
    Ok(done())
}

async fn deregister(
    State(app): State<App>,
    Extension(view): Extension<View>,
    RestId(id): RestId<4>,
    uri: Uri,
    headers: HeaderMap,
    writer: Writer,
) -> Result<Response, ApiError> {
    scope::query(&uri, &headers, &view)?;
    Own::new(&app, &view).may_take(&writer, &id)?;
    registry::ask_as(&app, &writer, |answer| RegistryCommand::Deregister(id, answer)).await?;
    Ok(done())
}

async fn deregister_check(
    State(app): State<App>,
    Extension(view): Extension<View>,
    RestId(id): RestId<4>,
    uri: Uri,
    headers: HeaderMap,
    writer: Writer,
) -> Result<Response, ApiError> {
    scope::query(&uri, &headers, &view)?;
    Own::new(&app, &view).may_write_check(&writer, &id)?;
    registry::ask_as(&app, &writer, |answer| RegistryCommand::RemoveCheck(id, answer)).await?;
    Ok(done())
}
