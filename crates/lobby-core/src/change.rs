//! What happened to members and their services: the difference of two snapshots, told as events in order.
//!
//! ```text
//! snapshots ─► Watch: last told ─ difference ─► newest ─► batches, one for each kind (and service)
//! ```
//! Level-triggered: whoever takes batches slowly misses what came and went meanwhile, never how things are now. One
//! member's events always come in an order that can happen: join, then update, then leave or failed.
//! A member is a node that lists show: suspicion, a restart and AGENT_GRACE are no events; a node from disk is not one
//! yet, nor is a bare record that hides behind a node with an id. A node without an agent is no member either, but its
//! services are told. Whoever goes is told before whoever comes, so that two
//! nodes of one name can take turns.
//! Not here: who acts on it (handlers and embedders in `lobby`).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use imbl::ordmap::DiffItem;

use crate::{
    catalog::{Node, NodeState, Snapshot},
    id::{ExchangeId, NodeId, Origin},
    instance::Instance,
    record::{Record, meta},
    service::{self, Service},
};

crate::named! {
    /// A kind of event, in the order in which those of one difference are told.
    #[derive(PartialOrd, Ord)]
    pub Kind {
        /// It said goodbye.
        MemberLeave = "member-leave",
        /// It is failed.
        MemberFailed = "member-failed",
        /// It had failed and is forgotten, or was made to leave.
        MemberReap = "member-reap",
        /// Its agent is a new process.
        MemberRestarted = "member-restarted",
        /// Its name, labels or addresses are others.
        MemberUpdate = "member-update",
        /// It is there, or there again.
        MemberJoin = "member-join",
        /// It offers a service no more, or is no member any more.
        ServiceDown = "service-down",
        /// The labels or the registered instances of one of its services are others.
        ServiceUpdate = "service-update",
        /// It offers a service.
        ServiceUp = "service-up",
    }
}

/// Events of one kind.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What happened.
    pub kind: Kind,
    /// To which service, for the kinds that are about one.
    pub service: Option<Arc<str>>,
    /// To whom, at least one, sorted by origin.
    pub changes: Vec<Change>,
}

/// What happened to one member.
#[derive(Clone, Debug)]
pub struct Change {
    /// How it is now; for those that are gone, how it was last.
    pub node: Arc<Node>,
    /// How it was before, if it was a member.
    pub before: Option<Arc<Node>>,
}

/// Follows snapshots. Memory: the last snapshot told, and what of it waits to be taken.
#[derive(Debug)]
pub struct Watch {
    wanted: Vec<Kind>,
    told: Option<Arc<Snapshot>>,
    newest: Option<Arc<Snapshot>>,
    waiting: VecDeque<Batch>,
    /// Members that failed and are still known.
    failed: BTreeSet<Origin>,
}

impl Watch {
    /// A watch for these kinds that has told nothing yet: everybody joins first.
    pub fn new(wanted: impl IntoIterator<Item = Kind>) -> Self {
        let (told, newest, waiting, failed) = (None, None, VecDeque::new(), BTreeSet::new());
        Self { wanted: wanted.into_iter().collect(), told, newest, waiting, failed }
    }

    /// Takes note of a snapshot.
    pub fn look(&mut self, snapshot: &Arc<Snapshot>) {
        self.newest = Some(snapshot.clone());
    }

    /// The next events. What of an earlier difference still waits comes first.
    pub fn take(&mut self) -> Option<Batch> {
        if self.waiting.is_empty() {
            self.compare();
        }
        self.waiting.pop_front()
    }

    fn compare(&mut self) {
        let Some(newest) = self.newest.take() else { return };
        let told = self.told.replace(newest.clone());
        let mut found = Found::default();
        for origin in changed(told.as_deref(), &newest) {
            let old = told.as_ref().and_then(|told| told.nodes.get(&origin));
            let before = told.as_ref().and_then(|told| member(told, &origin));
            let now = member(&newest, &origin);
            found.services(before, now);
            if [before, now, old].into_iter().flatten().any(|node| node.external) {
                continue;
            }
            match (before, now) {
                (None, Some(now)) => {
                    self.failed.remove(&origin);
                    found.add(Kind::MemberJoin, None, now, None);
                }
                (Some(before), Some(now)) => found.comparison(before, now),
                (Some(before), None) if newest.nodes.get(&origin).is_some_and(|node| node.state == NodeState::Failed) => {
                    self.failed.insert(origin);
                    found.add(Kind::MemberFailed, None, before, Some(before));
                }
                (Some(before), None) => found.add(Kind::MemberLeave, None, before, Some(before)),
                (None, None) => {
                    if let Some(old) = old
                        && !newest.nodes.contains_key(&origin)
                        && self.failed.remove(&origin)
                    {
                        found.add(Kind::MemberReap, None, old, None);
                    }
                }
            }
        }
        let wanted = |((kind, service), changes): ((Kind, Option<Arc<str>>), Vec<Change>)| {
            self.wanted.contains(&kind).then_some(Batch { kind, service, changes })
        };
        self.waiting = found.batches.into_iter().filter_map(wanted).collect();
    }
}

