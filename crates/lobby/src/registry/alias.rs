//! Checks that say what other checks say: of an instance and its node, or of a node alone.
//!
//! ```text
//! touched owners ─► followers ─► worst status of what they follow ─► result of the alias, which touches its own owner
//! ```
//! What is registered here is known at once, all else comes from snapshots. Nothing counts as missing before the first
//! complete picture. An alias follows neither itself nor another alias of a whole node; where aliases follow each other in a
//! circle, each says what all other checks along it say. So none hold each other down, but for circles over several nodes.
//! Not here: what a status means (`lobby_core::check`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lobby_core::{
    catalog::{Node, Snapshot},
    check::{Status, kind::Kind, view::CheckKind},
    instance::Id,
    name::Name,
    record::Record,
    service,
    time::Moment,
};

use super::state::State;

/// How often in one turn aliases of aliases are followed. Longer chains go on in the next turn.
const ROUNDS: usize = 8;

/// How many aliases are looked at to find out whether they form a circle. Of longer ones each says what the next one says.
const CIRCLE: usize = 64;

/// What an alias follows.
#[derive(Clone, Debug)]
struct Target {
    /// Not an id at all: never there.
    service: Option<Result<Id, String>>,
    /// Ours, when absent.
    node: Option<String>,
}

/// All aliases, and which of them may be old.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    targets: BTreeMap<Id, Target>,
    /// Aliases by the instance that they follow, wherever it is; `None`: nodes.
    followers: BTreeMap<Option<Id>, BTreeSet<Id>>,
    stale: BTreeSet<Id>,
    /// Those that only a snapshot can tell about, and the node that it showed when they were last judged.
    foreign: BTreeMap<Id, Option<Arc<Node>>>,
}

impl Aliases {
    pub(super) fn insert(&mut self, id: Id, service: Option<String>, node: Option<String>) {
        self.remove(&id);
        let service = service.map(|service| service.parse().map_err(|_| service));
        let target = Target { service, node };
        self.followers.entry(target.followed()).or_default().insert(id.clone());
        self.stale.insert(id.clone());
        self.targets.insert(id, target);
    }

    pub(super) fn remove(&mut self, id: &Id) {
        let Some(target) = self.targets.remove(id) else { return };
        let followed = target.followed();
        if let Some(followers) = self.followers.get_mut(&followed) {
            followers.remove(id);
            if followers.is_empty() {
                self.followers.remove(&followed);
            }
        }
        self.stale.remove(id);
        self.foreign.remove(id);
    }

    /// The instance of this node that an alias follows.
    fn here(&self, id: &Id, own: &str) -> Option<&Id> {
        let target = self.targets.get(id)?;
        let is_here = target.node.as_ref().is_none_or(|node| node.eq_ignore_ascii_case(own));
        target.service.as_ref().filter(|_| is_here)?.as_ref().ok()
    }

    /// Something about this instance or (`None`) the checks of the node is different.
    pub(super) fn touch(&mut self, owner: Option<Id>) {
        match owner {
            // The checks of a node count for all of its instances.
            None => self.stale.extend(self.targets.keys().cloned()),
            owner => self.stale.extend(self.followers.get(&owner).into_iter().flatten().cloned()),
        }
    }

    /// Whether snapshots are wanted.
    pub(super) fn are_foreign(&self) -> bool {
        !self.foreign.is_empty()
    }

    /// Whether any is to be judged.
    pub(super) fn is_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// There is a new snapshot.
    pub(super) fn snapshot(&mut self) {
        self.stale.extend(self.foreign.keys().cloned());
    }
}

impl Target {
    fn followed(&self) -> Option<Id> {
        self.service.as_ref().and_then(|service| service.as_ref().ok().cloned())
    }
}

/// Statuses with what they are of.
type Found = Vec<(Status, Id)>;

