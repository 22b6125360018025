//! Who stands where Consul's clients look for a leader: the agent with the lowest address among those that are alive.
//!
//! Nobody leads here. Clients want one address that all agents name, and that changes seldom; some look for a server that
//! is listed as the service `consul`. Pure over one snapshot. Not here: the routes (`status`, Consul's catalog).

use std::net::{IpAddr, Ipv4Addr};

use lobby_core::{
    catalog::{Node, Snapshot},
    record::meta,
};

/// The port that Consul's servers have; nothing listens there.
pub(crate) const PORT: u16 = 8300;

/// The agent that stands for a leader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leader<'a> {
    /// The node.
    pub(crate) node: &'a Node,
    /// The first address that it tells.
    pub(crate) ip: IpAddr,
}

impl Leader<'_> {
    /// `IP:8300`, of IPv6 with brackets.
    pub(crate) fn address(&self) -> String {
        std::net::SocketAddr::new(self.ip, PORT).to_string()
    }
}

/// Whoever is alive and tells the lowest address; where nobody tells one, ourselves, listed or not.
pub(crate) fn leader(snapshot: &Snapshot) -> Leader<'_> {
    // Whoever restarts leads on, so that the leader does not change for a moment.
    let alive = |node: &&Node| node.state.is_listed() && !node.external && node.record.origin.node_id().is_some();
    let nodes = snapshot.nodes.values().map(|node| &**node).filter(alive);
    let leaders = nodes.filter_map(|node| Some(Leader { node, ip: address(node)? }));
    let own = Leader { node: &snapshot.local, ip: address(&snapshot.local).unwrap_or(Ipv4Addr::LOCALHOST.into()) };
    leaders.min_by_key(|leader| (leader.ip, &leader.node.record.name, &leader.node.record.origin)).unwrap_or(own)
}

/// The best address that a node tells.
pub(crate) fn address(node: &Node) -> Option<IpAddr> {
    let addresses = node.record.meta(meta::ADDRESSES).unwrap_or_default();
    addresses.split(',').find_map(|address| address.trim().parse().ok())
}
