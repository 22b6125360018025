//! The start of the registry: what was registered before is there again before anybody is told anything.
//!
//! ```text
//! journal ─► what checks said, what drains ─► instances and checks ─► files ─► LocalRecord
//! ```
//! A check goes on with the status it had, so a restart changes nothing for anybody. What cannot be read is left out with a
//! warning and stays on disk; what belongs to nothing any more is deleted. Not here: the task (`task`).

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use lobby_core::{
    check::Status,
    instance::Id,
    local::LocalRecord,
    port::{
        CatalogReader,
        registry::{COMMANDS, RegistryHandle},
    },
    record::Record,
};
use lobby_exchange::clock::Clock;
use tokio::sync::{mpsc, watch};

use super::{
    files::Definitions,
    journal::{Journal, Limits, Opened},
    plan::{Facts, Step},
    process::{self, Process, Watched},
    saved::{self, Definition},
    state::State,
    stats::Counters,
    task::{INPUTS, Parts, Registry},
};
use crate::{
    node::Update,
    store::{Store, StoreError},
};

/// A registry that does not run yet.
pub(crate) struct Start {
    pub(super) state: State,
    pub(super) journal: Option<Journal>,
    watches: Vec<(Id, Watched)>,
    /// Processes that could not be watched again, though nothing says that they have ended, and why.
    lost: Vec<(Id, Process, String)>,
    /// What has to be written: mostly the end of what belongs to nothing any more.
    writes: Vec<(Bytes, Option<Bytes>)>,
    clock: Clock,
}

impl Start {
    /// Reads the journal, if there is a folder for one.
    pub(crate) async fn open(store: &Store, scripts: bool, clock: Clock) -> Result<Self, StoreError> {
        let state = State::new(scripts);
        let mut start = Self { state, journal: None, watches: Vec::new(), lost: Vec::new(), writes: Vec::new(), clock };
        if let Some(folder) = store.folder() {
            let path = folder.join("registry");
            let opened = tokio::task::spawn_blocking(move || Journal::open(&path, Limits::DEFAULT)).await;
            // The closure does not panic: whatever it finds is an error.
            let Opened { journal, entries, .. } = opened.expect("opening a journal ends with a result")?;
            start.journal = Some(journal);
            start.restore(entries);
        }
        Ok(start)
    }

