//! What one node offers, decoded once, and brought up to date by what differs between two of its records.
//!
//! ```text
//! record ─► differing entries ─► instances, checks ─► views of the instances that they touch ─► Moved
//! ```
//! Values are compared, not versions: a restart that tells the same anew touches nothing.
//! Not here: the views of all nodes together (`services`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::ordmap::DiffItem;

use super::view::{InstanceNode, InstanceView, Place, key};
use crate::{
    check::{Status, view::CheckView},
    instance::{Id, Instance},
    record::{Key, Record, meta},
    service,
    wire::service::{decode_check, decode_instance},
};

/// The new view of one instance of a service, or that it is not there any more.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) service: Id,
    pub(super) place: Place,
    pub(super) view: Option<Arc<InstanceView>>,
}

/// Instances or checks whose view must be made anew; `None`: those of the whole node.
type Touched = BTreeSet<Option<Id>>;

/// Checks that are others than before, or gone, by what they judge.
type Checks = BTreeMap<Option<Id>, BTreeMap<Id, Option<Arc<CheckView>>>>;

/// One node's instances and checks.
#[derive(Debug)]
pub(super) struct Offers {
    record: Arc<Record>,
    node: Arc<InstanceNode>,
    /// By id and whether labels made it. Of one id, the registered one counts.
    instances: BTreeMap<(Id, bool), Arc<Instance>>,
    /// By what they judge (`None`: the node, otherwise an instance that may not be there), sorted by id.
    checks: BTreeMap<Option<Id>, Arc<[Arc<CheckView>]>>,
    /// What was last made of each instance.
    views: BTreeMap<Id, Arc<InstanceView>>,
}

impl Offers {
    /// A node that offers nothing yet.
    pub(super) fn new(record: &Record) -> Self {
        let (origin, name) = (record.origin.clone(), record.name.clone());
        let node = InstanceNode { origin, name, failed: false, addresses: None, checks: Arc::default() };
        Self {
            record: Arc::new(Record::new(node.origin.clone(), node.name.clone(), record.stamp)),
            node: Arc::new(node),
            instances: BTreeMap::new(),
            checks: BTreeMap::new(),
            views: BTreeMap::new(),
        }
    }

    /// Takes in the node's newest record and state, and tells what of its services shows differently, in order.
    pub(super) fn update(&mut self, record: &Arc<Record>, failed: bool) -> Vec<Moved> {
        let same_record = Arc::ptr_eq(&self.record, record);
        if same_record && self.node.failed == failed {
            return Vec::new();
        }
        let old = std::mem::replace(&mut self.record, record.clone());
        let mut touched = if same_record { Touched::new() } else { self.read(&old, record) };
        let addresses = record.entries.get(&Key::meta(meta::ADDRESSES)).and_then(|entry| entry.value.as_ref());
        let node = InstanceNode {
            origin: record.origin.clone(),
            name: record.name.clone(),
            failed,
            addresses: addresses.and_then(|value| Some(std::str::from_utf8(value).ok()?.into())),
            checks: self.checks_of(None),
        };
        if *self.node != node {
            self.node = Arc::new(node);
            touched.extend(self.instances.keys().map(|(id, _)| Some(id.clone())));
        }
        touched.into_iter().flatten().flat_map(|id| self.refresh(id)).collect()
    }

    /// Everything that the node offers goes.
    pub(super) fn withdraw(self) -> impl Iterator<Item = Moved> {
        self.views.into_values().map(|view| gone(&view))
    }

