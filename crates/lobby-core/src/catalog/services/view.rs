//! A service as the catalog shows it: who offers it, whether they are well, and when any of this last changed.
//!
//! Immutable, shared by all snapshots that show the same. What does not change keeps its `Arc`.
//! Not here: how views are brought up to date (`services`), which of them an output leaves out (outputs).

use std::sync::Arc;

use imbl::OrdMap;

use crate::{
    check::{Status, view::CheckView},
    external::{NodeData, node_data},
    id::{Origin, Revision},
    instance::{Id, Instance},
    name::Name,
    record::{Key, Record, meta},
};

/// One service of the whole fleet. Names that differ only in the case of ASCII letters are one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Its name, as its first instance spells it.
    pub name: Id,
    /// Its instances, at least one: by the name of their node, then by their id.
    pub instances: OrdMap<Place, Arc<InstanceView>>,
    /// The revision at which anything in here last changed.
    pub index: Revision,
}

/// Where an instance stands among those of its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The name of its node.
    pub node: Name,
    /// Its id.
    pub id: Id,
    /// Its node, for names may clash.
    pub origin: Origin,
}

/// One instance with what is known of its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// Its node.
    pub node: Arc<InstanceNode>,
    /// What its node tells of it.
    pub instance: Arc<Instance>,
    /// Its own checks, sorted by id.
    pub checks: Arc<[Arc<CheckView>]>,
    /// The worst of its checks and those of its node; critical when its node is failed and not held.
    pub status: Status,
    /// Labels made it, so that nobody can deregister it.
    pub from_label: bool,
}

/// What instances show of their node, shared by all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceNode {
    /// Which node.
    pub origin: Origin,
    /// Its name.
    pub name: Name,
    /// No exchange holds it alive any more, and it is not held: only what shows the dead too shows its instances.
    pub failed: bool,
    /// Its addresses, a comma list, best first.
    pub addresses: Option<Arc<str>>,
    /// All of it takes nothing new, but is not down.
    pub drain: bool,
    /// Its data centre.
    pub datacenter: Option<Arc<str>>,
    /// The version of its lobbyd.
    pub version: Option<Arc<str>>,
    /// Of a node without an agent, what was registered of it.
    pub external: Option<Arc<NodeData>>,
    /// The checks of all of the node, sorted by id.
    pub checks: Arc<[Arc<CheckView>]>,
}

impl InstanceNode {
    /// What a record shows of its node. Of the checks the record is not asked.
    pub(super) fn new(record: &Record, failed: bool, checks: Arc<[Arc<CheckView>]>) -> Self {
        let text = |name: &str| {
            let value = record.entries.get(&Key::meta(name))?.value.as_ref()?;
            std::str::from_utf8(value).ok()
        };
        Self {
            origin: record.origin.clone(),
            name: record.name.clone(),
            failed,
            addresses: text(meta::ADDRESSES).map(Into::into),
            drain: text(meta::DRAIN) == Some("true"),
            datacenter: text(meta::DATACENTER).map(Into::into),
            version: text(meta::VERSION).map(Into::into),
            external: record.is_external().then(|| Arc::new(node_data(record))),
            checks,
        }
    }
}

impl InstanceView {
    /// Whether it, or all of its node, takes nothing new.
    pub fn is_draining(&self) -> bool {
        self.instance.drain || self.node.drain
    }

    /// Where it stands among the instances of its service.
    pub fn place(&self) -> Place {
        Place { node: self.node.name.clone(), id: self.instance.id.clone(), origin: self.node.origin.clone() }
    }
}

/// The name in the form by which services are found: ASCII letters in lower case, as DNS compares names.
pub(super) fn key(name: &Id) -> Id {
    if !name.as_str().bytes().any(|byte| byte.is_ascii_uppercase()) {
        return name.clone();
    }
    name.as_str().to_ascii_lowercase().parse().expect("an id in lower case has as many bytes and no other controls")
}
