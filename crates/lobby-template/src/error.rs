//! Why a run failed, in Go's words. Decides how the place is told; errors of parsing are `parse`.

use crate::format;
use crate::tree::{Pos, Tree};

/// A run that failed; what it had printed is discarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {name}:{line}:{column}: executing {} at <{at}>: {message}", format::quote(template.as_bytes()))]
pub struct ExecError {
    /// What the text was called when it was parsed.
    pub name: String,
    /// From 1.
    pub line: usize,
    /// Bytes since the line began.
    pub column: usize,
    /// The template that ran: the whole, or one that it defines.
    pub template: String,
    /// The node that failed, as it would be written.
    pub at: String,
    /// What went wrong.
    pub message: String,
}

impl ExecError {
    pub(crate) fn new(name: &str, tree: &Tree, pos: Pos, at: String, message: String) -> Self {
        let (line, column) = crate::tree::line_and_column(&tree.text, pos);
        Self { name: name.into(), line, column, template: tree.name.to_string(), at, message }
    }
}
