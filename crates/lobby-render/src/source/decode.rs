//! Bodies of agents into answers. Decides the order of lists, what an instance's status is, and who is left out; the objects as
//! they are read are in `shape`.

mod shape;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;

use crate::answer::{CatalogService, HealthCheck, HealthService, KeyPair, LabelledNode, Node, NodeService, NodeServices};
use crate::query::Wanted;

/// The instances of one service, as templates see them.
pub(super) type Instances = Vec<Arc<HealthService>>;

/// Statuses from good to bad.
const RANKS: [&str; 4] = ["passing", "warning", "critical", "maintenance"];

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    shape::check_size(body)?;
    serde_json::from_slice(body).map_err(|err| format!("unexpected JSON: {err}"))
}

/// `/v1/health/service/NAME`: those with the wanted statuses, by node and id; `near`: in the order they came in.
pub(super) fn health(body: &[u8], statuses: &[Wanted], near: bool) -> Result<Instances, String> {
    let entries: Vec<shape::Entry> = read(body)?;
    let instances = entries.into_iter().map(instance).filter(|instance| is_wanted(statuses, &instance.status));
    let mut instances: Vec<_> = instances.map(Arc::new).collect();
    if !near {
        instances.sort_by(|a, b| (&a.node, &a.id).cmp(&(&b.node, &b.id)));
    }
    Ok(instances)
}

fn is_wanted(statuses: &[Wanted], status: &str) -> bool {
    statuses.iter().any(|wanted| match wanted {
        Wanted::Any => true,
        Wanted::Passing => status == "passing",
        Wanted::Warning => status == "warning",
        Wanted::Critical => status == "critical",
        Wanted::Maintenance => status == "maintenance",
    })
}

fn instance(entry: shape::Entry) -> HealthService {
    let shape::Entry { node, service, checks } = entry;
    let mut checks: Vec<_> = checks.into_iter().map(check).collect();
    // Those of the node first; else as the agent has them.
    checks.sort_by_key(|check| !check.service_id.is_empty());
    let weights = service.weights.map(|weights| (weights.passing, weights.warning));
    let places = service.tagged_addresses.into_iter();
    HealthService {
        status: worst(&checks).into(),
        address: if service.address.is_empty() { node.address.clone() } else { service.address },
        node: node.node,
        node_id: node.id,
        node_address: node.address,
        node_tagged_addresses: node.tagged_addresses,
        node_meta: node.meta,
        service_meta: service.meta,
        service_tagged_addresses: places.map(|(name, place)| (name, (place.address, place.port))).collect(),
        id: service.id,
        name: service.service,
        tags: sorted(service.tags),
        checks,
        port: service.port,
        weight_passing: weights.map_or(1, |(passing, _)| passing),
        weight_warning: weights.map_or(1, |(_, warning)| warning),
        // lobbyd shows a drain so, and Consul lets nobody register with a share of 0 while all is well.
        draining: weights == Some((0, 0)),
    }
}

fn check(check: shape::Check) -> HealthCheck {
    HealthCheck {
        node: check.node,
        check_id: check.check_id,
        name: check.name,
        status: check.status,
        notes: check.notes,
        output: check.output,
        service_id: check.service_id,
        service_name: check.service_name,
        service_tags: check.service_tags,
        kind: check.kind,
    }
}

/// The worst of the checks; a status that nobody knows is a bad one.
fn worst(checks: &[HealthCheck]) -> &'static str {
    let rank = |check: &HealthCheck| match (check.check_id.as_str(), check.status.as_str()) {
        ("_node_maintenance", _) => 3,
        (id, _) if id.starts_with("_service_maintenance:") => 3,
        (_, "passing") => 0,
        (_, "warning") => 1,
        _ => 2,
    };
    RANKS[checks.iter().map(rank).max().unwrap_or(0)]
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// `/v1/catalog/services`, by name.
pub(super) fn services(body: &[u8]) -> Result<Arc<[CatalogService]>, String> {
    let services: BTreeMap<String, Option<Vec<String>>> = read(body)?;
    let service = |(name, tags): (String, Option<Vec<String>>)| CatalogService { name, tags: sorted(tags.unwrap_or_default()) };
    Ok(services.into_iter().map(service).collect())
}

/// `/v1/catalog/nodes`, by name and address; `near`: in the order they came in.
pub(super) fn nodes(body: &[u8], near: bool) -> Result<Arc<[Node]>, String> {
    let mut nodes: Vec<_> = read::<Vec<shape::Node>>(body)?.into_iter().map(node).collect();
    if !near {
        nodes.sort_by(|a, b| (&a.name, &a.address).cmp(&(&b.name, &b.address)));
    }
    Ok(nodes.into())
}

fn node(node: shape::Node) -> Node {
    Node {
        id: node.id,
        name: node.node,
        address: node.address,
        datacenter: node.datacenter,
        tagged_addresses: node.tagged_addresses,
        meta: node.meta,
    }
}

/// `/v1/catalog/node/NAME`: None if there is no such node.
pub(super) fn node_services(body: &[u8]) -> Result<Option<Arc<NodeServices>>, String> {
    let Some(shape::NodeServices { node: Some(of), services }) = read(body)? else { return Ok(None) };
    let service = |service: shape::Service| NodeService {
        id: service.id,
        service: service.service,
        tags: sorted(service.tags),
        meta: service.meta,
        port: service.port,
        address: service.address,
        enable_tag_override: service.enable_tag_override,
    };
    let mut services: Vec<_> = services.into_values().map(service).collect();
    services.sort_by(|a, b| (&a.service, &a.id).cmp(&(&b.service, &b.id)));
    Ok(Some(Arc::new(NodeServices { node: node(of), services })))
}

