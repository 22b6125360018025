//! How what a source found becomes the backends of a service. Decides defaults, ports, filters, the second port of a deploy,
//! doubles, the leader, what counts as a change, what stands in for nothing, and (in `guard`) how many may go without proof.
//! Pure: time is a parameter.
//!
//! ```text
//! of an earlier run, while answers are doubtful ─► lost
//! found well ─► port, filters ─┬──────────────► + kept defaults ─► backup port ─► no doubles ─► leader ─► compare as a set
//! found lost ─► port, filters ─► guard: held ─┘        │
//!                                                      └─ nothing found at all: defaults, else the previous, else empty
//! ```
//! Not here: asking sources (`watcher`).

mod before;
mod guard;
#[cfg(test)]
mod laws;
mod pair;
mod shape;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::Instant;

use crate::{
    backend::{Backend, Known},
    settings::{Guard, Service},
};
use guard::Gate;
use pair::Pairs;

/// Most backends of one service; the rest is dropped. A bound for a source that runs wild: an order of magnitude beyond what
/// anybody lists in one backend of a proxy.
pub const MOST_BACKENDS: usize = 10_000;

/// What two records of the same server have in common.
type Key = (String, u16, String);

fn key(backend: &Backend) -> Key {
    (backend.host.clone(), backend.port, backend.name.clone())
}

/// The backends of one service over time.
#[derive(Debug)]
pub struct Keeper {
    service: Service,
    gate: Gate,
    pairs: Pairs,
    /// The last answer: well and lost.
    said: Option<(Vec<Backend>, Vec<Backend>)>,
    /// Of an earlier run, and named by no answer yet. While answers are doubtful they are lost, not gone.
    remembered: Vec<Backend>,
    /// Those found that are in use, held ones too.
    in_use: BTreeSet<Key>,
    known: Known,
    n_dropped: usize,
}

impl Keeper {
    /// Of a service about which nothing is known.
    pub fn new(service: &Service, guard: Guard) -> Self {
        Self {
            service: service.clone(),
            gate: Gate::new(guard),
            pairs: Pairs::default(),
            said: None,
            remembered: Vec::new(),
            in_use: BTreeSet::new(),
            known: Known::default(),
            n_dropped: 0,
        }
    }

    /// What is known now.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// How many backends of the last answer were beyond [`MOST_BACKENDS`].
    pub fn n_dropped(&self) -> usize {
        self.n_dropped
    }

    /// Takes over what an earlier run left in HAProxy's file.
    pub(crate) fn remember(&mut self, filed: Vec<Backend>) {
        self.remembered = before::found(&self.service, filed);
        self.remembered.truncate(MOST_BACKENDS);
    }

    /// An answer names these, whatever it says of them: they are not doubtful any more.
    pub(crate) fn forget(&mut self, named: &[Backend]) {
        if self.remembered.is_empty() {
            return;
        }
        let port = |backend: &Backend| self.service.backend_port_override.unwrap_or(backend.port);
        let named: BTreeSet<_> = named.iter().map(|backend| before::place(&backend.host, port(backend))).collect();
        self.remembered.retain(|backend| !named.contains(&before::place(&backend.host, backend.port)));
    }

    /// Whether there are servers of an earlier run that no answer has named.
    pub(crate) fn remembers(&self) -> bool {
        !self.remembered.is_empty()
    }

    /// Answers are whole from now on: whom none has named is gone.
    pub(crate) fn trust(&mut self, now: Instant) {
        if !std::mem::take(&mut self.remembered).is_empty() && self.known.trouble.is_none() {
            self.settle(now);
        }
    }

    /// A definite answer: who is there and well, and who is there but whose node nobody hears.
    pub fn answer(&mut self, well: &[Backend], lost: &[Backend], now: Instant) {
        let n_well = well.len().min(MOST_BACKENDS);
        let n_lost = lost.len().min(MOST_BACKENDS - n_well);
        self.n_dropped = well.len() + lost.len() - n_well - n_lost;
        self.forget(well);
        self.forget(lost);
        self.said = Some((well[..n_well].to_vec(), lost[..n_lost].to_vec()));
        self.settle(now);
    }

    /// Why the source does not answer, or None: it does. Takes nothing out.
    pub fn trouble(&mut self, trouble: Option<String>) {
        self.known.trouble = trouble;
    }

    /// When [`Keeper::tick`] may let go of more; None: nothing is held.
    pub fn deadline(&self) -> Option<Instant> {
        self.gate.deadline().filter(|_| self.known.n_held > 0 && self.known.trouble.is_none())
    }

    /// Lets go of what the guard allows by now. While the source is in trouble nobody knows who came back: nothing goes.
    pub fn tick(&mut self, now: Instant) {
        if self.known.trouble.is_none() {
            self.settle(now);
        }
    }

    fn settle(&mut self, now: Instant) {
        let Some((found, lost)) = &self.said else { return };
        let is_nothing_found = found.is_empty();
        let mut base = shape::prepare(&self.service, found);
        let well: BTreeSet<Key> = base.iter().map(key).collect();
        let mut lost = shape::prepare(&self.service, lost);
        // Filters took them when they were found.
        lost.extend(self.remembered.iter().cloned());
        // Whoever is lost at the first answer may have been in use until a restart: the guard holds for them too.
        let is_first = self.known.backends.is_none();
        lost.retain(|backend| (is_first || self.in_use.contains(&key(backend))) && !well.contains(&key(backend)));
        let held = self.gate.hold(&well, lost, now);
        self.known.n_held = held.len();
        base.extend(held);
        self.in_use = base.iter().map(key).collect();
        let defaults = &self.service.default_servers;
        let has_kept = self.service.keep_default_servers && !defaults.is_empty();
        if !is_nothing_found || !base.is_empty() || has_kept {
            let composed = shape::compose(&self.service, base, &mut self.pairs);
            self.publish(composed);
        } else if !defaults.is_empty() {
            self.publish(shape::stand_in(&self.service));
        } else if !self.service.use_previous_backends || self.known.backends.is_none() {
            self.publish(Vec::new());
        }
    }

    /// Equal sets in another order are no change.
    fn publish(&mut self, backends: Vec<Backend>) {
        let is_same = self.known.backends.as_ref().is_some_and(|known| {
            known.len() == backends.len() && known.iter().collect::<BTreeSet<_>>() == backends.iter().collect()
        });
        if !is_same {
            self.known.backends = Some(Arc::from(backends));
        }
    }
}
