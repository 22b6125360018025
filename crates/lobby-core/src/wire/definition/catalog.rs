//! Bodies for the catalog: nodes without an agent, with their services and what somebody else found out about them.
//!
//! Nothing here is carried out: a check is a status that is told. Not here: who wins among several writers (`catalog`),
//! whether the datacenter is ours (the caller).

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{DefinitionError, check, fields::Fields, given_checks, service, told};
use crate::{
    check::view::{CheckKind, CheckView, short},
    instance::{Id, Instance, address, line, word},
    limits::{self, beginning},
    name::Name,
};

/// A node, and what is to be known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogRegistration {
    /// Its name.
    pub node: Name,
    /// Its UUID in lower case.
    pub id: Option<String>,
    /// IP address or host name; empty only with `skip_node_update`.
    pub address: String,
    /// The datacenter it is to be in; ours when absent.
    pub datacenter: Option<String>,
    /// Other addresses by what they are for; at most [`limits::TAGGED_ADDRESSES`].
    pub tagged_addresses: BTreeMap<String, String>,
    /// At most [`limits::PAIRS`].
    pub node_meta: BTreeMap<String, String>,
    /// Whether a node that is there already keeps what is known of itself.
    pub skip_node_update: bool,
    /// A service of it.
    pub service: Option<Instance>,
    /// Checks of it, at most [`crate::port::registry::CHECKS`].
    pub checks: Vec<CatalogCheck>,
}

/// A check that somebody else carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogCheck {
    /// What everybody is told. Its instance may be one that does not exist.
    pub view: CheckView,
    /// When whoever carries it out is to remove the service; zero: never.
    pub deregister_after: Duration,
}

/// What is to go: a check, a service with its checks, or without either the whole node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogDeregistration {
    /// Its name.
    pub node: Name,
    /// The service.
    pub service: Option<Id>,
    /// The check.
    pub check: Option<Id>,
    /// The datacenter it is in; ours when absent.
    pub datacenter: Option<String>,
}

/// Reads the body of `catalog/register`.
pub fn catalog_register(value: &Value) -> Result<CatalogRegistration, DefinitionError> {
    let fields = Fields::body(value)?;
    let node = node(&fields)?;
    let skip_node_update = fields.flag("SkipNodeUpdate", false)?;
    let node_address = fields.text("Address")?.to_owned();
    address("address", &node_address)?;
    if node_address.is_empty() && !skip_node_update {
        return Err(DefinitionError::Missing { what: "node address", field: fields.path("Address") });
    }
    let service = fields.object("Service")?.map(|fields| service::instance(&fields, "Service")).transpose()?;
    let checks = given_checks(&fields)?;
    let checks = checks.into_iter().map(|(at, value)| catalog_check_at(value, &at)).collect::<Result<_, _>>()?;
    Ok(CatalogRegistration {
        node,
        id: uuid(&fields)?,
        address: node_address,
        datacenter: fields.given("Datacenter")?,
        tagged_addresses: tagged_addresses(&fields)?,
        node_meta: node_meta(&fields)?,
        skip_node_update,
        service,
        checks,
    })
}

/// Reads the body of `catalog/deregister`.
pub fn catalog_deregister(value: &Value) -> Result<CatalogDeregistration, DefinitionError> {
    let fields = Fields::body(value)?;
    Ok(CatalogDeregistration {
        node: node(&fields)?,
        service: fields.parsed("ServiceID")?,
        check: fields.parsed("CheckID")?,
        datacenter: fields.given("Datacenter")?,
    })
}

/// Reads a service as the catalog's bodies and transactions have it.
pub fn catalog_service(value: &Value) -> Result<Instance, DefinitionError> {
    service::instance(&Fields::body(value)?, "Service")
}

/// Reads a check as the catalog's bodies and transactions have it.
pub fn catalog_check(value: &Value) -> Result<CatalogCheck, DefinitionError> {
    catalog_check_at(value, "")
}

fn catalog_check_at(value: &Value, at: &str) -> Result<CatalogCheck, DefinitionError> {
    let fields = Fields::new(value, at)?;
    let missing = || DefinitionError::Missing { what: "check name", field: fields.path("Name") };
    let own_id = check::own_id(&fields)?;
    let name = match (fields.given("Name")?, &own_id) {
        (Some(name), _) => name,
        (None, Some(id)) => id.to_string(),
        (None, None) => return Err(missing()),
    };
    let id = own_id.map_or_else(|| check::made_id(&fields, &name), Ok)?;
    let mut view = CheckView {
        status: check::status(&fields)?.unwrap_or_default(),
        kind: CheckKind::from_word(fields.text("Type")?),
        notes: short(fields.text("Notes")?, limits::NOTES_BYTES),
        output: short(fields.text("Output")?, limits::OUTPUT_BYTES),
        ..CheckView::new(id, name, fields.parsed("ServiceID")?)
    };
    let mut deregister_after = Duration::ZERO;
    if let Some(definition) = fields.object("Definition")? {
        // The variant with the suffix is what newer clients send beside the other.
        let either = |field, suffixed| match definition.duration(suffixed)? {
            Some(duration) => Ok::<_, DefinitionError>(duration),
            None => Ok(definition.duration(field)?.unwrap_or_default()),
        };
        view.interval = either("Interval", "IntervalDuration")?;
        view.timeout = either("Timeout", "TimeoutDuration")?;
        view.definition = told::definition(&definition)?;
        deregister_after = either("DeregisterCriticalServiceAfter", "DeregisterCriticalServiceAfterDuration")?;
    }
    view.validate()?;
    Ok(CatalogCheck { view, deregister_after })
}

fn node(fields: &Fields<'_>) -> Result<Name, DefinitionError> {
    fields.parsed("Node")?.ok_or_else(|| DefinitionError::Missing { what: "node name", field: fields.path("Node") })
}

fn uuid(fields: &Fields<'_>) -> Result<Option<String>, DefinitionError> {
    let Some(text) = fields.given("ID")? else { return Ok(None) };
    let is_right = |(idx, byte): (usize, u8)| match idx {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    if text.len() == 36 && text.bytes().enumerate().all(is_right) {
        return Ok(Some(text.to_ascii_lowercase()));
    }
    let (field, value) = (fields.path("ID"), beginning(&text).into());
    Err(DefinitionError::Text { field, value, why: "a node's id is a UUID of 36 characters".into() })
}

fn tagged_addresses(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, DefinitionError> {
    let pairs = fields.pairs("TaggedAddresses")?;
    at_most(fields, "TaggedAddresses", pairs.len(), limits::TAGGED_ADDRESSES)?;
    for (name, text) in &pairs {
        line("taggedaddresses", name, limits::PAIR_KEY_BYTES)?;
        address("taggedaddresses address", text)?;
    }
    Ok(pairs)
}

fn node_meta(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, DefinitionError> {
    let pairs = fields.pairs("NodeMeta")?;
    at_most(fields, "NodeMeta", pairs.len(), limits::PAIRS)?;
    for (key, value) in &pairs {
        word("nodemeta key", key, limits::PAIR_KEY_BYTES)?;
        line("nodemeta value", value, limits::PAIR_VALUE_BYTES)?;
    }
    Ok(pairs)
}

fn at_most(fields: &Fields<'_>, field: &str, count: usize, most: usize) -> Result<(), DefinitionError> {
    if count <= most { Ok(()) } else { Err(DefinitionError::TooMany { field: fields.path(field), count, most }) }
}
