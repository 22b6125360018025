//! The indexes of what nobody offers or is called any more, so that who waits for it is not led back.
//!
//! Bounded: the oldest are forgotten, and for all that are forgotten the newest of their indexes stands. It never falls.
//! Not here: the indexes of what is there (`services`, `nodes`).

use std::{borrow::Borrow, collections::BTreeSet};

use imbl::OrdMap;

use crate::id::Revision;

/// Of how many services that nobody offers any more the index is remembered, and of how many nodes that are gone: as many as
/// a fleet may rename in an hour.
pub(in crate::catalog) const VANISHED: usize = 4096;

/// The indexes of what is not there, by its name in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Vanished<K: Ord> {
    known: OrdMap<K, Revision>,
    /// That of all others.
    others: Revision,
}

/// The same with the order in which they are forgotten.
#[derive(Debug)]
pub(super) struct Memory<K: Ord> {
    vanished: Vanished<K>,
    /// The vanished, oldest first.
    order: BTreeSet<(Revision, K)>,
}

impl<K: Ord + Clone + Borrow<str>> Memory<K> {
    /// Nothing that vanished before this revision.
    pub(super) fn new(revision: Revision) -> Self {
        Self { vanished: Vanished { known: OrdMap::new(), others: revision }, order: BTreeSet::new() }
    }

    pub(super) fn vanished(&self) -> &Vanished<K> {
        &self.vanished
    }

    /// It is gone since this revision.
    pub(super) fn remember(&mut self, name: K, revision: Revision) {
        self.recall(&name);
        self.order.insert((revision, name.clone()));
        self.vanished.known.insert(name, revision);
        if self.order.len() > VANISHED
            && let Some((index, oldest)) = self.order.pop_first()
        {
            self.vanished.known.remove(&oldest);
            self.vanished.others = index;
        }
    }

    /// It is there again.
    pub(super) fn recall(&mut self, name: &K) {
        if let Some(index) = self.vanished.known.remove(name) {
            self.order.remove(&(index, name.clone()));
        }
    }
}

impl<K: Ord + Borrow<str>> Vanished<K> {
    /// The index of what is not there.
    pub(crate) fn index(&self, name: &str) -> Revision {
        self.known.get(name).copied().unwrap_or(self.others)
    }
}
