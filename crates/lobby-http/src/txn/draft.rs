//! A transaction on copies of the nodes that it is about: each operation sees what those before it did.
//!
//! ```text
//! snapshot ─► draft of a node: its record, the changes so far, what they touched ─► writes that count while the node is as seen
//! ```
//! What the transaction has touched has no index until it is carried out, so that no `cas` is fine with it.
//! Not here: the reading of operations (`op`), carrying them out (the crate `lobby`).

use std::collections::{BTreeMap, BTreeSet};

use lobby_core::{
    catalog::{NodeOffers, Snapshot},
    external::{self, Change, node_data, tags::has_node},
    id::{NodeId, Origin},
    instance::Id,
    name::Name,
    port::external::Write,
    record::{Record, Stamp},
};

use super::op::{Op, Thing, Verb};
use crate::{error::ApiError, external::may_write_check, writer::Writer};

/// Why an operation is not carried out.
pub(super) enum Refused {
    /// It cannot be: the transaction is rolled back, and says this.
    What(String),
    /// Its sender may not.
    Caller(ApiError),
}

/// All nodes of a transaction.
pub(super) struct Drafts<'a> {
    snapshot: &'a Snapshot,
    writer: &'a Writer,
    nodes: BTreeMap<NodeId, Draft>,
}

/// A node as the operations so far leave it.
struct Draft {
    name: Name,
    /// The version that the snapshot has.
    seen: Option<Stamp>,
    /// As it is now; `None`: it is not there.
    record: Option<Record>,
    changes: Vec<Change>,
    touched: BTreeSet<Thing>,
}

impl From<ApiError> for Refused {
    fn from(err: ApiError) -> Self {
        Self::Caller(err)
    }
}

impl<'a> Drafts<'a> {
    pub(super) const fn new(snapshot: &'a Snapshot, writer: &'a Writer) -> Self {
        Self { snapshot, writer, nodes: BTreeMap::new() }
    }

    /// Carries out one operation.
    pub(super) fn apply(&mut self, op: &Op) -> Result<(), Refused> {
        if has_agent(self.snapshot, &op.node) {
            let name = &op.node;
            return Err(Refused::What(format!("node {name} has an agent: transactions are of nodes without one")));
        }
        let (snapshot, id) = (self.snapshot, NodeId::external(&op.node));
        let draft = self.nodes.entry(id).or_insert_with(|| Draft::new(snapshot, &op.node, id));
        draft.may(self.writer, op)?;
        let exists = draft.has(&op.thing);
        let index = if exists { draft.index(snapshot.offers.get(&Origin::Node(id)), &op.thing) } else { None };
        match op.verb {
            Verb::Get if !exists => return Err(missing(op)),
            Verb::Cas if op.index == 0 && exists => return Err(stale(op, "it is there already")),
            Verb::Cas if op.index != 0 && index != Some(op.index) => return Err(stale(op, "index is stale")),
            Verb::DeleteCas if index != Some(op.index) => return Err(stale(op, "index is stale")),
            Verb::Get => return Ok(()),
            Verb::Delete | Verb::DeleteCas if !exists => return Ok(()),
            Verb::Set | Verb::Cas | Verb::Delete | Verb::DeleteCas => {}
        }
        draft.needs(op)?;
        let change = op.new.clone().unwrap_or_else(|| match &op.thing {
            Thing::Node => Change::Remove,
            Thing::Service(id) => Change::RemoveInstance(id.clone()),
            Thing::Check(id) => Change::RemoveCheck(id.clone()),
        });
        draft.change(change, op)
    }

    /// Whether the transaction has not touched what this operation is about.
    pub(super) fn is_as_before(&self, op: &Op) -> bool {
        self.nodes.get(&NodeId::external(&op.node)).is_none_or(|draft| !draft.touched.contains(&op.thing))
    }

    /// What is to be written, each node only as it was seen; `None` when nothing is.
    pub(super) fn writes(self) -> Option<Vec<Write>> {
        let changes = self.nodes.values().any(|draft| !draft.changes.is_empty());
        // Those that were only read count too: the transaction rests on them.
        let write = |draft: Draft| Write { name: draft.name, changes: draft.changes, seen: Some(draft.seen) };
        changes.then(|| self.nodes.into_values().map(write).collect())
    }
}

