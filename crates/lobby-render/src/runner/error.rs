//! Why a run ended badly. Decides that people are told which template it was; the words are those of the errors inside.

use crate::apply::ApplyError;
use crate::command::CommandError;
use crate::manifest::ManifestError;
use crate::unit::UnitError;

/// What ends a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What went wrong with one template, or with the command of several.
    #[error("{template}: {error}")]
    Of {
        /// Its number, text and destination.
        template: String,
        /// What.
        #[source]
        error: Box<RunError>,
    },
    /// A template cannot be used, or failed.
    #[error(transparent)]
    Template(#[from] UnitError),
    /// A file cannot be put in place.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The files of a template with `for_each` cannot be kept account of.
    #[error(transparent)]
    List(#[from] ManifestError),
    /// A command or the program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// There will be no answer.
    #[error("{0}")]
    Source(String),
}

impl RunError {
    /// The same, with the template that it is about.
    pub(super) fn of(self, template: String) -> Self {
        Self::Of { template, error: Box::new(self) }
    }

    /// What went wrong, whichever template it is about.
    pub fn what(&self) -> &Self {
        match self {
            Self::Of { error, .. } => error.what(),
            other => other,
        }
    }
}
