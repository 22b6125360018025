//! The operations of a transaction as they are written: keys in any case, objects as the catalog's bodies have them.
//!
//! Not here: what they do (`draft`), what objects mean (`wire::definition`).

use std::fmt;

use lobby_core::{
    external::{Change, NodeData, node_data, tags::has_node},
    id::NodeId,
    instance::Id,
    name::Name,
    wire::definition,
};
use serde_json::{Map, Value};

use super::MOST_OPS;
use crate::{
    View,
    catalog_api::node,
    error::{ApiError, shown},
    external,
};

/// What is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Set,
    /// Only while it has this index; with 0, only while it is not there.
    Cas,
    Get,
    Delete,
    DeleteCas,
}

/// What of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thing {
    Node,
    Service(Id),
    Check(Id),
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) verb: Verb,
    pub(super) node: Name,
    pub(super) thing: Thing,
    /// The index that it must have; 0: none is given.
    pub(super) index: u64,
    /// What is written, if something is.
    pub(super) new: Option<Change>,
}

type Object = Map<String, Value>;

impl Verb {
    fn parse(text: &str) -> Option<Self> {
        let all = [
            ("set", Self::Set),
            ("cas", Self::Cas),
            ("get", Self::Get),
            ("delete", Self::Delete),
            ("delete-cas", Self::DeleteCas),
        ];
        all.into_iter().find(|(name, _)| *name == text).map(|(_, verb)| verb)
    }

    const fn writes(self) -> bool {
        matches!(self, Self::Set | Self::Cas)
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Service(id) => write!(f, "service {:?}", id.as_str()),
            Self::Check(id) => write!(f, "check {:?}", id.as_str()),
        }
    }
}

/// Reads the body of a transaction.
pub(super) fn read(bytes: &[u8], view: &View) -> Result<Vec<Op>, ApiError> {
    let body: Value = serde_json::from_slice(bytes).map_err(|err| ApiError::Transaction(err.to_string()))?;
    let list = match body {
        Value::Array(list) => list,
        // What Go's clients send for an empty list.
        Value::Null => Vec::new(),
        _ => return Err(bad("expected a list of operations")),
    };
    if list.len() > MOST_OPS {
        return Err(ApiError::TooManyOps(list.len()));
    }
    list.iter().map(|value| op(value, view)).collect()
}

fn bad(why: impl Into<String>) -> ApiError {
    ApiError::Transaction(why.into())
}

fn op(value: &Value, view: &View) -> Result<Op, ApiError> {
    let none = || bad("an operation has exactly one of Node, Service and Check");
    let mut given = value.as_object().ok_or_else(none)?.iter().filter(|(_, body)| !body.is_null());
    let (Some((kind, body)), None) = (given.next(), given.next()) else { return Err(none()) };
    let body = body.as_object().ok_or_else(none)?;
    match kind.to_ascii_lowercase().as_str() {
        "kv" => Err(ApiError::Later("the key/value store")),
        "session" => Err(ApiError::Later("sessions")),
        "node" => of_node(body, object(body, "Node")?, view),
        "service" => of_service(body, object(body, "Service")?),
        "check" => of_check(body, object(body, "Check")?),
        _ => Err(none()),
    }
}

fn of_node(body: &Object, node: &Object, view: &View) -> Result<Op, ApiError> {
    let (verb, id) = (verb(body)?, text(node, "ID")?);
    let name = match text(node, "Node")? {
        "" => find(view, id).ok_or_else(|| bad(format!("no node without an agent has the ID {:?}", shown(id))))?,
        name => parsed("Node", name)?,
    };
    let datacenter = text(node, "Datacenter")?;
    external::check_datacenter(view, Some(datacenter))?;
    let new = if verb.writes() { Some(Change::Node(data(&name, node)?)) } else { None };
    Ok(Op { verb, node: name, thing: Thing::Node, index: index(node)?, new })
}

