//! What one node offers, decoded once, and brought up to date by what differs between two of its records.
//!
//! ```text
//! record ─► differing entries ─► instances, checks ─► views of the instances that they touch ─► Moved
//! ```
//! Values are compared, not versions: a restart that tells the same anew touches nothing.
//! Not here: the views of all nodes together (`services`).

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use imbl::ordmap::DiffItem;

use super::{
    nodes::Change,
    view::{InstanceNode, InstanceView},
};
use crate::{
    check::{Status, view::CheckView},
    external::tags::{tagged, tags},
    instance::{Id, Instance},
    label::{self, Label},
    record::{Key, Record, Value},
    service,
    wire::service::{decode_check, decode_instance},
};

/// What of a node shows differently than before.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Its instances as they were and are.
    pub(super) instances: BTreeMap<Id, Change<InstanceView>>,
    /// Its checks as they are.
    pub(super) checks: BTreeMap<Id, Option<Arc<CheckView>>>,
    /// Whether its labels may be others, those of its registered instances included.
    pub(super) labels: bool,
}

/// Instances or checks whose view must be made anew; `None`: those of the whole node.
type Touched = BTreeSet<Option<Id>>;

/// Checks that are others than before, or gone, by what they judge.
type Checks = BTreeMap<Option<Id>, BTreeMap<Id, Option<Arc<CheckView>>>>;

/// One node's instances and checks.
#[derive(Debug)]
pub(super) struct Offers {
    record: Arc<Record>,
    /// Tags that others give to its instances.
    given: Option<Arc<Record>>,
    node: Arc<InstanceNode>,
    /// By id and whether labels made it. Of one id, the registered one counts.
    instances: BTreeMap<(Id, bool), Arc<Instance>>,
    /// By what they judge (`None`: the node, otherwise an instance that may not be there), sorted by id.
    checks: BTreeMap<Option<Id>, Arc<[Arc<CheckView>]>>,
    /// What was last made of each instance.
    views: BTreeMap<Id, Arc<InstanceView>>,
    /// The labels in whose form the registered instances appear, and how many of them.
    derived: BTreeMap<Label, u32>,
}

impl Offers {
    /// A node that offers nothing yet.
    pub(super) fn new(record: &Record) -> Self {
        let nothing = Record::new(record.origin.clone(), record.name.clone(), record.stamp);
        Self {
            node: Arc::new(InstanceNode::new(&nothing, false, Arc::default())),
            record: Arc::new(nothing),
            given: None,
            instances: BTreeMap::new(),
            checks: BTreeMap::new(),
            views: BTreeMap::new(),
            derived: BTreeMap::new(),
        }
    }

    /// The node as its instances show it.
    pub(super) fn node(&self) -> &Arc<InstanceNode> {
        &self.node
    }

    /// Takes in the node's newest record and state and the tags that others give to its instances, and tells what of it
    /// shows differently; `None`: nothing can.
    pub(super) fn update(&mut self, record: &Arc<Record>, failed: bool, given: Option<&Arc<Record>>) -> Option<Moved> {
        let same_record = Arc::ptr_eq(&self.record, record);
        let same_given = self.given.as_ref().map(Arc::as_ptr) == given.map(Arc::as_ptr);
        if same_record && same_given && self.node.failed == failed {
            return None;
        }
        let old_given = std::mem::replace(&mut self.given, given.cloned());
        let old = std::mem::replace(&mut self.record, record.clone());
        let mut moved = Moved::default();
        let mut touched = if same_record { Touched::new() } else { self.read(&old, record, &mut moved) };
        if !same_given {
            self.give(old_given.as_deref(), record, &mut moved, &mut touched);
        }
        let node = InstanceNode::new(record, failed, self.checks_of(None));
        if *self.node != node {
            self.node = Arc::new(node);
            touched.extend(self.instances.keys().map(|(id, _)| Some(id.clone())));
        }
        touched.into_iter().flatten().for_each(|id| self.refresh(id, &mut moved));
        Some(moved)
    }

