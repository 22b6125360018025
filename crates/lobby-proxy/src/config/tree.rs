//! The tree that JSON, YAML and TOML have in common: keys in the order in which they were written, each once (the last
//! value counts). Decides how large one may be; aliases of YAML count as often as they stand.

use std::collections::HashMap;

use super::error::{ConfigError, quoted};

/// Bytes of a text that are read: a file with 4096 services of 4 KiB.
pub(crate) const TEXT_BYTES: usize = 16 << 20;
/// Lists and maps in each other: ours need eight; far from what a stack holds.
pub(crate) const DEPTH: usize = 64;
/// What a tree may cost, by [`VALUE_COST`] and its texts: four times the longest text.
const COST: usize = 4 * TEXT_BYTES;
/// What a value costs besides its text, in bytes.
const VALUE_COST: usize = 32;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `null`, which is not the same as absent.
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a point or an exponent.
    Float(f64),
    /// A text.
    Text(String),
    /// Values in a row.
    List(Vec<Value>),
    /// Keys and values, in order.
    Map(Map),
}

/// Keys and values, in order.
pub(crate) type Map = Vec<(String, Value)>;

impl Value {
    /// What it is, for people; not what is in it, unless that is short.
    pub(crate) fn show(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(yes) => yes.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => quoted(text),
            Self::List(_) => "a list".into(),
            Self::Map(_) => "a map".into(),
        }
    }
}

/// What a tree costs, as [`Cost`] counts; that of one which is copied is counted once more.
pub(crate) fn cost(value: &Value) -> usize {
    VALUE_COST
        + match value {
            Value::Text(text) => text.len(),
            Value::List(list) => list.iter().map(cost).sum(),
            Value::Map(map) => map.iter().map(|(key, value)| VALUE_COST + key.len() + cost(value)).sum(),
            _ => 0,
        }
}

/// Each key once: where it first stood, with what stood last.
pub(crate) fn once(entries: Map) -> Map {
    let mut places: HashMap<String, usize> = HashMap::with_capacity(entries.len());
    let mut map = Map::with_capacity(entries.len());
    for (key, value) in entries {
        match places.get(&key) {
            Some(place) => map[*place] = (key, value),
            None => {
                places.insert(key.clone(), map.len());
                map.push((key, value));
            }
        }
    }
    map
}

/// What was spent on a tree.
#[derive(Debug, Default)]
pub(crate) struct Cost(pub(crate) usize);

impl Cost {
    /// One more value with a text of so many bytes.
    pub(crate) fn value(&mut self, bytes: usize) -> Result<(), ConfigError> {
        self.add(VALUE_COST + bytes)
    }

    /// What was spent before is there once more.
    pub(crate) fn add(&mut self, cost: usize) -> Result<(), ConfigError> {
        self.0 = self.0.saturating_add(cost);
        if self.0 > COST {
            Err(ConfigError::TooMuch { limit: COST, what: "bytes of values, with aliases expanded" })
        } else {
            Ok(())
        }
    }
}

impl From<&toml::Value> for Value {
    fn from(value: &toml::Value) -> Self {
        match value {
            toml::Value::String(text) => Self::Text(text.clone()),
            toml::Value::Integer(number) => Self::Int(*number),
            toml::Value::Float(number) => Self::Float(*number),
            toml::Value::Boolean(yes) => Self::Bool(*yes),
            toml::Value::Datetime(time) => Self::Text(time.to_string()),
            toml::Value::Array(list) => Self::List(list.iter().map(Self::from).collect()),
            toml::Value::Table(table) => Self::Map(map_of(table)),
        }
    }
}

/// The keys of a table.
pub(crate) fn map_of(table: &toml::Table) -> Map {
    table.iter().map(|(key, value)| (key.clone(), value.into())).collect()
}
