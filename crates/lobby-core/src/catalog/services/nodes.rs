//! Each node with all that it offers, and since when each part of it is as it is: what Consul's views answer from.
//!
//! ```text
//! services: show, hide ─► what moved, by node ─► publish: new NodeOffers, stamped with the revision that shows them
//! ```
//! A stamp rises with what is seen: what came and went between two snapshots is no change. A snapshot costs what moved, not
//! how many nodes there are; a node that offers nothing costs one small value.
//! Not here: which nodes show (`show`), the views by service (`services`).

use std::{collections::BTreeMap, sync::Arc};

use imbl::{OrdMap, OrdSet};

use super::{
    vanished::{Memory, Vanished},
    view::{InstanceNode, InstanceView},
};
use crate::{
    check::view::CheckView,
    id::{NodeId, Origin, Revision},
    instance::Id,
    name::Name,
};

/// A node and all that it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOffers {
    /// The node.
    pub node: Arc<InstanceNode>,
    /// Its instances. Their `modified` is that of what is registered: neither checks nor anything of the node raises it.
    pub instances: OrdMap<Id, Stamped<InstanceView>>,
    /// All of its checks: those of the node, those of its instances, and those of instances that are not there.
    pub checks: OrdMap<Id, Stamped<CheckView>>,
    /// The revision that first showed the node.
    pub created: Revision,
    /// The revision at which the node itself last changed: its name, its addresses, whether it failed or drains, its data
    /// centre or version. Not what it offers, nor its checks.
    pub modified: Revision,
    /// The revision at which anything in here last changed, or a node of the same name went.
    pub index: Revision,
}

/// A value and since when it is there and is like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped<T> {
    /// The value.
    pub value: Arc<T>,
    /// The revision that first showed it.
    pub created: Revision,
    /// The revision at which it last changed.
    pub modified: Revision,
}

/// When the lists of the whole catalog last changed. None of them ever falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// A node came or went, or changed in what [`NodeOffers::modified`] tells.
    pub nodes: Revision,
    /// An instance came or went, or its service or tags are others.
    pub services: Revision,
    /// A check changed, or what checks show: their node's name, the service and tags of their instance. Also whether a node
    /// is failed, which Consul's views show as a check.
    pub checks: Revision,
}

/// What moved on one node since the last snapshot.
#[derive(Debug, Default)]
struct Pending {
    /// It went in between: what does not come again is gone.
    anew: bool,
    /// `None`: it does not show.
    node: Option<Arc<InstanceNode>>,
    instances: Moved<InstanceView>,
    checks: Moved<CheckView>,
}

/// Values as they are now, or that they are not there any more.
type Moved<T> = BTreeMap<Id, Option<Arc<T>>>;

/// How one value was and is.
pub(super) type Change<T> = (Option<Arc<T>>, Option<Arc<T>>);

/// All nodes that show.
#[derive(Debug)]
pub(in crate::catalog) struct Nodes {
    pending: BTreeMap<Origin, Pending>,
    /// As the last snapshot has them.
    offers: OrdMap<Origin, Arc<NodeOffers>>,
    names: Names,
    vanished: Memory<Name>,
    tables: Tables,
}

/// Nodes by their names in lower case.
#[derive(Clone, Debug, Default)]
pub(in crate::catalog) struct Names(OrdSet<(Name, Origin)>);

impl Nodes {
    /// No nodes, and none that vanished before this revision.
    pub(super) fn new(revision: Revision) -> Self {
        Self {
            pending: BTreeMap::new(),
            offers: OrdMap::new(),
            names: Names::default(),
            vanished: Memory::new(revision),
            tables: Tables { nodes: revision, services: revision, checks: revision },
        }
    }

    /// The node shows, and this of it moved.
    pub(super) fn show(&mut self, node: &Arc<InstanceNode>, instances: Moved<InstanceView>, checks: Moved<CheckView>) {
        let pending = self.pending.entry(node.origin.clone()).or_default();
        pending.node = Some(node.clone());
        pending.instances.extend(instances);
        pending.checks.extend(checks);
    }

    /// The node does not show.
    pub(super) fn hide(&mut self, origin: &Origin) {
        self.pending.insert(origin.clone(), Pending { anew: true, ..Pending::default() });
    }

    /// Makes what the next snapshot shows, which has this revision if any is another; whether one is.
    pub(super) fn publish(&mut self, revision: Revision) -> bool {
        let mut changed = false;
        for (origin, mut pending) in std::mem::take(&mut self.pending) {
            changed |= match pending.node.take() {
                Some(node) => self.put(origin, node, pending, revision),
                None => self.remove(&origin, revision),
            };
        }
        changed
    }

    pub(in crate::catalog) fn offers(&self) -> &OrdMap<Origin, Arc<NodeOffers>> {
        &self.offers
    }

    pub(in crate::catalog) fn names(&self) -> &Names {
        &self.names
    }

    pub(in crate::catalog) fn vanished(&self) -> &Vanished<Name> {
        self.vanished.vanished()
    }

    pub(in crate::catalog) fn tables(&self) -> Tables {
        self.tables
    }

