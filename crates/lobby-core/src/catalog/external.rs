//! Nodes without an agent in the catalog: the latest version of each counts, whoever wrote it and whichever way it came.
//! Some of these records only give tags to instances of an agent of the same name: they are no nodes.
//!
//! They are alive until they are removed. That they were is remembered for [`REMEMBER`] after it was heard here, so that an
//! agent which was away does not bring them back; less long when there is no room for others. Not here: how a version comes about ([`crate::external`]).

use super::*;
use crate::{
    external::{
        REMEMBER, is_forgotten, is_from_the_future,
        tags::{has_node, tagged},
    },
    record::Key,
};

/// Between two looks for removed nodes that need not be remembered any more.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

impl Catalog {
    /// Takes in a version of the record of a node without an agent; for what was registered here, or is from disk. The same
    /// may come from an exchange.
    ///
    /// [`Outcome::Refused`]: it is none, or nobody could follow it ([`crate::external::AHEAD`]), or there are
    /// [`limits::EXTERNALS`] that are not removed.
    pub fn put_external(&mut self, record: Arc<Record>, now: Now) -> Outcome {
        let outcome = self.put_externals(vec![record], now).pop();
        outcome.unwrap_or(Outcome::Refused)
    }

    /// The same with versions of several nodes: all of them are taken in, or none. What became of each is told as if the others
    /// were; only if all are [`Outcome::Applied`] they were.
    pub fn put_externals(&mut self, records: Vec<Arc<Record>>, now: Now) -> Vec<Outcome> {
        let mut outcomes: Vec<_> = records.iter().map(|record| self.judge_external(record, now)).collect();
        if let Some(last) = outcomes.last_mut()
            && *last == Outcome::Applied
            && !self.have_room_for(&records)
        {
            *last = Outcome::Refused;
        }
        if outcomes.iter().all(|outcome| *outcome == Outcome::Applied) {
            records.into_iter().for_each(|record| self.take_external(record, now));
        }
        outcomes
    }

    /// What would become of this version if there were room.
    fn judge_external(&self, record: &Record, now: Now) -> Outcome {
        let Some(id) = record.origin.node_id().filter(|_| record.is_external()) else { return Outcome::Refused };
        // Labels are what agents list.
        let has_labels = record.entries().any(|(key, _)| matches!(key, Key::Label(_)));
        if has_labels || is_from_the_future(record, now.wall.0) {
            return Outcome::Refused;
        }
        let stale = match self.externals.get(&id) {
            // However old it is by its writer's clock, it ends what is known here.
            Some(known) => known.stamp >= record.stamp,
            None => is_forgotten(record, now.wall.0),
        };
        if stale { Outcome::Stale } else { Outcome::Applied }
    }

    /// Whether there is room for all of these, at the cost of the memory of removed and failed ones.
    fn have_room_for(&self, records: &[Arc<Record>]) -> bool {
        let ids: BTreeSet<_> = records.iter().filter_map(|record| record.origin.node_id()).collect();
        let n_new = ids.iter().filter(|id| !self.externals.contains_key(*id)).count();
        let n_back = ids.iter().filter(|id| self.removed_externals.contains_key(*id)).count();
        let n_kept = self.externals.len() - (self.removed_externals.len() - n_back);
        let is_new_peer = |record: &&Arc<Record>| has_node(record) && !self.peers.contains_key(&record.origin);
        let n_peers = self.peers.len() + records.iter().filter(is_new_peer).count();
        n_kept + n_new <= limits::EXTERNALS && n_peers <= limits::NODES + self.failed.len()
    }

    /// Takes in a version that is fine, for which there is room.
    fn take_external(&mut self, record: Arc<Record>, now: Now) {
        let Some(id) = record.origin.node_id() else { return };
        let old = self.externals.get(&id).cloned();
        if old.is_none() && self.externals.len() >= limits::EXTERNALS {
            self.forget_oldest_external();
        }
        let origin = record.origin.clone();
        if has_node(&record) {
            if let Some(peer) = self.peer(&origin, now.moment) {
                peer.external = true;
                peer.record = Some(record.clone());
            }
            self.settle(&origin, now.moment);
        } else {
            self.remove(&origin);
        }
        if record.has_left() {
            self.removed_externals.insert(id, now.moment);
            if !std::mem::replace(&mut self.forgetting_externals, true) {
                self.arm(now.moment + FORGET_EVERY, Timer::Externals);
            }
        } else {
            self.removed_externals.remove(&id);
        }
        self.externals.insert(id, record.clone());
        let gives = |record: &Arc<Record>| tagged(record).next().is_some();
        if gives(&record) || old.as_ref().is_some_and(gives) {
            self.merge_namesakes(&record.name);
        }
        self.touch(Dirty::Aside);
    }

    /// The nodes without an agent, removed ones too.
    pub fn externals(&self) -> &OrdMap<NodeId, Arc<Record>> {
        &self.externals
    }

    /// Whether the node has no agent, as far as we know.
    pub(super) fn is_external(&self, origin: &Origin) -> bool {
        origin.node_id().is_some_and(|id| self.externals.contains_key(&id))
    }

    /// Forgets those that were removed long ago. By our own clock: that of whoever removed it may be off.
    pub(super) fn forget_externals(&mut self, now: Now) {
        let forgotten = self.removed_externals.iter().filter(|(_, since)| now.moment.since(**since) > REMEMBER);
        for id in forgotten.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.forget_external(id);
        }
        self.forgetting_externals = !self.removed_externals.is_empty();
        if self.forgetting_externals {
            self.arm(now.moment + FORGET_EVERY, Timer::Externals);
        }
    }

    /// Makes room: those that are there come before the memory of those that are not.
    fn forget_oldest_external(&mut self) {
        let stamp = |id: &NodeId| self.externals.get(id).map(|record| record.stamp);
        let oldest = self.removed_externals.iter().min_by_key(|(id, since)| (**since, stamp(id)));
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.forget_external(id);
        }
    }

    fn forget_external(&mut self, id: NodeId) {
        self.externals.remove(&id);
        self.removed_externals.remove(&id);
        self.touch(Dirty::Aside);
    }
}
