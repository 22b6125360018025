//! Everything that is registered here, and what it says: changed step by step, and by what checks find out.
//!
//! ```text
//! steps (of a job) ─┐                ┌─► view, for outputs here
//! results, beats ───┼─► State ───────┼─► changes of the record, for everybody
//! deadlines ────────┘                └─► what must be saved, who must go
//! ```
//! One step never fails: whatever may be refused is found out before (`plan`). Takes time in proportion to what it
//! touches. Not here: aliases (`alias`), disk and tasks (`task`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use lobby_core::{
    check::{
        Status,
        kind::Kind,
        output::Output,
        schedule::{Schedule, Token},
        state::{Change, Check, Saved},
    },
    instance::{Id, Instance},
    local::RecordChange,
    port::registry::{LocalInstance, LocalView, RegistryError, Source},
    time::Moment,
};
use tokio::task::AbortHandle;

use super::{
    alias::Aliases,
    guard::{Guard, Running, Unsaved},
    plan::Step,
    saved::{self, Definition},
    show,
};

/// After this time a deregistration that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// What checks say that must not be run.
const SCRIPTS_OFF: &str = "checks that run commands are off: set ENABLE_SCRIPT_CHECKS to true";

/// All of it.
#[derive(Default)]
pub(super) struct State {
    pub(super) view: LocalView,
    pub(super) guards: BTreeMap<Id, Guard>,
    /// The checks of each instance, and (`None`) of the node.
    pub(super) owned: BTreeMap<Option<Id>, BTreeSet<Id>>,
    /// Instances that take nothing new.
    pub(super) drained: BTreeSet<Id>,
    /// Connections that hold an instance.
    pub(super) holds: HashMap<Id, (u64, Running)>,
    pub(super) aliases: Aliases,
    pub(super) schedule: Schedule,
    tokens: HashMap<Token, Id>,
    deadlines: BTreeSet<(Moment, Id)>,
    /// What checks said before the start that have not been put here yet.
    pub(super) saved: BTreeMap<Id, Saved>,
    /// What the record must be told, in order.
    pub(super) changes: Vec<RecordChange>,
    pub(super) is_view_new: bool,
    /// The status of some check is not on disk.
    pub(super) is_status_unsaved: bool,
    /// Whether checks may run commands.
    pub(super) scripts: bool,
}

impl State {
    /// Nothing is registered yet.
    pub(super) fn new(scripts: bool) -> Self {
        Self { scripts, ..Self::default() }
    }

    /// Does one step.
    pub(super) fn apply(&mut self, step: Step, now: Moment, random: u64) {
        match step {
            Step::PutInstance(instance, source) => self.put_instance(instance, source),
            Step::RemoveInstance(id) => self.remove_instance(&id),
            Step::PutCheck(definition) => self.put_check(definition, now, random),
            Step::RemoveCheck(id) => self.remove_check(&id),
            Step::Drain(None, drain) => {
                self.view.is_draining = drain;
                self.is_view_new = true;
                self.changes.push(RecordChange::Drain(drain));
            }
            Step::Drain(Some(id), drain) => self.drain(id, drain),
        }
    }

    fn put_instance(&mut self, mut instance: Arc<Instance>, source: Source) {
        let id = instance.id.clone();
        let drain = self.drained.contains(&id);
        if instance.drain != drain {
            Arc::make_mut(&mut instance).drain = drain;
        }
        self.holds.remove(&id);
        self.changes.push(RecordChange::SetInstance(instance.clone()));
        self.aliases.touch(Some(id.clone()));
        self.view.instances.insert(id, Arc::new(LocalInstance { instance, source }));
        self.is_view_new = true;
    }

    fn remove_instance(&mut self, id: &Id) {
        for check in self.owned.get(&Some(id.clone())).cloned().unwrap_or_default() {
            self.remove_check(&check);
        }
        self.drained.remove(id);
        self.holds.remove(id);
        if self.view.instances.remove(id).is_some() {
            self.changes.push(RecordChange::RemoveInstance(id.clone()));
            self.aliases.touch(Some(id.clone()));
            self.is_view_new = true;
        }
    }

    fn drain(&mut self, id: Id, drain: bool) {
        match drain {
            true => self.drained.insert(id.clone()),
            false => self.drained.remove(&id),
        };
        if let Some(known) = self.view.instances.get(&id).cloned() {
            let holds = self.holds.remove(&id);
            self.put_instance(known.instance.clone(), known.source.clone());
            self.holds.extend(holds.map(|hold| (id, hold)));
        }
    }

