//! Which check runs when: thousands of checks on their intervals, with a bounded number at once.
//!
//! ```text
//! insert ─► first run within a second ─► a grid of its own: one point per interval, each run a little after its point
//! next_due ─► Token, running ─► handle_finished ─► its next point
//! ```
//! A grid does not drift, and its place within the interval is random, so the load is even. Whoever is late by more than
//! [`LATE`] (the process was stopped, or slots were short) is put off once, to its next point: as the grids are spread, so
//! are those put off. A second time it waits in line, so nobody starves. A check that is running is not in line, so it never runs twice at
//! once. Each step costs O(log n); putting off is one step per check and stall. Randomness comes in as one number per
//! call. Not here: running anything, timeouts.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use crate::{limits, time::Moment};

/// Within this time, or its interval if that is shorter, a new check runs first.
pub const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// Who is later than this, or than its interval if that is shorter, is put off. It bounds what runs in one burst after a
/// stall to the checks of one second.
pub const LATE: Duration = Duration::from_secs(1);

/// A run comes at most this part of the interval (a twentieth) after its point of the grid: agents that were started
/// together do not stay together.
pub const JITTER_PART: u32 = 20;

/// Most checks: as many as a record may have entries.
pub const MOST_CHECKS: usize = limits::ENTRIES;

/// A check in one schedule. Never given twice, so one that was removed means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

/// There are [`MOST_CHECKS`] already. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an agent may have at most {MOST_CHECKS} checks with an interval")]
pub struct FullError;

/// All checks that are run.
#[derive(Debug, Default)]
pub struct Schedule {
    entries: HashMap<Token, Entry>,
    /// Who waits, by when. Exactly those entries that are not running.
    line: BTreeSet<(Moment, Token)>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    /// Microseconds, at least one.
    interval: u64,
    /// The point of the grid that the coming or the running run belongs to.
    point: Moment,
    /// When it runs next; `None` while it is running.
    due: Option<Moment>,
    /// Whether the grid is still to be drawn: the first run is early.
    is_first: bool,
    was_put_off: bool,
}

impl Schedule {
    /// Adds a check; it runs first at a random moment within [`FIRST_WITHIN`].
    pub fn insert(&mut self, interval: Duration, now: Moment, random: u64) -> Result<Token, FullError> {
        if self.entries.len() >= MOST_CHECKS {
            return Err(FullError);
        }
        let token = Token(self.next);
        self.next += 1;
        let interval = micros(interval).max(1);
        let due = now + below(mix(random, token), interval.min(micros(FIRST_WITHIN)));
        self.line.insert((due, token));
        let entry = Entry { interval, point: due, due: Some(due), is_first: true, was_put_off: false };
        self.entries.insert(token, entry);
        Ok(token)
    }

    /// Takes a check out, also while it is running. Says whether it was there.
    pub fn remove(&mut self, token: Token) -> bool {
        let Some(entry) = self.entries.remove(&token) else { return false };
        if let Some(due) = entry.due {
            self.line.remove(&(due, token));
        }
        true
    }

    /// The check to run now, if one is due and a slot is free. The caller runs it, keeps a slot for it until it is over,
    /// and calls [`Self::handle_finished`] then; and asks again at once.
    pub fn next_due(&mut self, now: Moment, free_slots: usize, random: u64) -> Option<Token> {
        if free_slots == 0 {
            return None;
        }
        loop {
            let &(due, token) = self.line.first().filter(|(due, _)| *due <= now)?;
            self.line.pop_first();
            let entry = self.entries.get_mut(&token).expect("who is in line has an entry");
            let is_late = micros(now.since(due)) > entry.interval.min(micros(LATE));
            if !is_late || entry.was_put_off {
                entry.due = None;
                return Some(token);
            }
            entry.was_put_off = true;
            match entry.is_first {
                true => entry.point = now + below(mix(random, token), entry.interval),
                false => entry.skip_until(now),
            }
            entry.due = Some(entry.point);
            self.line.insert((entry.point, token));
        }
    }

    /// The run of a check is over: it waits for the next point of its grid that has not passed. Does nothing for one that
    /// was removed or does not run.
    pub fn handle_finished(&mut self, token: Token, now: Moment, random: u64) {
        let Some(entry) = self.entries.get_mut(&token).filter(|entry| entry.due.is_none()) else { return };
        let random = mix(random, token);
        let step = match entry.is_first {
            true => Duration::from_micros(1) + below(random, entry.interval),
            false => Duration::from_micros(entry.interval),
        };
        entry.point = entry.point + step;
        entry.skip_until(now);
        let jitter = match entry.is_first {
            true => Duration::ZERO,
            false => below(mix(random, token), entry.interval / u64::from(JITTER_PART)),
        };
        entry.is_first = false;
        entry.was_put_off = false;
        let due = entry.point + jitter;
        entry.due = Some(due);
        self.line.insert((due, token));
    }

    /// When the next check is due; in the past while checks wait for slots.
    pub fn deadline(&self) -> Option<Moment> {
        self.line.first().map(|(due, _)| *due)
    }

    /// How many checks there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many are running: taken, and not finished or removed since.
    pub fn running(&self) -> usize {
        self.entries.len() - self.line.len()
    }
}

impl Entry {
    /// Goes on to the first point after `now`.
    fn skip_until(&mut self, now: Moment) {
        if self.point <= now {
            let missed = micros(now.since(self.point)) / self.interval + 1;
            self.point = self.point + Duration::from_micros(missed.saturating_mul(self.interval));
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// From zero up to, and without, `span` microseconds; zero when that is zero.
fn below(random: u64, span: u64) -> Duration {
    Duration::from_micros(((u128::from(random) * u128::from(span)) >> 64) as u64)
}

/// Another random number for each check (the finalizer of SplitMix64), so that one number per call will do.
fn mix(random: u64, token: Token) -> u64 {
    let mut z = random.wrapping_add(token.0.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
