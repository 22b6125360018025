//! What each of Consul's read routes lists, and in which order: from one snapshot, chosen as the request says.
//!
//! ```text
//! snapshot ─► nodes, instances, checks in order ─► node-meta, tag ─► near ─► passing ─► filter ─► bytes
//! ```
//! Nodes by name, instances by node and id, checks by node and id; the routes of a service list the same instances.
//! Not here: what makes a node or a check (`node`), when an answer is made (`catalog_api`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use lobby_core::{
    catalog::{NodeOffers, ServiceView},
    check::{Status, view::CheckView},
    expr::{Fields, Filter},
    id::{NodeId, Origin},
    instance::Instance,
};
use serde::Serialize;

use super::{
    node::{self, Fleet, Nodes},
    param::Params,
};
use crate::{
    leader,
    shape::{CatalogService, Check, HealthEntry, Node, Service, Weights},
};

/// The estimated round trips from the node whose neighbours come first.
pub(crate) type Distances = HashMap<NodeId, Duration>;

/// The one list of an answer in the making.
pub(crate) struct List<'a> {
    pub(crate) fleet: Fleet<'a>,
    pub(crate) params: &'a Params,
    /// That of the parameters, bound to what the route lists.
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) distances: &'a Distances,
}

/// An instance, where it is, and since when.
#[derive(Clone, Copy)]
struct Found<'a> {
    offers: &'a NodeOffers,
    instance: &'a Instance,
    checks: &'a [std::sync::Arc<CheckView>],
    draining: bool,
    created: u64,
    modified: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OneNode<'a, S> {
    node: Option<&'a Node<'a>>,
    services: S,
}

impl<'a> List<'a> {
    /// `catalog/nodes`.
    pub(crate) fn nodes(&self) -> Vec<u8> {
        let mut offers = self.fleet.by_name();
        self.sort_near(&mut offers, |offers| &offers.node.origin);
        let nodes = offers.into_iter().map(|offers| self.fleet.node(offers));
        self.write(&nodes.filter(|node| self.takes_node(node) && self.takes(node)).collect::<Vec<_>>())
    }

    /// `catalog/services`: all names with the tags of the instances that are taken, each name as it is spelled.
    pub(crate) fn services(&self) -> Vec<u8> {
        let mut services = BTreeMap::<&str, BTreeSet<&str>>::new();
        let found = self.everywhere();
        if self.filter.is_none() && self.params.node_meta.is_empty() {
            found.for_each(|found| services.entry(found.name()).or_default().extend(found.tags()));
            return self.write(&services);
        }
        let found: Vec<_> = found.collect();
        let nodes = self.fleet.nodes(found.iter().map(|found| found.offers));
        for found in found {
            let node = &nodes[&found.offers.node.origin];
            if self.takes_node(node) && self.takes(&CatalogService::new(node, found.service())) {
                services.entry(found.name()).or_default().extend(found.tags());
            }
        }
        self.write(&services)
    }

    /// `catalog/service`, `catalog/connect`.
    pub(crate) fn catalog(&self, name: &str, connect: bool) -> Vec<u8> {
        let (found, nodes) = self.chosen(name, connect);
        let services = found.iter().map(|found| CatalogService::new(&nodes[&found.offers.node.origin], found.service()));
        self.write(&services.filter(|service| self.takes(service)).collect::<Vec<_>>())
    }