    /// Everything that the node offers goes.
    pub(super) fn into_views(self) -> impl Iterator<Item = Arc<InstanceView>> {
        self.views.into_values()
    }

    /// The labels of the record, which is the newest, and as many of those of its registered instances as a node may have
    /// beside them, sorted.
    pub(super) fn labels(&self, record: &Record) -> Vec<Label> {
        let mut labels: Vec<_> = record.labels().cloned().collect();
        if self.derived.is_empty() {
            return labels;
        }
        let own = labels.len();
        let is_own = |label: &Label| labels.binary_search(label).is_ok();
        let derived: Vec<_> = self.derived.keys().filter(|label| !is_own(label)).cloned().collect();
        labels.extend(derived);
        labels.truncate(label::kept(&labels).max(own));
        labels.sort();
        labels
    }

    /// Decodes what differs.
    fn read(&mut self, old: &Record, new: &Record, moved: &mut Moved) -> Touched {
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
                Key::Label(label) => {
                    families.extend(service::family(label));
                    moved.labels = true;
                }
                Key::Instance(id) => {
                    moved.labels = true;
                    self.put_instance(id, after.and_then(|value| decode_instance(id.clone(), value).ok()));
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
                Key::Meta(_) | Key::Tags(_) | Key::Other(..) => {}
            }
        }
        self.read_families(&families, new, &mut touched);
        touched.extend(checks.keys().cloned());
        for (instance, changes) in checks {
            // A check that judges something else now is gone there and has come here, in whatever order.
            for (id, check) in &changes {
                let entry = moved.checks.entry(id.clone()).or_default();
                *entry = check.clone().or(entry.take());
            }
            self.put_checks(instance, changes);
        }
        touched
    }

    /// Reads the instances anew whose given tags are others than before.
    fn give(&mut self, old: Option<&Record>, record: &Record, moved: &mut Moved, touched: &mut Touched) {
        let given = |record: Option<&Record>| -> BTreeMap<Id, Value> {
            record.into_iter().flat_map(tagged).map(|(id, value)| (id.clone(), value.clone())).collect()
        };
        let (old, new) = (given(old), given(self.given.as_deref()));
        for id in old.keys().chain(new.keys()).filter(|id| old.get(*id) != new.get(*id)) {
            if let Some(instance) = record.instance(id) {
                self.put_instance(id, Some(instance));
                touched.insert(Some(id.clone()));
                moved.labels = true;
            }
        }
    }

    /// Changes a registered instance, and the labels that show it.
    fn put_instance(&mut self, id: &Id, mut instance: Option<Instance>) {
        if let Some(open) = instance.as_mut().filter(|instance| instance.enable_tag_override)
            && let Some(tags) = self.given.as_ref().and_then(|given| tags(given, id))
        {
            open.tags = tags;
        }
        for label in instance.iter().flat_map(service::labels) {
            *self.derived.entry(label).or_default() += 1;
        }
        let old = match instance {
            Some(instance) => self.instances.insert((id.clone(), false), Arc::new(instance)),
            None => self.instances.remove(&(id.clone(), false)),
        };
        for label in old.iter().flat_map(|old| service::labels(old)) {
            if let Entry::Occupied(mut entry) = self.derived.entry(label) {
                *entry.get_mut() -= 1;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
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

    /// Makes the view of this instance anew and notes what is different.
    fn refresh(&mut self, id: Id, moved: &mut Moved) {
        let new = self.view(&id);
        if self.views.get(&id).map(|old| &**old) == new.as_ref() {
            return;
        }
        let new = new.map(Arc::new);
        let old = match &new {
            Some(view) => self.views.insert(id.clone(), view.clone()),
            None => self.views.remove(&id),
        };
        moved.instances.insert(id, (old, new));
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
