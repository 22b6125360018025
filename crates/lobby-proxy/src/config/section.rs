//! From tree to values: what a value of each kind may look like, and which keys of a section nobody asked for.
//!
//! A key is known because somebody asks for it. Not here: which keys there are.

use std::{cell::RefCell, fmt::Display, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use super::{
    error::{ConfigError, hint, nearest},
    tree::Value,
};
use crate::settings::Secret;

/// Unknown keys of one section, and warnings of one file, that are told.
const TOLD: usize = 64;
/// The longest span: a year, for a clock reaches that far.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// Bytes of a name, an address, a path: that of a path on Linux.
const TEXT_BYTES: usize = 4096;

/// What holds for a whole file, and what was noticed in it.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    warnings: RefCell<Vec<String>>,
    /// Unknown keys are errors, not only warnings.
    pub(crate) is_strict: bool,
}

impl Notes {
    /// Nothing was noticed yet.
    pub(crate) fn new(is_strict: bool) -> Self {
        Self { warnings: RefCell::default(), is_strict }
    }

    /// People should know this.
    pub(crate) fn warn(&self, what: String) {
        let mut warnings = self.warnings.borrow_mut();
        match warnings.len() {
            0..TOLD => warnings.push(what),
            TOLD => warnings.push("there is more to be warned of; the first are told".into()),
            _ => {}
        }
    }

    /// All that was noticed.
    pub(crate) fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner()
    }
}

/// A map with known keys.
pub(crate) struct Section<'a> {
    /// The keys around it, with dots.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) map: &'a [(String, Value)],
    /// Of the file.
    pub(crate) notes: &'a Notes,
    asked: RefCell<Vec<&'static str>>,
}

type Given<T> = Result<T, ConfigError>;

impl<'a> Section<'a> {
    /// Of these keys.
    pub(crate) fn new(path: impl Into<String>, map: &'a [(String, Value)], notes: &'a Notes) -> Self {
        Self { path: path.into(), map, notes, asked: RefCell::default() }
    }

    /// Of a value that has to be a map.
    pub(crate) fn of(path: String, value: &'a Value, notes: &'a Notes) -> Given<Self> {
        match value {
            Value::Map(map) => Ok(Self::new(path, map, notes)),
            // `services.web:` with nothing behind it, in YAML.
            Value::Null => Ok(Self::new(path, &[], notes)),
            other => Err(value_error(path, other, "a map")),
        }
    }

    /// A key with the keys around it.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// What was written, `null` too.
    pub(crate) fn raw(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(key);
        self.map.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// What was written, unless that is `null`.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'a Value> {
        self.raw(key).filter(|value| **value != Value::Null)
    }

    /// Its value does not fit.
    pub(crate) fn refuse(&self, key: &str, accepted: impl Into<String>) -> ConfigError {
        match self.map.iter().find(|(name, _)| name == key) {
            Some((_, value)) => value_error(self.path_of(key), value, accepted),
            None => self.missing(key, accepted),
        }
    }

    /// It has to be there.
    pub(crate) fn missing(&self, key: &str, accepted: impl Into<String>) -> ConfigError {
        ConfigError::Missing { key: self.path_of(key), accepted: accepted.into() }
    }

    /// A warning about a key.
    pub(crate) fn warn(&self, key: &str, what: &str) {
        self.notes.warn(format!("{}: {what}", self.path_of(key)));
    }

    fn read<T>(&self, key: &'static str, accepted: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Given<Option<T>> {
        self.get(key).map(|value| read(value).ok_or_else(|| self.refuse(key, accepted))).transpose()
    }

    /// A text on one line.
    pub(crate) fn text(&self, key: &'static str) -> Given<Option<String>> {
        self.read(key, "a text on one line", |value| line(value).filter(|text| text.len() <= TEXT_BYTES))
    }

    /// A text that is not empty, or what goes for none.
    pub(crate) fn word(&self, key: &'static str) -> Given<Option<String>> {
        match self.text(key)? {
            Some(text) if text.trim().is_empty() => Err(self.refuse(key, "a text that is not empty")),
            text => Ok(text),
        }
    }

    /// A text that has to be there and not be empty.
    pub(crate) fn needed(&self, key: &'static str, accepted: &str) -> Given<String> {
        self.word(key)?.ok_or_else(|| self.missing(key, accepted))
    }

    /// A word that errors do not show.
    pub(crate) fn secret(&self, key: &'static str) -> Given<Option<Secret>> {
        let hide = |_| ConfigError::Value {
            key: self.path_of(key),
            found: "something else (not shown)".into(),
            accepted: "a text that is not empty".into(),
        };
        self.word(key).map(|text| text.map(Secret)).map_err(hide)
    }

