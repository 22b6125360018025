//! What the task of one nginx counts and knows. Decides what metrics and `lobbyctl proxy status` can show.
//!
//! Written by the task (`output`), read as a [`Status`] by whoever shows it.

use lobby_core::stats::{ProxyCounts, ProxyOutput};
use serde::{Deserialize, Serialize};

use crate::shared::{Output, Shared};

/// Shared between the task and whoever shows it.
pub type Stats = Shared<Status>;

/// One nginx at one moment; counters are since the first task of this program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Files are as they should be, and nginx was told.
    pub is_in_step: bool,
    /// Services whose source has not answered yet.
    pub unanswered: Vec<String>,
    /// Files put in place that were taken.
    pub writes: u64,
    /// Files of services that are gone.
    pub removed: u64,
    /// Changes that the check did not take; the old files came back.
    pub checks_failed: u64,
    /// Changes that could not be written for another reason.
    pub writes_failed: u64,
    /// Reloads that were done.
    pub reloads: u64,
    /// Reloads that failed, or were not tried as the check failed; they are tried again.
    pub reloads_failed: u64,
    /// Runs of the start command that were no failure.
    pub starts: u64,
    /// Why a reload is due now.
    pub reload_due: Vec<String>,
    /// What went wrong last, for people; None once all is in step.
    pub last_error: Option<String>,
}

impl Status {
    /// Adds its numbers to those of the whole proxy, for metrics.
    pub fn count(&self, counts: &mut ProxyCounts) {
        let output = ProxyOutput {
            is_in_step: self.is_in_step,
            writes: self.writes,
            writes_failed: self.writes_failed,
            checks_failed: self.checks_failed,
            reloads: self.reloads,
            reloads_failed: self.reloads_failed,
            ..ProxyOutput::default()
        };
        counts.outputs.push(("nginx", output));
    }
}

impl Output for Status {
    const NAME: &'static str = "nginx";

    fn last_error(&mut self) -> &mut Option<String> {
        &mut self.last_error
    }

    fn counted(&self) -> Self {
        let (unanswered, reload_due) = (Vec::new(), Vec::new());
        Self { is_in_step: false, unanswered, reload_due, last_error: None, ..self.clone() }
    }
}
