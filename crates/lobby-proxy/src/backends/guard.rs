//! How many backends may go at once because contact with their nodes was lost. Decides who goes and who is held. What is
//! proved to be gone never comes here.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::{Key, key};
use crate::{backend::Backend, settings::Guard};

/// One service's memory of who went.
#[derive(Debug)]
pub(super) struct Gate {
    guard: Guard,
    /// Taken out for lost contact within the window, and when.
    taken: BTreeMap<Key, Instant>,
    /// Lost and held, and since when.
    held: BTreeMap<Key, Instant>,
}

impl Gate {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard, taken: BTreeMap::new(), held: BTreeMap::new() }
    }

    /// Of the lost ones (in use until now, or of the first answer; each once), those that stay. Who was lost first goes first.
    pub(super) fn hold(&mut self, well: &BTreeSet<Key>, mut lost: Vec<Backend>, now: Instant) -> Vec<Backend> {
        let window = self.guard.window;
        self.taken.retain(|_, at| now.saturating_duration_since(*at) < window);
        let keys: BTreeSet<Key> = lost.iter().map(key).collect();
        self.held.retain(|key, _| keys.contains(key));
        let others = self.taken.keys().filter(|key| !well.contains(*key) && !keys.contains(*key)).count();
        let most = self.most(well.len() + keys.len() + others);
        let since = |backend: &Backend| (self.held.get(&key(backend)).copied().unwrap_or(now), key(backend));
        lost.sort_by_cached_key(since);
        let mut stay = Vec::new();
        for backend in lost {
            let key = key(&backend);
            // Who went and came back within the window is counted already.
            let n_taken = self.taken.len() + usize::from(!self.taken.contains_key(&key));
            if n_taken <= most {
                self.held.remove(&key);
                self.taken.insert(key, now);
            } else {
                self.held.entry(key).or_insert(now);
                stay.push(backend);
            }
        }
        stay
    }

    /// When the next one may go.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.taken.values().min().map(|at| *at + self.guard.window)
    }

    /// One may always go: a set of one is no crowd.
    fn most(&self, n_backends: usize) -> usize {
        (n_backends * usize::from(self.guard.percent.min(100)) / 100).max(1)
    }
}