/// The nodes whose state differs, each with what it is now: a state's name, `left` or `forgotten`. For logs.
pub fn states(before: &Snapshot, now: &Snapshot) -> Vec<(Arc<Node>, &'static str)> {
    let told = |difference: DiffItem<'_, '_, Origin, Arc<Node>>| match difference {
        DiffItem::Update { old: (_, old), new: (_, node) } if old.state == node.state => None,
        // A record that came before its node was heard of.
        DiffItem::Add(_, node) if node.state == NodeState::Failed => None,
        DiffItem::Add(_, node) | DiffItem::Update { new: (_, node), .. } => Some((node.clone(), node.state.as_str())),
        DiffItem::Remove(_, node) if node.state == NodeState::Failed => Some((node.clone(), "forgotten")),
        DiffItem::Remove(_, node) => Some((node.clone(), "left")),
    };
    before.nodes.diff(&now.nodes).filter_map(told).collect()
}

/// The events of one difference.
#[derive(Default)]
struct Found {
    batches: BTreeMap<(Kind, Option<Arc<str>>), Vec<Change>>,
}

impl Found {
    fn add(&mut self, kind: Kind, service: Option<&str>, node: &Arc<Node>, before: Option<&Arc<Node>>) {
        let change = Change { node: node.clone(), before: before.cloned() };
        self.batches.entry((kind, service.map(Into::into))).or_default().push(change);
    }

    /// A member that was one and is one.
    fn comparison(&mut self, before: &Arc<Node>, now: &Arc<Node>) {
        if before.record.stamp.generation != now.record.stamp.generation {
            self.add(Kind::MemberRestarted, None, now, Some(before));
        }
        if !shows_the_same(&before.record, &now.record) {
            self.add(Kind::MemberUpdate, None, now, Some(before));
        }
    }

    fn services(&mut self, before: Option<&Arc<Node>>, now: Option<&Arc<Node>>) {
        if let (Some(before), Some(now)) = (before, now)
            && Arc::ptr_eq(&before.record, &now.record)
        {
            return;
        }
        let services = |node: Option<&Arc<Node>>| node.map(|node| node.record.clone());
        let (old, new) = (services(before), services(now));
        let old = old.as_deref().map(offers).unwrap_or_default();
        let new = new.as_deref().map(offers).unwrap_or_default();
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            // How it is now, if it is still a member: without the service.
            now.or(before).into_iter().for_each(|node| self.add(Kind::ServiceDown, Some(name), node, before));
        }
        for (name, service) in &new {
            let kind = match old.get(name) {
                None => Kind::ServiceUp,
                Some(before) if before != service => Kind::ServiceUpdate,
                Some(_) => continue,
            };
            now.into_iter().for_each(|node| self.add(kind, Some(name), node, before));
        }
    }
}

/// What a node offers by name: the labels that tell of it, and the instances that are registered.
fn offers(record: &Record) -> BTreeMap<String, (Service<'_>, Vec<Instance>)> {
    let labelled = service::services(record).into_iter().map(|(name, service)| (name.to_owned(), (service, Vec::new())));
    let mut offers: BTreeMap<_, _> = labelled.collect();
    for instance in record.instances() {
        offers.entry(instance.service.to_string()).or_default().1.push(instance);
    }
    offers
}

/// The node, if it is a member.
fn member<'a>(snapshot: &'a Snapshot, origin: &Origin) -> Option<&'a Arc<Node>> {
    let node = snapshot.nodes.get(origin).filter(|node| node.state.is_listed() && node.state != NodeState::Stale)?;
    let shown = |name: &crate::name::Name| {
        let host = snapshot.hosts.get(name)?;
        host.nodes.iter().any(|shown| shown.record.origin == *origin).then_some(())
    };
    match origin {
        Origin::Node(_) if node.external => shown(&node.record.name).map(|()| node),
        Origin::Node(_) => Some(node),
        Origin::Bare(_, name) => shown(name).map(|()| node),
    }
}

/// Everybody who may be another member than before, sorted.
fn changed(told: Option<&Snapshot>, newest: &Snapshot) -> BTreeSet<Origin> {
    let Some(told) = told else { return newest.nodes.keys().cloned().collect() };
    let key = |item: DiffItem<'_, '_, Origin, Arc<Node>>| match item {
        DiffItem::Add(origin, _) | DiffItem::Remove(origin, _) | DiffItem::Update { new: (origin, _), .. } => origin.clone(),
    };
    let mut changed: BTreeSet<_> = told.nodes.diff(&newest.nodes).map(key).collect();
    for item in told.hosts.diff(&newest.hosts) {
        let (DiffItem::Add(name, _) | DiffItem::Remove(name, _) | DiffItem::Update { new: (name, _), .. }) = item;
        // A bare record, or a node without an agent, may have gone into hiding or come out of it.
        changed.insert(Origin::Node(NodeId::external(name)));
        let ids = (0..newest.links.len()).filter_map(|idx| u8::try_from(idx).ok());
        changed.extend(ids.map(|id| Origin::Bare(ExchangeId(id), name.clone())));
    }
    changed
}

/// Whether two records of one node differ in nothing that members are told by.
fn shows_the_same(a: &Arc<Record>, b: &Arc<Record>) -> bool {
    let addresses = |record: &Record| record.meta(meta::ADDRESSES).map(str::to_owned);
    Arc::ptr_eq(a, b) || (a.name == b.name && a.labels().eq(b.labels()) && addresses(a) == addresses(b))
}