/// What is said of the node itself, whose pairs are called `Meta` here.
fn data(name: &Name, node: &Object) -> Result<NodeData, ApiError> {
    let mut fields = Object::new();
    fields.insert("Node".to_owned(), name.as_str().into());
    for (from, to) in [("Address", "Address"), ("ID", "ID"), ("TaggedAddresses", "TaggedAddresses"), ("Meta", "NodeMeta")] {
        fields.extend(field(node, from).map(|value| (to.to_owned(), value.clone())));
    }
    let registration = definition::catalog_register(&Value::Object(fields))?;
    Ok(NodeData {
        address: registration.address,
        tagged_addresses: registration.tagged_addresses,
        pairs: registration.node_meta,
        consul_id: registration.id.unwrap_or_default(),
    })
}

fn of_service(body: &Object, service: &Object) -> Result<Op, ApiError> {
    let (verb, node) = (verb(body)?, parsed("Node", text(body, "Node")?)?);
    let (id, new) = if verb.writes() {
        let instance = definition::catalog_service(&Value::Object(service.clone()))?;
        (instance.id.clone(), Some(Change::Instance(Box::new(instance))))
    } else {
        (id(service, ["ID", "Service"])?, None)
    };
    Ok(Op { verb, node, thing: Thing::Service(id), index: index(service)?, new })
}

fn of_check(body: &Object, check: &Object) -> Result<Op, ApiError> {
    let (verb, node) = (verb(body)?, parsed("Node", text(check, "Node")?)?);
    let (id, new) = if verb.writes() {
        let view = definition::catalog_check(&Value::Object(check.clone()))?.view;
        (view.id.clone(), Some(Change::Check(Box::new(view))))
    } else {
        (id(check, ["CheckID", "Name"])?, None)
    };
    Ok(Op { verb, node, thing: Thing::Check(id), index: index(check)?, new })
}

/// The name of the node without an agent that has this id, given or made.
fn find(view: &View, id: &str) -> Option<Name> {
    let mut records = view.snapshot.externals.iter().filter(|(_, record)| has_node(record));
    let is_it = |(made, record): &(&NodeId, &std::sync::Arc<lobby_core::record::Record>)| {
        id.eq_ignore_ascii_case(&node_data(record).consul_id) || node::parse_id(id) == Some(**made)
    };
    if id.is_empty() { None } else { records.find(is_it).map(|(_, record)| record.name.clone()) }
}

/// A field by its name in any case; null is none.
fn field<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null()).map(|(_, value)| value)
}

fn object<'a>(object: &'a Object, name: &str) -> Result<&'a Object, ApiError> {
    field(object, name).and_then(Value::as_object).ok_or_else(|| bad(format!("{name}: expected an object")))
}

/// A text; empty when it is not there.
fn text<'a>(object: &'a Object, name: &str) -> Result<&'a str, ApiError> {
    match field(object, name) {
        None => Ok(""),
        Some(value) => value.as_str().ok_or_else(|| bad(format!("{name}: expected a text"))),
    }
}

fn parsed<T: std::str::FromStr<Err: fmt::Display>>(field: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|err| bad(format!("{field} {:?}: {err}", shown(text))))
}

/// The id that stands in the first of these fields, else in the other.
fn id(object: &Object, fields: [&str; 2]) -> Result<Id, ApiError> {
    let [first, other] = fields;
    match text(object, first)? {
        "" => parsed(other, text(object, other)?),
        given => parsed(first, given),
    }
}

fn verb(body: &Object) -> Result<Verb, ApiError> {
    let text = text(body, "Verb")?;
    let accepted = "set, cas, get, delete and delete-cas are accepted";
    Verb::parse(text).ok_or_else(|| bad(format!("Verb {:?}: {accepted}", shown(text))))
}

fn index(object: &Object) -> Result<u64, ApiError> {
    let value = field(object, "ModifyIndex");
    value.map_or(Some(0), Value::as_u64).ok_or_else(|| bad("ModifyIndex: expected a whole number"))
}
