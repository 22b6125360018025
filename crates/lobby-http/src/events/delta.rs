//! The difference of two snapshots under a filter, and the whole of one, as the text of server-sent events.
//!
//! A filter is a window: what comes into it is there, what goes out of it is gone, whatever the reason. Nodes that failed
//! show no more, nor do their instances; those of a held node do.
//! All events of one difference but the last carry an id with [`PART`] at its end: a client that is cut off in between knows a
//! state that there never was, and gets the whole picture when it comes back. After `reset` it has no id, to the same end.
//! Not here: which difference, and for whom (`hub`).

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use imbl::ordmap::DiffItem;
use lobby_core::{
    catalog::{Node, NodeOffers, Snapshot},
    id::Origin,
    instance::Id,
};
use serde::Serialize;
use serde_json::json;

use super::{
    filter::{Filter, Kind},
    shape::{InstanceBody, MemberBody},
};

/// Ends the ids in the midst of a difference.
pub(super) const PART: &str = "+";

/// Why somebody gets the whole picture again.
pub(super) fn reset(why: &str) -> Bytes {
    let mut text = Vec::new();
    write(&mut text, "reset", "", &json!({ "why": why }));
    text.into()
}

/// Where a stream stands, as clients tell it when they come back.
pub(super) fn id(snapshot: &Snapshot) -> String {
    format!("{}:{}", agent(snapshot), snapshot.revision.0)
}

/// The first part of our ids.
pub(super) fn agent(snapshot: &Snapshot) -> String {
    snapshot.local.record.origin.node_id().map(|id| id.to_string()).unwrap_or_default()
}

#[derive(Serialize)]
struct Whole<'a> {
    agent: String,
    revision: u64,
    warm: bool,
    members: Option<Vec<MemberBody<'a>>>,
    services: Option<Vec<InstanceBody<'a>>>,
}

/// The event that shows everything the filter takes: nodes by name, instances by service, node and id.
pub(super) fn snapshot(filter: &Filter, snapshot: &Snapshot) -> Vec<u8> {
    let members = || {
        let mut sides: Vec<_> = snapshot.offers.keys().map(|origin| Side::new(snapshot, origin)).collect();
        sides.sort_by_key(|side| side.offers.map(|offers| &offers.node.name));
        sides.iter().filter_map(|side| side.member(filter)).collect()
    };
    let instances = || {
        let views = snapshot.services.values().flat_map(|service| service.instances.values());
        let taken = views.filter(|view| !view.node.failed && filter.takes_instance(snapshot, view));
        taken.map(|view| InstanceBody::new(snapshot, view)).collect()
    };
    let whole = Whole {
        agent: agent(snapshot),
        revision: snapshot.revision.0,
        warm: snapshot.warm,
        members: filter.members().then(members),
        services: filter.instances().then(instances),
    };
    let mut text = Vec::new();
    write(&mut text, "snapshot", &id(snapshot), &whole);
    text
}

/// Every node of which anything may differ.
pub(super) fn changed(old: &Snapshot, new: &Snapshot) -> BTreeSet<Origin> {
    let offers = old.offers.diff(&new.offers).map(|item| match item {
        DiffItem::Add(origin, _) | DiffItem::Remove(origin, _) | DiffItem::Update { new: (origin, _), .. } => origin.clone(),
    });
    // Labels are in the records alone, and offers tell nothing of a node that is held.
    let records = old.nodes.diff(&new.nodes).filter_map(|item| match item {
        DiffItem::Update { old: (_, old), new: (_, new) } if is_shown_like(old, new) => None,
        DiffItem::Add(origin, _) | DiffItem::Remove(origin, _) | DiffItem::Update { new: (origin, _), .. } => {
            Some(origin.clone())
        }
    });
    offers.chain(records).collect()
}

/// Whether what events tell of the node beside its offers is the same.
fn is_shown_like(old: &Node, new: &Node) -> bool {
    Arc::ptr_eq(&old.record, &new.record) && old.state.is_listed() == new.state.is_listed()
}

/// The events of a difference on these nodes; `None` when there are none.
pub(super) fn events(filter: &Filter, old: &Snapshot, new: &Snapshot, changed: &BTreeSet<Origin>) -> Option<Bytes> {
    let mut told = Told { filter, events: Vec::new() };
    for origin in changed {
        let (was, is) = (Side::new(old, origin), Side::new(new, origin));
        told.member(&was, &is);
        if filter.instances() {
            ids(&was, &is).iter().for_each(|id| told.instance(&was, &is, id));
        }
    }
    let mut events = told.events;
    events.sort_by_key(|(kind, _)| *kind);
    let warm = (!old.warm && new.warm).then(|| ("warm", br#"{"warm":true}"#.to_vec()));
    let events: Vec<_> = events.into_iter().map(|(kind, data)| (kind.as_str(), data)).chain(warm).collect();
    let whole = id(new);
    let (part, last, mut text) = (whole.clone() + PART, events.len().checked_sub(1)?, Vec::new());
    for (at, (name, data)) in events.iter().enumerate() {
        write_raw(&mut text, name, if at == last { &whole } else { &part }, data);
    }
    Some(text.into())
}

/// One node in one snapshot.
struct Side<'a> {
    snapshot: &'a Snapshot,
    /// `None` when it does not show.
    offers: Option<&'a NodeOffers>,
    node: Option<&'a Node>,
}

/// The events in the making.
struct Told<'a> {
    filter: &'a Filter,
    events: Vec<(Kind, Vec<u8>)>,
}

