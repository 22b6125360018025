//! Flap detection: a check that changes its mind too often is held at its worst until it has been stable for a while.
//!
//! For checks that somebody runs only. A TTL check says what its program states: whoever puts `pass` must read `passing`
//! afterwards. An alias mirrors what was held already, and holding twice would only delay. Processes, connections and
//! maintenance change for good reasons only. Not here: thresholds, which come before this (`state`), and the time until
//! an instance is taken away, which goes by the truth and not by what is held.

use std::{collections::VecDeque, time::Duration};

use super::Status;
use crate::time::Moment;

/// Most changes in one window. A restart makes two, a deployment that is rolled back four; the sixth is no operator's
/// doing any more.
pub const MOST_CHANGES: usize = 5;

/// How long changes are counted, at least: six changes of the common check, each 10 s, that fails every other time.
pub const WINDOW: Duration = Duration::from_secs(60);

/// The window of slower checks in runs: as many as the common check makes in [`WINDOW`], and as many again.
const WINDOW_RUNS: u32 = 12;

/// The longest window. A check that changes less than every ten minutes disturbs nobody.
pub const WINDOW_MOST: Duration = Duration::from_secs(3600);

/// The changes of one check, and the hold that follows from them.
#[derive(Clone, Debug)]
pub struct Flap {
    window: Duration,
    /// When it changed and what it became, oldest first; [`MOST_CHANGES`] + 1 at most.
    changes: VecDeque<(Moment, Status)>,
    /// The worst of the changes that made the hold, and of those since.
    held: Option<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    worst: Status,
    /// The last change.
    changed: Moment,
}

impl Flap {
    /// For a check that is run each `interval`.
    pub fn new(interval: Duration) -> Self {
        let window = interval.saturating_mul(WINDOW_RUNS).clamp(WINDOW, WINDOW_MOST);
        Self { window, changes: VecDeque::new(), held: None }
    }

    /// As a restart found it: held at `worst`, with the whole time of stability before it.
    pub fn hold(&mut self, worst: Status, now: Moment) {
        self.held = Some(Held { worst, changed: now });
    }

    /// How long changes are counted: twelve intervals, [`WINDOW`] at least and [`WINDOW_MOST`] at most.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// How long it must be stable until it is let go: half a window, three times the mean distance of the changes
    /// that made it flapping.
    pub fn hold_down(&self) -> Duration {
        self.window / 2
    }

    /// The status changed, by results and thresholds. Deadlines that were due before have been handled.
    pub fn handle_change(&mut self, to: Status, now: Moment) {
        if let Some(held) = &mut self.held {
            *held = Held { worst: held.worst.max(to), changed: now };
            return;
        }
        let is_old = |changed: Moment, window| now.since(changed) >= window;
        while self.changes.front().is_some_and(|&(changed, _)| is_old(changed, self.window)) {
            self.changes.pop_front();
        }
        self.changes.push_back((now, to));
        if self.changes.len() > MOST_CHANGES {
            let worst = Status::worst(self.changes.drain(..).map(|(_, status)| status));
            self.held = Some(Held { worst, changed: now });
        }
    }

    /// Whether it is held.
    pub fn is_flapping(&self) -> bool {
        self.held.is_some()
    }

    /// What to show of a check that has the status `own`.
    pub fn shown(&self, own: Status) -> Status {
        self.held.map_or(own, |held| held.worst.max(own))
    }

    /// When it is let go, if nothing changes until then.
    pub fn deadline(&self) -> Option<Moment> {
        self.held.map(|held| held.changed + self.hold_down())
    }

    /// Lets go if it has been stable for long enough; the changes before are forgotten.
    pub fn handle_deadline(&mut self, now: Moment) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.held = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    /// Changes between passing and critical each `step` seconds; the first is to critical.
    fn flap(interval: u64, step: u64, count: u64) -> Flap {
        let mut flap = Flap::new(Duration::from_secs(interval));
        for n in 0..count {
            let to = if n % 2 == 0 { Status::Critical } else { Status::Passing };
            flap.handle_change(to, at(n * step));
        }
        flap
    }

    #[test]
    fn the_sixth_change_within_a_window_holds() {
        assert!(!flap(10, 10, 5).is_flapping());
        let held = flap(10, 10, 6);
        assert_eq!((held.is_flapping(), held.shown(Status::Passing)), (true, Status::Critical));
        assert!(flap(1, 11, 6).is_flapping(), "six within 55 s");
        assert!(!flap(1, 12, 100).is_flapping(), "the first of six is 60 s old");
    }

    #[test]
    fn windows_grow_with_the_interval_within_bounds() {
        let window = |interval| Flap::new(Duration::from_secs(interval)).window().as_secs();
        assert_eq!([0, 1, 5, 10, 30, 300, 301, u64::MAX].map(window), [60, 60, 60, 120, 360, 3600, 3600, 3600]);
        assert!(flap(30, 30, 6).is_flapping(), "a slow check that fails every other time");
    }

    #[test]
    fn it_is_let_go_when_stable_and_starts_anew() {
        let mut flap = flap(1, 1, 6);
        assert_eq!(flap.deadline(), Some(at(5 + 30)));
        flap.handle_change(Status::Warning, at(20));
        flap.handle_deadline(at(49));
        assert!(flap.is_flapping());
        flap.handle_deadline(at(50));
        assert_eq!((flap.is_flapping(), flap.deadline(), flap.shown(Status::Warning)), (false, None, Status::Warning));
        for n in 51..56 {
            flap.handle_change(Status::Warning, at(n));
            assert!(!flap.is_flapping(), "five more are free");
        }
    }

    #[test]
    fn the_worst_counts_also_what_comes_later() {
        let mut flap = Flap::new(Duration::from_secs(1));
        for n in 0..6 {
            flap.handle_change(if n % 2 == 0 { Status::Warning } else { Status::Passing }, at(n));
        }
        assert_eq!(flap.shown(Status::Passing), Status::Warning);
        flap.handle_change(Status::Critical, at(6));
        flap.handle_change(Status::Passing, at(7));
        assert_eq!(flap.shown(Status::Passing), Status::Critical);
    }

    #[test]
    fn changes_that_are_kept_are_bounded() {
        let mut flap = Flap::new(Duration::from_secs(1));
        for n in 0..10_000 {
            flap.handle_change(Status::Warning, at(n * n % 97 + n));
            assert!(flap.changes.len() <= MOST_CHANGES);
        }
    }
}
