//! Nodes without an agent in the catalog: the latest version of each counts, whoever wrote it and whichever way it came.
//!
//! They are alive until they are removed. That they were is remembered for [`crate::external::REMEMBER`], so that an agent
//! which was away does not bring them back. Not here: how a version comes about ([`crate::external`]).

use super::*;
use crate::external::is_forgotten;

/// Between two looks for removed nodes that need not be remembered any more.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

impl Catalog {
    /// Takes in a version of the record of a node without an agent; for what was registered here, or is from disk. The same
    /// may come from an exchange.
    pub fn put_external(&mut self, record: Arc<Record>, now: Now) -> Outcome {
        let Some(id) = record.origin.node_id().filter(|_| record.is_external()) else { return Outcome::Refused };
        let known = self.externals.get(&id);
        if known.is_some_and(|known| known.stamp >= record.stamp) || is_forgotten(&record, now.wall.0) {
            return Outcome::Stale;
        }
        if known.is_none() && self.externals.len() >= limits::EXTERNALS {
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

    /// Forgets those that were removed long ago.
    pub(super) fn forget_externals(&mut self, now: Now) {
        let forgotten = self.externals.iter().filter(|(_, record)| is_forgotten(record, now.wall.0));
        for id in forgotten.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.externals.remove(&id);
            self.touch(Dirty::Aside);
        }
        self.forgetting_externals = self.externals.values().any(|record| record.has_left());
        if self.forgetting_externals {
            self.arm(now.moment + FORGET_EVERY, Timer::Externals);
        }
    }
}
