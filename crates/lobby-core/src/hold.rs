//! When silence is not believed: most nodes of an exchange fell silent at once, so the fault is likelier ours than theirs.
//!
//! ```text
//! fell silent ─► more than the threshold within the window? ─ yes ─► held ─► seen, explained, or HOLD_MAX over
//!      └─ seen there again, explained: forgotten        └─ no ─► believed
//! ```
//! Nodes count, not instances, and our own is one of them. A node that several exchanges lost is held only when all of them
//! are doubted: one that still hears most of the others is believed. Those that fell silent first are held, too, once the
//! threshold is passed: until then nobody could know. A machine without clock: time is a parameter.
//! Not here: what is silence and what is proof (`catalog`), what is shown of held nodes (`catalog::show`, outputs).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    id::{ExchangeId, Origin},
    time::Moment,
};

#[cfg(test)]
mod tests;

/// Fewer silent nodes are never held, whatever their share: two that fail together are no rarity.
pub const LEAST: usize = 3;

/// When a hold starts and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// More than this share of the nodes must fall silent, in percent. With 100 none is ever held: our own never falls silent.
    pub threshold: u8,
    /// Within what time.
    pub window: Duration,
    /// How long a node is held at most.
    pub max: Duration,
}

/// Design §3: half the fleet, about as long as gossip takes to miss twenty nodes, and as long as a switch takes to restart.
impl Default for Rule {
    fn default() -> Self {
        Self { threshold: 50, window: Duration::from_secs(10), max: Duration::from_secs(60) }
    }
}

/// Why and how long a node is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The exchange that is doubted; of several the first.
    pub exchange: ExchangeId,
    /// Since when.
    pub since: Moment,
    /// The hold ends then at the latest.
    pub until: Moment,
    /// How many nodes had fallen silent there within the window.
    pub silent: usize,
    /// Of how many, our own among them.
    pub of: usize,
}

/// Who fell silent lately, and who is held. Bounded by the catalog: it knows nobody else.
#[derive(Debug)]
pub struct Hold {
    rule: Rule,
    /// By exchange: who fell silent there and when. Older ones than the window are forgotten at the next look.
    silent: Vec<BTreeMap<Origin, Moment>>,
    held: BTreeMap<Origin, Held>,
    /// When holds end, soonest first.
    ends: BTreeSet<(Moment, Origin)>,
    /// Somebody fell silent since the last look, last then.
    unjudged: Option<Moment>,
}

impl Hold {
    /// Nobody is held yet, of so many exchanges.
    pub fn new(rule: Rule, n_exchanges: usize) -> Self {
        let silent = vec![BTreeMap::new(); n_exchanges];
        Self { rule, silent, held: BTreeMap::new(), ends: BTreeSet::new(), unjudged: None }
    }

    /// An exchange that held this node alive hears nothing of it any more, and has no proof of its death.
    pub fn fell_silent(&mut self, exchange: ExchangeId, origin: Origin, now: Moment) {
        if let Some(silent) = self.silent.get_mut(usize::from(exchange.0)) {
            silent.insert(origin, now);
            self.unjudged = Some(now);
        }
    }

    /// Whether the node fell silent somewhere lately.
    pub fn is_silent(&self, origin: &Origin) -> bool {
        self.silent.iter().any(|silent| silent.contains_key(origin))
    }

    /// The exchange hears of this node again.
    pub fn seen(&mut self, exchange: ExchangeId, origin: &Origin) {
        if let Some(silent) = self.silent.get_mut(usize::from(exchange.0)) {
            silent.remove(origin);
        }
    }

    /// Some exchange holds this node alive.
    pub fn release(&mut self, origin: &Origin) {
        if let Some(held) = self.held.remove(origin) {
            self.ends.remove(&(held.until, origin.clone()));
        }
    }

    /// There is proof that the node is gone, or it said so itself; whether it was held.
    pub fn explained(&mut self, origin: &Origin) -> bool {
        let was_held = self.held.contains_key(origin);
        self.silent.iter_mut().for_each(|silent| _ = silent.remove(origin));
        self.release(origin);
        was_held
    }

    /// Judges those who fell silent since the last look, and returns who is held from now on. `alive` counts the nodes that an
    /// exchange holds alive, our own among them; `is_lost` says of a node that none does.
    pub fn poll(&mut self, alive: impl Fn(ExchangeId) -> usize, is_lost: impl Fn(&Origin) -> bool) -> Vec<Origin> {
        let Some(now) = self.unjudged.take() else { return Vec::new() };
        let Rule { threshold, window, max } = self.rule;
        let mut doubted = Vec::new();
        for (idx, silent) in (0..).zip(&mut self.silent) {
            silent.retain(|_, at| now.since(*at) <= window);
            let (exchange, silent) = (ExchangeId(idx), silent.len());
            let of = (silent >= LEAST).then(|| silent + alive(exchange));
            let of = of.filter(|of| silent * 100 > usize::from(threshold) * of);
            doubted.push(of.map(|of| Held { exchange, since: now, until: now + max, silent, of }));
        }
        let candidates: BTreeSet<_> = self.silent.iter().flat_map(BTreeMap::keys).collect();
        let mut new = Vec::new();
        for origin in candidates.into_iter().filter(|origin| !self.held.contains_key(*origin) && is_lost(origin)) {
            let lost_by = || self.silent.iter().zip(&doubted).filter(|(silent, _)| silent.contains_key(origin));
            if lost_by().all(|(_, doubt)| doubt.is_some())
                && let Some(held) = lost_by().find_map(|(_, doubt)| *doubt)
            {
                new.push((origin.clone(), held));
            }
        }
        self.ends.extend(new.iter().map(|(origin, held)| (held.until, origin.clone())));
        self.held.extend(new.iter().cloned());
        new.into_iter().map(|(origin, _)| origin).collect()
    }

    /// The hold of this node, if it is held.
    pub fn of(&self, origin: &Origin) -> Option<Held> {
        self.held.get(origin).copied()
    }

    /// How many nodes are held because this exchange is doubted.
    pub fn count(&self, exchange: ExchangeId) -> usize {
        self.held.values().filter(|held| held.exchange == exchange).count()
    }

    /// When the next hold has lasted long enough.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// Ends the next hold that has lasted long enough. Its node is not held again before it was seen.
    pub fn pop_due(&mut self, now: Moment) -> Option<Origin> {
        let (_, origin) = self.ends.first().filter(|(at, _)| *at <= now)?.clone();
        self.explained(&origin);
        Some(origin)
    }
}
