//! Nodes without an agent in the roster: those that are kept, and versions that were given up.
//!
//! What the node task has given up would come back from the next neighbour that has not, and so for ever: it is remembered.
//! Not here: when something is given up (`engine/push`).

use std::collections::{HashMap, VecDeque};

use super::*;

/// The versions given up last, of at most [`limits::EXTERNALS`] nodes.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    stamps: HashMap<NodeId, Stamp>,
    /// The same nodes, the one given up first in front.
    order: VecDeque<NodeId>,
}

impl GivenUp {
    fn insert(&mut self, id: NodeId, stamp: Stamp) {
        self.remove(id);
        if self.order.len() >= limits::EXTERNALS
            && let Some(oldest) = self.order.pop_front()
        {
            self.stamps.remove(&oldest);
        }
        self.stamps.insert(id, stamp);
        self.order.push_back(id);
    }

    fn remove(&mut self, id: NodeId) {
        if self.stamps.remove(&id).is_some() {
            self.order.retain(|other| *other != id);
        }
    }
}

impl Roster {
    /// Whether the node has no agent.
    pub(crate) fn is_external(&self, id: NodeId) -> bool {
        self.externals.contains(&id)
    }

    /// The nodes without an agent, each with its record and since when that is here.
    pub(crate) fn externals(&self) -> impl Iterator<Item = (NodeId, &Arc<Record>, Moment)> {
        let nodes = self.externals.iter().filter_map(|id| Some((*id, self.nodes.get(id)?)));
        nodes.filter_map(|(id, node)| Some((id, node.record.as_ref()?, node.since)))
    }

    /// Takes in a version that our node task keeps, also one that it had given up.
    pub(crate) fn put_kept(&mut self, record: Arc<Record>, now: Moment) -> Taken {
        if let Origin::Node(id) = record.origin {
            self.given_up.remove(id);
        }
        self.put_record(record, now)
    }

    /// Forgets a node without an agent, and takes this version and older ones from nobody any more.
    pub(crate) fn give_up_external(&mut self, id: NodeId) {
        if !self.externals.remove(&id) {
            return;
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if let Some(record) = node.record.take() {
            self.given_up.insert(id, record.stamp);
        }
        node.external = false;
        self.weigh(id);
        // Whoever claims to be its process is a member all the same.
        if self.nodes.get(&id).is_some_and(|node| node.member.is_none()) {
            self.nodes.remove(&id);
        }
    }

    /// Whether the node task has given up this version, or a newer one.
    pub(crate) fn has_given_up(&self, id: NodeId, stamp: Stamp) -> bool {
        self.given_up.stamps.get(&id).is_some_and(|given_up| stamp <= *given_up)
    }

    /// Gives up the node without an agent that was removed first, if one was.
    pub(super) fn drop_oldest_removed(&mut self) -> bool {
        let removed = self.externals().filter(|(_, record, _)| record.has_left());
        let oldest = removed.min_by_key(|(_, record, since)| (*since, record.stamp)).map(|(id, ..)| id);
        oldest.is_some_and(|id| {
            self.give_up_external(id);
            true
        })
    }
}
