//! What a runner counts. Decides nothing; written by the runner, read by whoever shows metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the runner began.
#[derive(Debug, Default)]
pub struct Stats {
    /// Evaluations of templates.
    pub evaluations: Count,
    /// Files that were put in place or removed.
    pub writes: Count,
    /// Commands that were run.
    pub commands: Count,
    /// Templates, files, checks and commands that failed.
    pub failures: Count,
    /// Files that were put back because their command failed.
    pub roll_backs: Count,
    /// How often renderings had to wait because of the cap.
    pub delayed: Count,
    /// Templates that wait for an answer, now.
    pub waiting: Count,
}

/// A number that others may read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set(&self, number: usize) {
        self.0.store(number as u64, Ordering::Relaxed);
    }
}
