//! The command line, by the rules of Go's flags: `-x` or `--x`, `=VALUE` or the next word, booleans only `-x` or `-x=false`.
//!
//! A flag sets the key of a file that it stands for; which one is in `usage`. An error here ends the program with
//! [`Exit::Flags`](super::Exit::Flags).

use std::path::PathBuf;

use super::error::{ConfigError, nearest};
use super::kind::Command;
use super::model::TemplatePart;
use super::section::truth;
use super::usage::{FLAGS, Flag, IGNORED, RENAMED, Takes};
use super::value::Value;
use super::{Partial, error};

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Flags {
    /// `-h`: how it is used, on standard output; see [`usage`].
    Help,
    /// `-v`
    Version,
    /// To work.
    Run {
        /// Files and folders, in the order in which they are merged.
        configs: Vec<PathBuf>,
        /// Everything else that was said; goes over the files.
        partial: Box<Partial>,
    },
}

/// What is wrong with a command line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlagError {
    /// Nobody knows it.
    #[error("unknown flag -{flag}{}", nearest.map(|name| format!(": did you mean -{name}?")).unwrap_or_default())]
    Unknown {
        /// Without dashes.
        flag: String,
        /// The known one of today that looks most like it, if one does.
        nearest: Option<&'static str>,
    },
    /// Dashes without a name.
    #[error("{} is no flag: expected -NAME or -NAME=VALUE", error::quoted(.0))]
    Syntax(String),
    /// The last word is a flag that needs another one.
    #[error("flag -{0} needs a value: expected -{0}=VALUE or -{0} VALUE")]
    NoValue(String),
    /// A word that belongs to no flag.
    #[error("{} is one word too many: expected flags only", error::quoted(.0))]
    Leftover(String),
    /// A value that does not fit.
    #[error("flag -{flag}")]
    Value {
        /// Without dashes.
        flag: String,
        /// What would fit.
        #[source]
        error: ConfigError,
    },
    /// A template without a word.
    #[error("flag -template is empty: expected SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND")]
    NoTemplate,
}

impl Flags {
    /// Of the words after the program's name.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, FlagError> {
        let mut words = words.into_iter();
        let (mut configs, mut partial, mut version) = (Vec::new(), Partial::default(), false);
        while let Some(word) = words.next() {
            let (name, value) = split(&word)?;
            let Some(name) = name else { break };
            if matches!(name, "h" | "help") {
                return Ok(Self::Help);
            }
            if matches!(name, "v" | "version") {
                version = is_true(name, value)?;
                continue;
            }
            let flag = find(name)?;
            let value = match (value, flag.takes) {
                (Some(value), _) => value.to_owned(),
                (None, Takes::Nothing) => "true".to_owned(),
                (None, _) => words.next().ok_or_else(|| FlagError::NoValue(name.to_owned()))?,
            };
            match flag.takes {
                Takes::Config => configs.push(PathBuf::from(value)),
                Takes::Template => partial = partial.merge(Partial::from_template(template(&value)?)),
                Takes::Nothing | Takes::Value(_) => partial = partial.merge(set(name, flag, &value)?),
            }
        }
        match words.next() {
            Some(word) => Err(FlagError::Leftover(word)),
            None if version => Ok(Self::Version),
            None => Ok(Self::Run { configs, partial: Box::new(partial) }),
        }
    }
}

/// Name and value of a flag; no name: `--`, which ends them.
fn split(word: &str) -> Result<(Option<&str>, Option<&str>), FlagError> {
    let bare = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
    match bare {
        Some("") if word == "--" => Ok((None, None)),
        None | Some("") => Err(FlagError::Leftover(word.to_owned())),
        Some(bare) if bare.starts_with(['-', '=']) => Err(FlagError::Syntax(word.to_owned())),
        Some(bare) => Ok(bare.split_once('=').map_or((Some(bare), None), |(name, value)| (Some(name), Some(value)))),
    }
}

fn find(name: &str) -> Result<Flag, FlagError> {
    let ignored = || IGNORED.iter().flat_map(|(takes, path, names)| names.iter().map(move |name| (*name, *takes, *path)));
    let unknown = || {
        // Old spellings have no help.
        let today = FLAGS.iter().filter(|flag| !flag.help.is_empty()).map(|flag| flag.name);
        let known = today.chain(ignored().map(|(name, ..)| name));
        FlagError::Unknown { flag: name.to_owned(), nearest: nearest(name, known) }
    };
    let today = RENAMED.iter().find(|(old, _)| *old == name).map_or(name, |(_, today)| *today);
    let known = FLAGS.iter().find(|flag| flag.name == today).copied();
    let or_ignored =
        || ignored().find(|(known, ..)| *known == name).map(|(name, takes, path)| Flag { name, takes, path, help: "" });
    known.or_else(or_ignored).ok_or_else(unknown)
}

fn set(name: &str, flag: Flag, value: &str) -> Result<Partial, FlagError> {
    let refused = |error| FlagError::Value { flag: name.to_owned(), error };
    let mut whole = Partial::default();
    // Old flags stand for two keys.
    for path in flag.path.split(' ') {
        whole = whole.merge(Partial::from_path(path, Value::Text(value.to_owned())).map_err(refused)?);
    }
    if flag.path == "consul" {
        return Ok(Partial { warnings: vec!["-consul is the old spelling of -consul-addr".into()], ..whole });
    }
    Ok(whole)
}

fn is_true(name: &str, value: Option<&str>) -> Result<bool, FlagError> {
    truth(value.unwrap_or("true")).ok_or_else(|| {
        let (key, found) = (name.to_owned(), error::quoted(value.unwrap_or_default()));
        FlagError::Value { flag: name.to_owned(), error: ConfigError::Value { key, line: 0, found, accepted: "true or false" } }
    })
}

/// `SOURCE[:DESTINATION[:COMMAND]]`. Empty pieces vanish, so `in::cmd` writes to `cmd`, as in consul-template; the command
/// is the rest as it stands, with its colons. A path of one letter is a path: there are no drives here.
fn template(text: &str) -> Result<TemplatePart, FlagError> {
    let mut rest = text;
    let mut piece = || {
        rest = rest.trim_start_matches(':');
        let (piece, after) = rest.split_once(':').unwrap_or((rest, ""));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    };
    let (source, destination) = (piece(), piece());
    let command = rest.trim_matches(':').trim();
    let source = source.filter(|source| !source.trim().is_empty()).ok_or(FlagError::NoTemplate)?;
    Ok(TemplatePart {
        source: Some(source.into()),
        destination: destination.map(PathBuf::from),
        command: (!command.is_empty()).then(|| Command(vec![command.to_owned()])),
        ..TemplatePart::default()
    })
}

/// How it is used, for `-h`.
pub fn usage(program: &str) -> String {
    super::usage::text(program)
}
