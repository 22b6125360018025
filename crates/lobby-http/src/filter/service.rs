//! The selectors of an instance, in the three forms in which it is written.
//!
//! In the joined form of the catalog each name has `Service` before it, so that it does not meet the node's.

use std::collections::BTreeMap;

use lobby_core::expr::{Field, Fields, Group, Kind, Schema, Selected};
use serde_json::Value;

use super::{Names, entry, keys, list, text};
use crate::shape::{AgentService, CatalogService, Service, Tagged, Weights};

pub(super) const NAMES: Names = &[
    ("ID", Kind::Text),
    ("Service", Kind::Text),
    ("Kind", Kind::Text),
    ("Address", Kind::Text),
    ("Tags", Kind::List),
    ("Meta", Kind::List),
    ("Meta.*", Kind::Entry),
    ("Port", Kind::Number),
    ("EnableTagOverride", Kind::Bool),
    ("Weights.Passing", Kind::Number),
    ("Weights.Warning", Kind::Number),
    ("Connect.Native", Kind::Bool),
    ("TaggedAddresses", Kind::List),
    ("TaggedAddresses.*.Address", Kind::Entry),
    ("TaggedAddresses.*.Port", Kind::Number),
];

const JOINED: Names = &[
    ("ID", Kind::Text),
    ("Node", Kind::Text),
    ("Address", Kind::Text),
    ("Datacenter", Kind::Text),
    ("NodeMeta", Kind::List),
    ("NodeMeta.*", Kind::Entry),
    ("TaggedAddresses", Kind::List),
    ("TaggedAddresses.*", Kind::Entry),
    ("ServiceID", Kind::Text),
    ("ServiceName", Kind::Text),
    ("ServiceKind", Kind::Text),
    ("ServiceAddress", Kind::Text),
    ("ServiceTags", Kind::List),
    ("ServiceMeta", Kind::List),
    ("ServiceMeta.*", Kind::Entry),
    ("ServicePort", Kind::Number),
    ("ServiceEnableTagOverride", Kind::Bool),
    ("ServiceWeights.Passing", Kind::Number),
    ("ServiceWeights.Warning", Kind::Number),
    ("ServiceConnect.Native", Kind::Bool),
    ("ServiceTaggedAddresses", Kind::List),
    ("ServiceTaggedAddresses.*.Address", Kind::Entry),
    ("ServiceTaggedAddresses.*.Port", Kind::Number),
];

/// What all forms of an instance have.
struct Parts<'a> {
    id: &'a str,
    name: &'a str,
    kind: &'a str,
    address: &'a str,
    tags: &'a [String],
    meta: &'a BTreeMap<String, String>,
    port: u16,
    enable_tag_override: bool,
    weights: Weights,
    native: Option<&'a Value>,
    tagged_addresses: Tagged<'a>,
}

impl<'a> Parts<'a> {
    /// The value at a selector of [`NAMES`].
    fn field(self, name: &str, key: Option<&str>) -> Field<'a> {
        let tagged = || self.tagged_addresses.0.get(key?);
        match name {
            "ID" => text(self.id),
            "Service" => text(self.name),
            "Kind" => text(self.kind),
            "Address" => text(self.address),
            "Tags" => list(self.tags.iter().map(String::as_str)),
            "Meta" => list(self.meta.keys().map(String::as_str)),
            "Meta.*" => key.and_then(|key| self.meta.get(key)).map_or(Field::Missing, |value| text(value)),
            "Port" => Field::Number(self.port.into()),
            "EnableTagOverride" => Field::Bool(self.enable_tag_override),
            "Weights.Passing" => Field::Number(self.weights.passing.into()),
            "Weights.Warning" => Field::Number(self.weights.warning.into()),
            "Connect.Native" => Field::Bool(self.native.and_then(Value::as_bool).unwrap_or(false)),
            "TaggedAddresses" => list(self.tagged_addresses.0.keys().map(String::as_str)),
            "TaggedAddresses.*.Address" => tagged().map_or(Field::Missing, |at| text(&at.address)),
            "TaggedAddresses.*.Port" => tagged().map_or(Field::Missing, |at| Field::Number(at.port.into())),
            _ => Field::Missing,
        }
    }
}

impl Fields for Service<'_> {
    const SCHEMA: Schema = &[Group { prefix: "", names: NAMES }];

    fn field(&self, selected: Selected<'_>) -> Field<'_> {
        let parts = Parts {
            id: self.id,
            name: self.service,
            kind: self.kind,
            address: self.address,
            tags: self.tags,
            meta: self.meta,
            port: self.port,
            enable_tag_override: self.enable_tag_override,
            weights: self.weights,
            native: self.connect.get("Native"),
            tagged_addresses: self.tagged_addresses,
        };
        parts.field(selected.name, selected.key)
    }
}

impl Fields for AgentService<'_> {
    const SCHEMA: Schema = &[Group { prefix: "", names: NAMES }];

    fn field(&self, selected: Selected<'_>) -> Field<'_> {
        let parts = Parts {
            id: self.id,
            name: self.service,
            kind: self.kind,
            address: self.address,
            tags: self.tags,
            meta: self.meta,
            port: self.port,
            enable_tag_override: self.enable_tag_override,
            weights: self.weights,
            native: self.connect.get("Native"),
            tagged_addresses: self.tagged_addresses,
        };
        parts.field(selected.name, selected.key)
    }
}

impl Fields for CatalogService<'_> {
    const SCHEMA: Schema = &[Group { prefix: "", names: JOINED }];

    fn field(&self, selected: Selected<'_>) -> Field<'_> {
        match selected.name {
            "ID" => return text(self.id),
            "Node" => return text(self.node),
            "Address" => return text(self.address),
            "Datacenter" => return text(self.datacenter),
            "NodeMeta" => return keys(self.node_meta),
            "NodeMeta.*" => return entry(self.node_meta, selected.key),
            "TaggedAddresses" => return keys(self.tagged_addresses),
            "TaggedAddresses.*" => return entry(self.tagged_addresses, selected.key),
            _ => {}
        }
        let parts = Parts {
            id: self.service_id,
            name: self.service_name,
            kind: self.service_kind,
            address: self.service_address,
            tags: self.service_tags,
            meta: self.service_meta,
            port: self.service_port,
            enable_tag_override: self.service_enable_tag_override,
            weights: self.service_weights,
            native: self.service_connect.get("Native"),
            tagged_addresses: self.service_tagged_addresses,
        };
        match selected.name.strip_prefix("Service") {
            Some("Name") => parts.field("Service", None),
            Some(name) => parts.field(name, selected.key),
            None => Field::Missing,
        }
    }
}