    fn put_check(&mut self, definition: Definition, now: Moment, random: u64) {
        let id = definition.id.clone();
        let mut guard = match (self.guards.remove(&id), self.saved.remove(&id)) {
            (Some(old), _) => self.replace(old, definition, now),
            (None, Some(saved)) => {
                let check = Check::restore(definition.spec.clone(), &saved, now);
                Guard { is_saved: true, ..Guard::new(definition, check) }
            }
            (None, None) => {
                let check = Check::new(definition.spec.clone(), now);
                Guard::new(definition, check)
            }
        };
        self.start(&mut guard, now, random);
        // What it says is on disk already, or is what it says by itself after a start.
        let unsaved = (guard.unsaved, self.is_status_unsaved);
        self.insert(guard);
        self.show(&id, Change::Status, now);
        self.is_status_unsaved = unsaved.1;
        self.guards.entry(id).and_modify(|guard| guard.unsaved = unsaved.0);
    }

    /// The same check anew: what it said stays.
    fn replace(&mut self, mut guard: Guard, definition: Definition, now: Moment) -> Guard {
        let (id, old) = (&definition.id, &guard.definition);
        if old.instance != definition.instance {
            self.disown(&old.instance.clone(), id);
        }
        if old.spec != definition.spec {
            // What runs now asks what nobody wants to know any more.
            guard.run = None;
            if let Some(token) = guard.token.take() {
                self.schedule.remove(token);
                self.tokens.remove(&token);
            }
        }
        self.aliases.remove(id);
        let _ = guard.check.replace(definition.spec.clone(), now);
        guard.definition = Arc::new(definition);
        guard.going_until = None;
        guard.watch = None;
        guard.unsaved = guard.unsaved.max(Unsaved::Remains);
        guard
    }

    fn start(&mut self, guard: &mut Guard, now: Moment, random: u64) {
        let spec = guard.definition.spec.clone();
        let is_command = matches!(spec.kind(), Kind::Script { .. } | Kind::Docker { .. });
        if is_command && !self.scripts {
            // Whatever its thresholds are: it will never run.
            let output = SCRIPTS_OFF.into();
            let saved = Saved { status: Status::Critical, held: None, output, ttl_left: None, critical_for: None };
            guard.check = Check::restore(spec.clone(), &saved, now);
        } else if let (Some(interval), None) = (spec.interval(), guard.token) {
            // There is room: each check has an entry in the record, which has no more of them than the schedule.
            guard.token = self.schedule.insert(interval, now, random).ok();
            self.tokens.extend(guard.token.map(|token| (token, guard.definition.id.clone())));
        }
        if let Kind::Alias { service, node } = spec.kind() {
            self.aliases.insert(guard.definition.id.clone(), service.clone(), node.clone());
        }
    }

    fn insert(&mut self, guard: Guard) {
        let id = guard.definition.id.clone();
        self.owned.entry(guard.definition.instance.clone()).or_default().insert(id.clone());
        self.guards.insert(id, guard);
    }

    fn disown(&mut self, owner: &Option<Id>, check: &Id) {
        if let Some(checks) = self.owned.get_mut(owner) {
            checks.remove(check);
            if checks.is_empty() {
                self.owned.remove(owner);
            }
        }
        self.aliases.touch(owner.clone());
    }

    fn remove_check(&mut self, id: &Id) {
        let Some(guard) = self.guards.remove(id) else { return };
        if let Some(token) = guard.token {
            self.schedule.remove(token);
            self.tokens.remove(&token);
        }
        if let Some(deadline) = guard.deadline {
            self.deadlines.remove(&(deadline, id.clone()));
        }
        self.aliases.remove(id);
        self.disown(&guard.definition.instance, id);
        self.view.checks.remove(id);
        self.is_view_new = true;
        self.changes.push(RecordChange::RemoveCheck(id.clone()));
    }

    /// A program reports by itself.
    pub(super) fn beat(&mut self, id: &Id, status: Status, note: &str, now: Moment) -> Result<(), RegistryError> {
        let unknown = || RegistryError::UnknownCheck(id.as_str().into());
        let guard = self.guards.get_mut(id).ok_or_else(unknown)?;
        let change = guard.check.beat(status, note, now)?;
        guard.unsaved = guard.unsaved.max(Unsaved::Remains);
        self.show(id, change, now);
        Ok(())
    }

