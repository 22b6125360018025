//! The maps that snapshots share, brought up to date with one peer at a time.
//!
//! A host is a change only if lists show it differently; what nodes offer is compared by `services`. Everything else makes a
//! snapshot without a new revision.
//! Not here: what becomes of a peer (`peer`, `grace`).

use super::*;
use crate::external::tags::tagged;

impl Catalog {
    /// Draws the consequences of whatever changed about a peer: who is alive waits for nothing any more, who is failed is
    /// forgotten in an hour.
    pub(super) fn settle(&mut self, origin: &Origin, now: Moment) {
        let Some(peer) = self.peers.get_mut(origin) else { return };
        if peer.is_held() {
            self.hold.release(origin);
            peer.restarting = None;
            peer.stale = false;
        }
        if peer.state().is_listed() {
            self.failed.remove(origin);
        } else if self.failed.get(origin).is_none() {
            self.failed.insert(origin.clone(), (), now);
        }
        self.show(origin);
    }

    pub(super) fn show(&mut self, origin: &Origin) {
        let Some(peer) = self.peers.get(origin) else { return };
        let Some(record) = &peer.record else { return };
        let state = peer.state();
        let reported = |exchange: ExchangeId| self.links[usize::from(exchange.0)].liveness == Liveness::Reported;
        let mut alive = peer.views.iter().filter(|view| view.state == NodeState::Alive);
        let node = Arc::new(Node {
            record: record.clone(),
            state,
            presences: peer.views.iter().map(|view| Presence { exchange: view.exchange, state: view.state }).collect(),
            heard: peer.heard.clone(),
            own: false,
            watched: peer.external || (state == NodeState::Alive && alive.any(|view| reported(view.exchange))),
            external: peer.external,
            held: self.hold.of(origin).filter(|_| !state.is_listed()),
        });
        let name = record.name.clone();
        let old = self.nodes.insert(origin.clone(), node);
        self.rename(origin, old.as_ref().map(|old| &old.record.name), Some(&name));
        self.touch(Dirty::Aside);
    }

    /// Moves a node from one host name to another and merges both names anew.
    pub(super) fn rename(&mut self, origin: &Origin, old: Option<&Name>, new: Option<&Name>) {
        if let Some(old) = old
            && Some(old) != new
            && let Some(origins) = self.names.get_mut(old)
        {
            origins.remove(origin);
            if origins.is_empty() {
                self.names.remove(old);
            }
            self.merge(old);
        }
        if new.is_none() {
            self.services.hide(origin);
        }
        if let Some(new) = new {
            self.names.entry(new.clone()).or_default().insert(origin.clone());
            self.merge(new);
        }
    }

    /// Makes the hosts of this name anew, in whatever case: tags are given to instances of theirs, or taken away.
    pub(super) fn merge_namesakes(&mut self, name: &Name) {
        // Asked of all names: this is seldom, and a list by lower case would have to be kept for ever.
        let is_one = |other: &&Name| other.as_str().eq_ignore_ascii_case(name.as_str());
        let names: Vec<_> = self.names.keys().filter(is_one).cloned().collect();
        names.iter().for_each(|name| self.merge(name));
    }

    /// Makes the host of this name anew. It is a change only if lists show it differently.
    fn merge(&mut self, name: &Name) {
        let origins = self.names.get(name).into_iter().flatten();
        let mut nodes: Vec<_> = origins.filter_map(|origin| self.nodes.get(origin)).cloned().collect();
        // A node with an agent hides one without while it is listed, and both hide bare records of their name.
        let rank = nodes.iter().filter(|node| node.state.is_listed()).map(|node| node.rank()).max().unwrap_or_default();
        let mut relabelled = false;
        for node in &nodes {
            if node.rank() < rank {
                self.services.hide(&node.record.origin);
            } else {
                let given = given(&self.externals, node);
                relabelled |= self.services.show(node, given);
            }
        }
        nodes.retain(|node| node.state.is_listed() && node.rank() == rank);
        let n_before = self.hosts.get(name).map_or(0, |host| host.nodes.len());
        let labels_of = |node: &Node| self.services.labels(node);
        // The labels of what has many instances are not put together anew for each check that flaps.
        let old = self.hosts.get(name).filter(|old| !relabelled && old.is_of(&nodes));
        let host = || old.map_or_else(|| Host::new(name.clone(), nodes.clone(), labels_of), |old| old.with_nodes(nodes.clone()));
        let new = (!nodes.is_empty()).then(|| Arc::new(host()));
        if let Some(host) = new.as_ref().filter(|host| host.nodes.len() > n_before.max(1)) {
            self.conflicts.push(host.clone());
        }
        let shown = new.as_ref().map(|host| host.rendered.clone());
        let old = match new {
            Some(host) => self.hosts.insert(name.clone(), host),
            None => self.hosts.remove(name),
        };
        if old.as_ref().map(|host| &host.rendered) != shown.as_ref() {
            self.touch(Dirty::Lists);
        }
    }
}

/// The record that gives tags to instances of this agent's, if there is one.
fn given<'a>(externals: &'a OrdMap<NodeId, Arc<Record>>, node: &Node) -> Option<&'a Arc<Record>> {
    if externals.is_empty() || node.external {
        return None;
    }
    let record = externals.get(&NodeId::external(&node.record.name))?;
    tagged(record).next().map(|_| record)
}