    pub(super) fn restore(&mut self, entries: BTreeMap<Bytes, Bytes>) {
        let (mut registrations, mut others, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in entries {
            let Some((kind, id)) = key.split_first() else { continue };
            let id = std::str::from_utf8(id).unwrap_or_default();
            let read = match (kind, id.parse::<Id>()) {
                (b'd', Err(_)) => {
                    self.state.apply(Step::Drain(None, true), self.clock.moment(), 0);
                    Ok(())
                }
                (b'd', Ok(id)) => {
                    self.state.drained.insert(id);
                    Ok(())
                }
                (b's', Ok(id)) => saved::decode_state(&value).map(|saved| _ = self.state.saved.insert(id, saved)),
                (b'i', Ok(id)) => saved::decode_registration(&id, &value).map(|found| registrations.push(found)),
                (b'c', Ok(_)) => saved::decode_check(&value).map(|check| others.push(check)),
                // Of a later version.
                _ => continue,
            };
            if let Err(err) = read {
                tracing::warn!(kind = %char::from(*kind), %id, "an entry of the registry is left out: {err}");
            }
        }
        for (instance, source, checks) in registrations {
            let id = instance.id.clone();
            match checks.into_iter().map(|check| self.watch(check)).collect::<Result<Vec<_>, _>>() {
                Ok(checks) => {
                    self.apply(Step::PutInstance(Arc::new(instance), source));
                    checks.into_iter().for_each(|check| self.put_check(check));
                }
                Err(err) => {
                    tracing::info!(%id, "deregistered: its process has ended: {err}");
                    gone.push(id.clone());
                    self.writes.push((saved::key(b'i', id.as_str()), None));
                }
            }
        }
        for id in gone {
            if let Some(proxy) = self.state.view.sidecar(&id).map(|proxy| proxy.instance.id.clone()) {
                self.writes.push((saved::key(b'i', proxy.as_str()), None));
                self.apply(Step::RemoveInstance(proxy));
            }
        }
        others.into_iter().for_each(|check| self.restore_other(check));
    }

    fn restore_other(&mut self, check: Definition) {
        let id = check.id.clone();
        let is_there = |instance: &Id| self.state.view.instances.contains_key(instance);
        let is_wanted = check.instance.as_ref().is_none_or(is_there) && !self.state.guards.contains_key(&id);
        match is_wanted.then(|| self.watch(check)) {
            Some(Ok(check)) => self.put_check(check),
            _ => self.writes.push((saved::key(b'c', id.as_str()), None)),
        }
    }

    /// The check, with its process watched again if it has one. An error is the proof that it has ended; what else keeps us
    /// from watching it says nothing about it.
    fn watch(&mut self, check: Definition) -> io::Result<Definition> {
        if let Some(process) = &check.process {
            match process::still(process) {
                Ok(watched) => self.watches.push((check.id.clone(), watched)),
                Err(err) if err.kind() == io::ErrorKind::NotFound => return Err(err),
                Err(err) => self.lost.push((check.id.clone(), process.clone(), err.to_string())),
            }
        }
        Ok(check)
    }

    /// With what its process says, if it has one, whatever it said before.
    fn put_check(&mut self, check: Definition) {
        let (id, initial, has_process) = (check.id.clone(), check.spec.initial(), check.process.is_some());
        self.apply(Step::PutCheck(check));
        let lost = self.lost.iter().find(|(lost, ..)| *lost == id);
        let lost = lost.map(|(_, process, why)| format!("PID {} cannot be watched: {why}", process.pid));
        let is_other = self.state.guards.get(&id).is_some_and(|guard| guard.check.own_status() != initial);
        if let Some(why) = lost {
            tracing::warn!(%id, "{why}");
            self.state.result(&id, Status::Critical, &*why, self.clock.moment());
        } else if has_process && is_other {
            self.state.result(&id, initial, "", self.clock.moment());
        }
    }

    fn apply(&mut self, step: Step) {
        self.state.apply(step, self.clock.moment(), random());
    }

    /// What files define now. To be called before [`Self::fill`], also where there is no folder of them: what one defined
    /// before goes.
    pub(crate) fn define(&mut self, definitions: &Definitions, own: &Record) {
        for what in self.state.of_files(definitions) {
            let facts = Facts { own, now: self.clock.moment() };
            match self.state.plan(what, &facts) {
                Ok(plan) => {
                    self.writes.extend(plan.entries.into_iter().map(|entry| (entry.key, entry.after)));
                    self.watches.extend(plan.watches);
                    plan.steps.into_iter().for_each(|step| self.apply(step));
                }
                Err(err) => tracing::warn!("a definition is left out: {err}"),
            }
        }
    }

    /// Puts everything into our record, before labels, which take the room that is left.
    pub(crate) fn fill(&mut self, local: &mut LocalRecord) {
        let states = std::mem::take(&mut self.state.saved);
        self.writes.extend(states.keys().map(|id| (saved::key(b's', id.as_str()), None)));
        let instances = &self.state.view.instances;
        let writes = &mut self.writes;
        self.state.drained.retain(|id| {
            let is_there = instances.contains_key(id);
            writes.extend((!is_there).then(|| (saved::key(b'd', id.as_str()), None)));
            is_there
        });
        for change in std::mem::take(&mut self.state.changes) {
            if let Err(err) = local.apply(&change) {
                tracing::warn!("a registration is not told to others: {err}");
            }
        }
        self.state.is_status_unsaved = false;
    }

    /// The task, how to ask it, how to give it the definitions of files, and its counters.
    pub(crate) fn finish(
        self,
        updates: mpsc::Sender<Update>,
        reader: CatalogReader,
    ) -> (Registry, RegistryHandle, mpsc::Sender<Definitions>, Arc<Counters>) {
        if let Some(journal) = &self.journal {
            for (key, value) in self.writes {
                // What is not written now is found again at the next start.
                drop(journal.submit(key, value));
            }
        }
        // A file may have defined some of them anew.
        let is_lost = |check: &Id, process: &Process| {
            let definition = self.state.guards.get(check).map(|guard| &guard.definition);
            definition.is_some_and(|definition| definition.process.as_ref() == Some(process))
                && self.watches.iter().all(|(watched, _)| watched != check)
        };
        let lost = self.lost.into_iter().map(|(check, process, _)| (check, process));
        let lost = lost.filter(|(check, process)| is_lost(check, process)).collect();
        let (commands_in, commands) = mpsc::channel(COMMANDS);
        let (inputs_in, inputs) = mpsc::channel(INPUTS);
        let view = Arc::new(self.state.view.clone());
        let (views, seen) = watch::channel(view);
        let counters = Arc::new(Counters::new(self.journal.clone(), seen.clone()));
        let parts = Parts {
            clock: self.clock,
            reader,
            updates,
            journal: self.journal,
            state: self.state,
            commands,
            inputs,
            views,
            counters: counters.clone(),
        };
        let registry = Registry::new(parts, self.watches, lost);
        // Whoever asks the registry does not keep its journal open.
        let counts = Arc::downgrade(&counters);
        let read = move || counts.upgrade().map(|counts| counts.read().into()).unwrap_or_default();
        (registry, RegistryHandle::new(commands_in, seen).counting(read), inputs_in, counters)
    }
}

/// Spreads checks over their intervals. Where the system has no random numbers they are not spread.
pub(super) fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
