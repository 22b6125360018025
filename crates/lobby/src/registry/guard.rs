//! One check at work: what it is, what it says, and what of it is scheduled, watched and on disk.
//!
//! When it is dropped, so are its run and its watch. Not here: all checks together (`state`).

use std::sync::Arc;

use lobby_core::{
    check::{schedule::Token, state::Check},
    time::Moment,
};
use tokio::task::AbortHandle;

use super::saved::Definition;

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Running(pub(super) AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether what the disk knows of a check is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unsaved {
    /// It is not.
    Nothing,
    /// How long a report is still valid, or how long it has been critical.
    Remains,
    /// The status.
    Status,
}

/// A check at work.
pub(super) struct Guard {
    pub(super) definition: Arc<Definition>,
    pub(super) check: Check,
    /// Its place in the schedule, if it is run.
    pub(super) token: Option<Token>,
    /// Its place among the deadlines.
    pub(super) deadline: Option<Moment>,
    /// Until then its deregistration is under way, or has just failed.
    pub(super) going_until: Option<Moment>,
    pub(super) unsaved: Unsaved,
    /// There is an entry of its state on disk.
    pub(super) is_saved: bool,
    /// Watches its process; the number tells this watch from an earlier one.
    pub(super) watch: Option<(u64, Running)>,
    pub(super) run: Option<Running>,
}

impl Guard {
    pub(super) fn new(definition: Definition, check: Check) -> Self {
        Self {
            definition: Arc::new(definition),
            check,
            token: None,
            deadline: None,
            going_until: None,
            unsaved: Unsaved::Nothing,
            is_saved: false,
            watch: None,
            run: None,
        }
    }

    /// When it wants to be looked at next.
    pub(super) fn next(&self) -> Option<Moment> {
        let leaves = self.check.deregister_at().filter(|_| self.definition.instance.is_some());
        let leaves = leaves.map(|at| at.max(self.going_until.unwrap_or_default()));
        [self.check.deadline(), leaves].into_iter().flatten().min()
    }
}
