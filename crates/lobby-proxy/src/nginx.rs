//! nginx kept in step. Decides what its files should be (`text`), how they come into place as one (`files`) and when it is
//! told (`output`).
//!
//! ```text
//! settings + picture ─ text ─► Layout ─► files in place ─► nginx -t ─┬─ taken ─► reload: interval, jitter, again on failure
//!                                                                    └─ not ─► the old files are back
//! ```
//! Two forms: one file a service in a folder that a hand-written nginx.conf includes (`upstreams/NAME.conf` in `http {}`,
//! `upstreams/stream/NAME.conf` in `stream {}`), or the whole file. nginx has no way to change servers without a reload, so
//! changes are gathered. A reload only sends a signal: what nginx thinks of its files stands in its error log, which is out
//! of reach here, so each reload comes after a check that took the files.

use std::path::PathBuf;

pub mod files;
mod host;
pub mod output;
pub mod stats;
pub mod text;

pub use output::run;
pub use stats::{Stats, Status};

/// What nginx's files should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// In order; each with a final newline.
    pub files: Vec<File>,
    /// These stay as they are, if they are there: nobody knows yet what should be in them.
    pub kept: Vec<PathBuf>,
    /// What was left out or changed, for the log.
    pub warnings: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}