    /// Decodes what differs.
    fn read(&mut self, old: &Record, new: &Record) -> Touched {
        let (mut touched, mut families, mut checks) = (Touched::new(), BTreeSet::new(), Checks::new());
        for item in old.entries.diff(&new.entries) {
            let (key, before, after) = match item {
                DiffItem::Add(key, entry) => (key, None, entry.value.as_ref()),
                DiffItem::Update { old: (_, old), new: (key, new) } => (key, old.value.as_ref(), new.value.as_ref()),
                DiffItem::Remove(key, entry) => (key, entry.value.as_ref(), None),
            };
            if before == after {
                continue;
            }
            match key {
                Key::Label(label) => families.extend(service::family(label)),
                Key::Instance(id) => {
                    match after.and_then(|value| decode_instance(id.clone(), value).ok()) {
                        Some(instance) => self.instances.insert((id.clone(), false), Arc::new(instance)),
                        None => self.instances.remove(&(id.clone(), false)),
                    };
                    touched.insert(Some(id.clone()));
                }
                Key::Check(id) => {
                    let decode = |value| decode_check(id.clone(), value).ok();
                    if let Some(check) = before.and_then(|value| decode(value)) {
                        checks.entry(check.instance).or_default().insert(id.clone(), None);
                    }
                    if let Some(check) = after.and_then(|value| decode(value)) {
                        checks.entry(check.instance.clone()).or_default().insert(id.clone(), Some(Arc::new(check)));
                    }
                }
                Key::Meta(_) | Key::Other(..) => {}
            }
        }
        self.read_families(&families, new, &mut touched);
        touched.extend(checks.keys().cloned());
        checks.into_iter().for_each(|(instance, changes)| self.put_checks(instance, changes));
        touched
    }

    /// Makes anew what the labels of these services make.
    fn read_families(&mut self, families: &BTreeSet<&str>, record: &Record, touched: &mut Touched) {
        if families.is_empty() {
            return;
        }
        let of_them = |((_, from_label), instance): &(&(Id, bool), &Arc<Instance>)| {
            *from_label && families.contains(instance.service.as_str())
        };
        let old: Vec<_> = self.instances.iter().filter(of_them).map(|(key, _)| key.clone()).collect();
        let mut old: BTreeMap<_, _> = old.into_iter().filter_map(|key| self.instances.remove_entry(&key)).collect();
        touched.extend(old.keys().map(|(id, _)| Some(id.clone())));
        let labels = record.labels().filter(|label| service::family(label).is_some_and(|name| families.contains(name)));
        for instance in service::instances(labels) {
            let key = (instance.id.clone(), true);
            touched.insert(Some(instance.id.clone()));
            let kept = old.remove(&key).filter(|old| **old == instance);
            self.instances.insert(key, kept.unwrap_or_else(|| Arc::new(instance)));
        }
    }

    /// Changes the checks of one instance or of the node, all at once.
    fn put_checks(&mut self, instance: Option<Id>, changes: BTreeMap<Id, Option<Arc<CheckView>>>) {
        let old = self.checks.remove(&instance).unwrap_or_default();
        let mut checks: BTreeMap<_, _> = old.iter().map(|check| (check.id.clone(), Some(check.clone()))).collect();
        checks.extend(changes);
        let checks: Arc<[_]> = checks.into_values().flatten().collect();
        if !checks.is_empty() {
            self.checks.insert(instance, checks);
        }
    }

    fn checks_of(&self, instance: Option<Id>) -> Arc<[Arc<CheckView>]> {
        self.checks.get(&instance).cloned().unwrap_or_default()
    }

    /// Makes the view of this instance anew and tells what is different.
    fn refresh(&mut self, id: Id) -> Vec<Moved> {
        let new = self.view(&id);
        if self.views.get(&id).map(|old| &**old) == new.as_ref() {
            return Vec::new();
        }
        let new = new.map(Arc::new);
        let old = match &new {
            Some(view) => self.views.insert(id, view.clone()),
            None => self.views.remove(&id),
        };
        let come =
            |view: Arc<InstanceView>| Moved { service: key(&view.instance.service), place: view.place(), view: Some(view) };
        // First where it was: it may be in the same place.
        old.as_deref().map(gone).into_iter().chain(new.map(come)).collect()
    }

    fn view(&self, id: &Id) -> Option<InstanceView> {
        let find = |from_label| Some((from_label, self.instances.get(&(id.clone(), from_label))?.clone()));
        let (from_label, instance) = find(false).or_else(|| find(true))?;
        let checks = self.checks_of(Some(id.clone()));
        let worst = Status::worst(checks.iter().chain(&*self.node.checks).map(|check| check.status));
        let status = if self.node.failed { Status::Critical } else { worst };
        Some(InstanceView { node: self.node.clone(), instance, checks, status, from_label })
    }
}

fn gone(view: &InstanceView) -> Moved {
    Moved { service: key(&view.instance.service), place: view.place(), view: None }
}
