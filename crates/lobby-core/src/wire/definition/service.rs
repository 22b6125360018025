//! The fields of an instance, as an agent's body and a catalog's body have them, and the sidecar beside it.
//!
//! `Proxy` and `Connect` are handed on as JSON; their keys are written as Consul prints them, for clients send them in
//! snake case too. Not here: checks (`check`), bounds of values (`instance`).

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::{
    DefinitionError,
    fields::{Fields, refused, same},
};
use crate::{
    check::{
        kind::Kind,
        spec::{Draft, ShortIntervals, Spec},
    },
    instance::{Id, Instance, TaggedAddress, Weights, address},
    limits::beginning,
    port::registry::{NewCheck, PROXY, Registration},
};

/// The key of the body in the body.
const SIDECAR: &str = "SidecarService";

/// Keys below `Proxy` and `Connect` as Consul prints them.
const OPAQUE_KEYS: &[&str] = &[
    "Native",
    "DestinationServiceName",
    "DestinationServiceID",
    "LocalServiceAddress",
    "LocalServicePort",
    "LocalServiceSocketPath",
    "Mode",
    "Config",
    "Upstreams",
    "DestinationType",
    "DestinationNamespace",
    "DestinationPartition",
    "DestinationPeer",
    "DestinationName",
    "Datacenter",
    "LocalBindAddress",
    "LocalBindPort",
    "LocalBindSocketPath",
    "LocalBindSocketMode",
    "MeshGateway",
    "TransparentProxy",
    "OutboundListenerPort",
    "DialedDirectly",
    "Expose",
    "Checks",
    "Paths",
    "ListenerPort",
    "Path",
    "LocalPathPort",
    "Protocol",
];

/// Reads an instance whose service is named by the field `name_field`.
pub(super) fn instance(fields: &Fields<'_>, name_field: &str) -> Result<Instance, DefinitionError> {
    let missing = || DefinitionError::Missing { what: "service name", field: fields.path(name_field) };
    let service: Id = fields.parsed(name_field)?.ok_or_else(missing)?;
    let id = fields.parsed("ID")?.unwrap_or_else(|| service.clone());
    let instance = Instance {
        tags: fields.texts("Tags")?.into(),
        address: service_address(fields.text("Address")?)?,
        port: fields.number("Port", u16::MAX.into())?.unwrap_or_default(),
        meta: fields.pairs("Meta")?.into(),
        tagged_addresses: tagged_addresses(fields)?,
        weights: weights(fields)?,
        enable_tag_override: fields.flag("EnableTagOverride", false)?,
        kind: fields.text("Kind")?.to_owned(),
        drain: false,
        proxy: opaque(fields, "Proxy")?,
        connect: opaque(fields, "Connect")?,
        ..Instance::new(id, service)
    };
    instance.validate()?;
    Ok(instance)
}

/// The sidecar that the body of an instance asks for: tags and meta are those of its parent unless given, and it is as well
/// as its parent is.
pub(super) fn sidecar(fields: &Fields<'_>, parent: &Instance) -> Result<Option<Registration>, DefinitionError> {
    let Some(connect) = fields.object("Connect")? else { return Ok(None) };
    let Some(fields) = connect.object(SIDECAR)? else { return Ok(None) };
    let derived = |base: &Id| -> Result<Id, DefinitionError> {
        let text = format!("{base}-sidecar-proxy");
        text.parse().map_err(|error| DefinitionError::Text {
            field: fields.path("ID"),
            value: beginning(&text).into(),
            why: format!("{error}"),
        })
    };
    let or_derived = |field, base| fields.parsed(field)?.map_or_else(|| derived(base), Ok);
    let mut proxy = opaque_map(&fields, "Proxy")?;
    for (key, value) in [("DestinationServiceName", &parent.service), ("DestinationServiceID", &parent.id)] {
        proxy.entry(key).or_insert_with(|| value.as_str().into());
    }
    let tags = fields.texts("Tags")?;
    let meta = fields.pairs("Meta")?;
    let kind = fields.given("Kind")?.unwrap_or_else(|| PROXY.into());
    let instance = Instance {
        tags: if fields.value("Tags").is_some() { tags.into() } else { parent.tags.clone() },
        address: service_address(fields.text("Address")?)?,
        port: fields.number("Port", u16::MAX.into())?.unwrap_or_default(),
        meta: if fields.value("Meta").is_some() { Arc::new(meta) } else { parent.meta.clone() },
        tagged_addresses: tagged_addresses(&fields)?,
        weights: weights(&fields)?,
        kind,
        proxy: Value::Object(proxy).to_string(),
        ..Instance::new(or_derived("ID", &parent.id)?, or_derived("Name", &parent.service)?)
    };
    instance.validate()?;
    let checks = vec![alias(&fields, &instance, parent)?];
    Ok(Some(Registration { instance, checks, replace_checks: false }))
}

