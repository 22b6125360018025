//! When an HAProxy is reloaded. Decides it from reasons and the time alone: the first at once, then at least the interval
//! and its jitter apart; reasons that come meanwhile are met by one reload, and stay until one succeeds.
//!
//! Changes over the runtime API are never held back here. How a reload is done is in `reload::way`.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use self::way::Way;

pub mod way;

#[cfg(test)]
mod tests;

/// Reloads that follow one another without ever being in step between (one that fails or does nothing, or a file that a
/// process does not take) come at doubled intervals up to this: long enough to hurt nobody, short enough to be seen.
const LONGEST: Duration = Duration::from_secs(60);

/// Shortest time between reloads that fail, or of which two were in vain, also if the configured interval is shorter:
/// without it they would come as fast as they fail.
const SHORTEST: Duration = Duration::from_secs(1);

/// What was refused is refused again as a rule, and each attempt of HAProxy may keep clients waiting for two seconds: the same
/// text is tried at intervals that grow fourfold up to this.
const LONGEST_REFUSED: Duration = Duration::from_secs(600);

/// When the next reload may be.
#[derive(Debug)]
pub struct Policy {
    interval: Duration,
    jitter: f64,
    /// Kind to a text for people.
    reasons: BTreeMap<String, String>,
    not_before: Option<Instant>,
    n_vain: u32,
    refused: Option<Refused>,
    pace: Pace,
}

/// When an HAProxy was reloaded, for policies that follow one another: with new settings comes a new policy, and reloads stay
/// as far apart. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<Mutex<Paced>>);

#[derive(Debug, Clone, Default)]
struct Paced {
    /// Whose.
    file: Option<PathBuf>,
    way: Option<Way>,
    /// When one was last tried.
    last: Option<Instant>,
    refused: Option<Refused>,
}

/// A text with which no reload succeeded.
#[derive(Debug, Clone)]
struct Refused {
    text: String,
    n: u32,
    until: Instant,
}

impl Pace {
    fn set(&self, set: impl FnOnce(&mut Paced)) {
        set(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Policy {
    /// `jitter`: up to this share of the interval more, by chance.
    pub fn new(interval: Duration, jitter: f64) -> Self {
        let jitter = if jitter.is_finite() { jitter.max(0.0) } else { 0.0 };
        Self { interval, jitter, reasons: BTreeMap::new(), not_before: None, n_vain: 0, refused: None, pace: Pace::default() }
    }

    /// The same, after another one with the same `pace`; `file`: of the HAProxy that is reloaded. What was in vain before is
    /// not held against it, nor what another way of reloading was refused.
    pub fn after(interval: Duration, jitter: f64, pace: Pace, file: Option<PathBuf>, way: Option<Way>) -> Self {
        let mut before = pace.0.lock().unwrap_or_else(PoisonError::into_inner);
        if before.file != file {
            *before = Paced { file, ..Paced::default() };
        }
        if before.way != way {
            (before.way, before.refused) = (way, None);
        }
        let Paced { last, refused, .. } = before.clone();
        drop(before);
        // By the interval of now: the one of before may be what was wrong.
        Self { not_before: last.and_then(|last| last.checked_add(interval)), refused, pace, ..Self::new(interval, jitter) }
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
        let until = self.refused.as_ref().map(|refused| refused.until);
        (!self.reasons.is_empty()).then(|| now.max(self.not_before.unwrap_or(now)).max(until.unwrap_or(now)))
    }

    /// A reload was done for all its reasons. `chance` is random over all its values.
    pub fn done(&mut self, now: Instant, chance: u64) {
        self.reasons.clear();
        let least = if self.n_vain > 1 { SHORTEST } else { Duration::ZERO };
        self.tried(now, chance, least);
        self.n_vain = self.n_vain.saturating_add(1);
    }

    /// A reload failed: its reasons stay.
    pub fn failed(&mut self, now: Instant, chance: u64) {
        self.tried(now, chance, SHORTEST);
        self.n_vain = self.n_vain.saturating_add(1);
    }

    /// A reload with `text` failed: as [`Self::failed`], and the same text is tried more and more seldom.
    pub fn refused(&mut self, text: &str, now: Instant, chance: u64) {
        self.failed(now, chance);
        let n = self.refused.take().filter(|refused| refused.text == text).map_or(0, |refused| refused.n + 1);
        let wait = self.interval.max(SHORTEST).saturating_mul(4_u32.pow(n.min(5)));
        let wait = wait.min(LONGEST_REFUSED.max(self.interval));
        self.refused = Some(Refused { text: text.to_owned(), n, until: now + wait });
        self.pace.set(|paced| paced.refused = self.refused.clone());
    }

    /// What was refused with another text than this says nothing of this one.
    pub fn forgive(&mut self, text: &str) {
        if self.refused.take_if(|refused| refused.text != text).is_some() {
            self.pace.set(|paced| paced.refused = None);
        }
    }

    /// No reload before `until`, for a reason that has nothing to do with those that were.
    pub fn put_off(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }

    /// All is in step: what was done so far was not in vain.
    pub fn in_step(&mut self) {
        self.n_vain = 0;
        if self.refused.take().is_some() {
            self.pace.set(|paced| paced.refused = None);
        }
    }

    fn tried(&mut self, now: Instant, chance: u64, least: Duration) {
        self.not_before = Some(now + self.gap(self.n_vain, chance, least));
        self.pace.set(|paced| paced.last = Some(now));
    }

    fn gap(&self, n_vain: u32, chance: u64, least: Duration) -> Duration {
        // 32-fold at most: 2 s reach a minute after five.
        let vain = self.interval.max(least).saturating_mul(1 << n_vain.min(5));
        let interval = vain.min(LONGEST.max(self.interval));
        let share = self.jitter * (chance as f64 / u64::MAX as f64);
        // A jitter that is no time at all (a year times 10^300) is as good as none.
        Duration::try_from_secs_f64(self.interval.as_secs_f64() * share).map_or(interval, |more| interval.saturating_add(more))
    }
}
