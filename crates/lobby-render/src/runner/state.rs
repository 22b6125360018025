//! What a runner knows of each template between passes. Decides what is said of one that fails, and that no two have one file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use lobby_core::time::Moment;

use super::RunError;
use crate::Query;
use crate::unit::{Unit, UnitError};

/// A template and what became of it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) unit: Arc<Unit>,
    /// What it asked when it was last evaluated.
    pub(super) used: BTreeSet<Query>,
    /// Something that it asked for has changed.
    pub(super) is_dirty: bool,
    /// An answer was missing when it was last evaluated.
    pub(super) is_waiting: bool,
    /// It was rendered, or would have been.
    pub(super) is_rendered: bool,
    /// What was last made of it.
    pub(super) last: Option<Made>,
    /// The files of that are not there: their command failed, and those before them were put back.
    pub(super) is_refused: bool,
    /// It is dirty, but only tried again at this time.
    pub(super) retry: Option<Moment>,
    /// What was last said of it, so that it is not said again and again.
    pub(super) complaint: Option<String>,
}

/// What was made of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    /// The time that it was told.
    pub(super) time: SystemTime,
    /// Of all its files.
    pub(super) hash: u64,
}

impl State {
    pub(super) fn new(unit: Unit) -> Self {
        Self {
            unit: Arc::new(unit),
            used: BTreeSet::new(),
            is_dirty: true,
            is_waiting: true,
            is_rendered: false,
            last: None,
            is_refused: false,
            retry: None,
            complaint: None,
        }
    }

    /// Where it is among all of them, its text and its file.
    pub(super) fn called(&self, index: usize) -> String {
        self.unit.settings.called(index)
    }

    /// Whether there is one that stays. Of one file for each of something: a list of them.
    fn has_file(&self) -> bool {
        self.unit.list().unwrap_or(&self.unit.settings.destination).is_file()
    }

    /// It is evaluated in this pass, unless its changes are still gathered.
    pub(super) fn is_due(&self) -> bool {
        self.is_dirty && self.retry.is_none()
    }

    /// Says what went wrong, once; the error, if it ends the run.
    pub(super) fn complain(&mut self, error: RunError, index: usize, keep_going: bool) -> Option<RunError> {
        // What a source says is not the template's fault.
        let is_of_source = matches!(error, RunError::Source(_));
        let is_fatal = self.unit.settings.error_fatal || is_of_source;
        let error = if is_of_source { error } else { error.of(self.called(index)) };
        if is_fatal && !keep_going {
            return Some(error);
        }
        let said = chain(&error);
        if self.complaint.as_ref() != Some(&said) {
            match self.has_file() {
                true => tracing::error!("{said}; the last good file stays"),
                false => tracing::error!("{said}"),
            }
            self.complaint = Some(said);
        }
        None
    }
}

/// Two templates of one file would overwrite each other for ever.
pub(super) fn refuse_shared(templates: &[State]) -> Result<(), UnitError> {
    let mut seen: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (index, state) in templates.iter().enumerate() {
        let destination = &state.unit.settings.destination;
        let Ok(path) = std::path::absolute(destination) else { continue };
        let name = state.called(index);
        if let Some(one) = seen.get(&path) {
            return Err(UnitError::Shared { one: one.clone(), other: name, destination: destination.clone() });
        }
        seen.insert(path, name);
    }
    Ok(())
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.ends_with(&text) {
            said = format!("{said}: {text}");
        }
        cause = error.source();
    }
    said
}