    fn put(&mut self, origin: Origin, node: Arc<InstanceNode>, mut pending: Pending, revision: Revision) -> bool {
        let old = self.offers.get(&origin).cloned();
        let mut new = old.as_deref().cloned().unwrap_or_else(|| NodeOffers {
            node: node.clone(),
            instances: OrdMap::new(),
            checks: OrdMap::new(),
            created: revision,
            modified: revision,
            index: revision,
        });
        if pending.anew {
            new.instances.keys().for_each(|id| _ = pending.instances.entry(id.clone()).or_default());
            new.checks.keys().for_each(|id| _ = pending.checks.entry(id.clone()).or_default());
        }
        let registered = |view: &InstanceView| (view.instance.clone(), view.from_label);
        let instances = stamp(&mut new.instances, pending.instances, revision, |a, b| registered(a) == registered(b));
        let checks = stamp(&mut new.checks, pending.checks, revision, |_, _| false);
        let before = old.as_deref().map(|old| &*old.node);
        if instances.is_empty() && checks.is_empty() && before == Some(&*node) {
            return false;
        }
        self.note_instances(&instances, revision);
        if !checks.is_empty() || before.is_none_or(|old| (&old.name, old.failed) != (&node.name, node.failed)) {
            self.tables.checks = revision;
        }
        if before.is_none_or(|old| !old.shows_itself_like(&node)) {
            self.tables.nodes = revision;
            new.modified = revision;
            self.rename(&origin, before.map(|old| &old.name), Some(&node.name), revision);
        }
        if before != Some(&*node) {
            new.node = node;
        }
        new.index = revision;
        self.offers.insert(origin, Arc::new(new));
        true
    }

    fn remove(&mut self, origin: &Origin, revision: Revision) -> bool {
        let Some(old) = self.offers.remove(origin) else { return false };
        self.tables.nodes = revision;
        self.tables.checks = revision;
        if !old.instances.is_empty() {
            self.tables.services = revision;
        }
        self.rename(origin, Some(&old.node.name), None, revision);
        true
    }

    /// Draws the consequences for the tables.
    fn note_instances(&mut self, changes: &[Change<InstanceView>], revision: Revision) {
        let listed = |view: &Arc<InstanceView>| (view.instance.service.clone(), view.instance.tags.clone());
        for (old, new) in changes.iter().filter(|(old, new)| old.as_ref().map(listed) != new.as_ref().map(listed)) {
            self.tables.services = revision;
            if [old, new].into_iter().flatten().any(|view| !view.checks.is_empty()) {
                self.tables.checks = revision;
            }
        }
    }

    /// Files a node under another name. Whoever still has the old one shows that somebody went.
    fn rename(&mut self, origin: &Origin, old: Option<&Name>, new: Option<&Name>, revision: Revision) {
        let (old, new) = (old.map(lower), new.map(lower));
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.names.0.remove(&(old.clone(), origin.clone()));
            let namesakes: Vec<_> = self.names.of(old.clone()).cloned().collect();
            for namesake in &namesakes {
                if let Some(offers) = self.offers.get_mut(namesake) {
                    Arc::make_mut(offers).index = revision;
                }
            }
            if namesakes.is_empty() {
                self.vanished.remember(old, revision);
            }
        }
        if let Some(new) = new {
            self.vanished.recall(&new);
            self.names.0.insert((new, origin.clone()));
        }
    }
}

impl Names {
    /// The nodes of this name, which is in lower case.
    pub(in crate::catalog) fn of(&self, wanted: Name) -> impl Iterator<Item = &Origin> {
        let first = (wanted.clone(), Origin::Node(NodeId::from_bytes([0; 16])));
        self.0.range(first..).take_while(move |(name, _)| *name == wanted).map(|(_, origin)| origin)
    }
}

impl InstanceNode {
    /// Whether it differs in its checks at most.
    fn shows_itself_like(&self, other: &Self) -> bool {
        let Self { origin, name, failed, addresses, drain, datacenter, version, external, checks: _ } = self;
        (origin, name, failed, drain) == (&other.origin, &other.name, &other.failed, &other.drain)
            && (addresses, datacenter, version) == (&other.addresses, &other.datacenter, &other.version)
            && *external == other.external
    }
}

/// Brings stamped values up to date and tells which are others. What is still the `same` keeps its stamps.
fn stamp<T: Clone + Eq>(
    stamped: &mut OrdMap<Id, Stamped<T>>,
    moved: Moved<T>,
    revision: Revision,
    same: impl Fn(&T, &T) -> bool,
) -> Vec<Change<T>> {
    let mut changes = Vec::new();
    for (id, new) in moved {
        let old = stamped.get(&id).cloned();
        if old.as_ref().map(|old| &old.value) == new.as_ref() {
            continue;
        }
        match &new {
            Some(value) => {
                let created = old.as_ref().map_or(revision, |old| old.created);
                let kept = old.as_ref().filter(|old| same(&old.value, value));
                let modified = kept.map_or(revision, |old| old.modified);
                stamped.insert(id, Stamped { value: value.clone(), created, modified });
            }
            None => _ = stamped.remove(&id),
        }
        changes.push((old.map(|old| old.value), new));
    }
    changes
}

/// The name in the form by which nodes are found: ASCII letters in lower case, as DNS compares names.
pub(in crate::catalog) fn lower(name: &Name) -> Name {
    if !name.as_str().bytes().any(|byte| byte.is_ascii_uppercase()) {
        return name.clone();
    }
    name.as_str().to_ascii_lowercase().parse().expect("a name in lower case has as many bytes and the same characters else")
}