/// `/v1/agent/self`: the name of its node.
pub(super) fn own_name(body: &[u8]) -> Result<String, String> {
    match read::<shape::Agent>(body)?.config.node_name {
        name if name.is_empty() => Err("Config: NodeName: it is missing".into()),
        name => Ok(name),
    }
}

/// `/v1/catalog/datacenters`, sorted.
pub(super) fn datacenters(body: &[u8]) -> Result<Arc<[String]>, String> {
    Ok(sorted(read(body)?).into())
}

/// `/v1/kv/PATH`: the value of its first pair.
pub(super) fn key(body: &[u8]) -> Result<Option<Arc<[u8]>>, String> {
    let first = read::<Vec<shape::Pair>>(body)?.into_iter().next();
    first.map(|pair| value(&pair)).transpose()
}

/// `/v1/kv/PREFIX?recurse`, by path.
pub(super) fn keys(body: &[u8], prefix: &str) -> Result<Arc<[KeyPair]>, String> {
    let pair = |pair: shape::Pair| {
        Ok(KeyPair {
            value: value(&pair)?,
            key: below(prefix, &pair.key).into(),
            path: pair.key,
            create_index: pair.create_index,
            modify_index: pair.modify_index,
            lock_index: pair.lock_index,
            flags: pair.flags,
            session: pair.session,
        })
    };
    let mut pairs = read::<Vec<shape::Pair>>(body)?.into_iter().map(pair).collect::<Result<Vec<_>, String>>()?;
    pairs.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(pairs.into())
}

fn value(pair: &shape::Pair) -> Result<Arc<[u8]>, String> {
    STANDARD.decode(&pair.value).map(Arc::from).map_err(|err| format!("Value: of the key {:?}: {err}", pair.key))
}

/// What of a path is below a prefix, which need not end at a slash.
pub(super) fn below<'p>(prefix: &str, path: &'p str) -> &'p str {
    path.strip_prefix(prefix).unwrap_or(path).trim_start_matches('/')
}

/// lobbyd's `/v1/nodes`, by name and id.
pub(super) fn labelled(body: &[u8]) -> Result<Arc<[LabelledNode]>, String> {
    let node = |node: shape::LobbyNode| LabelledNode {
        id: node.id,
        name: node.name,
        state: node.state,
        addresses: node.addresses,
        labels: sorted(node.labels),
    };
    let mut nodes: Vec<_> = read::<Vec<shape::LobbyNode>>(body)?.into_iter().map(node).collect();
    nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(nodes.into())
}

/// lobbyd's `/v1/services`: the names, sorted.
pub(super) fn service_names(body: &[u8]) -> Result<Vec<String>, String> {
    Ok(sorted(read::<Vec<shape::LobbyService>>(body)?.into_iter().map(|service| service.name).collect()))
}

/// lobbyd's `/v1/services/NAME`, which says whom a selector takes, with what `/v1/health/service/NAME` says beyond it.
pub(super) fn chosen(body: &[u8], health: &[Arc<HealthService>]) -> Result<Instances, String> {
    // Lobby writes ids without the dashes that Consul's have.
    let key = |node_id: &str, node: &str, id: &str| (node_id.replace('-', ""), node.to_owned(), id.to_owned());
    let known: HashMap<_, _> = health.iter().map(|known| (key(&known.node_id, &known.node, &known.id), known)).collect();
    let instance = |chosen: shape::LobbyInstance| {
        let drains = chosen.drain;
        match known.get(&key(&chosen.node_id, &chosen.node, &chosen.id)) {
            Some(known) if known.draining == drains => (*known).clone(),
            Some(known) => Arc::new(HealthService { draining: drains, ..(***known).clone() }),
            // It came in between.
            None => Arc::new(lobby_instance(chosen)),
        }
    };
    let mut instances: Vec<_> = read::<Vec<shape::LobbyInstance>>(body)?.into_iter().map(instance).collect();
    instances.sort_by(|a, b| (&a.node, &a.id).cmp(&(&b.node, &b.id)));
    Ok(instances)
}

fn lobby_instance(instance: shape::LobbyInstance) -> HealthService {
    let check = |check: shape::LobbyCheck| {
        let is_own = check.of != "node";
        HealthCheck {
            node: instance.node.clone(),
            check_id: check.id,
            name: check.name,
            status: check.status,
            notes: check.notes,
            output: check.output,
            service_id: if is_own { instance.id.clone() } else { String::new() },
            service_name: if is_own { instance.service.clone() } else { String::new() },
            service_tags: if is_own { instance.tags.clone() } else { Vec::new() },
            kind: check.kind,
        }
    };
    let mut checks: Vec<_> = instance.checks.into_iter().map(check).collect();
    checks.sort_by_key(|check| !check.service_id.is_empty());
    HealthService {
        checks,
        status: if instance.maintenance { "maintenance".into() } else { instance.status },
        node: instance.node,
        node_id: instance.node_id,
        service_meta: instance.meta,
        address: instance.address,
        id: instance.id,
        name: instance.service,
        tags: sorted(instance.tags),
        port: instance.port,
        weight_passing: instance.weights.passing,
        weight_warning: instance.weights.warning,
        draining: instance.drain,
        ..HealthService::default()
    }
}
