//! What the node task is told in one piece, and who is answered once a snapshot shows it.
//!
//! Two changes of one thing, the first of which somebody waits for, are never in one piece: both are seen.
//! Not here: what changes (`state`).

use std::collections::HashSet;

use lobby_core::{
    instance::Id,
    local::RecordChange,
    port::registry::{Answer, Held},
};
use tokio::sync::mpsc;

use crate::node::{Told, Update};

/// Who is told that it is done.
pub(super) enum Done {
    Unit(Answer<()>),
    Held(Answer<Held>, Held),
}

impl Done {
    fn tell(self) {
        // Who no longer waits has gone away; a hold ends with it.
        match self {
            Self::Unit(answer) => _ = answer.send(Ok(())),
            Self::Held(answer, held) => _ = answer.send(Ok(held)),
        }
    }
}

#[derive(Default)]
struct Batch {
    changes: Vec<RecordChange>,
    /// What they are about; `None`: the node.
    ids: HashSet<Option<Id>>,
    done: Vec<Done>,
}

/// The pieces of one turn, in order.
pub(super) struct Batches {
    batches: Vec<Batch>,
    updates: mpsc::Sender<Update>,
}

impl Batches {
    pub(super) fn new(updates: mpsc::Sender<Update>) -> Self {
        Self { batches: Vec::new(), updates }
    }

    /// Takes changes that belong together, and who waits for them.
    pub(super) fn put(&mut self, changes: &mut Vec<RecordChange>, done: Option<Done>) {
        if changes.is_empty() && done.is_none() {
            return;
        }
        let ids: HashSet<_> = changes.iter().map(|change| change.id().cloned()).collect();
        let fits = |batch: &&mut Batch| batch.done.is_empty() || batch.ids.is_disjoint(&ids);
        if self.batches.last_mut().as_ref().filter(|batch| fits(batch)).is_none() {
            self.batches.push(Batch::default());
        }
        if let Some(batch) = self.batches.last_mut() {
            batch.changes.append(changes);
            batch.ids.extend(ids);
            batch.done.extend(done);
        }
    }

    /// Hands everything to the node task. When that has ended, nobody is answered, which callers take as the end.
    pub(super) async fn send(&mut self) {
        for Batch { changes, done, .. } in self.batches.drain(..) {
            let tell = move || done.into_iter().for_each(Done::tell);
            if changes.is_empty() {
                tell();
                continue;
            }
            let update = Update::Record(changes, Some(Told::new(tell)));
            if self.updates.send(update).await.is_err() {
                return;
            }
        }
    }
}
