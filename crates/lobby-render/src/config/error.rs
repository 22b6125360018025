//! What is wrong with a configuration. Decides the words: each error names the key, what was found and what is accepted.

use std::io;
use std::path::PathBuf;

use super::hcl::HclError;

/// How much of a value is shown.
const SHOWN_CHARS: usize = 60;

/// Why there is no configuration. Nothing was changed; the text, the file or the flag has to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// In one file of several.
    #[error("{file}")]
    In {
        /// A path, or the name of a variable.
        file: String,
        /// What is wrong in it.
        #[source]
        error: Box<ConfigError>,
    },
    /// No HCL, and so no JSON either.
    #[error(transparent)]
    Hcl(#[from] HclError),
    /// No TOML.
    #[error(transparent)]
    Toml(#[from] Box<toml::de::Error>),
    /// A key that nobody knows.
    #[error("{}unknown key {}{}", at_line(*line), quoted(key), hint(*nearest, "`"))]
    UnknownKey {
        /// With the blocks around it.
        key: String,
        /// From 1; 0 if that is not known.
        line: u32,
        /// The known key of this block that looks most like it, if one does.
        nearest: Option<&'static str>,
    },
    /// A value that does not fit its key.
    #[error("{}{key} is {found}: expected {accepted}", at_line(*line))]
    Value {
        /// With the blocks around it.
        key: String,
        /// From 1; 0 if that is not known.
        line: u32,
        /// A short form of it.
        found: String,
        /// What would fit.
        accepted: &'static str,
    },
    /// A template that cannot be rendered as it is.
    #[error("template {}: {problem}", quoted(template))]
    Template {
        /// Its source, destination or text.
        template: String,
        /// What it lacks.
        problem: TemplateProblem,
    },
    /// The names of the files of a `for_each` are no template.
    #[error("template {}: {source}", quoted(template))]
    Destination {
        /// Its source, or its destination.
        template: String,
        /// Where and why.
        #[source]
        source: lobby_template::ParseError,
    },
    /// A file or folder that cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// More than a configuration ever is.
    #[error("{} has more than {limit} {what}", path.display())]
    TooMuch {
        /// The file or folder.
        path: PathBuf,
        /// The bound.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
}

/// What a template lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateProblem {
    /// Neither a file nor a text.
    #[error("no text: expected one of `source` and `contents`")]
    NoText,
    /// A file and a text.
    #[error("two texts: expected one of `source` and `contents`, not both")]
    TwoTexts,
    /// Nowhere to write to.
    #[error("missing destination: expected `destination`, unless nothing is written (-dry)")]
    NoDestination,
    /// One file for all items.
    #[error(
        "for_each writes one file for each item: expected a `destination` with a name in it, as in \"/etc/x/{{{{.Name}}}}.conf\""
    )]
    OneDestination,
    /// Actions would end where they begin.
    #[error("left_delimiter and right_delimiter are the same: expected two that differ")]
    Delimiters,
    /// Something that looks like a place for the path, and is none.
    #[error("check has braces that are no place for the new file: expected {{{{.Path}}}}")]
    CheckPlace,
    /// A file cannot be put in place before its check has ended.
    #[error("check has the timeout 0: expected one above it, as \"30s\"")]
    CheckTimeout,
}

impl ConfigError {
    /// The same in a file.
    pub(super) fn within(self, file: impl Into<String>) -> Self {
        Self::In { file: file.into(), error: Box::new(self) }
    }
}

/// A text in quotes, on one line, cut if it is long.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", short.escape_debug())
}

fn at_line(line: u32) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

/// How alike two words are of which one may be meant by the other: `cmd` and `command` are, `nosuch` and `source` are not.
const ALIKE: f64 = 0.8;

/// The known word that looks most like this one, if one does.
pub(super) fn nearest(word: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let word: String = word.chars().take(SHOWN_CHARS).collect::<String>().to_ascii_lowercase();
    let alike = |known: &'static str| (strsim::jaro_winkler(&word, known), known);
    let (most, nearest) = known.into_iter().map(alike).max_by(|one, other| one.0.total_cmp(&other.0))?;
    (most >= ALIKE).then_some(nearest)
}

/// `: did you mean X?`, with this before and behind it.
pub(super) fn hint(nearest: Option<&str>, mark: &str) -> String {
    nearest.map(|word| format!(": did you mean {mark}{word}{mark}?")).unwrap_or_default()
}