    /// `health/service`, `health/connect`.
    pub(crate) fn health(&self, name: &str, connect: bool) -> Vec<u8> {
        let (found, nodes) = self.chosen(name, connect);
        let entry = |found: &Found<'a>| {
            let own = found.checks.iter().map(|view| node::check(found.offers, view, Some(found.instance)));
            let of_node = found.offers.node.checks.iter().map(|view| node::check(found.offers, view, None));
            let mut checks: Vec<_> = of_node.chain(own).chain(node::serf_health(found.offers)).collect();
            checks.sort_by_key(|check| check.check_id);
            HealthEntry { node: &nodes[&found.offers.node.origin], service: found.service(), checks }
        };
        let passes = |entry: &HealthEntry<'_>| entry.checks.iter().all(|check| check.status == Status::Passing.as_str());
        let entries = found.iter().map(entry).filter(|entry| !self.params.passing || passes(entry));
        self.write(&entries.filter(|entry| self.takes(entry)).collect::<Vec<_>>())
    }

    /// `health/checks`: those of the instances of a service.
    pub(crate) fn checks(&self, name: &str) -> Vec<u8> {
        let (found, _) = self.chosen(name, false);
        let of = |found: Found<'a>| {
            let check = move |view: &'a std::sync::Arc<CheckView>| node::check(found.offers, view, Some(found.instance));
            found.checks.iter().map(move |view| (found.offers, check(view)))
        };
        self.write_checks(found.into_iter().flat_map(of).collect())
    }

    /// `health/node`: all checks of the nodes of a name.
    pub(crate) fn node_checks(&self, name: &str) -> Vec<u8> {
        self.write_checks(self.named(name).into_iter().flat_map(all_checks).collect())
    }

    /// `health/state`: all checks that say one of these.
    pub(crate) fn state(&self, states: &[Status]) -> Vec<u8> {
        let meant = |check: &Check<'_>| states.iter().any(|status| status.as_str() == check.status);
        let all = self
            .fleet
            .by_name()
            .into_iter()
            .filter(|offers| self.params.node_meta.is_empty() || self.takes_node(&self.fleet.node(offers)));
        self.write_checks(all.flat_map(all_checks).filter(|(_, check)| meant(check)).collect())
    }

    /// `catalog/node`: services by id; `null` where there is no such node.
    pub(crate) fn node(&self, name: &str) -> Vec<u8> {
        let offers = self.one_named(name);
        let node = offers.map(|offers| self.fleet.node(offers));
        let services = offers.map(|offers| self.services_of(offers)).unwrap_or_default();
        let services: BTreeMap<_, _> = services.into_iter().map(|service| (service.id, service)).collect();
        self.write(&node.as_ref().map(|node| OneNode { node: Some(node), services }))
    }

    /// `catalog/node-services`: the same with a list.
    pub(crate) fn node_services(&self, name: &str) -> Vec<u8> {
        let offers = self.one_named(name);
        let node = offers.map(|offers| self.fleet.node(offers));
        let services = offers.map(|offers| self.services_of(offers)).unwrap_or_default();
        self.write(&OneNode { node: node.as_ref(), services })
    }

    /// `catalog/datacenters`.
    pub(crate) fn datacenters(&self) -> Vec<u8> {
        self.write(&[self.fleet.datacenter])
    }

    /// What nobody here has: gateways.
    pub(crate) fn nothing(&self) -> Vec<u8> {
        self.write::<[u8; 0]>(&[])
    }
}

// === What is there ===

impl<'a> List<'a> {
    /// The instances that the request chooses, in order, and their nodes.
    fn chosen(&self, name: &str, connect: bool) -> (Vec<Found<'a>>, Nodes<'a>) {
        let mut found: Vec<_> = match (self.params.peer, connect) {
            (true, _) => Vec::new(),
            (_, true) => self.everywhere().filter(|found| found.connects(name)).collect(),
            _ => self.service(name),
        };
        let place = |found: &Found<'a>| (&found.offers.node.name, &found.instance.id, &found.offers.node.origin);
        found.sort_by(|a, b| place(a).cmp(&place(b)));
        found.retain(|found| self.params.takes_tags(&found.instance.tags));
        let nodes = self.fleet.nodes(found.iter().map(|found| found.offers));
        found.retain(|found| self.takes_node(&nodes[&found.offers.node.origin]));
        self.sort_near(&mut found, |found| &found.offers.node.origin);
        (found, nodes)
    }

    fn service(&self, name: &str) -> Vec<Found<'a>> {
        let view = self.fleet.snapshot.service(name);
        let mut found: Vec<_> = view.into_iter().flat_map(|view| self.instances(view)).collect();
        if name.eq_ignore_ascii_case(node::CONSUL) {
            found.extend(self.server());
        }
        found
    }

    fn everywhere(&self) -> impl Iterator<Item = Found<'a>> {
        let this = self.fleet;
        let services = this.snapshot.services.values();
        services.flat_map(move |view| instances(this, view)).chain(self.server())
    }

    fn instances(&self, view: &'a ServiceView) -> impl Iterator<Item = Found<'a>> + use<'a> {
        instances(self.fleet, view)
    }

    /// The instance that stands for Consul's servers.
    fn server(&self) -> Option<Found<'a>> {
        let snapshot = self.fleet.snapshot;
        // An agent that is not listed may lead, but shows nowhere.
        let offers = snapshot.offers.get(&leader::leader(snapshot).node.record.origin)?;
        // Of one id, the one that is registered counts.
        if offers.instances.contains_key(node::CONSUL) {
            return None;
        }
        Some(Found {
            offers,
            instance: node::server(),
            checks: &[],
            draining: false,
            created: offers.created.0,
            modified: offers.created.0,
        })
    }

    /// The nodes that a text names.
    fn named(&self, name: &str) -> Vec<&'a NodeOffers> {
        let snapshot = self.fleet.snapshot;
        let mut named: Vec<_> = snapshot.offers_by_name(name).map(|offers| &**offers).collect();
        if named.is_empty() {
            let id = node::parse_id(name).map(Origin::Node);
            named.extend(id.and_then(|id| snapshot.offers.get(&id)).map(|offers| &**offers));
        }
        named
    }

    /// The one that counts of the nodes of a name: one that is alive, if any is.
    fn one_named(&self, name: &str) -> Option<&'a NodeOffers> {
        self.named(name).into_iter().min_by_key(|offers| offers.node.failed)
    }

    /// What a node offers, by id.
    fn services_of(&self, offers: &'a NodeOffers) -> Vec<Service<'a>> {
        let found = offers.instances.values().map(|stamped| found(offers, stamped));
        let server = self.server().filter(|server| std::ptr::eq(server.offers, offers));
        let mut services: Vec<_> = found.chain(server).map(|found| found.service()).collect();
        services.retain(|service| self.takes(service));
        services.sort_by_key(|service| service.id);
        services
    }
}