    /// A run or a watch found something out.
    pub(super) fn result<'a>(&mut self, id: &Id, status: Status, output: impl Into<Output<'a>>, now: Moment) {
        if let Some(guard) = self.guards.get_mut(id) {
            let change = guard.check.result(status, output, now);
            self.show(id, change, now);
        }
    }

    /// The check to run now, if there is one and a slot for it.
    pub(super) fn next_run(&mut self, now: Moment, free_slots: usize, random: u64) -> Option<(Token, Id)> {
        let token = self.schedule.next_due(now, free_slots, random)?;
        Some((token, self.tokens.get(&token)?.clone()))
    }

    /// It runs, in this task.
    pub(super) fn runs(&mut self, id: &Id, task: AbortHandle) {
        if let Some(guard) = self.guards.get_mut(id) {
            guard.run = Some(Running(task));
        }
    }

    /// A run is over; whether it still counts.
    pub(super) fn ran(&mut self, token: Token, now: Moment, random: u64) -> Option<Id> {
        self.schedule.handle_finished(token, now, random);
        let id = self.tokens.get(&token)?.clone();
        self.guards.get_mut(&id)?.run = None;
        Some(id)
    }

    /// When [`Self::handle_deadlines`] wants to be called next.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Does what is due, and names the instances that must go, each with the check that says so.
    pub(super) fn handle_deadlines(&mut self, now: Moment) -> Vec<(Id, Id)> {
        let mut gone = Vec::new();
        while let Some((deadline, id)) = self.deadlines.first().cloned() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            let guard = self.guards.get_mut(&id).expect("a check takes its deadline along");
            guard.deadline = None;
            let change = guard.check.handle_deadline(now);
            let is_due = guard.check.deregister_due(now) && guard.going_until.is_none_or(|until| until <= now);
            if let (true, Some(instance)) = (is_due, &guard.definition.instance) {
                guard.going_until = Some(now + AGAIN);
                gone.push((instance.clone(), id.clone()));
            }
            self.show(&id, change, now);
        }
        gone
    }

    /// Brings everything up to what a check says now.
    fn show(&mut self, id: &Id, change: Change, now: Moment) {
        let Some(guard) = self.guards.get_mut(id) else { return };
        let deadline = guard.next();
        if guard.deadline != deadline {
            if let Some(old) = std::mem::replace(&mut guard.deadline, deadline) {
                self.deadlines.remove(&(old, id.clone()));
            }
            self.deadlines.extend(deadline.map(|deadline| (deadline, id.clone())));
        }
        let local = show::local(guard, now);
        if self.view.checks.get(id).is_none_or(|old| !show::is_same(old, &local)) {
            self.view.checks.insert(id.clone(), Arc::new(local));
            self.is_view_new = true;
        }
        if change == Change::Status {
            guard.unsaved = Unsaved::Status;
            self.is_status_unsaved = true;
            self.aliases.touch(guard.definition.instance.clone());
        }
        if change != Change::None {
            guard.unsaved = guard.unsaved.max(Unsaved::Remains);
            self.changes.push(RecordChange::SetCheck(Box::new(show::view(&guard.definition, &guard.check))));
        }
    }

    /// The state of every check whose entry on disk is as old as this, but for those that are kept from it.
    pub(super) fn save(&mut self, least: Unsaved, now: Moment, is_kept: impl Fn(&Definition) -> bool) -> Vec<(Id, Bytes, Bytes)> {
        let mut entries = Vec::new();
        for guard in self.guards.values_mut() {
            // What counts down (a TTL, the end of its instance) goes on from there after a restart.
            let counts = least <= Unsaved::Remains && guard.deadline.is_some();
            if (guard.unsaved < least && !counts) || guard.definition.source == Source::Hold || is_kept(&guard.definition) {
                continue;
            }
            guard.unsaved = Unsaved::Nothing;
            guard.is_saved = true;
            let key = saved::key(b's', guard.definition.id.as_str());
            entries.push((guard.definition.id.clone(), key, saved::encode_state(&guard.check.save(now))));
        }
        entries
    }

    /// The disk had no room for what this check says.
    pub(super) fn save_again(&mut self, id: &Id) {
        self.save_later(id);
        self.is_status_unsaved |= self.guards.contains_key(id);
    }

    /// The disk refused what this check says: again together with what is saved next, so that a disk that refuses for long
    /// is not asked each second.
    pub(super) fn save_later(&mut self, id: &Id) {
        if let Some(guard) = self.guards.get_mut(id) {
            guard.unsaved = Unsaved::Status;
        }
    }
}
