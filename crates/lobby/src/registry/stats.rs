//! What the registry counts, for metrics.
//!
//! Not here: how it is written down (the crate `lobby-http`).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use lobby_core::{
    check::Status,
    port::registry::LocalView,
    stats::{JournalCounts, RegistryCounts},
};
use tokio::sync::watch;

use super::journal::{Journal, JournalStats};

/// Counters of the registry since the start, and how much is registered now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistryStats {
    /// Instances that are registered here. Those that labels make are not among them.
    pub instances: u64,
    /// Checks by the status shown, in the order of [`Status::ALL`].
    pub checks: [u64; 3],
    /// Checks that were carried out.
    pub runs: u64,
    /// Runs that began in a turn that found checks more than a second late: the process had stood still, or all slots had been
    /// taken. One for a turn that put all of them off.
    pub late_runs: u64,
    /// Instances that were taken away: their check was critical for too long, or their process or connection had ended.
    pub taken_away: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Jobs that are under way or wait for another one.
    pub jobs: u64,
    /// What the journal counts; `None` without a data folder.
    pub journal: Option<JournalStats>,
}

impl From<RegistryStats> for RegistryCounts {
    fn from(stats: RegistryStats) -> Self {
        let journal = |journal: JournalStats| JournalCounts {
            appended: journal.appended,
            refused: journal.refused,
            commits: journal.commits,
            commits_failed: journal.commits_failed,
            compactions_failed: journal.compactions_failed,
            file_bytes: journal.file_bytes,
            live_bytes: journal.live_bytes,
        };
        Self {
            runs: stats.runs,
            late_runs: stats.late_runs,
            taken_away: stats.taken_away,
            refused: stats.refused,
            jobs: stats.jobs,
            journal: stats.journal.map(journal),
        }
    }
}

/// Where the registry counts.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(super) runs: AtomicU64,
    pub(super) late_runs: AtomicU64,
    pub(super) taken_away: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) jobs: AtomicU64,
    pub(super) journal: Option<Journal>,
    view: watch::Receiver<Arc<LocalView>>,
}

impl Counters {
    pub(super) fn new(journal: Option<Journal>, view: watch::Receiver<Arc<LocalView>>) -> Self {
        let [runs, late_runs, taken_away, refused, jobs] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { runs, late_runs, taken_away, refused, jobs, journal, view }
    }

    pub(crate) fn read(&self) -> RegistryStats {
        let view = self.view.borrow().clone();
        let mut checks = [0; Status::ALL.len()];
        view.checks.values().for_each(|check| checks[check.status as usize] += 1);
        RegistryStats {
            instances: view.instances.len() as u64,
            checks,
            runs: self.runs.load(Relaxed),
            late_runs: self.late_runs.load(Relaxed),
            taken_away: self.taken_away.load(Relaxed),
            refused: self.refused.load(Relaxed),
            jobs: self.jobs.load(Relaxed),
            journal: self.journal.as_ref().map(Journal::stats),
        }
    }
}
