//! One `[[hook]]` or `[[handler]]` block of the file: typed values, and what is wrong with them.
//!
//! Not here: what the blocks mean (`hook`, `handler`).

use std::time::Duration;

use toml::{Table, Value};

use super::{
    ConfigError,
    raw::{nearest, text_of},
};

/// A block and what it is called.
pub(super) struct Block<'a> {
    kind: &'static str,
    table: &'a Table,
}

impl<'a> Block<'a> {
    /// Refuses a block with a key that is none of `keys`.
    pub(super) fn new(kind: &'static str, table: &'a Table, keys: &[&str]) -> Result<Self, ConfigError> {
        if let Some(key) = table.keys().find(|key| !keys.contains(&key.as_str())) {
            let nearest = format!("{kind}.{}", nearest(key, keys));
            return Err(ConfigError::UnknownKey { file: format!("[[{kind}]]"), key: format!("{kind}.{key}"), nearest });
        }
        Ok(Self { kind, table })
    }

    pub(super) fn refuse(&self, key: &str, expected: &str) -> ConfigError {
        ConfigError::Value {
            name: format!("{}.{key}", self.kind),
            value: self.table.get(key).map(ToString::to_string).unwrap_or_default(),
            origin: "the file".into(),
            expected: expected.into(),
        }
    }

    /// `name`, or else the program; and `command`, program and arguments.
    pub(super) fn name_and_command(&self) -> Result<(String, Vec<String>), ConfigError> {
        let command: Vec<String> = match self.table.get("command") {
            Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
            // One item that is no text spoils the command, rather than vanishing from it.
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>().unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let Some(program) = command.first().cloned() else {
            return Err(self.refuse("command", "a program and its arguments, as one text or a list of texts"));
        };
        let name = match self.table.get("name") {
            None => program,
            Some(value) => value.as_str().map(str::to_owned).ok_or_else(|| self.refuse("name", "a text"))?,
        };
        Ok((name, command))
    }

    /// Seconds, from `least` to a day.
    pub(super) fn seconds(&self, key: &str, default: u64, least: f64) -> Result<Duration, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(Duration::from_secs(default)) };
        let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        let number = number.filter(|number| (least..=86_400.0).contains(number));
        number.map(Duration::from_secs_f64).ok_or_else(|| self.refuse(key, &format!("seconds, from {least} to 86400")))
    }

    /// A comma list, or a list of texts, as a comma list.
    pub(super) fn list(&self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(value) => text_of(value.clone(), ",").map(Some).ok_or_else(|| self.refuse(key, "a text or a list of texts")),
        }
    }
}
