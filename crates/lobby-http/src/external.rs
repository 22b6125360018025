//! Nodes without an agent, in Consul's shape: whoever may write tells of them, and every agent keeps them.
//!
//! ```text
//! PUT /v1/catalog/register      a node, perhaps with a service and checks    `true`
//! PUT /v1/catalog/deregister    a check, a service, or the node              `true`, also when it is not there
//! ```
//! What an agent has is its own: registering for its name is refused, deregistering comes to nothing. But for the tags of a
//! service that it registered with EnableTagOverride: those are taken, and what else the body says of the service is not, as
//! Consul's agents would set it right again; deregistering the service takes them back.
//! Not here: what bodies mean (`wire::definition`), which version counts (`lobby_core::external`).

use std::time::Duration;

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use lobby_core::{
    external::{
        Change, NodeData, node_data,
        tags::{has_node, open_to_tags, tags as given_tags},
    },
    id::NodeId,
    name::Name,
    port::external::{ExternalError, Write},
    record::Record,
    wire::definition::{self, CatalogDeregistration, CatalogRegistration},
};

use crate::{
    App, View, consul,
    error::{ApiError, shown},
    path::write,
    receive, scope,
    writer::Writer,
};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/catalog/register", write(register)).route("/v1/catalog/deregister", write(deregister))
}

/// How long writing may take; a disk that is stuck for longer must not keep the client.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has these writes carried out together.
pub(crate) async fn carry_out(app: &App, writes: Vec<Write>) -> Result<(), ExternalError> {
    let written = tokio::time::timeout(PATIENCE, app.state.handles.externals.write(writes)).await;
    written.unwrap_or(Err(ExternalError::Stuck))
}

/// The status of a refusal.
pub(crate) const fn status(err: &ExternalError) -> StatusCode {
    match err {
        ExternalError::Set { .. } | ExternalError::TooMany => StatusCode::BAD_REQUEST,
        ExternalError::HasAgent(_) | ExternalError::Changed(_) | ExternalError::Ahead(_) => StatusCode::CONFLICT,
        ExternalError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        ExternalError::Stuck => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
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
    let bytes = receive::body(&app, request.into_body(), app.config().limits.body_bytes).await?;
    let registration = definition::catalog_register(&definition::parse(&bytes)?)?;
    check_datacenter(&view, registration.datacenter.as_deref())?;
    let name = registration.node.clone();
    let changes = match tags(&view, &registration) {
        Some((change, service)) => {
            writer.may_write(service)?;
            vec![change]
        }
        None => changes(registration, record(&view, &name), &writer)?,
    };
    carry_out(&app, vec![Write { name, changes, seen: None }]).await?;
    Ok(consul::json(&query, &true))
}

async fn deregister(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
    writer: Writer,
    request: Request,
) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let bytes = receive::body(&app, request.into_body(), app.config().limits.body_bytes).await?;
    let CatalogDeregistration { node, service, check, datacenter } = definition::catalog_deregister(&definition::parse(&bytes)?)?;
    check_datacenter(&view, datacenter.as_deref())?;
    let known = view.snapshot.externals.get(&NodeId::external(&node)).filter(|record| !record.has_left());
    let Some(old) = known else { return Ok(consul::json(&query, &true)) };
    let change = match (service, check) {
        (Some(id), _) => {
            old.instance(&id).map_or(Ok(()), |instance| writer.may_write(instance.service.as_str()))?;
            if given_tags(old, &id).is_some() {
                // Those of an agent that is away are nobody's in particular.
                let open = open_to_tags(&view.snapshot, &node, &id);
                open.map_or_else(|| writer.may_write_node(), |open| writer.may_write(open.instance.service.as_str()))?;
            }
            Change::RemoveInstance(id)
        }
        (None, Some(id)) => {
            may_write_check(old, &writer, old.check(&id).and_then(|check| check.instance).as_ref())?;
            Change::RemoveCheck(id)
        }
        (None, None) => {
            writer.may_write_node()?;
            Change::Remove
        }
    };
    carry_out(&app, vec![Write { name: node, changes: vec![change], seen: None }]).await?;
    Ok(consul::json(&query, &true))
}

/// What is known of a node without an agent, if it is there.
pub(crate) fn record<'a>(view: &'a View, name: &Name) -> Option<&'a Record> {
    let record = view.snapshot.externals.get(&NodeId::external(name))?;
    has_node(record).then_some(&**record)
}

/// The tags that a registration gives to an agent's instance, and the service it is of, if that is all that it can mean.
fn tags<'a>(view: &'a View, registration: &CatalogRegistration) -> Option<(Change, &'a str)> {
    let given = registration.service.as_ref().filter(|_| registration.checks.is_empty())?;
    let open = open_to_tags(&view.snapshot, &registration.node, &given.id)?;
    let service = open.instance.service.as_str();
    let is_it = service.eq_ignore_ascii_case(given.service.as_str());
    is_it.then(|| (Change::Tags(given.id.clone(), Some(given.tags.clone())), service))
}

/// A body may name the data centre too.
pub(crate) fn check_datacenter(view: &View, given: Option<&str>) -> Result<(), ApiError> {
    match given {
        Some(other) if !other.is_empty() && !consul::is_own_datacenter(view, other) => {
            Err(ApiError::OtherDatacenter(shown(other)))
        }
        _ => Ok(()),
    }
}

/// What a registration changes, as far as its sender may.
fn changes(registration: CatalogRegistration, old: Option<&Record>, writer: &Writer) -> Result<Vec<Change>, ApiError> {
    let mut changes = Vec::new();
    let data = NodeData {
        address: registration.address,
        tagged_addresses: registration.tagged_addresses,
        pairs: registration.node_meta,
        consul_id: registration.id.unwrap_or_default(),
    };
    // What is the same needs no right: a service is registered with all that is known of its node.
    let keeps = registration.skip_node_update && old.is_some();
    if !keeps && old.map(node_data).as_ref() != Some(&data) {
        writer.may_write_node()?;
        changes.push(Change::Node(data));
    }
    if let Some(instance) = registration.service {
        writer.may_write(instance.service.as_str())?;
        if let Some(other) = old.and_then(|old| old.instance(&instance.id)) {
            writer.may_write(other.service.as_str())?;
        }
        changes.push(Change::Instance(Box::new(instance)));
    }
    for check in registration.checks {
        // Whose check it was until now is asked too, or a check could be taken over by its id.
        if let Some((old, known)) = old.and_then(|old| Some((old, old.check(&check.view.id)?))) {
            may_write_check(old, writer, known.instance.as_ref())?;
        }
        let new = changes.iter().find_map(|change| match change {
            Change::Instance(instance) if Some(&instance.id) == check.view.instance.as_ref() => Some(instance.service.as_str()),
            _ => None,
        });
        match (new, old) {
            // Its service was asked about just now.
            (Some(_), _) => {}
            (None, Some(old)) => may_write_check(old, writer, check.view.instance.as_ref())?,
            (None, None) => writer.may_write_node()?,
        }
        changes.push(Change::Check(Box::new(check.view)));
    }
    Ok(changes)
}

/// Refuses who may not write checks of this instance, or of the node.
pub(crate) fn may_write_check(
    old: &Record,
    writer: &Writer,
    instance: Option<&lobby_core::instance::Id>,
) -> Result<(), ApiError> {
    match instance.and_then(|id| old.instance(id)) {
        Some(instance) => writer.may_write(instance.service.as_str()),
        None => writer.may_write_node(),
    }
}