    /// A text that reads as something.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, key: &'static str) -> Given<Option<T>> {
        let wrong = |text: &str, err: T::Err| ConfigError::Text {
            key: self.path_of(key),
            found: super::error::quoted(text),
            why: err.to_string(),
        };
        self.word(key)?.map(|text| text.parse().map_err(|err| wrong(&text, err))).transpose()
    }

    /// For the shell: several lines are allowed.
    pub(crate) fn shell(&self, key: &'static str) -> Given<Option<String>> {
        self.read(key, "a command for the shell", |value| match value {
            Value::Text(text) if !text.contains('\0') && !text.trim().is_empty() => Some(text.clone()),
            _ => None,
        })
    }

    /// A path.
    pub(crate) fn file(&self, key: &'static str) -> Given<Option<PathBuf>> {
        Ok(self.word(key)?.map(PathBuf::from))
    }

    /// A path that means the same wherever the program was started.
    pub(crate) fn absolute(&self, key: &'static str) -> Given<Option<PathBuf>> {
        let path = self.file(key)?;
        match path.as_ref().is_none_or(|path| path.is_absolute()) {
            true => Ok(path),
            false => Err(self.refuse(key, "an absolute path: one that begins with /")),
        }
    }

    /// Something that is one word of a proxy's line.
    pub(crate) fn unbroken(&self, key: &'static str, accepted: &str) -> Given<Option<String>> {
        match self.word(key)? {
            Some(text) if text.contains(char::is_whitespace) => Err(self.refuse(key, accepted)),
            text => Ok(text),
        }
    }

    /// One path or several.
    pub(crate) fn files(&self, key: &'static str) -> Given<Vec<PathBuf>> {
        let one = |value| line(value).filter(|text| !text.trim().is_empty()).map(PathBuf::from);
        let files = self.read(key, "a path, or a list of paths", |value| match value {
            Value::List(list) => list.iter().map(one).collect(),
            value => one(value).map(|file| vec![file]),
        })?;
        Ok(files.unwrap_or_default())
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, key: &'static str, default: bool) -> Given<bool> {
        let flag = self.read(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })?;
        Ok(flag.unwrap_or(default))
    }

    /// A port, in quotes or not.
    pub(crate) fn port(&self, key: &'static str) -> Given<Option<u16>> {
        self.read(key, "a port: 1 to 65535, in quotes or not", port)
    }

    /// A whole number.
    pub(crate) fn whole(&self, key: &'static str, range: RangeInclusive<u64>) -> Given<Option<u64>> {
        let accepted = format!("a whole number, {} to {}", range.start(), range.end());
        self.read(key, &accepted, |value| match value {
            Value::Int(number) => u64::try_from(*number).ok().filter(|number| range.contains(number)),
            _ => None,
        })
    }

    /// A number of any kind.
    pub(crate) fn number(&self, key: &'static str, range: RangeInclusive<f64>) -> Given<Option<f64>> {
        let accepted = format!("a number, {} to {}", range.start(), range.end());
        self.read(key, &accepted, |value| {
            match value {
                Value::Int(number) => Some(*number as f64),
                Value::Float(number) => Some(*number),
                _ => None,
            }
            .filter(|number| range.contains(number))
        })
    }

    /// Seconds, as Synapse has them.
    pub(crate) fn seconds(&self, key: &'static str, default: Duration, least: Duration) -> Given<Duration> {
        let range = least.as_secs_f64()..=LONGEST.as_secs_f64();
        Ok(self.number(key, range)?.map_or(default, Duration::from_secs_f64))
    }

    /// A duration in words, as Lobby has it: no bare numbers, for those would be seconds here and nanoseconds there.
    pub(crate) fn span(&self, key: &'static str, default: Duration, least: Duration) -> Given<Duration> {
        let accepted = format!(
            "a duration in quotes such as \"1m30s\" or \"300ms\", {} to {}",
            lobby_core::duration::text(least),
            lobby_core::duration::text(LONGEST)
        );
        let span = self.read(key, &accepted, |value| match value {
            Value::Text(text) => lobby_core::duration::parse(text.trim()).filter(|span| (least..=LONGEST).contains(span)),
            _ => None,
        })?;
        Ok(span.unwrap_or(default))
    }

    /// Lines for a proxy's file; None: not given.
    pub(crate) fn lines(&self, key: &'static str) -> Given<Option<Vec<String>>> {
        self.get(key).map(|value| lines(&self.path_of(key), value)).transpose()
    }

    /// The same where each has to be one line, as in HAProxy's file.
    pub(crate) fn single_lines(&self, key: &'static str) -> Given<Option<Vec<String>>> {
        self.get(key).map(|value| single_lines(&self.path_of(key), value)).transpose()
    }

    /// Titles with their lines, in order.
    pub(crate) fn titled_lines(&self, key: &'static str) -> Given<Vec<(String, Vec<String>)>> {
        let Some(section) = self.section(key)? else { return Ok(Vec::new()) };
        let titled = |(title, value): &(String, Value)| {
            let path = section.path_of(title);
            if title.trim().is_empty() || title.contains(char::is_control) {
                return Err(value_error(path, value, "a title on one line before it"));
            }
            let read = if section.notes.is_strict { single_lines } else { lines };
            Ok((title.clone(), read(&path, value)?))
        };
        section.map.iter().map(titled).collect()
    }

    /// A section in this one.
    pub(crate) fn section(&self, key: &'static str) -> Given<Option<Section<'a>>> {
        self.get(key).map(|value| Section::of(self.path_of(key), value, self.notes)).transpose()
    }

    /// Values with their paths, in order.
    pub(crate) fn list(&self, key: &'static str) -> Given<Option<Vec<(String, &'a Value)>>> {
        let path = self.path_of(key);
        self.read(key, "a list", |value| match value {
            Value::List(list) => Some(list.iter().enumerate().map(|(at, value)| (format!("{path}[{at}]"), value)).collect()),
            _ => None,
        })
    }

    /// Words in a list.
    pub(crate) fn words(&self, key: &'static str) -> Given<Vec<String>> {
        let words = self.read(key, "a list of texts", |value| match value {
            Value::List(list) => list.iter().map(line).collect(),
            _ => None,
        })?;
        Ok(words.unwrap_or_default())
    }

    /// Small texts by name: labels.
    pub(crate) fn labels(&self, key: &'static str) -> Given<std::collections::BTreeMap<String, String>> {
        let Some(section) = self.section(key)? else { return Ok(Default::default()) };
        let label = |(name, value): &(String, Value)| {
            let value = plain(value).ok_or_else(|| value_error(section.path_of(name), value, "a text or a number"))?;
            Ok((name.clone(), value))
        };
        section.map.iter().map(label).collect()
    }

    /// One of several words; what stands for each is beside it.
    pub(crate) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Given<Option<T>> {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let accepted = format!("one of {}", words.join(", "));
        self.read(key, &accepted, |value| match value {
            Value::Text(text) => choices.iter().find(|(word, _)| word == text).map(|(_, choice)| *choice),
            _ => None,
        })
    }

    /// Everything was asked for: what else is there is not known.
    pub(crate) fn done(self) -> Given<()> {
        let mut asked = self.asked.borrow().clone();
        asked.sort_unstable();
        asked.dedup();
        let mut unknown = self.map.iter().map(|(key, _)| key).filter(|key| asked.binary_search(&key.as_str()).is_err());
        for key in unknown.by_ref().take(TOLD) {
            let (path, nearest) = (self.path_of(&super::error::quoted(key)), nearest(key, &asked));
            if self.notes.is_strict {
                return Err(ConfigError::UnknownKey { key: path, nearest: nearest.into() });
            }
            self.notes.warn(format!("unknown key {path} is ignored{}", hint(nearest)));
        }
        Ok(())
    }
}

