//! Registrations of instances and checks: the bodies that Consul's clients send to an agent or to the catalog, and files.
//!
//! ```text
//! bytes ─parse─► Value ─► registration, sidecar, check            for the local registry
//!                   └───► catalog_register, catalog_deregister    for nodes without an agent
//! ```
//! Keys match in any case and with or without `_`, `null` means absent, what is not known is passed over. Whatever comes
//! out of here has passed its validator. Not here: what is done with it (`port::registry`), how the same is printed.

mod catalog;
mod check;
mod coordinate;
mod fields;
mod service;
mod told;

use serde_json::Value;

pub use catalog::{
    CatalogCheck, CatalogDeregistration, CatalogRegistration, catalog_check, catalog_deregister, catalog_register,
    catalog_service,
};
pub use coordinate::{CoordinateUpdate, coordinate_update};
use fields::Fields;

use crate::{
    check::spec::{ShortIntervals, SpecError},
    instance::{Instance, Invalid},
    port::registry::{CHECKS, NewCheck, Registration},
};

/// What a body means beyond its own words.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// What becomes of short intervals.
    pub short: ShortIntervals,
    /// The process that `"PID": "self"` is, if the connection tells.
    pub peer_pid: Option<u32>,
}

/// A body is not accepted. Nothing was changed; the caller answers 400 with the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// No JSON. Consul's clients look for the words.
    #[error("Request decode failed: {0}")]
    Json(String),
    /// A field has a value of a wrong type or range.
    #[error("{field}: {value} is not accepted: expected {accepted}")]
    Value {
        /// Where it stands.
        field: String,
        /// What stands there, or its beginning.
        value: String,
        /// What would be accepted.
        accepted: String,
    },
    /// A text breaks the rules of its field.
    #[error("{field}: {value:?} is not accepted: {why}")]
    Text {
        /// Where it stands.
        field: String,
        /// The text, or its beginning.
        value: String,
        /// The rule.
        why: String,
    },
    /// A duration is none. Consul's clients look for the words.
    #[error("{field}: invalid duration {value}: expected a text such as 10s, 1m30s or 20ms, or a number of nanoseconds")]
    Duration {
        /// Where it stands.
        field: String,
        /// What stands there, or its beginning.
        value: String,
    },
    /// A field that must be given is not there, or empty.
    #[error("Missing {what}: {field} must be given")]
    Missing {
        /// What it is, in Consul's words.
        what: &'static str,
        /// Where it would stand.
        field: String,
    },
    /// Nobody can connect to the address. Consul's clients look for the words.
    #[error("Invalid service address: {0}")]
    Address(Invalid),
    /// A value breaks the rules of the model.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The fields of a check do not make one.
    #[error("{at}{source}")]
    Spec {
        /// Which check, with a colon behind; empty for the body itself.
        at: String,
        /// What is wrong.
        source: SpecError,
    },
    /// There are too many of something.
    #[error("{field}: {count} are given: at most {most} are accepted")]
    TooMany {
        /// Of what.
        field: String,
        /// How many are given.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// The connection does not tell which process is on its other side.
    #[error("{field}: \"self\" is accepted over the unix socket only: give the number of the process")]
    NoPeer {
        /// Where it stands.
        field: String,
    },
}

/// Reads the bytes of a body; nesting is bounded by the parser (128), and of equal keys the last counts.
pub fn parse(bytes: &[u8]) -> Result<Value, DefinitionError> {
    if bytes.trim_ascii().is_empty() {
        return Err(DefinitionError::Json("the body is empty: expected a JSON object".into()));
    }
    serde_json::from_slice(bytes).map_err(|error| DefinitionError::Json(error.to_string()))
}

/// Reads an instance and its checks. The caller sets `replace_checks`, and registers the [`sidecar`] as well.
pub fn registration(value: &Value, context: &Context) -> Result<Registration, DefinitionError> {
    let fields = Fields::body(value)?;
    let instance = service::instance(&fields, "Name")?;
    let checks = service_checks(&fields, &instance, context)?;
    let registration = Registration { instance, checks, replace_checks: false };
    // So that a body with a bad one is refused as a whole.
    service::sidecar(&fields, &registration.instance)?;
    Ok(registration)
}

/// The second instance that a body asks for in `Connect.SidecarService`, beside the registration made of the same body.
pub fn sidecar(value: &Value, registration: &Registration) -> Option<Registration> {
    service::sidecar(&Fields::body(value).ok()?, &registration.instance).ok()?
}

/// Reads a check that stands alone; it judges the instance `ServiceID`, or without it the whole node.
pub fn check(value: &Value, context: &Context) -> Result<NewCheck, DefinitionError> {
    check::alone(&Fields::body(value)?, context)
}

/// The checks of an instance: `Check`, which counts first, and `Checks`. Of several with one id the last counts.
fn service_checks(fields: &Fields<'_>, instance: &Instance, context: &Context) -> Result<Vec<NewCheck>, DefinitionError> {
    let found = given_checks(fields)?;
    let total = found.len();
    let mut checks: Vec<NewCheck> = Vec::with_capacity(total);
    for (idx, (at, value)) in found.into_iter().enumerate() {
        let check = check::of_service(&Fields::new(value, &at)?, &at, instance, (idx + 1, total), context)?;
        checks.retain(|other| other.id != check.id);
        checks.push(check);
    }
    Ok(checks)
}

/// Where the checks of a body stand, and what stands there. An empty `Check` is none, as clients send it for nothing.
fn given_checks<'a>(fields: &Fields<'a>) -> Result<Vec<(String, &'a Value)>, DefinitionError> {
    let single = fields.object("Check")?.filter(|check| !check.is_empty()).and_then(|_| fields.value("Check"));
    let list = fields.list("Checks")?;
    let count = list.len() + usize::from(single.is_some());
    if count > CHECKS {
        return Err(DefinitionError::TooMany { field: fields.path("Checks"), count, most: CHECKS });
    }
    let single = single.map(|value| (fields.path("Check"), value));
    let list = list.iter().enumerate().map(|(idx, value)| (format!("{}[{idx}]", fields.path("Checks")), value));
    Ok(single.into_iter().chain(list).collect())
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
