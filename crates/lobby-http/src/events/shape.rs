//! What events tell of a node and of an instance.
//!
//! Two that are equal here make no event: neither who was heard of when, nor suspicion, nor what a check last said is told.
//! Not here: when it is told (`delta`).

use std::collections::BTreeMap;

use lobby_core::{
    catalog::{InstanceView, Node, NodeOffers, Snapshot},
    check::{Status, view::CheckView},
    id::Origin,
};
use serde::Serialize;

use crate::catalog_api::node;

/// A node as events tell it.
#[derive(PartialEq, Eq, Serialize)]
pub(super) struct MemberBody<'a> {
    id: Option<String>,
    name: &'a str,
    addresses: Vec<&'a str>,
    labels: Vec<&'a str>,
    datacenter: Option<&'a str>,
    lobbyd: Option<&'a str>,
    drain: bool,
    status: &'static str,
}

/// An instance as events tell it.
#[derive(PartialEq, Eq, Serialize)]
pub(super) struct InstanceBody<'a> {
    #[serde(flatten)]
    known: Known<'a>,
    #[serde(flatten)]
    health: Health<'a>,
}

/// What somebody has said of an instance.
#[derive(PartialEq, Eq, Serialize)]
struct Known<'a> {
    service: &'a str,
    id: &'a str,
    node: &'a str,
    node_id: Option<String>,
    address: &'a str,
    port: u16,
    tags: &'a [String],
    meta: &'a BTreeMap<String, String>,
    weights: WeightsBody,
    drain: bool,
    from_label: bool,
}

#[derive(PartialEq, Eq, Serialize)]
struct WeightsBody {
    passing: u16,
    warning: u16,
}

/// What changes without a registration.
#[derive(PartialEq, Eq, Serialize)]
struct Health<'a> {
    status: &'static str,
    checks: Vec<CheckBody<'a>>,
}

#[derive(PartialEq, Eq, Serialize)]
struct CheckBody<'a> {
    id: &'a str,
    name: &'a str,
    of: &'static str,
    kind: &'static str,
    status: &'static str,
}

/// A node that is gone.
#[derive(Serialize)]
pub(super) struct GoneMember<'a> {
    id: Option<&'a str>,
    name: &'a str,
    why: &'static str,
}

/// An instance that is gone.
#[derive(Serialize)]
pub(super) struct GoneInstance<'a> {
    service: &'a str,
    id: &'a str,
    node: &'a str,
    node_id: Option<&'a str>,
    why: &'static str,
}

impl<'a> MemberBody<'a> {
    pub(super) fn new(node: &'a Node, offers: &'a NodeOffers) -> Self {
        let of = &*offers.node;
        Self {
            id: id(&of.origin),
            name: of.name.as_str(),
            addresses: node::split(of).collect(),
            labels: node.record.labels().map(|label| label.as_str()).collect(),
            datacenter: of.datacenter.as_deref(),
            lobbyd: of.version.as_deref(),
            drain: of.drain,
            status: Status::worst(of.checks.iter().map(|check| check.status)).as_str(),
        }
    }

    pub(super) fn gone(&'a self, why: &'static str) -> GoneMember<'a> {
        GoneMember { id: self.id.as_deref(), name: self.name, why }
    }
}

impl<'a> InstanceBody<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, view: &'a InstanceView) -> Self {
        let (instance, of) = (&*view.instance, &*view.node);
        let own = view.checks.iter().map(|check| CheckBody::new(check, "instance"));
        let known = Known {
            service: instance.service.as_str(),
            id: instance.id.as_str(),
            node: of.name.as_str(),
            node_id: id(&of.origin),
            address: if instance.address.is_empty() { node::address(snapshot, of) } else { &instance.address },
            port: instance.port,
            tags: &instance.tags,
            meta: &instance.meta,
            weights: WeightsBody { passing: instance.weights.passing, warning: instance.weights.warning },
            drain: view.is_draining(),
            from_label: view.from_label,
        };
        let checks = own.chain(of.checks.iter().map(|check| CheckBody::new(check, "node"))).collect();
        Self { known, health: Health { status: view.status.as_str(), checks } }
    }

    /// Whether both are of one service: under another name it is another instance.
    pub(super) fn is_of_service_of(&self, other: &Self) -> bool {
        self.known.service.eq_ignore_ascii_case(other.known.service)
    }

    /// Whether nothing but its health can differ.
    pub(super) fn is_known_like(&self, other: &Self) -> bool {
        self.known == other.known
    }

    pub(super) fn gone(&'a self, why: &'static str) -> GoneInstance<'a> {
        let Known { service, id, node, node_id, .. } = &self.known;
        GoneInstance { service, id, node, node_id: node_id.as_deref(), why }
    }
}

impl<'a> CheckBody<'a> {
    fn new(check: &'a CheckView, of: &'static str) -> Self {
        let (id, name) = (check.id.as_str(), check.name.as_str());
        Self { id, name, of, kind: check.kind.as_str(), status: check.status.as_str() }
    }
}

fn id(origin: &Origin) -> Option<String> {
    origin.node_id().map(|id| id.to_string())
}