fn instances<'a>(fleet: Fleet<'a>, view: &'a ServiceView) -> impl Iterator<Item = Found<'a>> + use<'a> {
    view.instances.keys().filter_map(move |place| {
        let offers = fleet.snapshot.offers.get(&place.origin)?;
        Some(found(offers, offers.instances.get(&place.id)?))
    })
}

fn found<'a>(offers: &'a NodeOffers, stamped: &'a lobby_core::catalog::Stamped<lobby_core::catalog::InstanceView>) -> Found<'a> {
    let view = &*stamped.value;
    Found {
        offers,
        instance: &view.instance,
        checks: &view.checks,
        draining: view.is_draining(),
        created: stamped.created.0,
        modified: stamped.modified.0,
    }
}

impl<'a> Found<'a> {
    fn service(&self) -> Service<'a> {
        let service = Service::new(self.instance, self.created, self.modified);
        if self.draining { Service { weights: Weights::NONE, ..service } } else { service }
    }

    /// The service, as this instance spells it.
    fn name(&self) -> &'a str {
        self.instance.service.as_str()
    }

    fn tags(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.instance.tags.iter().map(String::as_str)
    }

    /// Whether the mesh reaches a service of this name here: natively, or through a proxy for it.
    fn connects(&self, name: &str) -> bool {
        if self.instance.connect.is_empty() && self.instance.proxy.is_empty() {
            return false;
        }
        let service = self.service();
        let field = |text: Option<&serde_json::Value>| text.and_then(serde_json::Value::as_str).map(str::to_owned);
        let native = service.connect.get("Native").and_then(serde_json::Value::as_bool) == Some(true);
        let to = field(service.proxy.get("DestinationServiceName")).unwrap_or_default();
        (native && self.name().eq_ignore_ascii_case(name)) || (service.kind == "connect-proxy" && to.eq_ignore_ascii_case(name))
    }
}

/// All checks of a node, `serfHealth` among them.
fn all_checks<'a>(offers: &'a NodeOffers) -> impl Iterator<Item = (&'a NodeOffers, Check<'a>)> {
    let checks = offers.checks.values().map(move |stamped| {
        let instance = stamped.value.instance.as_ref().and_then(|id| offers.instances.get(id));
        (offers, node::check(offers, &stamped.value, instance.map(|stamped| &*stamped.value.instance)))
    });
    checks.chain(node::serf_health(offers).map(|check| (offers, check)))
}

// === What is taken, and how it is written ===

impl<'a> List<'a> {
    fn takes(&self, thing: &impl Fields) -> bool {
        self.filter.is_none_or(|filter| filter.takes(thing))
    }

    fn takes_node(&self, node: &Node<'_>) -> bool {
        self.params.node_meta.iter().all(|(key, value)| node.meta.get(key) == Some(value))
    }

    fn sort_near<T>(&self, items: &mut [T], origin: impl Fn(&T) -> &'a Origin) {
        if !self.distances.is_empty() {
            let distance = |item: &T| self.distances.get(&origin(item).node_id()?).copied();
            items.sort_by_cached_key(|item| distance(item).unwrap_or(Duration::MAX));
        }
    }

    fn write_checks(&self, mut checks: Vec<(&'a NodeOffers, Check<'a>)>) -> Vec<u8> {
        checks.retain(|(_, check)| self.takes(check));
        checks.sort_by(|(a, left), (b, right)| {
            (&a.node.name, left.check_id, &a.node.origin).cmp(&(&b.node.name, right.check_id, &b.node.origin))
        });
        self.sort_near(&mut checks, |(offers, _)| &offers.node.origin);
        self.write(&checks.into_iter().map(|(_, check)| check).collect::<Vec<_>>())
    }

    fn write<T: Serialize + ?Sized>(&self, value: &T) -> Vec<u8> {
        crate::consul::bytes(self.params.pretty, value)
    }
}
