//! Values that only templates and commands have: a command line, permissions, owners, signals, levels, `for_each`, and what
//! is accepted and not used.

use super::LogLevel;
use super::error::ConfigError;
use super::section::{Place, Read, texts};
use super::signal;
use super::value::Value;
use crate::settings::ForEach;

/// A program with its arguments, or one text for a shell. Empty: none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Command(pub(super) Vec<String>);

impl Read for Command {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        let argv = match value {
            Value::Text(text) => Some(vec![text.clone()]),
            Value::List(list) => texts(list),
            _ => None,
        };
        let argv = argv.ok_or_else(|| place.refuse(value, "a command as one text, or as a list of texts"))?;
        match argv.first() {
            Some(program) if !program.trim().is_empty() => Ok(Self(argv)),
            _ if argv.len() > 1 => Err(place.refuse(value, "a program as first text of the list")),
            _ => Ok(Self::default()),
        }
    }
}

/// Permissions of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Perms(pub(super) u32);

impl Read for Perms {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        const ACCEPTED: &str = "octal permissions as \"0644\", from 0 to 0777";
        let mode = match value {
            Value::Text(digits) => u32::from_str_radix(digits.strip_prefix("0o").unwrap_or(digits), 8).ok(),
            // 600 without the 0 is 01130 and means nothing; so are 644 and 755.
            Value::Int(mode) => u32::try_from(*mode).ok(),
            _ => None,
        };
        mode.filter(|mode| *mode <= 0o777).map(Self).ok_or_else(|| place.refuse(value, ACCEPTED))
    }
}

/// A user or group, by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner(pub(super) String);

impl Read for Owner {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        match value {
            Value::Text(name) => Ok(Self(name.clone())),
            Value::Int(id) if u32::try_from(*id).is_ok() => Ok(Self(id.to_string())),
            _ => Err(place.refuse(value, "a name or a number")),
        }
    }
}

/// A signal; `None`: explicitly none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signal(pub(super) Option<i32>);

impl Read for Signal {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        let read = match value {
            Value::Text(name) => signal::read(name),
            Value::Int(number) => i32::try_from(*number).ok().and_then(signal::number).map(Some),
            _ => None,
        };
        read.map(Self).ok_or_else(|| place.refuse(value, signal::ACCEPTED))
    }
}

impl Read for LogLevel {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        let level = match value {
            Value::Text(name) => Self::of_name(name),
            _ => None,
        };
        level.ok_or_else(|| place.refuse(value, "one of trace, debug, info, warn and err"))
    }
}

impl Read for ForEach {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        match value {
            Value::Text(what) if what == "service" => return Ok(Self::Service),
            Value::Text(what) if what == "node" => return Ok(Self::Node(String::new())),
            Value::Block(block) => {
                if let [entry] = &*block.0
                    && let ("node", Value::Text(selector)) = (&*entry.key, &entry.value)
                {
                    return Ok(Self::Node(selector.clone()));
                }
            }
            _ => {}
        }
        Err(place.refuse(value, "\"service\", \"node\" or { node = \"SELECTOR\" }"))
    }
}

/// Something that consul-template does and Lobby does not: whatever it says is accepted, with a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ignored;

impl Read for Ignored {
    fn read(_: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        place.warn("is accepted, but does nothing here");
        Ok(Self)
    }
}
