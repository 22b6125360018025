//! Nodes without an agent in the catalog: the latest version of each counts, whoever wrote it and whichever way it came.
//!
//! They are alive until they are removed. That they were is remembered for [`REMEMBER`] after it was heard here, so that an
//! agent which was away does not bring them back; less long when there is no room for others. Not here: how a version comes about ([`crate::external`]).

use super::*;
use crate::{
    external::{REMEMBER, is_forgotten, is_from_the_future},
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
        let Some(id) = record.origin.node_id().filter(|_| record.is_external()) else { return Outcome::Refused };
        // Labels are what agents list.
        let has_labels = record.entries().any(|(key, _)| matches!(key, Key::Label(_)));
        if has_labels || is_from_the_future(&record, now.wall.0) {
            return Outcome::Refused;
        }
        let stale = match self.externals.get(&id) {
            // However old it is by its writer's clock, it ends what is known here.
            Some(known) => known.stamp >= record.stamp,
            None => is_forgotten(&record, now.wall.0),
        };
        if stale {
            return Outcome::Stale;
        }
        let full = self.externals.len() >= limits::EXTERNALS && !self.externals.contains_key(&id);
        if full && self.removed_externals.is_empty() {
            return Outcome::Refused;
        }
        let origin = record.origin.clone();
        if record.has_left() {
            self.remove(&origin);
            if !std::mem::replace(&mut self.forgetting_externals, true) {
                self.arm(now.moment + FORGET_EVERY, Timer::Externals);
            }
        } else {
            let Some(peer) = self.peer(&origin, now.moment) else { return Outcome::Refused };
            peer.external = true;
            peer.record = Some(record.clone());
            self.settle(&origin, now.moment);
        }
        if full {
            self.forget_oldest_external();
        }
        if record.has_left() {
            self.removed_externals.insert(id, now.moment);
        } else {
            self.removed_externals.remove(&id);
        }
        self.externals.insert(id, record);
        self.touch(Dirty::Aside);
        Outcome::Applied
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
