//! What is offered: services in short, and the instances of one with all that judges them.
//!
//! Instances of failed nodes are shown too, as critical; those of held nodes as they were. Not here: who is left out of a proxy (outputs), Consul's shapes.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Extension,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use lobby_core::{
    catalog::{InstanceView, ServiceView, Snapshot, subject::InstanceSubject},
    check::{
        Status,
        view::{CheckKind, CheckView},
    },
    instance::Weights,
    selector::Selector,
};
use serde::Serialize;

use crate::{
    View, answer,
    catalog_api::node,
    error::{ApiError, shown},
    path::SegmentId,
    query,
};

/// Above this many instances the body is made on a thread of its own: about 2 ms of work.
const ASIDE: usize = 1000;

#[derive(Serialize)]
struct ServiceBody<'a> {
    name: &'a str,
    instances: usize,
    passing: usize,
    warning: usize,
    critical: usize,
    draining: usize,
    tags: BTreeSet<&'a str>,
}

#[derive(Serialize)]
struct InstanceBody<'a> {
    id: &'a str,
    service: &'a str,
    node: &'a str,
    node_id: Option<String>,
    node_failed: bool,
    node_held: bool,
    address: &'a str,
    port: u16,
    tags: &'a [String],
    meta: &'a BTreeMap<String, String>,
    weights: WeightsBody,
    status: &'static str,
    maintenance: bool,
    drain: bool,
    from_label: bool,
    age_ms: Option<u64>,
    checks: Vec<CheckBody<'a>>,
}

#[derive(Serialize)]
struct WeightsBody {
    passing: u16,
    warning: u16,
}

#[derive(Serialize)]
struct CheckBody<'a> {
    id: &'a str,
    name: &'a str,
    of: &'static str,
    kind: &'static str,
    status: &'static str,
    notes: &'a str,
    output: &'a str,
}

/// Where others reach it.
fn address(view: &InstanceView) -> &str {
    if !view.instance.address.is_empty() {
        return &view.instance.address;
    }
    node::split(&view.node).next().unwrap_or(view.node.name.as_str())
}

/// The checks that judge it, each with what it is of.
fn checks(view: &InstanceView) -> impl Iterator<Item = (&'static str, &CheckView)> {
    let own = view.checks.iter().map(|check| ("instance", &**check));
    own.chain(view.node.checks.iter().map(|check| ("node", &**check)))
}

/// The instances of a service that the selector takes.
fn chosen<'a>(
    snapshot: &'a Snapshot,
    service: &'a ServiceView,
    selector: Option<&'a Selector>,
) -> impl Iterator<Item = InstanceSubject<'a>> {
    let candidates = service.instances.values().map(|view| InstanceSubject::new(snapshot, view));
    candidates.filter(move |candidate| selector.is_none_or(|selector| selector.takes(candidate)))
}

pub(super) async fn services(Extension(view): Extension<View>, uri: Uri) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let selector = query.selector()?;
    let count = view.snapshot.services.values().map(|service| service.instances.len()).sum();
    let render = move || {
        let services = view.snapshot.services.values();
        let bodies = services.filter_map(|service| service_body(&view.snapshot, service, selector.as_ref()));
        answer::pretty(&bodies.collect::<Vec<_>>())
    };
    Ok(rendered(count, render).await)
}

/// The answer that is made of so many instances.
async fn rendered(count: usize, render: impl FnOnce() -> Vec<u8> + Send + 'static) -> Response {
    let bytes = if count <= ASIDE {
        render()
    } else {
        // The task only fails when the agent stops, and then nobody waits for the body.
        tokio::task::spawn_blocking(render).await.unwrap_or_default()
    };
    ([(header::CONTENT_TYPE, answer::JSON)], bytes).into_response()
}

/// A service in short; `None` when none of its instances is wanted.
fn service_body<'a>(snapshot: &'a Snapshot, service: &'a ServiceView, selector: Option<&'a Selector>) -> Option<ServiceBody<'a>> {
    let (tags, name) = (BTreeSet::new(), service.name.as_str());
    let mut body = ServiceBody { name, instances: 0, passing: 0, warning: 0, critical: 0, draining: 0, tags };
    for candidate in chosen(snapshot, service, selector) {
        body.instances += 1;
        match candidate.view.status {
            Status::Passing => body.passing += 1,
            Status::Warning => body.warning += 1,
            Status::Critical => body.critical += 1,
        }
        body.draining += usize::from(candidate.view.is_draining());
        body.tags.extend(candidate.view.instance.tags.iter().map(String::as_str));
    }
    (body.instances > 0).then_some(body)
}

pub(super) async fn instances(
    Extension(view): Extension<View>,
    SegmentId(name): SegmentId<2>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let selector = query.selector()?;
    let Some(service) = view.snapshot.service(name.as_str()).cloned() else {
        return Err(ApiError::NoService(shown(name.as_str())));
    };
    let count = service.instances.len();
    let render = move || {
        let chosen = chosen(&view.snapshot, &service, selector.as_ref());
        answer::pretty(&chosen.map(|candidate| instance_body(&view, &candidate)).collect::<Vec<_>>())
    };
    Ok(rendered(count, render).await)
}

fn instance_body<'a>(view: &View, candidate: &InstanceSubject<'a>) -> InstanceBody<'a> {
    let of = candidate.view;
    let (instance, node) = (&*of.instance, &*of.node);
    let age = candidate.node.map(|node| u64::try_from(node.age(view.now).as_millis()).unwrap_or(u64::MAX));
    InstanceBody {
        id: instance.id.as_str(),
        service: instance.service.as_str(),
        node: node.name.as_str(),
        node_id: node.origin.node_id().map(|id| id.to_string()),
        node_failed: node.failed,
        node_held: candidate.node.is_some_and(|node| node.held.is_some()),
        address: address(of),
        port: instance.port,
        tags: &instance.tags,
        meta: &instance.meta,
        weights: weights(of),
        status: of.status.as_str(),
        maintenance: checks(of).any(|(_, check)| check.kind == CheckKind::Maintenance),
        drain: of.is_draining(),
        from_label: of.from_label,
        age_ms: age,
        checks: checks(of).map(|(of, check)| check_body(of, check)).collect(),
    }
}

/// What takes nothing new weighs nothing, as in Consul's views.
fn weights(view: &InstanceView) -> WeightsBody {
    if view.is_draining() {
        return WeightsBody { passing: 0, warning: 0 };
    }
    let Weights { passing, warning } = view.instance.weights;
    WeightsBody { passing, warning }
}

fn check_body<'a>(of: &'static str, check: &'a CheckView) -> CheckBody<'a> {
    CheckBody {
        id: check.id.as_str(),
        name: &check.name,
        of,
        kind: check.kind.as_str(),
        status: check.status.as_str(),
        notes: &check.notes,
        output: &check.output,
    }
}