impl State {
    /// Brings every alias up to date.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, now: Moment) {
        for _ in 0..ROUNDS {
            let stale = std::mem::take(&mut self.aliases.stale);
            if stale.is_empty() {
                return;
            }
            for id in stale {
                if let Some((status, output)) = self.judge(&id, snapshot) {
                    self.result(&id, status, &*output, now);
                }
            }
        }
    }

    /// What an alias says; nothing when that is not known, or cannot be different.
    fn judge(&mut self, id: &Id, snapshot: &Snapshot) -> Option<(Status, String)> {
        let target = self.aliases.targets.get(id)?.clone();
        let own = snapshot.local.record.name.as_str();
        if target.node.as_ref().is_none_or(|node| node.eq_ignore_ascii_case(own)) {
            return Some(self.judge_own(id, &target, snapshot));
        }
        let name = target.node.as_deref().unwrap_or_default();
        let node = find_node(snapshot, name);
        let last = self.aliases.foreign.insert(id.clone(), node.cloned());
        if let (Some(Some(last)), Some(node)) = (&last, node)
            && Arc::ptr_eq(last, node)
        {
            return None;
        }
        match node {
            None if !snapshot.warm => None,
            None => Some((Status::Critical, format!("there is no node {name:?}"))),
            Some(node) if node.is_lost() => Some((Status::Critical, format!("the node {name:?} is {}", node.state.as_str()))),
            Some(node) => Some(judge_record(&node.record, &target)),
        }
    }

    fn judge_own(&mut self, id: &Id, target: &Target, snapshot: &Snapshot) -> (Status, String) {
        let is_here = |service: &Id| self.view.instances.contains_key(service);
        let own = snapshot.local.record.name.as_str();
        if target.service.as_ref().is_none_or(|service| service.as_ref().is_ok_and(is_here)) {
            self.aliases.foreign.remove(id);
            return verdict(self.found(id, target.followed(), own));
        }
        // A label may make it, now or later; our own record comes with every snapshot.
        self.aliases.foreign.insert(id.clone(), None);
        match &target.service {
            Some(Ok(service)) if is_by_label(&snapshot.local.record, service) => {
                verdict(self.found(id, Some(service.clone()), own))
            }
            service => missing(service.as_ref()),
        }
    }

    /// What the checks here say that this alias follows. One that follows it back says nothing by itself: what it follows
    /// counts in its place.
    fn found(&self, alias: &Id, service: Option<Id>, own: &str) -> Found {
        let of_node = self.checks_of(&None).filter(|id| !self.aliases.targets.contains_key(*id));
        let mut seen: BTreeSet<_> = of_node.chain([alias]).collect();
        let mut found: Found = seen.iter().filter(|id| **id != alias).filter_map(|id| self.said(id)).collect();
        let mut open = Vec::from_iter(service);
        while let Some(service) = open.pop() {
            for id in self.checks_of(&Some(service)) {
                if !seen.insert(id) {
                    continue;
                }
                match self.aliases.here(id, own).filter(|_| self.leads_back(id, alias, own)) {
                    Some(next) => open.push(next.clone()),
                    None => found.extend(self.said(id)),
                }
            }
        }
        found
    }

    fn checks_of(&self, owner: &Option<Id>) -> impl Iterator<Item = &Id> {
        self.owned.get(owner).into_iter().flatten()
    }

    fn said(&self, id: &Id) -> Option<(Status, Id)> {
        Some((self.guards.get(id)?.check.status(), id.clone()))
    }

    /// Whether the instance of `alias` is among those that this one follows, directly or through others.
    fn leads_back(&self, from: &Id, alias: &Id, own: &str) -> bool {
        let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
        while let Some(id) = open.pop() {
            let Some(service) = self.aliases.here(id, own) else { continue };
            for next in self.checks_of(&Some(service.clone())) {
                if next == alias {
                    return true;
                }
                if seen.len() < CIRCLE && self.aliases.targets.contains_key(next) && seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    }
}

fn find_node<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a Arc<Node>> {
    let is_named = |node: &&Arc<Node>| node.record.name.as_str().eq_ignore_ascii_case(name);
    let named = name.parse::<Name>().ok().and_then(|name| snapshot.hosts.get(&name)?.nodes.first());
    // What no list shows may still be known, as failed.
    named.or_else(|| snapshot.nodes.values().filter(is_named).min_by_key(|node| node.state))
}

fn judge_record(record: &Record, target: &Target) -> (Status, String) {
    let service = match &target.service {
        Some(Ok(service)) if record.instance(service).is_none() && !is_by_label(record, service) => {
            return missing(target.service.as_ref());
        }
        Some(Err(_)) => return missing(target.service.as_ref()),
        service => service.as_ref().and_then(|service| service.as_ref().ok()),
    };
    let is_alias = |kind: CheckKind| kind.as_str() == Kind::Alias { service: None, node: None }.as_str();
    let counts = |instance: Option<&Id>, kind| match instance {
        None => !is_alias(kind),
        instance => instance == service,
    };
    let checks = record.checks().filter(|check| counts(check.instance.as_ref(), check.kind));
    verdict(checks.map(|check| (check.status, check.id)).collect())
}

fn is_by_label(record: &Record, id: &Id) -> bool {
    service::instances(record.labels()).iter().any(|instance| instance.id == *id)
}

fn missing(service: Option<&Result<Id, String>>) -> (Status, String) {
    let service = service.map_or("", |service| service.as_ref().map_or_else(String::as_str, Id::as_str));
    (Status::Critical, format!("there is no instance {service:?} on the node"))
}

fn verdict(found: Found) -> (Status, String) {
    let worst = Status::worst(found.iter().map(|(status, _)| *status));
    let said = match found.iter().find(|(status, _)| *status == worst) {
        _ if worst == Status::Passing => "all checks are passing".to_owned(),
        Some((_, id)) => format!("the check {id:?} is {worst}"),
        None => String::new(),
    };
    (worst, said)
}
