//! What is remembered for an hour and then forgotten, the oldest first when there is no more room.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use crate::{id::Origin, limits, time::Moment};

/// How long a failed node, or the stamp of one that left, is remembered.
pub(super) const REMEMBER: Duration = Duration::from_secs(3600);

/// Facts about origins, each with the moment it was learnt. At most [`limits::NODES`].
#[derive(Debug)]
pub(super) struct Remembered<T> {
    facts: HashMap<Origin, (T, Moment)>,
    order: BTreeSet<(Moment, Origin)>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { facts: HashMap::new(), order: BTreeSet::new() }
    }
}

impl<T> Remembered<T> {
    pub(super) fn get(&self, origin: &Origin) -> Option<&T> {
        self.facts.get(origin).map(|(fact, _)| fact)
    }

    pub(super) fn len(&self) -> usize {
        self.facts.len()
    }

    /// Remembers a fact, in place of an older one about the same origin.
    pub(super) fn insert(&mut self, origin: Origin, fact: T, now: Moment) {
        self.remove(&origin);
        if self.facts.len() >= limits::NODES {
            self.pop_oldest();
        }
        self.order.insert((now, origin.clone()));
        self.facts.insert(origin, (fact, now));
    }

    pub(super) fn remove(&mut self, origin: &Origin) {
        if let Some((_, since)) = self.facts.remove(origin) {
            self.order.remove(&(since, origin.clone()));
        }
    }

    /// Forgets the oldest fact and says whose it was.
    pub(super) fn pop_oldest(&mut self) -> Option<Origin> {
        let (_, origin) = self.order.pop_first()?;
        self.facts.remove(&origin);
        Some(origin)
    }

    /// Forgets the oldest fact if its time is over.
    pub(super) fn pop_due(&mut self, now: Moment) -> Option<Origin> {
        if self.next_deadline()? <= now { self.pop_oldest() } else { None }
    }

    /// When the oldest fact is to be forgotten.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.order.first().map(|(since, _)| *since + REMEMBER)
    }
}