impl<'a> Side<'a> {
    fn new(snapshot: &'a Snapshot, origin: &Origin) -> Self {
        let offers = snapshot.offers.get(origin).map(|offers| &**offers);
        Self { snapshot, offers, node: snapshot.nodes.get(origin).map(|node| &**node) }
    }

    fn is_failed(&self) -> bool {
        self.offers.is_some() && self.node.is_some_and(|node| !node.state.is_listed())
    }

    fn member(&self, filter: &Filter) -> Option<MemberBody<'a>> {
        let (offers, node) = (self.offers?, self.node?);
        let is_member = !self.is_failed() && offers.node.external.is_none();
        (is_member && filter.takes_node(self.snapshot, node)).then(|| MemberBody::new(node, offers))
    }

    fn instance(&self, filter: &Filter, id: &Id) -> Option<InstanceBody<'a>> {
        let view = &*self.offers?.instances.get(id)?.value;
        let shows = !view.node.failed && filter.takes_instance(self.snapshot, view);
        shows.then(|| InstanceBody::new(self.snapshot, view))
    }

    /// Why something of this node shows no more; `here` when the node itself is as well as it was.
    fn why_gone(&self, here: &'static str) -> &'static str {
        match self.offers {
            None => "left",
            Some(offers) if offers.node.failed => "failed",
            Some(_) => here,
        }
    }
}

/// The instances of a node of which anything may differ.
fn ids(was: &Side<'_>, is: &Side<'_>) -> BTreeSet<Id> {
    let labels = |side: &Side<'_>| side.node.map(|node| node.record.clone());
    let (old, new) = (labels(was), labels(is));
    let same = match (&old, &new) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old.labels().eq(new.labels()),
        _ => false,
    };
    match (was.offers, is.offers) {
        (Some(was), Some(is)) if same && was.node == is.node => {
            let differences = was.instances.diff(&is.instances);
            let id = |item: DiffItem<'_, '_, Id, _>| match item {
                DiffItem::Add(id, _) | DiffItem::Remove(id, _) | DiffItem::Update { new: (id, _), .. } => id.clone(),
            };
            differences.map(id).collect()
        }
        // What the node carries is in question for all of them.
        (was, is) => was.into_iter().chain(is).flat_map(|offers| offers.instances.keys()).cloned().collect(),
    }
}

impl Told<'_> {
    fn add(&mut self, kind: Kind, data: &impl Serialize) {
        if self.filter.wants(kind) {
            self.events.push((kind, json_line(data)));
        }
    }

    fn member(&mut self, was: &Side<'_>, is: &Side<'_>) {
        if !self.filter.members() {
            return;
        }
        match (was.member(self.filter), is.member(self.filter)) {
            (None, Some(now)) => self.add(Kind::MemberJoin, &now),
            (Some(before), Some(now)) if before != now => self.add(Kind::MemberUpdate, &now),
            (Some(before), None) if is.is_failed() => self.add(Kind::MemberFailed, &before.gone("failed")),
            (Some(before), None) => self.add(Kind::MemberLeave, &before.gone(is.why_gone("filter"))),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn instance(&mut self, was: &Side<'_>, is: &Side<'_>, id: &Id) {
        let still = is.offers.is_some_and(|offers| offers.instances.contains_key(id));
        let why = || is.why_gone(if still { "filter" } else { "deregistered" });
        match (was.instance(self.filter, id), is.instance(self.filter, id)) {
            (None, Some(now)) => self.add(Kind::ServiceUp, &now),
            (Some(before), None) => self.add(Kind::ServiceDown, &before.gone(why())),
            (Some(before), Some(now)) if !before.is_of_service_of(&now) => {
                self.add(Kind::ServiceDown, &before.gone("deregistered"));
                self.add(Kind::ServiceUp, &now);
            }
            (Some(before), Some(now)) if !before.is_known_like(&now) => self.add(Kind::ServiceUpdate, &now),
            (Some(before), Some(now)) if before != now => self.add(Kind::ServiceStatus, &now),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// JSON in one line: line ends inside of texts are escaped.
fn json_line(data: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(data).expect("maps with text keys, lists, texts and numbers always serialise")
}

fn write(text: &mut Vec<u8>, name: &str, id: &str, data: &impl Serialize) {
    write_raw(text, name, id, &json_line(data));
}

fn write_raw(text: &mut Vec<u8>, name: &str, id: &str, data: &[u8]) {
    for part in [b"event: ", name.as_bytes(), b"\nid: ", id.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        text.extend_from_slice(part);
    }
}
