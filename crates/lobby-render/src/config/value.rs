//! The tree that HCL, JSON and TOML have in common: keys and values in the order in which they were written, a key as often
//! as it was written.
//!
//! Not here: what keys mean (`model`).

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true`, `false`
    Bool(bool),
    /// A whole number, in whatever base it was written.
    Int(i64),
    /// A number with a point or an exponent.
    Float(f64),
    /// A text.
    Text(String),
    /// Values in brackets.
    List(Vec<Value>),
    /// Keys and values in braces.
    Block(Block),
}

/// Keys and values, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block(pub Vec<Entry>);

/// One key with its value. Where it stands is no part of it: equal entries are equal wherever they are.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name.
    pub key: String,
    /// What it is set to.
    pub value: Value,
    /// From 1; 0 if that is not known.
    pub line: u32,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Block {
    /// A block with one entry, as a flag makes it.
    pub(super) fn of(key: &str, value: Value) -> Self {
        Self(vec![Entry { key: key.to_owned(), value, line: 0 }])
    }
}

impl Value {
    /// What it is, for people; not what is in it, unless that is short.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Bool(yes) => yes.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => super::error::quoted(text),
            Self::List(_) => "a list".into(),
            Self::Block(_) => "a block".into(),
        }
    }
}

impl From<&toml::Table> for Block {
    fn from(table: &toml::Table) -> Self {
        Self(table.iter().map(|(key, value)| Entry { key: key.clone(), value: value.into(), line: 0 }).collect())
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
            toml::Value::Table(table) => Self::Block(table.into()),
        }
    }
}
