//! From tree to fields: what a value of each kind may look like, how blocks find the fields of their keys, and how a later
//! value goes over an earlier one.
//!
//! Which keys there are is in `model`.

use std::path::PathBuf;
use std::time::Duration;

use super::error::{ConfigError, nearest};
use super::value::{Block, Value};
use super::{Secret, duration};

/// Where a value stands, and what was noticed on the way to it.
pub(super) struct Place<'a> {
    key: String,
    line: u32,
    warnings: &'a mut Vec<String>,
}

impl<'a> Place<'a> {
    /// Above all keys.
    pub(super) fn top(warnings: &'a mut Vec<String>) -> Self {
        Self { key: String::new(), line: 0, warnings }
    }

    fn below(&mut self, key: &str, line: u32) -> Place<'_> {
        let key = if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) };
        Place { key, line: line.max(self.line), warnings: self.warnings }
    }

    /// The value does not fit.
    pub(super) fn refuse(&self, value: &Value, accepted: &'static str) -> ConfigError {
        let key = if self.key.is_empty() { "the configuration".into() } else { self.key.clone() };
        ConfigError::Value { key, line: self.line, found: value.show(), accepted }
    }

    /// The value is taken, but people should know something.
    pub(super) fn warn(&mut self, what: &str) {
        self.warnings.push(format!("{} {what}", self.key));
    }
}

/// A field's type.
pub(super) trait Read: Sized {
    /// Whether a key that stands twice in one text counts twice, instead of the last time.
    const REPEATS: bool = false;

    /// Of what was written.
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError>;

    /// What was written later goes over it.
    fn merge(&mut self, later: Self) {
        *self = later;
    }
}

/// A block with known keys; made by `section!`.
pub(super) trait Section: Default {
    /// All of them.
    const KEYS: &'static [&'static str];

    /// Sets the field of a key; `false`: there is none.
    fn put(&mut self, key: &str, value: &Value, place: &mut Place<'_>) -> Result<bool, ConfigError>;

    /// Each field by itself.
    fn join(&mut self, later: Self);

    /// A short form that is no block.
    fn short(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        Err(place.refuse(value, "a block"))
    }
}

impl<T: Section> Read for T {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        match value {
            Value::Block(block) => read_block(block, place),
            // JSON writes a block that stands several times as a list.
            Value::List(list) => match list.last() {
                Some(Value::Block(last)) => read_block(last, place),
                _ => Self::short(value, place),
            },
            _ => Self::short(value, place),
        }
    }

    fn merge(&mut self, later: Self) {
        self.join(later);
    }
}

/// All entries of a block.
pub(super) fn read_block<T: Section>(block: &Block, place: &mut Place<'_>) -> Result<T, ConfigError> {
    let mut section = T::default();
    for entry in &block.0 {
        let mut inner = place.below(&entry.key, entry.line);
        if !section.put(&entry.key.to_ascii_lowercase(), &entry.value, &mut inner)? {
            let nearest = nearest(&entry.key, T::KEYS.iter().copied());
            return Err(ConfigError::UnknownKey { key: inner.key, line: inner.line, nearest });
        }
    }
    Ok(section)
}

/// Sets a field of a text.
pub(super) fn put<T: Read>(field: &mut Option<T>, value: &Value, place: &mut Place<'_>) -> Result<(), ConfigError> {
    let value = T::read(value, place)?;
    match field {
        Some(earlier) if T::REPEATS => earlier.merge(value),
        _ => *field = Some(value),
    }
    Ok(())
}

/// A field of a later text over that of an earlier one.
pub(super) fn join<T: Read>(field: &mut Option<T>, later: Option<T>) {
    match (field, later) {
        (_, None) => {}
        (Some(earlier), Some(later)) => earlier.merge(later),
        (field, later) => *field = later,
    }
}

/// Declares a block: its keys are the fields' names, older spellings stand behind `|`.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident $(= $short:path)? {
        $($(#[$about:meta])* $field:ident $(| $old:ident)*: $kind:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(super) struct $name {
            $($(#[$about])* pub(super) $field: Option<$kind>,)*
        }

        impl Section for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn put(&mut self, key: &str, value: &Value, place: &mut Place<'_>) -> Result<bool, ConfigError> {
                match key {
                    $(stringify!($field) $(| stringify!($old))* => section::put(&mut self.$field, value, place)?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            fn join(&mut self, later: Self) {
                $(section::join(&mut self.$field, later.$field);)*
            }

            $(fn short(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
                $short(value, place)
            })?
        }
    };
}
pub(super) use section;

impl Read for String {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(place.refuse(value, "a text in quotes")),
        }
    }
}

impl Read for Secret {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        String::read(value, place).map(Self)
    }
}

impl Read for PathBuf {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        String::read(value, place).map(Self::from)
    }
}

impl Read for bool {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        let yes = match value {
            Value::Bool(yes) => Some(*yes),
            Value::Text(text) => truth(text),
            _ => None,
        };
        yes.ok_or_else(|| place.refuse(value, "true or false"))
    }
}

/// The words that Go's flags have for yes and no.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Read for u32 {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        let number = match value {
            Value::Int(number) => u32::try_from(*number).ok(),
            Value::Text(digits) => digits.parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| place.refuse(value, "a whole number from 0 to 4294967295"))
    }
}

impl Read for Duration {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        duration::read(value).ok_or_else(|| place.refuse(value, duration::ACCEPTED))
    }
}

/// Names or patterns: a list, or one text with commas. Those of a later text come after those of an earlier one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Names(pub(super) Vec<String>);

impl Read for Names {
    const REPEATS: bool = true;

    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        match value {
            Value::Text(text) => Ok(Self(text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())),
            Value::List(list) => texts(list).map(Self).ok_or_else(|| place.refuse(value, "a list of texts")),
            _ => Err(place.refuse(value, "a list of texts, or one text with commas")),
        }
    }

    fn merge(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

/// Variables: a list, or one text with commas between them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pairs(pub(super) Names);

impl Read for Pairs {
    const REPEATS: bool = true;

    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        let is_pair = |text: &str| text.find('=').is_some_and(|at| at > 0);
        let names = match (Names::read(value, place)?, value) {
            // The comma belongs to a value.
            (names, Value::Text(text)) if !names.0.iter().all(|name| is_pair(name)) => Names(vec![text.clone()]),
            (names, _) => names,
        };
        match names.0.iter().find(|name| !is_pair(name)) {
            Some(name) => Err(place.refuse(&Value::Text(name.clone()), "NAME=VALUE")),
            None => Ok(Self(names)),
        }
    }

    fn merge(&mut self, later: Self) {
        self.0.merge(later.0);
    }
}

/// All of a list, if all are texts.
pub(super) fn texts(list: &[Value]) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    list.iter().map(text).collect()
}
