//! The objects of Consul's read API as they are written: keys, their order, and what is left out when it is empty.
//!
//! ```text
//! catalog ─► Node, Service, Check, HealthEntry, CatalogService        own agent ─► AgentService, Check
//! ```
//! Texts are borrowed from a snapshot or a view; lists and maps that are empty are `[]` and `{}`, never `null`. A draining
//! instance is listed, but weighs nothing.
//! Not here: what node, which address and what index stands in them (`catalog_api`), their selectors (`filter`).

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use lobby_core::{
    check::{Status, view::CheckView},
    instance::{Instance, TaggedAddress, Weights as Shares},
};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A duration of a check as Go writes it; empty for none.
pub(crate) fn duration(duration: Duration) -> String {
    if duration.is_zero() { String::new() } else { lobby_core::duration::text(duration) }
}

/// A node, as `catalog/nodes` lists it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Node<'a> {
    /// A UUID; of external nodes it may be empty.
    #[serde(rename = "ID")]
    pub(crate) id: Cow<'a, str>,
    pub(crate) node: &'a str,
    pub(crate) address: Cow<'a, str>,
    pub(crate) datacenter: &'a str,
    pub(crate) tagged_addresses: Pairs<'a>,
    pub(crate) meta: Pairs<'a>,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

/// An instance, as health entries and the routes of one node show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Service<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) kind: &'a str,
    #[serde(rename = "ID")]
    pub(crate) id: &'a str,
    pub(crate) service: &'a str,
    pub(crate) tags: &'a [String],
    pub(crate) address: &'a str,
    #[serde(skip_serializing_if = "Tagged::is_empty")]
    pub(crate) tagged_addresses: Tagged<'a>,
    pub(crate) meta: &'a BTreeMap<String, String>,
    pub(crate) port: u16,
    pub(crate) weights: Weights,
    pub(crate) enable_tag_override: bool,
    pub(crate) proxy: Object<NoProxy>,
    pub(crate) connect: Object<Empty>,
    pub(crate) peer_name: &'a str,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

/// An instance, as its own agent shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AgentService<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) kind: &'a str,
    #[serde(rename = "ID")]
    pub(crate) id: &'a str,
    pub(crate) service: &'a str,
    pub(crate) tags: &'a [String],
    pub(crate) meta: &'a BTreeMap<String, String>,
    pub(crate) port: u16,
    pub(crate) address: &'a str,
    #[serde(skip_serializing_if = "Tagged::is_empty")]
    pub(crate) tagged_addresses: Tagged<'a>,
    pub(crate) weights: Weights,
    pub(crate) enable_tag_override: bool,
    /// Only where one can wait for another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_hash: Option<String>,
    #[serde(skip_serializing_if = "Object::is_default")]
    pub(crate) proxy: Object<NoProxy>,
    #[serde(skip_serializing_if = "Object::is_default")]
    pub(crate) connect: Object<Empty>,
    pub(crate) datacenter: &'a str,
}

/// A check, on the agent as well as in the catalog.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Check<'a> {
    pub(crate) node: &'a str,
    #[serde(rename = "CheckID")]
    pub(crate) check_id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) status: &'static str,
    pub(crate) notes: &'a str,
    pub(crate) output: &'a str,
    /// Empty for a check of the node; so are name and tags.
    #[serde(rename = "ServiceID")]
    pub(crate) service_id: &'a str,
    pub(crate) service_name: &'a str,
    pub(crate) service_tags: &'a [String],
    /// As Consul calls the kind; empty for its own.
    pub(crate) r#type: &'static str,
    /// In Go's form; empty for a check that does not run by itself.
    pub(crate) interval: String,
    pub(crate) timeout: String,
    pub(crate) exposed_port: u16,
    /// How somebody else carries it out, if that was told.
    pub(crate) definition: Object<Empty>,
    /// 0 on the agent, as the other one.
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

/// An instance with its node and all checks that judge it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HealthEntry<'a> {
    pub(crate) node: &'a Node<'a>,
    pub(crate) service: Service<'a>,
    pub(crate) checks: Vec<Check<'a>>,
}

/// An instance and its node in one object, as `catalog/service` lists them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CatalogService<'a> {
    #[serde(rename = "ID")]
    pub(crate) id: &'a str,
    pub(crate) node: &'a str,
    pub(crate) address: &'a str,
    pub(crate) datacenter: &'a str,
    pub(crate) tagged_addresses: &'a Pairs<'a>,
    pub(crate) node_meta: &'a Pairs<'a>,
    pub(crate) service_kind: &'a str,
    #[serde(rename = "ServiceID")]
    pub(crate) service_id: &'a str,
    pub(crate) service_name: &'a str,
    pub(crate) service_tags: &'a [String],
    pub(crate) service_address: &'a str,
    pub(crate) service_tagged_addresses: Tagged<'a>,
    pub(crate) service_weights: Weights,
    pub(crate) service_meta: &'a BTreeMap<String, String>,
    pub(crate) service_port: u16,
    pub(crate) service_socket_path: &'a str,
    pub(crate) service_enable_tag_override: bool,
    pub(crate) service_proxy: Object<NoProxy>,
    pub(crate) service_connect: Object<Empty>,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

/// A map of texts that is made for the answer, in the order in which it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs<'a>(pub(crate) Vec<(&'a str, Cow<'a, str>)>);

