//! What the task of an output counts and knows, shared with whoever shows it. Decides how long a lock is held (for an update
//! or a copy, never across a wait), which errors are logged, and what outlasts a change of settings: what is counted.
//!
//! Not here: what each output counts (its `Status`).

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Written by a task, read as a copy by whoever shows it.
#[derive(Debug, Default)]
pub struct Shared<T>(Mutex<T>);

/// What one output is like at one moment.
pub trait Output: Clone + Default {
    /// Stands before what it logs.
    const NAME: &'static str;

    /// What went wrong last.
    fn last_error(&mut self) -> &mut Option<String>;

    /// Counters as they are, everything else as at a start.
    fn counted(&self) -> Self;
}

impl<T: Output> Shared<T> {
    /// Counts on from there: what is counted must not fall when settings change.
    pub fn after(before: Option<&T>) -> Self {
        Self(Mutex::new(before.map(T::counted).unwrap_or_default()))
    }

    /// A copy of all.
    pub fn status(&self) -> T {
        self.lock().clone()
    }

    pub(crate) fn update(&self, update: impl FnOnce(&mut T)) {
        update(&mut self.lock());
    }

    /// Keeps the error for people, and logs it unless it is what was logged last.
    pub(crate) fn fail(&self, error: String) {
        self.fail_all(&[error]);
    }

    /// Keeps the last of these errors, or none, and logs them unless the last is what was logged last.
    pub(crate) fn fail_all(&self, errors: &[String]) {
        let mut status = self.lock();
        let last = status.last_error();
        if last.as_ref() != errors.last() {
            errors.iter().for_each(|error| tracing::warn!("{}: {error}", T::NAME));
            *last = errors.last().cloned();
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        // Numbers of a task that panicked are numbers still.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
