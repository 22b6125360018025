//! The difference that steps make in the journal.
//!
//! Both worlds, the one before and the one after, are written down as far as the steps touch them; what is the same in
//! both is no entry. What connections hold is not in the journal, for they end with us; what files define is, so that one
//! that is broken at the next start takes nothing away. Not here: the form of an entry (`saved`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lobby_core::{
    instance::{Id, Instance},
    port::registry::Source,
};

use super::{
    plan::Step,
    saved::{self, Definition},
    state::State,
};

/// A key of the journal, and its value before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Bytes,
    pub(super) before: Option<Bytes>,
    pub(super) after: Option<Bytes>,
}

/// The state with some things in another way.
struct World<'a> {
    state: &'a State,
    instances: BTreeMap<&'a Id, Option<(&'a Instance, &'a Source)>>,
    checks: BTreeMap<&'a Id, Option<&'a Definition>>,
}

/// What must be written before these steps are done.
pub(super) fn entries(state: &State, steps: &[Step]) -> Vec<Entry> {
    let before = World { state, instances: BTreeMap::new(), checks: BTreeMap::new() };
    let after = before.after(steps);
    let owners = after.touched();
    let mut entries = Vec::new();
    let mut add = |key: Bytes, before: Option<Bytes>, after: Option<Bytes>| {
        if before != after {
            entries.push(Entry { key, before, after });
        }
    };
    // What is new comes first, so that a crash between two entries loses nothing that was there.
    let checks: BTreeSet<_> = owners.iter().flat_map(|owner| before.of(owner).into_iter().chain(after.of(owner))).collect();
    for id in &checks {
        add(saved::key(b'c', id.as_str()), before.check_entry(id), after.check_entry(id));
    }
    for owner in owners.iter().flatten() {
        add(saved::key(b'i', owner.as_str()), before.instance_entry(owner), after.instance_entry(owner));
    }
    for id in checks {
        let gone = state.guards.get(&id).filter(|guard| guard.is_saved && after.check(&id).is_none());
        if let Some(guard) = gone {
            let value = Some(saved::encode_state(&guard.check.save(guard.check.since())));
            add(saved::key(b's', id.as_str()), value, None);
        }
    }
    for (id, drain) in drains(state, steps) {
        let value = |is: bool| is.then(|| Bytes::from_static(b"1"));
        add(saved::key(b'd', id.map_or("", Id::as_str)), value(!drain), value(drain));
    }
    entries
}

/// What drains from now on or no longer.
fn drains<'a>(state: &State, steps: &'a [Step]) -> BTreeMap<Option<&'a Id>, bool> {
    let change = |step: &'a Step| match step {
        Step::Drain(id, drain) => Some((id.as_ref(), *drain)),
        Step::RemoveInstance(id) => Some((Some(id), false)),
        _ => None,
    };
    let is_old = |id: Option<&Id>| id.map_or(state.view.is_draining, |id| state.drained.contains(id));
    steps.iter().filter_map(change).filter(|(id, drain)| is_old(*id) != *drain).collect()
}

impl<'a> World<'a> {
    fn after(&self, steps: &'a [Step]) -> Self {
        let mut world = Self { state: self.state, instances: BTreeMap::new(), checks: BTreeMap::new() };
        for step in steps {
            match step {
                Step::PutInstance(instance, source) => {
                    world.instances.insert(&instance.id, Some((instance, source)));
                }
                Step::RemoveInstance(id) => {
                    let owned = self.state.owned.get(&Some(id.clone()));
                    world.checks.extend(owned.into_iter().flatten().map(|check| (check, None)));
                    world.instances.insert(id, None);
                }
                Step::PutCheck(definition) => {
                    world.checks.insert(&definition.id, Some(definition));
                }
                Step::RemoveCheck(id) => {
                    world.checks.insert(id, None);
                }
                Step::Drain(..) => {}
            }
        }
        world
    }

    /// Whose entries may differ from those before: instances, and (`None`) the node.
    fn touched(&self) -> BTreeSet<Option<Id>> {
        let mut owners: BTreeSet<_> = self.instances.keys().map(|id| Some((*id).clone())).collect();
        for (id, definition) in &self.checks {
            owners.extend(self.state.guards.get(*id).map(|guard| guard.definition.instance.clone()));
            owners.extend(definition.map(|definition| definition.instance.clone()));
        }
        owners
    }

    fn check(&self, id: &Id) -> Option<&Definition> {
        match self.checks.get(id) {
            Some(definition) => *definition,
            None => self.state.guards.get(id).map(|guard| &*guard.definition),
        }
    }

    /// The checks of an instance. Of the node only those that the steps touch: each is an entry of its own.
    fn of(&self, owner: &Option<Id>) -> BTreeSet<Id> {
        let known = self.state.owned.get(owner).into_iter().flatten().filter(|_| owner.is_some());
        let is_its = |id: &&Id| self.check(id).is_some_and(|check| check.instance == *owner);
        let mut of: BTreeSet<_> = known.chain(self.checks.keys().copied()).filter(is_its).cloned().collect();
        if owner.is_none() {
            // Those that were of the node and are gone.
            of.extend(self.checks.keys().filter(|id| self.check(id).is_none()).map(|id| (*id).clone()));
        }
        of
    }

    fn is_kept(&self, instance: &Id) -> bool {
        self.instance(instance).is_some_and(|(_, source)| *source != Source::Hold)
    }

    fn instance(&self, id: &Id) -> Option<(&Instance, &Source)> {
        match self.instances.get(id) {
            Some(instance) => *instance,
            None => self.state.view.instances.get(id).map(|known| (&*known.instance, &known.source)),
        }
    }

    fn instance_entry(&self, id: &Id) -> Option<Bytes> {
        let (instance, source) = self.instance(id).filter(|(_, source)| **source != Source::Hold)?;
        let of = self.of(&Some(id.clone()));
        let checks: Vec<_> = of.iter().filter_map(|id| self.check(id)).filter(|check| check.source != Source::Hold).collect();
        Some(saved::encode_registration(instance, source, checks.into_iter()))
    }

    /// The entry of a check that does not stand with its instance.
    fn check_entry(&self, id: &Id) -> Option<Bytes> {
        let check = self.check(id).filter(|check| check.source != Source::Hold)?;
        let is_with = check.instance.as_ref().is_some_and(|instance| self.is_kept(instance));
        (!is_with).then(|| saved::encode_check(check))
    }
}