/// Other addresses of an instance, by what they are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tagged<'a>(pub(crate) &'a BTreeMap<String, TaggedAddress>);

/// Shares by status, as they are shown.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Weights {
    pub(crate) passing: u16,
    pub(crate) warning: u16,
}

/// `{}`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Empty {}

/// What recent servers write of an instance that is no proxy.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NoProxy {
    mode: &'static str,
    mesh_gateway: Empty,
    expose: Empty,
}

/// An object that is handed on as it came, or what stands there when none came.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Object<D> {
    Given(Value),
    Default(D),
}

impl<'a> Service<'a> {
    /// With the revisions at which it was made and last changed.
    pub(crate) fn new(instance: &'a Instance, created: u64, modified: u64) -> Self {
        Self {
            kind: &instance.kind,
            id: instance.id.as_str(),
            service: instance.service.as_str(),
            tags: &instance.tags,
            address: &instance.address,
            tagged_addresses: Tagged(&instance.tagged_addresses),
            meta: &instance.meta,
            port: instance.port,
            weights: Weights::new(instance.weights, instance.drain),
            enable_tag_override: instance.enable_tag_override,
            proxy: Object::new(&instance.proxy),
            connect: Object::new(&instance.connect),
            peer_name: "",
            create_index: created,
            modify_index: modified,
        }
    }
}

impl<'a> AgentService<'a> {
    /// Without a hash.
    pub(crate) fn new(instance: &'a Instance, datacenter: &'a str) -> Self {
        Self {
            kind: &instance.kind,
            id: instance.id.as_str(),
            service: instance.service.as_str(),
            tags: &instance.tags,
            meta: &instance.meta,
            port: instance.port,
            address: &instance.address,
            tagged_addresses: Tagged(&instance.tagged_addresses),
            weights: Weights::new(instance.weights, instance.drain),
            enable_tag_override: instance.enable_tag_override,
            content_hash: None,
            proxy: Object::new(&instance.proxy),
            connect: Object::new(&instance.connect),
            datacenter,
        }
    }
}

impl<'a> Check<'a> {
    /// A check of a node of this name: of the whole node, or of `instance`.
    pub(crate) fn new(node: &'a str, check: &'a CheckView, instance: Option<&'a Instance>, created: u64, modified: u64) -> Self {
        Self {
            notes: &check.notes,
            output: &check.output,
            service_id: check.instance.as_ref().map_or("", |id| id.as_str()),
            service_name: instance.map_or("", |instance| instance.service.as_str()),
            service_tags: instance.map_or(&[], |instance| &instance.tags),
            r#type: check.kind.as_str(),
            interval: duration(check.interval),
            timeout: duration(check.timeout),
            definition: Object::new(&check.definition),
            create_index: created,
            modify_index: modified,
            ..Self::of_node(node, check.id.as_str(), &check.name, check.status)
        }
    }

    /// A check of a node of which nothing else is known.
    pub(crate) fn of_node(node: &'a str, check_id: &'a str, name: &'a str, status: Status) -> Self {
        Self {
            node,
            check_id,
            name,
            status: status.as_str(),
            notes: "",
            output: "",
            service_id: "",
            service_name: "",
            service_tags: &[],
            r#type: "",
            interval: String::new(),
            timeout: String::new(),
            exposed_port: 0,
            definition: Object::new(""),
            create_index: 0,
            modify_index: 0,
        }
    }
}

impl<'a> CatalogService<'a> {
    /// An instance of a node.
    pub(crate) fn new(node: &'a Node<'a>, service: Service<'a>) -> Self {
        Self {
            id: &node.id,
            node: node.node,
            address: &node.address,
            datacenter: node.datacenter,
            tagged_addresses: &node.tagged_addresses,
            node_meta: &node.meta,
            service_kind: service.kind,
            service_id: service.id,
            service_name: service.service,
            service_tags: service.tags,
            service_address: service.address,
            service_tagged_addresses: service.tagged_addresses,
            service_weights: service.weights,
            service_meta: service.meta,
            service_port: service.port,
            service_socket_path: "",
            service_enable_tag_override: service.enable_tag_override,
            service_proxy: service.proxy,
            service_connect: service.connect,
            create_index: service.create_index,
            modify_index: service.modify_index,
        }
    }
}

impl Pairs<'_> {
    /// The value of this key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| &**value)
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Tagged<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Tagged<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Place<'a> {
            address: &'a str,
            port: u16,
        }
        serializer.collect_map(self.0.iter().map(|(key, at)| (key, Place { address: &at.address, port: at.port })))
    }
}

impl Weights {
    fn new(shares: Shares, drain: bool) -> Self {
        let shown = |share| if drain { 0 } else { share };
        Self { passing: shown(shares.passing), warning: shown(shares.warning) }
    }

    /// Of what takes nothing new.
    pub(crate) const NONE: Self = Self { passing: 0, warning: 0 };
}

impl<D: Default> Object<D> {
    /// The object of this text; texts of instances are objects or empty.
    pub(crate) fn new(text: &str) -> Self {
        match text {
            "" => Self::Default(D::default()),
            text => serde_json::from_str(text).map_or_else(|_| Self::Default(D::default()), Self::Given),
        }
    }
}

impl<D> Object<D> {
    /// The field of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Given(value) => value.get(name),
            Self::Default(_) => None,
        }
    }

    const fn is_default(&self) -> bool {
        matches!(self, Self::Default(_))
    }
}

#[cfg(test)]
mod tests;
