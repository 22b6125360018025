//! What is wrong with a configuration. Decides the words: each error names the key, what was found and what is accepted.

use std::{io, path::PathBuf};

/// How much of a value is shown.
const SHOWN_CHARS: usize = 60;
/// Of `sysexits.h`: the program was told something wrong.
const USAGE: u8 = 64;

/// Why there are no settings. Nothing was changed; the file has to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// In this file.
    #[error("{file}: {error}")]
    In {
        /// Its path.
        file: String,
        /// What is wrong in it.
        error: Box<ConfigError>,
    },
    /// No JSON and no YAML.
    #[error("line {line}, column {column}: {problem}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What stands there, or should.
        problem: String,
    },
    /// Ruby in the file.
    #[error("line {line}: `<%` begins a template (ERB), which is not evaluated: render the file before, or write the values out")]
    Erb {
        /// From 1.
        line: usize,
    },
    /// A key that nobody knows.
    #[error("unknown key {key}{}", hint(.nearest))]
    UnknownKey {
        /// With the sections around it.
        key: String,
        /// The known key of this section that looks most like it; empty: none does.
        nearest: String,
    },
    /// A value that does not fit its key.
    #[error("{key} is {found}: expected {accepted}")]
    Value {
        /// With the sections around it.
        key: String,
        /// A short form of it.
        found: String,
        /// What would fit.
        accepted: String,
    },
    /// A value with a grammar of its own, which says what is wrong.
    #[error("{key} is {found}: {why}")]
    Text {
        /// With the sections around it.
        key: String,
        /// A short form of it.
        found: String,
        /// What its reader says.
        why: String,
    },
    /// A key that has to be there.
    #[error("{key} is missing: expected {accepted}")]
    Missing {
        /// With the sections around it.
        key: String,
        /// What would fit.
        accepted: String,
    },
    /// A way to find backends that is not there.
    #[error("service {service}: discovery method {method} is {}: expected one of {supported}", if *is_planned { "not built yet" } else { "unknown" })]
    Method {
        /// Whose.
        service: String,
        /// What was asked for, in quotes.
        method: String,
        /// Synapse has it.
        is_planned: bool,
        /// What there is, with commas.
        supported: &'static str,
    },
    /// A way to report that is not there.
    #[error("service {service}: reporter_type {reporter} is {}: expected one of {supported}", if *is_planned { "not built yet" } else { "unknown" })]
    Reporter {
        /// Whose.
        service: String,
        /// What was asked for, in quotes.
        reporter: String,
        /// Nerve has it.
        is_planned: bool,
        /// What there is, with commas.
        supported: &'static str,
    },
    /// Something of Synapse that Lobby has not.
    #[error("{key}: {what} is not supported: {instead}")]
    Unsupported {
        /// With the sections around it.
        key: String,
        /// What it is.
        what: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// More than a configuration ever is.
    #[error("more than {limit} {what}")]
    TooMuch {
        /// The bound.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// A file or folder that cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl ConfigError {
    /// What a program ends with that stops because of it: 64.
    pub const fn exit_code(&self) -> u8 {
        USAGE
    }

    /// The same in a file.
    pub(crate) fn within(self, file: impl Into<String>) -> Self {
        Self::In { file: file.into(), error: Box::new(self) }
    }
}

/// A text in quotes, on one line, cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", short.escape_debug())
}

/// How alike two words are of which one may be meant by the other: `cmd` and `command` are, `nosuch` and `source` are not.
const ALIKE: f64 = 0.8;

/// The known word that looks most like this one; empty: none does.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> &'k str {
    let word: String = word.chars().take(SHOWN_CHARS).collect::<String>().to_ascii_lowercase();
    let alike = known.iter().map(|known| (strsim::jaro_winkler(&word, known), *known));
    let most = alike.max_by(|one, other| one.0.total_cmp(&other.0));
    most.filter(|(alike, _)| *alike >= ALIKE).map(|(_, known)| known).unwrap_or_default()
}

/// `: did you mean X?`
pub(crate) fn hint(nearest: &str) -> String {
    if nearest.is_empty() { String::new() } else { format!(": did you mean `{nearest}`?") }
}
