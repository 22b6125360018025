//! Jobs under way: many at once, none beside another one that changes the same.
//!
//! ```text
//! take ─► (waits for its locks) ─► plan ─► reserve room, write (a task) ─► land: steps, answer
//! ```
//! So a thousand registrations share a few syncs of the disk, while the jobs of one instance follow each other in order.
//! A write that fails is taken back, as is the room. Not here: the journal's own queue (`journal`).

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    error::Error,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use lobby_core::{
    instance::Id,
    local::RecordChange,
    port::registry::{Held, RegistryError},
    time::Moment,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{
    batch::Done,
    entries::Entry,
    guard::Unsaved,
    job::{Job, Lock, Tell},
    journal::{AppendError, Journal, Pending},
    plan::{Facts, Plan, Step},
    restore::random,
    task::Registry,
};
use crate::node::Update;

/// Most jobs under way and waiting; more are refused. As many as a record may hold small instances, within a factor.
pub(super) const JOBS: usize = 8192;

/// What has come from the disk.
pub(super) enum Landed {
    /// The job of this number.
    Job(u64, Result<(), RegistryError>),
    /// What these checks say could not be written.
    Unsaved(Vec<Id>),
}

/// A job that is being written.
struct Flight {
    /// What to do then; `None` when it was done before.
    plan: Option<Plan>,
    tell: Tell,
    locks: BTreeSet<Lock>,
}

/// All of them.
pub(super) struct Flights {
    journal: Option<Journal>,
    updates: mpsc::Sender<Update>,
    flights: HashMap<u64, Flight>,
    number: u64,
    locked: BTreeSet<Lock>,
    waiting: VecDeque<(Job, BTreeSet<Lock>)>,
    works: JoinSet<Landed>,
    /// Some locks are free that were not.
    is_freed: bool,
}

impl Flights {
    pub(super) fn new(journal: Option<Journal>, updates: mpsc::Sender<Update>) -> Self {
        Self {
            journal,
            updates,
            flights: HashMap::new(),
            number: 0,
            locked: BTreeSet::new(),
            waiting: VecDeque::new(),
            works: JoinSet::new(),
            is_freed: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.flights.len() + self.waiting.len()
    }

    pub(super) fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// The next one that is written; `None` when none is under way.
    pub(super) async fn next(&mut self) -> Option<Landed> {
        // What is spawned here does not panic, and nobody aborts it.
        self.works.join_next().await?.ok()
    }

    pub(super) fn ready(&mut self) -> Option<Landed> {
        self.works.try_join_next()?.ok()
    }

    /// Writes what waits and ends.
    pub(super) async fn close(self) {
        if let Some(journal) = self.journal {
            journal.close().await;
        }
    }

    fn is_free(&self, locks: &BTreeSet<Lock>) -> bool {
        self.locked.is_disjoint(locks) && self.waiting.iter().all(|(_, others)| others.is_disjoint(locks))
    }

    fn fly(&mut self, flight: Flight, reserve: Vec<RecordChange>, entries: Vec<Entry>) {
        self.number += 1;
        let (number, journal, updates) = (self.number, self.journal.clone(), self.updates.clone());
        self.locked.extend(flight.locks.iter().cloned());
        self.flights.insert(number, flight);
        let work = async move { Landed::Job(number, carry(&updates, journal, reserve, entries).await) };
        self.works.spawn(work);
    }
}

impl Registry {
    /// Takes a job: begins it, or lets it wait for those before it.
    pub(super) fn take(&mut self, job: Job) {
        if self.flights.len() >= JOBS && !matches!(job.tell, Tell::Nobody) {
            let err = RegistryError::TooMany { what: "registrations that wait for the disk", most: JOBS };
            return job.tell.refuse(self.refused(err));
        }
        let locks = job.locks(&self.state);
        match self.flights.is_free(&locks) {
            true => self.begin(job, locks),
            false => self.flights.waiting.push_back((job, locks)),
        }
    }

    /// Begins what waited for locks that are free now.
    pub(super) fn retake(&mut self) {
        if !std::mem::take(&mut self.flights.is_freed) {
            return;
        }
        let mut kept = BTreeSet::new();
        for (job, _) in std::mem::take(&mut self.flights.waiting) {
            // A check may have come to another instance meanwhile.
            let locks = job.locks(&self.state);
            if self.flights.locked.is_disjoint(&locks) && kept.is_disjoint(&locks) {
                self.begin(job, locks);
            } else {
                kept.extend(locks.iter().cloned());
                self.flights.waiting.push_back((job, locks));
            }
        }
    }

    fn begin(&mut self, job: Job, locks: BTreeSet<Lock>) {
        let judged = job.judge(&self.state);
        let Job { what, tell, .. } = job;
        if let Err(err) = judged {
            return tell.refuse(self.refused(err));
        }
        let (snapshot, now) = (self.reader.snapshot(), self.clock.moment());
        let plan = self.state.plan(what, &Facts { own: &snapshot.local.record, now });
        let mut plan = match plan {
            Ok(plan) => plan,
            Err(err) => return tell.refuse(self.refused(err)),
        };
        let reserve = std::mem::take(&mut plan.reserve);
        let mut entries = std::mem::take(&mut plan.entries);
        if !self.flights.has_journal() {
            entries.clear();
        }
        let (is_free, is_fact) = (reserve.is_empty() && entries.is_empty(), plan.is_fact);
        if !is_free && !is_fact {
            return self.flights.fly(Flight { plan: Some(plan), tell, locks }, reserve, entries);
        }
        self.carry_out(plan, tell, now);
        // Nothing else about it is written before this is.
        if !entries.is_empty() {
            self.flights.fly(Flight { plan: None, tell: Tell::Nobody, locks }, reserve, entries);
        }
    }

    /// A job is on disk, or is not going to be.
    pub(super) fn land(&mut self, landed: Landed) {
        let (number, result) = match landed {
            Landed::Job(number, result) => (number, result),
            Landed::Unsaved(checks) => return checks.iter().for_each(|check| self.state.save_later(check)),
        };
        let Some(Flight { plan, tell, locks }) = self.flights.flights.remove(&number) else { return };
        locks.iter().for_each(|lock| _ = self.flights.locked.remove(lock));
        self.flights.is_freed = true;
        match (result, plan) {
            (Ok(()), Some(plan)) => self.carry_out(plan, tell, self.clock.moment()),
            (Ok(()), None) => {}
            (Err(err), _) => tell.refuse(self.refused(err)),
        }
    }

    /// Does the steps of a plan, and has them told.
    fn carry_out(&mut self, plan: Plan, tell: Tell, now: Moment) {
        if let Some((id, cause)) = plan.taken {
            tracing::info!(%id, ?cause, "taken away");
            self.counters.taken_away.fetch_add(1, Relaxed);
        }
        let instance = plan.steps.iter().find_map(|step| match step {
            Step::PutInstance(instance, _) => Some(instance.id.clone()),
            _ => None,
        });
        for step in plan.steps {
            self.state.apply(step, now, random());
        }
        if self.state.aliases.is_stale() {
            // A new alias is never told of with a status that it has for no time.
            let snapshot = self.reader.snapshot();
            self.state.follow(&snapshot, now);
        }
        for (check, watched) in plan.watches {
            self.watch(check, watched);
        }
        let done = match (tell, instance) {
            (Tell::Done(answer), _) => Some(Done::Unit(answer)),
            (Tell::Held(answer), Some(instance)) => {
                let (held, holder) = Held::new();
                self.hold(instance, holder);
                Some(Done::Held(answer, held))
            }
            (Tell::Held(_) | Tell::Nobody, _) => None,
        };
        self.batches.put(&mut self.state.changes, done);
    }

    /// Has what checks say written, as far as what is on disk is this old.
    pub(super) fn save(&mut self, least: Unsaved, now: Moment) {
        let Some(journal) = &self.flights.journal else { return };
        let locked = &self.flights.locked;
        // The entries of a job under way come first: one of them may end this check.
        let entries = self.state.save(least, now, |definition| {
            let owner = definition.instance.clone().map(Lock::Instance);
            locked.contains(&Lock::Check(definition.id.clone())) || owner.is_some_and(|owner| locked.contains(&owner))
        });
        let mut pending = Vec::with_capacity(entries.len());
        for (check, key, value) in entries {
            match journal.submit(key, Some(value)) {
                Ok(entry) => pending.push((check, entry)),
                Err(AppendError::Busy { .. }) => self.state.save_again(&check),
                Err(_) => self.state.save_later(&check),
            }
        }
        if !pending.is_empty() {
            self.flights.works.spawn(unsaved(pending));
        }
    }

    pub(super) fn refused(&self, err: RegistryError) -> RegistryError {
        self.counters.refused.fetch_add(1, Relaxed);
        err
    }
}

/// Gets room in the record, then writes. When it fails, nothing has changed.
async fn carry(
    updates: &mpsc::Sender<Update>,
    journal: Option<Journal>,
    reserve: Vec<RecordChange>,
    entries: Vec<Entry>,
) -> Result<(), RegistryError> {
    if !reserve.is_empty() {
        let (answer, answered) = oneshot::channel();
        updates.send(Update::Reserve(reserve.clone(), answer)).await.map_err(|_| RegistryError::Stopping)?;
        answered.await.map_err(|_| RegistryError::Stopping)??;
    }
    let Some(journal) = journal else { return Ok(()) };
    let after = entries.iter().map(|entry| (entry.key.clone(), entry.after.clone()));
    let Err(err) = write(&journal, after).await else { return Ok(()) };
    if entries.len() > 1 {
        // Some of them may be written. If this fails too, they are there after a restart, which nobody was promised.
        let _ = write(&journal, entries.into_iter().map(|entry| (entry.key, entry.before))).await;
    }
    // Without a node task there is no record either.
    let _ = updates.send(Update::Release(reserve)).await;
    Err(not_saved(&err))
}

/// Appends all entries at once and waits for all of them.
async fn write(journal: &Journal, entries: impl Iterator<Item = (Bytes, Option<Bytes>)>) -> Result<(), AppendError> {
    let (mut pending, mut result) = (Vec::new(), Ok(()));
    for (key, value) in entries {
        match journal.submit(key.clone(), value.clone()) {
            Ok(entry) => pending.push(entry),
            Err(AppendError::Busy { .. }) => result = journal.append(key, value).await,
            Err(err) => result = Err(err),
        }
        if result.is_err() {
            break;
        }
    }
    for entry in pending {
        result = entry.await.and(result);
    }
    result
}

/// Waits for what checks say to be written; tells of which it was not.
async fn unsaved(pending: Vec<(Id, Pending)>) -> Landed {
    let mut unsaved = Vec::new();
    for (check, entry) in pending {
        if entry.await.is_err() {
            unsaved.push(check);
        }
    }
    Landed::Unsaved(unsaved)
}

/// What whoever asked is told: what is too large is theirs to mend.
fn not_saved(err: &AppendError) -> RegistryError {
    match err {
        AppendError::TooLong { most, .. } => RegistryError::TooMany { what: "bytes of one registration", most: *most },
        AppendError::Full { most } => {
            RegistryError::TooMany { what: "bytes of all registrations", most: usize::try_from(*most).unwrap_or(usize::MAX) }
        }
        err => RegistryError::NotSaved(said(err)),
    }
}

/// The error and its causes.
fn said(err: &AppendError) -> Arc<str> {
    let mut said = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    said.into()
}
