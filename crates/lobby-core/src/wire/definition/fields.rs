//! A JSON object as Consul's agent reads it: keys in any case and with or without `_`, `null` as if it were not there.
//!
//! Every reader of a field is strict about its type, and says in an error which field it was, what stood there and what is
//! accepted. Not here: which fields there are (`service`, `check`, `catalog`).

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::DefinitionError;
use crate::{duration, limits::beginning};

/// An object and where it stands.
pub(super) struct Fields<'a> {
    /// Before the name of a field: empty, or such as `Checks[1].`.
    at: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The body itself.
    pub(super) fn body(value: &'a Value) -> Result<Self, DefinitionError> {
        Self::new(value, "")
    }

    /// What stands at `at`, such as `Checks[1]`.
    pub(super) fn new(value: &'a Value, at: &str) -> Result<Self, DefinitionError> {
        match (value, at) {
            (Value::Object(map), "") => Ok(Self { at: String::new(), map }),
            (Value::Object(map), _) => Ok(Self { at: format!("{at}."), map }),
            (_, "") => Err(refused("the body", value, "a JSON object")),
            _ => Err(refused(at, value, "a JSON object")),
        }
    }

    /// The full name of a field, for errors.
    pub(super) fn path(&self, field: &str) -> String {
        format!("{}{field}", self.at)
    }

    /// Whether no field of it has a value.
    pub(super) fn is_empty(&self) -> bool {
        self.map.values().all(Value::is_null)
    }

    /// The value of a field. Of several spellings of one key the last in sorted order counts.
    pub(super) fn value(&self, field: &str) -> Option<&'a Value> {
        self.map.iter().rfind(|(key, value)| !value.is_null() && same(key, field)).map(|(_, value)| value)
    }

    /// A text, empty when there is none.
    pub(super) fn text(&self, field: &str) -> Result<&'a str, DefinitionError> {
        match self.value(field) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(refused(self.path(field), other, "a text")),
        }
    }

    /// A text that is there and not empty.
    pub(super) fn given(&self, field: &str) -> Result<Option<String>, DefinitionError> {
        Ok(Some(self.text(field)?).filter(|text| !text.is_empty()).map(str::to_owned))
    }

    /// A parsed text that is there and not empty.
    pub(super) fn parsed<T>(&self, field: &str) -> Result<Option<T>, DefinitionError>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        match self.text(field)? {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|error: T::Err| DefinitionError::Text {
                field: self.path(field),
                value: beginning(text).into(),
                why: error.to_string(),
            }),
        }
    }

    /// True or false.
    pub(super) fn flag(&self, field: &str, default: bool) -> Result<bool, DefinitionError> {
        match self.value(field) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(refused(self.path(field), other, "true or false")),
        }
    }

    /// A whole number from 0 to `most`.
    pub(super) fn number<T: TryFrom<u64>>(&self, field: &str, most: u64) -> Result<Option<T>, DefinitionError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let number = value.as_u64().filter(|number| *number <= most).and_then(|number| number.try_into().ok());
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(refused(self.path(field), value, format!("a whole number from 0 to {most}"))),
        }
    }

    /// Go's words or a number of nanoseconds. An empty text is as good as none.
    pub(super) fn duration(&self, field: &str) -> Result<Option<Duration>, DefinitionError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let duration = match value {
            Value::String(text) if text.is_empty() => return Ok(None),
            Value::String(text) => duration::parse(text),
            Value::Number(nanos) => nanos.as_u64().map(Duration::from_nanos),
            _ => None,
        };
        match duration {
            Some(duration) => Ok(Some(duration)),
            None => Err(DefinitionError::Duration { field: self.path(field), value: shown(value) }),
        }
    }

    /// An object whose keys are fields too.
    pub(super) fn object(&self, field: &str) -> Result<Option<Fields<'a>>, DefinitionError> {
        self.value(field).map(|value| Self::new(value, &self.path(field))).transpose()
    }

    /// An object whose keys are kept as they are, without what is null.
    pub(super) fn free(&self, field: &str) -> Result<Vec<(&'a String, &'a Value)>, DefinitionError> {
        match self.value(field) {
            None => Ok(Vec::new()),
            Some(Value::Object(map)) => Ok(map.iter().filter(|(_, value)| !value.is_null()).collect()),
            Some(other) => Err(refused(self.path(field), other, "a JSON object")),
        }
    }

    /// An object of texts whose keys are kept as they are.
    pub(super) fn pairs(&self, field: &str) -> Result<BTreeMap<String, String>, DefinitionError> {
        let pair = |(key, value): (&String, &Value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            other => Err(refused(self.entry(field, key), other, "a text")),
        };
        self.free(field)?.into_iter().map(pair).collect()
    }

    /// The full name of an entry of an object, for errors.
    pub(super) fn entry(&self, field: &str, key: &str) -> String {
        format!("{}{field}.{}", self.at, beginning(key))
    }

    /// A list, empty when there is none.
    pub(super) fn list(&self, field: &str) -> Result<&'a [Value], DefinitionError> {
        match self.value(field) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => Err(refused(self.path(field), other, "a list")),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, field: &str) -> Result<Vec<String>, DefinitionError> {
        texts(self.list(field)?, &self.path(field))
    }
}

/// Texts of a list of this name.
pub(super) fn texts(list: &[Value], field: &str) -> Result<Vec<String>, DefinitionError> {
    let text = |(idx, value): (usize, &Value)| match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(refused(format!("{field}[{idx}]"), other, "a text")),
    };
    list.iter().enumerate().map(text).collect()
}

/// Whether two keys are the same to Consul.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.bytes().filter(|b| *b != b'_').map(lower).eq(other.bytes().filter(|b| *b != b'_').map(lower))
}

fn lower(byte: u8) -> u8 {
    byte.to_ascii_lowercase()
}

/// The error for a value of a wrong type or range.
pub(super) fn refused(field: impl Into<String>, value: &Value, accepted: impl Into<String>) -> DefinitionError {
    DefinitionError::Value { field: field.into(), value: shown(value), accepted: accepted.into() }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".into(),
        Value::Array(_) => "a list".into(),
        other => beginning(&other.to_string()).into(),
    }
}
