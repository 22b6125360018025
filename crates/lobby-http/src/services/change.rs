//! Changes to what this agent offers: registering, taking away, draining, reports.
//!
//! The names in a path are checked against what is registered, so that a slip does not hit an instance of another service.
//! Not here: instances of other agents, which only those change; maintenance (`agent`).

use axum::{
    Extension,
    extract::{Request, State},
    http::Uri,
    response::Response,
};
use lobby_core::{
    check::spec::ShortIntervals,
    instance::Id,
    port::registry::{RegistryCommand, Target},
    wire::definition::{self, Context},
};
use serde_json::{Map, Value};

use crate::{
    App, View,
    agent::{self, Own},
    answer,
    ask::applied::Wait,
    consul::Stop,
    error::{ApiError, shown},
    path::SegmentId,
    receive, registry,
    writer::Writer,
};

type Name = SegmentId<2>;
type InstanceId = SegmentId<3>;

/// What a change needs that may be waited for: the end of the listener, and what the request says.
type Waits = (Stop, Uri);

pub(super) async fn register(
    State(app): State<App>,
    Extension(view): Extension<View>,
    SegmentId(name): Name,
    SegmentId(id): InstanceId,
    writer: Writer,
    request: Request,
) -> Result<Response, ApiError> {
    let bytes = receive::body(&app, request.into_body(), app.config().limits.body_bytes).await?;
    // An instance of which nothing but the path is said.
    let mut body = if bytes.trim_ascii().is_empty() { Value::Object(Map::new()) } else { definition::parse(&bytes)? };
    if let Value::Object(fields) = &mut body {
        set(fields, "name", &name)?;
        set(fields, "id", &id)?;
    }
    let context = Context { short: ShortIntervals::Allow, peer_pid: writer.pid };
    let mut registration = definition::registration(&body, &context)?;
    registration.replace_checks = true;
    Own::new(&app, &view).may_replace(&writer, &registration)?;
    registry::ask_as(&app, &writer, |answer| RegistryCommand::Register(Box::new(registration), answer)).await?;
    Ok(answer::ok())
}

/// Puts what the path says into the body, which may say the same and nothing else.
fn set(fields: &mut Map<String, Value>, field: &'static str, id: &Id) -> Result<(), ApiError> {
    let spelt = |key: &str| key.replace('_', "").eq_ignore_ascii_case(field);
    let other = |value: &&Value| !matches!(value, Value::Null) && value.as_str() != Some(id.as_str());
    if let Some(other) = fields.iter().filter(|(key, _)| spelt(key)).map(|(_, value)| value).find(other) {
        let value = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
        return Err(ApiError::Contradiction { field, value: shown(&value), want: id.to_string() });
    }
    fields.retain(|key, _| !spelt(key));
    fields.insert(field.to_owned(), id.as_str().into());
    Ok(())
}

pub(super) async fn deregister(
    State(app): State<App>,
    Extension(view): Extension<View>,
    SegmentId(name): Name,
    SegmentId(id): InstanceId,
    writer: Writer,
) -> Result<Response, ApiError> {
    find(&app, &view, &writer, &name, &id)?;
    Own::new(&app, &view).may_take(&writer, &id)?;
    registry::ask_as(&app, &writer, |answer| RegistryCommand::Deregister(id, answer)).await?;
    Ok(answer::ok())
}

pub(super) async fn drain(
    State(app): State<App>,
    Extension(view): Extension<View>,
    SegmentId(name): Name,
    SegmentId(id): InstanceId,
    writer: Writer,
    waits: Waits,
) -> Result<Response, ApiError> {
    find(&app, &view, &writer, &name, &id)?;
    set_drain(&app, Target::Instance(id), true, waits).await
}

pub(super) async fn undrain(
    State(app): State<App>,
    Extension(view): Extension<View>,
    SegmentId(name): Name,
    SegmentId(id): InstanceId,
    writer: Writer,
    waits: Waits,
) -> Result<Response, ApiError> {
    find(&app, &view, &writer, &name, &id)?;
    set_drain(&app, Target::Instance(id), false, waits).await
}

pub(super) async fn drain_node(State(app): State<App>, waits: Waits) -> Result<Response, ApiError> {
    set_drain(&app, Target::Node, true, waits).await
}

pub(super) async fn undrain_node(State(app): State<App>, waits: Waits) -> Result<Response, ApiError> {
    set_drain(&app, Target::Node, false, waits).await
}

async fn set_drain(app: &App, target: Target, drain: bool, (stop, uri): Waits) -> Result<Response, ApiError> {
    let wait = Wait::from_query(app, uri.query().unwrap_or_default())?;
    registry::ask(app, |answer| RegistryCommand::Drain(target, drain, answer)).await?;
    match wait {
        Some(wait) => wait.answer(app, stop).await,
        None => Ok(answer::ok()),
    }
}

pub(super) async fn report(
    State(app): State<App>,
    Extension(view): Extension<View>,
    SegmentId(name): Name,
    SegmentId(id): InstanceId,
    SegmentId(check): SegmentId<5>,
    writer: Writer,
    request: Request,
) -> Result<Response, ApiError> {
    find(&app, &view, &writer, &name, &id)?;
    let local = app.state.handles.registry.view();
    if local.checks_of(&id).all(|known| known.id != check) {
        return Err(ApiError::NotHere { field: "check of that instance", value: shown(check.as_str()) });
    }
    let (status, output) = agent::report_body(&app, request).await?;
    agent::report(&app, check, status, &output).await?;
    Ok(answer::ok())
}

/// Refuses an instance that this agent does not have, or not of this service, or that the writer may not write.
fn find(app: &App, view: &View, writer: &Writer, name: &Id, id: &Id) -> Result<(), ApiError> {
    writer.may_write(name.as_str())?;
    let own = Own::new(app, view);
    match own.instance(id) {
        Some(instance) if instance.service == *name => Ok(()),
        Some(_) => Err(ApiError::NotHere { field: "instance of that service", value: shown(id.as_str()) }),
        None => Err(ApiError::NotHere { field: "instance", value: shown(id.as_str()) }),
    }
}