/// This value does not fit.
pub(crate) fn value_error(key: impl Into<String>, value: &Value, accepted: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.into(), found: value.show(), accepted: accepted.into() }
}

/// A text without control characters, but for tabs.
fn line(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) if !text.contains(|c: char| c.is_control() && c != '\t') => Some(text.clone()),
        _ => None,
    }
}

/// A text, or what reads as one.
pub(crate) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => Some(value.show()),
        value => line(value),
    }
}

/// A port, in quotes or not.
pub(crate) fn port(value: &Value) -> Option<u16> {
    let number = match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        Value::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    number.filter(|port| *port > 0)
}

/// Lines, each a text of its own.
fn single_lines(path: &str, value: &Value) -> Given<Vec<String>> {
    let is_several = |item: &Value| matches!(item, Value::Text(text) if text.lines().nth(1).is_some());
    if let Value::List(list) = value
        && let Some(at) = list.iter().position(is_several)
    {
        return Err(value_error(format!("{path}[{at}]"), &list[at], "one line: write each line as a text of its own"));
    }
    lines(path, value)
}

/// Lines: a text with several counts as several.
fn lines(path: &str, value: &Value) -> Given<Vec<String>> {
    let Value::List(list) = value else { return Err(value_error(path, value, "a list of lines")) };
    let mut all = Vec::new();
    for (at, item) in list.iter().enumerate() {
        let refused = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
        match item {
            Value::Text(text) if !text.contains(refused) => {
                all.extend(text.lines().map(|line| line.trim_end().replace('\r', " ")));
            }
            other => return Err(value_error(format!("{path}[{at}]"), other, "a line of text")),
        }
    }
    Ok(all)
}
