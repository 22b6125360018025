//! Where instances and nodes are: the address that stands for each, as an IP address or a name.
//!
//! The first address of a node stands for it, as in Consul's views; of a node that tells none, a label that daemons of old
//! have, or its name.
//! Not here: which of them are well (`service`, `node`).

use std::net::IpAddr;

use lobby_core::{
    catalog::{InstanceNode, InstanceView, Snapshot},
    record::meta,
};

use crate::name::{self, Name};

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ip(IpAddr),
    Host(Name),
}

/// The data centre of this agent.
pub(super) fn own_datacenter(snapshot: &Snapshot) -> &str {
    snapshot.local.record.meta(meta::DATACENTER).filter(|name| !name.is_empty()).unwrap_or("dc1")
}

/// The data centre of a node.
pub(super) fn datacenter<'a>(snapshot: &'a Snapshot, node: &'a InstanceNode) -> &'a str {
    node.datacenter.as_deref().unwrap_or_else(|| own_datacenter(snapshot))
}

/// Whether a node is in this data centre, if one is asked for.
pub(super) fn is_in(snapshot: &Snapshot, node: &InstanceNode, dc: Option<&str>) -> bool {
    dc.is_none_or(|dc| datacenter(snapshot, node).eq_ignore_ascii_case(dc))
}

/// Where an instance is; `None` when its address is neither an IP address nor a name.
pub(super) fn of_instance(snapshot: &Snapshot, view: &InstanceView) -> Option<Place> {
    let address = view.instance.address.as_str();
    if address.is_empty() { of_node(snapshot, &view.node) } else { place(address) }
}

/// Where a node is.
pub(super) fn of_node(snapshot: &Snapshot, node: &InstanceNode) -> Option<Place> {
    if let Some(data) = &node.external {
        return place(&data.address);
    }
    if let Some(first) = listed(node).next() {
        return place(first);
    }
    labelled(snapshot, node).next().map(Place::Ip).or_else(|| place(node.name.as_str()))
}

/// All IP addresses of a node that it is asked by: the first one of each family.
pub(super) fn ips_of_node(snapshot: &Snapshot, node: &InstanceNode) -> Vec<IpAddr> {
    let all = all_ips(snapshot, node);
    let first = |v4: bool| all.iter().find(|ip| ip.is_ipv4() == v4).copied();
    let mut ips: Vec<_> = [first(true), first(false)].into_iter().flatten().collect();
    // Its best address comes first.
    ips.sort_by_key(|ip| all.iter().position(|other| other == ip));
    ips
}

/// Every IP address that a node tells, best first.
pub(super) fn all_ips(snapshot: &Snapshot, node: &InstanceNode) -> Vec<IpAddr> {
    if let Some(data) = &node.external {
        let tagged = ["lan_ipv4", "lan_ipv6"].into_iter().filter_map(|key| data.tagged_addresses.get(key));
        return [&data.address].into_iter().chain(tagged).filter_map(|text| ip(text)).collect();
    }
    let ips: Vec<_> = listed(node).filter_map(ip).collect();
    if ips.is_empty() { labelled(snapshot, node).collect() } else { ips }
}

/// An IP address, in brackets or not.
pub(super) fn ip(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}

fn place(text: &str) -> Option<Place> {
    ip(text).map(Place::Ip).or_else(|| name::host(text).map(Place::Host))
}

fn listed(node: &InstanceNode) -> impl Iterator<Item = &str> {
    let list = node.addresses.as_deref().unwrap_or_default();
    list.split(',').map(str::trim).filter(|address| !address.is_empty())
}

fn labelled(snapshot: &Snapshot, node: &InstanceNode) -> impl Iterator<Item = IpAddr> {
    let record = snapshot.nodes.get(&node.origin).map(|node| node.record.clone());
    let found = ["public_ip4:", "public_ip6:"].map(|prefix| {
        let record = record.as_deref()?;
        record.labels().filter_map(|label| label.as_str().strip_prefix(prefix)?.parse().ok()).next()
    });
    found.into_iter().flatten()
}
