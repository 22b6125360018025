//! When an HAProxy is reloaded. Decides it from reasons and the time alone: the first at once, then at least the interval
//! and its jitter apart; reasons that come meanwhile are met by one reload, and stay until one succeeds.
//!
//! Changes over the runtime API are never held back here. How a reload is done is in `reload::way`.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

pub mod way;

#[cfg(test)]
mod tests;

/// Reloads that follow one another without ever being in step between (one that fails or does nothing, or a file that a
/// process does not take) come at doubled intervals up to this: long enough to hurt nobody, short enough to be seen.
const LONGEST: Duration = Duration::from_secs(60);

/// Shortest time between reloads that fail, or of which two were in vain, also if the configured interval is shorter:
/// without it they would come as fast as they fail.
const SHORTEST: Duration = Duration::from_secs(1);

/// When the next reload may be.
#[derive(Debug)]
pub struct Policy {
    interval: Duration,
    jitter: f64,
    /// Kind to a text for people.
    reasons: BTreeMap<String, String>,
    not_before: Option<Instant>,
    n_vain: u32,
}

impl Policy {
    /// `jitter`: up to this share of the interval more, by chance.
    pub fn new(interval: Duration, jitter: f64) -> Self {
        let jitter = if jitter.is_finite() { jitter.max(0.0) } else { 0.0 };
        Self { interval, jitter, reasons: BTreeMap::new(), not_before: None, n_vain: 0 }
    }

    /// These are the reasons now: kinds with a text for people. None: no reload is due.
    pub fn want(&mut self, reasons: impl IntoIterator<Item = (String, String)>) {
        self.reasons = reasons.into_iter().collect();
    }

    /// Why a reload is due.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, &str)> {
        self.reasons.iter().map(|(kind, text)| (kind.as_str(), text.as_str()))
    }

    /// From when on a reload may be done; None: none is due.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        (!self.reasons.is_empty()).then(|| self.not_before.map_or(now, |not_before| not_before.max(now)))
    }

    /// A reload was done for all its reasons. `chance` is random over all its values.
    pub fn done(&mut self, now: Instant, chance: u64) {
        self.reasons.clear();
        let least = if self.n_vain > 1 { SHORTEST } else { Duration::ZERO };
        self.not_before = Some(now + self.gap(chance, least));
        self.n_vain = self.n_vain.saturating_add(1);
    }

    /// A reload failed: its reasons stay.
    pub fn failed(&mut self, now: Instant, chance: u64) {
        self.not_before = Some(now + self.gap(chance, SHORTEST));
        self.n_vain = self.n_vain.saturating_add(1);
    }

    /// All is in step: what was done so far was not in vain.
    pub fn in_step(&mut self) {
        self.n_vain = 0;
    }

    fn gap(&self, chance: u64, least: Duration) -> Duration {
        // 32-fold at most: 2 s reach a minute after five.
        let vain = self.interval.max(least).saturating_mul(1 << self.n_vain.min(5));
        let interval = vain.min(LONGEST.max(self.interval));
        let share = self.jitter * (chance as f64 / u64::MAX as f64);
        // A jitter that is no time at all (a year times 10^300) is as good as none.
        Duration::try_from_secs_f64(self.interval.as_secs_f64() * share).map_or(interval, |more| interval.saturating_add(more))
    }
}
