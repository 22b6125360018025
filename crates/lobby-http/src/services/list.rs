//! What is offered: services in short, and the instances of one with all that judges them.
//!
//! Instances of failed nodes are shown too, as critical. Not here: who is left out of a proxy (outputs), Consul's shapes.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Extension,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use lobby_core::{
    catalog::{InstanceView, Node, ServiceView, Snapshot},
    check::{
        Status,
        view::{CheckKind, CheckView},
    },
    id::Origin,
    record::meta,
    selector::{Selector, Subject},
    service,
};
use serde::Serialize;

use crate::{
    View, answer,
    error::{ApiError, shown},
    path::SegmentId,
    query::{self, Query},
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

/// An instance as a selector sees it, with the labels of its node and those that show it.
struct Candidate<'a> {
    view: &'a InstanceView,
    node: Option<&'a Node>,
}

impl<'a> Candidate<'a> {
    fn new(snapshot: &'a Snapshot, view: &'a InstanceView) -> Self {
        Self { view, node: node(snapshot, &view.node.origin) }
    }

    fn drains(&self) -> bool {
        let node = self.node.and_then(|node| node.record.meta(meta::DRAIN));
        self.view.instance.drain || node == Some("true")
    }

    /// Where others reach it.
    fn address(&self) -> &'a str {
        let view = self.view;
        if !view.instance.address.is_empty() {
            return &view.instance.address;
        }
        let addresses = view.node.addresses.as_deref().unwrap_or_default();
        let best = addresses.split(',').map(str::trim).find(|address| !address.is_empty());
        best.unwrap_or(view.node.name.as_str())
    }

    fn checks(&self) -> impl Iterator<Item = (&'static str, &'a CheckView)> {
        let own = self.view.checks.iter().map(|check| ("instance", &**check));
        own.chain(self.view.node.checks.iter().map(|check| ("node", &**check)))
    }
}

impl Subject for Candidate<'_> {
    fn any_label(&self, wanted: &dyn Fn(&str) -> bool) -> bool {
        // Those about services are of all instances of the node.
        let mut of_node = self.node.into_iter().flat_map(|node| node.record.labels()).map(|label| label.as_str());
        of_node.any(|label| !label.starts_with("service:") && wanted(label))
            || service::labels(&self.view.instance).iter().any(|label| wanted(label.as_str()))
    }

    fn has_service(&self, name: &str) -> bool {
        self.view.instance.service.as_str().eq_ignore_ascii_case(name)
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.view.instance.tags.iter().any(|other| other == tag)
    }

    fn status(&self) -> Option<Status> {
        Some(self.view.status)
    }
}

/// The node of this origin, ourselves too, listed or not.
fn node<'a>(snapshot: &'a Snapshot, origin: &Origin) -> Option<&'a Node> {
    let local = &*snapshot.local;
    if local.record.origin == *origin { Some(local) } else { snapshot.nodes.get(origin).map(|node| &**node) }
}

/// The selector of a request, if it has one.
fn selector(query: &Query<'_>) -> Result<Option<Selector>, ApiError> {
    let text = query.get("where").filter(|text| !text.trim().is_empty());
    Ok(text.map(str::parse).transpose()?)
}

/// The instances of a service that the selector takes.
fn chosen<'a>(
    snapshot: &'a Snapshot,
    service: &'a ServiceView,
    selector: Option<&'a Selector>,
) -> impl Iterator<Item = Candidate<'a>> {
    let candidates = service.instances.values().map(|view| Candidate::new(snapshot, view));
    candidates.filter(move |candidate| selector.is_none_or(|selector| selector.takes(candidate)))
}

pub(super) async fn services(Extension(view): Extension<View>, uri: Uri) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let selector = selector(&query)?;
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
        body.draining += usize::from(candidate.drains());
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
    let selector = selector(&query)?;
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

fn instance_body<'a>(view: &View, candidate: &Candidate<'a>) -> InstanceBody<'a> {
    let (instance, node) = (&*candidate.view.instance, &*candidate.view.node);
    let age = candidate.node.map(|node| u64::try_from(node.age(view.now).as_millis()).unwrap_or(u64::MAX));
    InstanceBody {
        id: instance.id.as_str(),
        service: instance.service.as_str(),
        node: node.name.as_str(),
        node_id: node.origin.node_id().map(|id| id.to_string()),
        node_failed: node.failed,
        address: candidate.address(),
        port: instance.port,
        tags: &instance.tags,
        meta: &instance.meta,
        weights: WeightsBody { passing: instance.weights.passing, warning: instance.weights.warning },
        status: candidate.view.status.as_str(),
        maintenance: candidate.checks().any(|(_, check)| check.kind == CheckKind::Maintenance),
        drain: candidate.drains(),
        from_label: candidate.view.from_label,
        age_ms: age,
        checks: candidate.checks().map(|(of, check)| check_body(of, check)).collect(),
    }
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
