//! Checks: what decides whether an instance is healthy, and what they say.
//!
//! ```text
//! draft ─► Spec ─► Check ◄─ results, beats, deadlines       Schedule ─► which check runs now
//!                    └─► Change, status, output ─► aggregate ─► status of an instance
//! ```
//! Here the words that all parts share. Not here: carrying checks out, and keeping them on disk (the crate `lobby`).

pub mod aggregate;
pub mod flap;
pub mod kind;
pub mod output;
pub mod schedule;
pub mod spec;
pub mod state;
pub mod view;

use std::{fmt, str::FromStr};

/// What a check says, from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// All is well.
    Passing,
    /// It works, with a reservation.
    Warning,
    /// It does not work, or nobody knows yet.
    #[default]
    Critical,
}

impl Status {
    /// All of them, from best to worst.
    pub const ALL: [Self; 3] = [Self::Passing, Self::Warning, Self::Critical];

    /// The word for it, as Consul has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The worst of several; passing when there are none.
    pub fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().max().unwrap_or(Self::Passing)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is none of the three words. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a status is one of passing, warning, critical")]
pub struct ParseStatusError;

impl FromStr for Status {
    type Err = ParseStatusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(ParseStatusError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_worst() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("Passing".parse::<Status>(), Err(ParseStatusError));
        assert_eq!(Status::worst([Status::Passing, Status::Critical, Status::Warning]), Status::Critical);
        assert_eq!(Status::worst([]), Status::Passing);
    }
}
