//! Answers as templates see them: Consul's field names in Go's order of declaration, which printing shows. Decides nothing
//! about what is in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lobby_template::value::{Key, Object};
use lobby_template::{Func, Type, Value};

use crate::answer::{CatalogService, HealthCheck, HealthService, KeyPair, LabelledNode, Node, NodeService, NodeServices};

/// An object of the Go type `name`, whose fields are listed once.
macro_rules! object {
    ($type:ty, $name:literal, |$it:ident| [$($field:literal => $value:expr),+ $(,)?] $(, $method:item)*) => {
        impl Object for $type {
            fn type_name(&self) -> &str {
                $name
            }

            fn field(&self, name: &str) -> Option<Value> {
                let $it = self;
                match name {
                    $($field => Some($value),)+
                    _ => None,
                }
            }

            fn fields(&self) -> Vec<(&str, Value)> {
                let $it = self;
                vec![$(($field, $value)),+]
            }

            $($method)*
        }
    };
}

object!(HealthService, "*dependency.HealthService", |it| [
    "Node" => it.node.as_str().into(),
    "NodeID" => it.node_id.as_str().into(),
    "NodeAddress" => it.node_address.as_str().into(),
    "NodeTaggedAddresses" => strings(&it.node_tagged_addresses),
    "NodeMeta" => strings(&it.node_meta),
    "ServiceMeta" => strings(&it.service_meta),
    "Address" => it.address.as_str().into(),
    "ServiceTaggedAddresses" => tagged(&it.service_tagged_addresses),
    "ID" => it.id.as_str().into(),
    "Name" => it.name.as_str().into(),
    "Tags" => tags(&it.tags),
    "Checks" => objects("*api.HealthCheck", it.checks.iter().cloned().map(Arc::new)),
    "Status" => it.status.as_str().into(),
    "Port" => Value::int(it.port.into()),
    "Weights" => Value::from(Arc::new(Weights { passing: it.weight_passing, warning: it.weight_warning })),
    "Draining" => it.draining.into(),
]);

object!(HealthCheck, "*api.HealthCheck", |it| [
    "Node" => it.node.as_str().into(),
    "CheckID" => it.check_id.as_str().into(),
    "Name" => it.name.as_str().into(),
    "Status" => it.status.as_str().into(),
    "Notes" => it.notes.as_str().into(),
    "Output" => it.output.as_str().into(),
    "ServiceID" => it.service_id.as_str().into(),
    "ServiceName" => it.service_name.as_str().into(),
    "ServiceTags" => tags(&it.service_tags),
    "Type" => it.kind.as_str().into(),
]);

/// Shares of an instance.
#[derive(Debug)]
struct Weights {
    passing: u16,
    warning: u16,
}

object!(Weights, "api.AgentWeights", |it| [
    "Passing" => Value::int(it.passing.into()),
    "Warning" => Value::int(it.warning.into()),
]);

/// An address for a purpose.
#[derive(Debug)]
struct TaggedAddress {
    address: String,
    port: u16,
}

object!(TaggedAddress, "api.ServiceAddress", |it| [
    "Address" => it.address.as_str().into(),
    "Port" => Value::int(it.port.into()),
]);

object!(CatalogService, "*dependency.CatalogSnippet", |it| [
    "Name" => it.name.as_str().into(),
    "Tags" => tags(&it.tags),
]);

object!(Node, "*dependency.Node", |it| [
    "ID" => it.id.as_str().into(),
    "Node" => it.name.as_str().into(),
    "Address" => it.address.as_str().into(),
    "Datacenter" => it.datacenter.as_str().into(),
    "TaggedAddresses" => strings(&it.tagged_addresses),
    "Meta" => strings(&it.meta),
]);

object!(NodeService, "*dependency.CatalogNodeService", |it| [
    "ID" => it.id.as_str().into(),
    "Service" => it.service.as_str().into(),
    "Tags" => tags(&it.tags),
    "Meta" => strings(&it.meta),
    "Port" => Value::int(it.port.into()),
    "Address" => it.address.as_str().into(),
    "EnableTagOverride" => it.enable_tag_override.into(),
]);

object!(NodeServices, "*dependency.CatalogNode", |it| [
    "Node" => Value::from(Arc::new(it.node.clone())),
    "Services" => objects("*dependency.CatalogNodeService", it.services.iter().cloned().map(Arc::new)),
]);

/// What `node` gives for a node that is not there: its `Node` is nil.
#[derive(Debug)]
pub(crate) struct NoNode;

object!(NoNode, "*dependency.CatalogNode", |_it| [
    "Node" => Value::Nil,
    "Services" => Value::list(Type::Named("*dependency.CatalogNodeService".into()), Vec::new()),
]);

object!(KeyPair, "*dependency.KeyPair", |it| [
    "Path" => it.path.as_str().into(),
    "Key" => it.key.as_str().into(),
    "Value" => Value::Str(it.value.clone().into()),
    "CreateIndex" => Value::uint64(it.create_index),
    "ModifyIndex" => Value::uint64(it.modify_index),
    "LockIndex" => Value::uint64(it.lock_index),
    "Flags" => Value::uint64(it.flags),
    "Session" => it.session.as_str().into(),
]);

object!(
    LabelledNode,
    "*lobby.Node",
    |it| [
        "ID" => it.id.as_str().into(),
        "Name" => it.name.as_str().into(),
        "State" => it.state.as_str().into(),
        "Addresses" => tags(&it.addresses),
        "Labels" => tags(&it.labels),
    ],
    /// `.Label "NAME"`: the value of its first label of that name, or nothing; `.Values "NAME"`: those of all of them;
    /// `.Has "NAME:VALUE"`: whether it carries exactly that.
    fn method(self: Arc<Self>, name: &str) -> Option<Func> {
        let answer: fn(&Self, &str) -> Value = match name {
            "Label" => |node, name| node.values(name).next().unwrap_or_default().into(),
            "Values" => |node, name| Value::strings(node.values(name)),
            "Has" => |node, label| node.labels.iter().any(|known| known == label).into(),
            _ => return None,
        };
        Some(Func::new([Type::Str], move |args| match args {
            [Value::Str(text)] => Ok(answer(&self, &text.to_text())),
            _ => Ok(Value::Nil),
        }))
    }
);

impl LabelledNode {
    /// The values of its labels of this name.
    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.labels.iter().filter_map(move |label| label.strip_prefix(name)?.strip_prefix(':'))
    }
}

/// A list of pointers to structs.
pub(crate) fn objects<O: Object + 'static>(name: &str, items: impl IntoIterator<Item = Arc<O>>) -> Value {
    Value::list(Type::Named(name.into()), items.into_iter().map(Value::from).collect())
}

fn strings(map: &BTreeMap<String, String>) -> Value {
    Value::string_map(map.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

fn tags(tags: &[String]) -> Value {
    Value::strings(tags.iter().map(String::as_str))
}

fn tagged(addresses: &BTreeMap<String, (String, u16)>) -> Value {
    let entries = addresses.iter().map(|(name, (address, port))| {
        let address = TaggedAddress { address: address.clone(), port: *port };
        (Key::Str(name.as_str().into()), Value::from(Arc::new(address)))
    });
    Value::map(Type::Str, Type::Named("api.ServiceAddress".into()), entries.collect())
}
