//! One file of `services.d`: Consul's definition files in JSON, or the same tables in TOML.
//!
//! ```text
//! service, services, check, checks (an object or a list of them) ─► registrations and checks
//! ```
//! A file is good as a whole or not at all. It says everything about its instances: checks that stand alone and are about
//! one of them go with it, and those that it no longer names go.
//! Not here: the fields of a service and of a check (`wire::definition`).

use std::{
    collections::HashSet,
    fs,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use lobby_core::{
    check::spec::ShortIntervals,
    instance::Id,
    port::registry::{CHECKS, Registration},
    wire::definition::{self, Context, DefinitionError},
};
use serde_json::Value;

use super::File;

/// Most bytes of one file: a thousand services with their checks.
const FILE_BYTES: u64 = 1 << 20;

/// Most services, and most checks that stand alone, of one file. Empty ones would take two bytes each.
const ITEMS: usize = 4096;

/// What a file is written in, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Toml,
}

impl Format {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }
}

/// A file is not used. What it was before stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// The system does not let us read it.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It has more bytes than we read.
    #[error("it has more than {FILE_BYTES} bytes")]
    TooLarge,
    /// There is nothing in it, as in one that is about to be written. Who wants nothing removes it, or writes `{{}}`.
    #[error("it is empty")]
    Empty,
    /// It is not what its name says.
    #[error("{0}")]
    Syntax(String),
    /// A key or a value at the top is none that we know.
    #[error("{key}: expected service, services, check or checks, with a table or a list of at most {ITEMS} of them")]
    Top {
        /// What stands there.
        key: String,
    },
    /// One of its services or checks is not accepted.
    #[error("{at}: {source}")]
    Definition {
        /// Which, such as `services[2]`.
        at: String,
        /// What is wrong.
        source: DefinitionError,
    },
    /// Two services have one id, or two checks.
    #[error("the id {0} is defined twice")]
    Twice(Id),
    /// More checks than an instance may have.
    #[error("{0} has more than {CHECKS} checks")]
    TooManyChecks(Id),
}

/// Reads a file; a format that its name does not tell is JSON.
pub(super) fn read(path: &Path, name: &Arc<str>) -> Result<File, FileError> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(FileError::TooLarge);
    }
    decode(Format::of(name).unwrap_or(Format::Json), &bytes, name)
}

fn decode(format: Format, bytes: &[u8], name: &Arc<str>) -> Result<File, FileError> {
    if bytes.trim_ascii().is_empty() {
        return Err(FileError::Empty);
    }
    let value: Value = match format {
        Format::Json => serde_json::from_slice(bytes).map_err(|err| FileError::Syntax(err.to_string()))?,
        Format::Toml => toml::from_slice(bytes).map_err(|err| toml_error(&err))?,
    };
    let Value::Object(top) = value else { return Err(FileError::Syntax("expected a table of services and checks".into())) };
    let mut file = File { name: name.clone(), registrations: Vec::new(), checks: Vec::new() };
    for (key, value) in &top {
        match key.to_ascii_lowercase().as_str() {
            "service" | "services" => each(key, value, |value| add_service(&mut file, value))?,
            "check" | "checks" => each(key, value, |value| add_check(&mut file, value))?,
            _ => return Err(top_error(key)),
        }
    }
    settle(file)
}

/// Where it is and what is wrong there, without the lines of the file that the library would show.
fn toml_error(err: &toml::de::Error) -> FileError {
    FileError::Syntax(format!("{}: {}", err.to_string().lines().next().unwrap_or_default(), err.message()))
}

/// The values of one key, which may be one.
fn each(key: &str, value: &Value, mut add: impl FnMut(&Value) -> Result<(), DefinitionError>) -> Result<(), FileError> {
    match value {
        Value::Null => Ok(()),
        Value::Object(_) => add(value).map_err(|source| FileError::Definition { at: key.to_owned(), source }),
        Value::Array(values) if values.len() <= ITEMS => values.iter().enumerate().try_for_each(|(idx, value)| {
            add(value).map_err(|source| FileError::Definition { at: format!("{key}[{idx}]"), source })
        }),
        _ => Err(top_error(key)),
    }
}

fn top_error(key: &str) -> FileError {
    FileError::Top { key: key.chars().take(64).flat_map(char::escape_debug).collect() }
}

/// Files are ours: Consul's agents raise short intervals, ours do what they are told.
const CONTEXT: Context = Context { short: ShortIntervals::Allow, peer_pid: None };

fn add_service(file: &mut File, value: &Value) -> Result<(), DefinitionError> {
    let registration = Registration { replace_checks: true, ..definition::registration(value, &CONTEXT)? };
    let sidecar = definition::sidecar(value, &registration);
    let sidecar = sidecar.map(|sidecar| Registration { replace_checks: true, ..sidecar });
    file.registrations.push(registration);
    file.registrations.extend(sidecar);
    Ok(())
}

fn add_check(file: &mut File, value: &Value) -> Result<(), DefinitionError> {
    file.checks.push(definition::check(value, &CONTEXT)?);
    Ok(())
}

/// Gives each instance its checks, and sees that every id is one thing.
fn settle(mut file: File) -> Result<File, FileError> {
    let mut ids = HashSet::new();
    if let Some(twice) = file.registrations.iter().find(|registration| !ids.insert(&registration.instance.id)) {
        return Err(FileError::Twice(twice.instance.id.clone()));
    }
    let mut ids = HashSet::new();
    let all = file.registrations.iter().flat_map(|registration| &registration.checks).chain(&file.checks);
    if let Some(twice) = all.map(|check| &check.id).find(|id| !ids.insert(*id)) {
        return Err(FileError::Twice(twice.clone()));
    }
    for check in std::mem::take(&mut file.checks) {
        let own = file.registrations.iter_mut().find(|own| Some(&own.instance.id) == check.instance.as_ref());
        match own {
            Some(own) if own.checks.len() >= CHECKS => return Err(FileError::TooManyChecks(own.instance.id.clone())),
            Some(own) => own.checks.push(check),
            None => file.checks.push(check),
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