impl Draft {
    fn new(snapshot: &Snapshot, name: &Name, id: NodeId) -> Self {
        let known = snapshot.externals.get(&id);
        let record = known.filter(|record| has_node(record)).map(|record| Record::clone(record));
        Self { name: name.clone(), seen: known.map(|record| record.stamp), record, changes: Vec::new(), touched: BTreeSet::new() }
    }

    fn has(&self, thing: &Thing) -> bool {
        self.record.as_ref().is_some_and(|record| match thing {
            Thing::Node => true,
            Thing::Service(id) => record.instance(id).is_some(),
            Thing::Check(id) => record.check(id).is_some(),
        })
    }

    /// The index that lists show of it.
    fn index(&self, offers: Option<&std::sync::Arc<NodeOffers>>, thing: &Thing) -> Option<u64> {
        let offers = offers.filter(|_| !self.touched.contains(thing))?;
        Some(match thing {
            Thing::Node => offers.modified.0,
            Thing::Service(id) => offers.instances.get(id)?.modified.0,
            Thing::Check(id) => offers.checks.get(id)?.modified.0,
        })
    }

    /// Refuses who may not do this, as the routes for single writes do.
    fn may(&self, writer: &Writer, op: &Op) -> Result<(), ApiError> {
        if op.verb == Verb::Get {
            return writer.may_read();
        }
        let old = self.record.as_ref();
        let may_judge = |instance: Option<&Id>| match old {
            Some(old) => may_write_check(old, writer, instance),
            None => writer.may_write_node(),
        };
        match (&op.thing, &op.new) {
            // What is the same needs no right.
            (Thing::Node, Some(Change::Node(data))) if old.map(node_data).as_ref() == Some(data) => Ok(()),
            (Thing::Node, _) => writer.may_write_node(),
            (Thing::Service(id), new) => {
                if let Some(Change::Instance(instance)) = new {
                    writer.may_write(instance.service.as_str())?;
                }
                let instance = old.and_then(|old| old.instance(id));
                instance.map_or(Ok(()), |instance| writer.may_write(instance.service.as_str()))
            }
            (Thing::Check(id), new) => {
                if let Some(Change::Check(check)) = new {
                    may_judge(check.instance.as_ref())?;
                }
                let check = old.and_then(|old| old.check(id));
                check.map_or(Ok(()), |check| may_judge(check.instance.as_ref()))
            }
        }
    }

    /// Refuses what has nothing to stand on: a service without its node, a check without its service.
    fn needs(&self, op: &Op) -> Result<(), Refused> {
        let instance = match &op.new {
            Some(Change::Check(check)) => check.instance.as_ref(),
            _ => None,
        };
        if op.thing != Thing::Node && self.record.is_none() {
            return Err(Refused::What(format!("{}: node {} is not registered", op.thing, self.name)));
        }
        match instance {
            Some(id) if !self.has(&Thing::Service(id.clone())) => {
                Err(Refused::What(format!("{}: service {:?} of node {} is not registered", op.thing, id.as_str(), self.name)))
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Change, op: &Op) -> Result<(), Refused> {
        // Who writes and when does not matter: this version is seen by nobody.
        let next =
            external::next(self.record.as_ref(), &self.name, NodeId::external(&self.name), 0, std::slice::from_ref(&change));
        let next = next.map_err(|err| Refused::What(format!("{} of node {}: {err}", op.thing, self.name)))?;
        if let Some(record) = next {
            self.record = Some(record).filter(|record| !record.has_left());
            self.changes.push(change);
            self.touched.insert(op.thing.clone());
        }
        Ok(())
    }
}

fn missing(op: &Op) -> Refused {
    Refused::What(match op.thing {
        Thing::Node => format!("node {} does not exist", op.node),
        _ => format!("{} of node {} does not exist", op.thing, op.node),
    })
}

fn stale(op: &Op, why: &str) -> Refused {
    Refused::What(match op.thing {
        Thing::Node => format!("node {}: {why}", op.node),
        _ => format!("{} of node {}: {why}", op.thing, op.node),
    })
}

/// Whether an agent runs on the node of this name.
fn has_agent(snapshot: &Snapshot, name: &Name) -> bool {
    let is_agent = |offers: &std::sync::Arc<NodeOffers>| {
        let node = &offers.node;
        node.external.is_none() && node.origin.node_id().is_some() && !node.failed
    };
    snapshot.local.record.name.as_str().eq_ignore_ascii_case(name.as_str())
        || snapshot.offers_by_name(name.as_str()).any(is_agent)
}