/// The check that makes a sidecar as well as its parent.
fn alias(fields: &Fields<'_>, instance: &Instance, parent: &Instance) -> Result<NewCheck, DefinitionError> {
    let id = format!("service:{}", instance.id);
    let kind = Kind::Alias { service: Some(parent.id.to_string()), node: None };
    let spec = Spec::try_new(Draft { kinds: vec![kind], ..Draft::default() }, ShortIntervals::Raise);
    Ok(NewCheck {
        id: super::check::made_id(fields, &id)?,
        name: format!("Connect Sidecar Aliasing {}", parent.id),
        notes: String::new(),
        instance: Some(instance.id.clone()),
        spec: spec.map_err(|source| DefinitionError::Spec { at: fields.path("Check: "), source })?,
    })
}

/// An address to which others can connect, or nothing for that of the node.
fn service_address(text: &str) -> Result<String, DefinitionError> {
    match address("address", text) {
        Ok(()) => Ok(text.to_owned()),
        Err(invalid) => Err(DefinitionError::Address(invalid)),
    }
}

fn tagged_addresses(fields: &Fields<'_>) -> Result<BTreeMap<String, TaggedAddress>, DefinitionError> {
    let tagged = |(name, value): (&String, &Value)| {
        let inner = Fields::new(value, &fields.entry("TaggedAddresses", name))?;
        let address = inner.text("Address")?.to_owned();
        let port = inner.number("Port", u16::MAX.into())?.unwrap_or_default();
        Ok((name.clone(), TaggedAddress { address, port }))
    };
    fields.free("TaggedAddresses")?.into_iter().map(tagged).collect()
}

fn weights(fields: &Fields<'_>) -> Result<Weights, DefinitionError> {
    let Weights { passing, warning } = Weights::default();
    let Some(fields) = fields.object("Weights")? else { return Ok(Weights { passing, warning }) };
    Ok(Weights {
        passing: fields.number("Passing", u16::MAX.into())?.unwrap_or(passing),
        warning: fields.number("Warning", u16::MAX.into())?.unwrap_or(warning),
    })
}

/// An object as JSON text; empty when nothing is in it.
fn opaque(fields: &Fields<'_>, field: &str) -> Result<String, DefinitionError> {
    let map = opaque_map(fields, field)?;
    Ok(if map.is_empty() { String::new() } else { Value::Object(map).to_string() })
}

fn opaque_map(fields: &Fields<'_>, field: &str) -> Result<Map<String, Value>, DefinitionError> {
    match fields.value(field) {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(printed(map)),
        Some(other) => Err(refused(fields.path(field), other, "a JSON object")),
    }
}

/// The same with Consul's keys, without the sidecar, which becomes an instance of its own. `Config` is a free map.
fn printed(map: &Map<String, Value>) -> Map<String, Value> {
    let member = |(key, value): (&String, &Value)| {
        let name = OPAQUE_KEYS.iter().find(|name| same(name, key)).map_or(key.as_str(), |name| name);
        let value = match value {
            Value::Object(map) if name != "Config" => Value::Object(printed(map)),
            Value::Array(list) if name != "Config" => list.iter().map(printed_value).collect(),
            other => other.clone(),
        };
        (name.to_owned(), value)
    };
    map.iter().filter(|(key, value)| !value.is_null() && !same(key, SIDECAR)).map(member).collect()
}

fn printed_value(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(printed(map)),
        other => other.clone(),
    }
}
