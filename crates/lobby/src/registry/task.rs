//! The registry's task: the one owner of what is registered here.
//!
//! ```text
//! commands ─► plan ─► room in the record, journal (many at once) ─► steps ─► view ─► node task ─► answer
//! runs, ends of processes and connections, deadlines, snapshots ─┘
//! ```
//! Everything that can wake it is one [`Event`]. It takes all that is there, then shows the view, then hands what changed
//! to the node task, which answers once a snapshot shows it. It never waits for a disk, a check or a caller.
//! Not here: jobs under way (`flight`), what a job comes to (`plan`).

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use lobby_core::{
    check::{
        Status,
        schedule::{LATE, Token},
    },
    instance::Id,
    port::{
        CatalogReader,
        registry::{Holder, LocalView, RegistryCommand},
    },
    time::Moment,
};
use lobby_exchange::clock::Clock;
use tokio::{
    sync::{mpsc, watch},
    task::{self, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    batch::{Batches, Done},
    files::Definitions,
    flight::{Flights, Landed},
    guard::{Running, Unsaved},
    job::{Cause, Job, Tell, What},
    journal::Journal,
    process::{self, Process, Watched},
    restore::random,
    state::State,
    stats::Counters,
};
use crate::{
    node::Update,
    probe::{self, Verdict},
};

/// Bound of the queue of inputs: files are read one set at a time.
pub(super) const INPUTS: usize = 4;

/// Most checks that are carried out at once: 10 000 checks of 10 s, each of which takes a quarter of a second, are on time.
const RUNS: usize = 256;

/// Most events taken in one turn, so that a flood cannot keep answers back.
const EVENTS_A_TURN: usize = 512;

/// How soon a status is on disk: often enough that a crash shows nobody old news, seldom enough that a check that changes
/// its mind all the time costs one entry a second.
const SAVE_STATUS: Duration = Duration::from_secs(1);

/// How often remaining times are saved: design.md of TTL checks, whose every report would else be an entry.
const SAVE_REMAINS: Duration = Duration::from_secs(10);

/// What the task is made of.
pub(super) struct Parts {
    pub(super) clock: Clock,
    pub(super) reader: CatalogReader,
    pub(super) updates: mpsc::Sender<Update>,
    pub(super) journal: Option<Journal>,
    pub(super) state: State,
    pub(super) commands: mpsc::Receiver<RegistryCommand>,
    pub(super) inputs: mpsc::Receiver<Definitions>,
    pub(super) views: watch::Sender<Arc<LocalView>>,
    pub(super) counters: Arc<Counters>,
}

/// The end of something that an instance lasts as long as.
pub(super) enum End {
    /// The process that this check watches by this number.
    Process(Id, u64),
    /// The connection of this number that holds this instance.
    Hold(Id, u64),
    /// It was no end: the process of this check can be watched from now on.
    Found(Id, u64, Watched),
}

/// Everything that can wake the task.
enum Event {
    Command(RegistryCommand),
    Files(Definitions),
    Landed(Landed),
    Ran(task::Id, Result<Verdict, JoinError>),
    Ended(End),
    Snapshot,
    Deadline,
    Stop,
}

/// The task and everything it owns.
pub(crate) struct Registry {
    pub(super) clock: Clock,
    pub(super) reader: CatalogReader,
    pub(super) state: State,
    pub(super) flights: Flights,
    pub(super) batches: Batches,
    pub(super) counters: Arc<Counters>,
    commands: mpsc::Receiver<RegistryCommand>,
    inputs: mpsc::Receiver<Definitions>,
    views: watch::Sender<Arc<LocalView>>,
    runs: JoinSet<Verdict>,
    tokens: HashMap<task::Id, Token>,
    ends: JoinSet<End>,
    /// Numbers watches and holds.
    serial: u64,
    status_save: Option<Moment>,
    remains_save: Option<Moment>,
}

impl Registry {
    pub(super) fn new(parts: Parts, watches: Vec<(Id, Watched)>, lost: Vec<(Id, Process)>) -> Self {
        let Parts { clock, reader, updates, journal, state, commands, inputs, views, counters } = parts;
        let mut registry = Self {
            clock,
            reader,
            state,
            flights: Flights::new(journal, updates.clone()),
            batches: Batches::new(updates),
            counters,
            commands,
            inputs,
            views,
            runs: JoinSet::new(),
            tokens: HashMap::new(),
            ends: JoinSet::new(),
            serial: 0,
            status_save: None,
            remains_save: None,
        };
        watches.into_iter().for_each(|(check, watched)| registry.watch(check, watched));
        lost.into_iter().for_each(|(check, process)| registry.look(check, process));
        registry
    }

    /// Runs until it is told to stop, then saves what checks say.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.finish_turn()).await;
        loop {
            let event = self.next_event(&stop).await;
            if let Event::Stop = event {
                return self.end().await;
            }
            self.handle(event);
            for _ in 1..EVENTS_A_TURN {
                match self.ready_event() {
                    Some(event) => self.handle(event),
                    None => break,
                }
            }
            // A node task that has had its last word takes nothing any more.
            stop.run_until_cancelled(self.finish_turn()).await;
        }
    }

    async fn next_event(&mut self, stop: &CancellationToken) -> Event {
        let deadline = self.deadline().map(|deadline| self.clock.instant(deadline));
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let wants_snapshots = self.state.aliases.are_foreign();
        tokio::select! {
            () = stop.cancelled() => Event::Stop,
            Some(end) = self.ends.join_next() => end.map_or(Event::Deadline, Event::Ended),
            Some(landed) = self.flights.next() => Event::Landed(landed),
            Some(command) = self.commands.recv() => Event::Command(command),
            Some(ran) = self.runs.join_next_with_id() => ran_event(ran),
            Some(input) = self.inputs.recv() => Event::Files(input),
            Ok(_) = self.reader.changed(), if wants_snapshots => Event::Snapshot,
            () = due => Event::Deadline,
        }
    }

    /// What is there without waiting.
    fn ready_event(&mut self) -> Option<Event> {
        if let Some(landed) = self.flights.ready() {
            return Some(Event::Landed(landed));
        }
        if let Ok(command) = self.commands.try_recv() {
            return Some(Event::Command(command));
        }
        self.runs.try_join_next_with_id().map(ran_event)
    }

    fn deadline(&self) -> Option<Moment> {
        let has_slots = self.runs.len() < RUNS;
        let run = self.state.schedule.deadline().filter(|_| has_slots);
        [self.state.deadline(), run, self.status_save, self.remains_save].into_iter().flatten().min()
    }

    fn handle(&mut self, event: Event) {
        let now = self.clock.moment();
        match event {
            Event::Command(command) => match Job::of(command) {
                Ok(job) => self.take(job),
                Err(beat) => self.beat(beat, now),
            },
            Event::Files(definitions) => {
                for what in self.state.of_files(&definitions) {
                    self.take(Job::own(what));
                }
            }
            Event::Landed(landed) => self.land(landed),
            Event::Ran(id, verdict) => self.ran(id, verdict, now),
            Event::Ended(end) => self.ended(end, now),
            Event::Snapshot => self.state.aliases.snapshot(),
            Event::Deadline => {
                for (instance, check) in self.state.handle_deadlines(now) {
                    self.take(Job::own(What::Deregister(instance, Cause::Critical(check))));
                }
            }
            Event::Stop => {}
        }
        self.batches.put(&mut self.state.changes, None);
    }

    fn beat(&mut self, command: RegistryCommand, now: Moment) {
        let RegistryCommand::Beat { check, status, note, answer } = command else { return };
        match self.state.beat(&check, status, &note, now) {
            Ok(()) => self.batches.put(&mut self.state.changes, Some(Done::Unit(answer))),
            Err(err) => Tell::Done(answer).refuse(self.refused(err)),
        }
    }

    fn ran(&mut self, id: task::Id, verdict: Result<Verdict, JoinError>, now: Moment) {
        let check = self.tokens.remove(&id).and_then(|token| self.state.ran(token, now, random()));
        let Some(check) = check else { return };
        match verdict {
            Ok(verdict) => self.state.result(&check, verdict.status, verdict.output(), now),
            Err(err) => self.state.result(&check, Status::Critical, &*format!("the run failed: {err}"), now),
        }
    }

    pub(super) fn ended(&mut self, end: End, now: Moment) {
        let is_its = |check: &Id, number: u64| {
            let guard = self.state.guards.get(check);
            guard.filter(|guard| guard.watch.as_ref().is_some_and(|(watch, _)| *watch == number))
        };
        let (instance, cause) = match end {
            End::Hold(instance, number) => (instance, Cause::Closed(number)),
            End::Found(check, number, watched) => {
                let Some(initial) = is_its(&check, number).map(|guard| guard.definition.spec.initial()) else { return };
                self.watch(check.clone(), watched);
                return self.state.result(&check, initial, "", now);
            }
            End::Process(check, number) => {
                match is_its(&check, number).map(|guard| guard.definition.instance.clone()) {
                    Some(Some(instance)) => (instance, Cause::Exited(check, number)),
                    // Of the whole node: there is nothing to take away.
                    Some(None) => return self.state.result(&check, Status::Critical, "the process has ended", now),
                    None => return,
                }
            }
        };
        self.take(Job::own(What::Deregister(instance, cause)));
    }

    /// Tells when this process has ended.
    pub(super) fn watch(&mut self, check: Id, watched: Watched) {
        self.serial += 1;
        let (id, number) = (check.clone(), self.serial);
        let task = self.ends.spawn(async move {
            watched.exited().await;
            End::Process(id, number)
        });
        if let Some(guard) = self.state.guards.get_mut(&check) {
            guard.watch = Some((number, Running(task)));
        }
    }

    /// Looks for a process that could not be watched, until it can be or has ended.
    fn look(&mut self, check: Id, process: Process) {
        self.serial += 1;
        let (id, number) = (check.clone(), self.serial);
        let task = self.ends.spawn(async move {
            match process::find(&process).await {
                Some(watched) => End::Found(id, number, watched),
                None => End::Process(id, number),
            }
        });
        if let Some(guard) = self.state.guards.get_mut(&check) {
            guard.watch = Some((number, Running(task)));
        }
    }

    /// Tells when this connection is closed.
    pub(super) fn hold(&mut self, instance: Id, holder: Holder) {
        self.serial += 1;
        let (id, number) = (instance.clone(), self.serial);
        let task = self.ends.spawn(async move {
            // When this is aborted, whoever holds hears that it is over.
            holder.dropped().await;
            End::Hold(id, number)
        });
        self.state.holds.insert(instance, (number, Running(task)));
    }

    /// Everything that follows from what was handled.
    async fn finish_turn(&mut self) {
        self.retake();
        let now = self.clock.moment();
        self.start_runs(now);
        if self.state.aliases.is_stale() {
            let snapshot = self.reader.snapshot();
            self.state.follow(&snapshot, now);
        }
        self.save_due(now);
        self.batches.put(&mut self.state.changes, None);
        if std::mem::take(&mut self.state.is_view_new) {
            self.views.send_replace(Arc::new(self.state.view.clone()));
        }
        self.counters.jobs.store(self.flights.len() as u64, Relaxed);
        self.batches.send().await;
    }

    fn start_runs(&mut self, now: Moment) {
        let has_slots = self.runs.len() < RUNS;
        let is_late = has_slots && self.state.schedule.deadline().is_some_and(|due| now.since(due) > LATE);
        let mut n_started = 0;
        while let Some((token, check)) = self.state.next_run(now, RUNS - self.runs.len(), random()) {
            let Some(guard) = self.state.guards.get(&check) else { continue };
            let spec = guard.definition.spec.clone();
            let run = async move { probe::run(spec.kind(), spec.timeout(), spec.output_max_size()).await };
            let task = self.runs.spawn(run);
            self.tokens.insert(task.id(), token);
            self.state.runs(&check, task);
            n_started += 1;
        }
        self.counters.runs.fetch_add(n_started, Relaxed);
        self.counters.late_runs.fetch_add(if is_late { n_started.max(1) } else { 0 }, Relaxed);
    }

    fn save_due(&mut self, now: Moment) {
        if !self.flights.has_journal() {
            return;
        }
        if self.state.is_status_unsaved && self.status_save.is_none() {
            self.status_save = Some(now + SAVE_STATUS);
        }
        self.remains_save = match (self.remains_save, self.state.guards.is_empty()) {
            (_, true) => None,
            (at, false) => Some(at.unwrap_or(now + SAVE_REMAINS)),
        };
        let is_due = |at: Option<Moment>| at.is_some_and(|at| at <= now);
        let least = match (is_due(self.remains_save), is_due(self.status_save)) {
            (true, _) => Unsaved::Remains,
            (false, true) => Unsaved::Status,
            (false, false) => return,
        };
        if least == Unsaved::Remains {
            self.remains_save = Some(now + SAVE_REMAINS);
        }
        self.status_save = None;
        self.state.is_status_unsaved = false;
        self.save(least, now);
    }

    async fn end(mut self) {
        self.commands.close();
        while let Some(landed) = self.flights.next().await {
            self.land(landed);
        }
        let now = self.clock.moment();
        self.save(Unsaved::Remains, now);
        self.flights.close().await;
    }
}

fn ran_event(ran: Result<(task::Id, Verdict), JoinError>) -> Event {
    match ran {
        Ok((id, verdict)) => Event::Ran(id, Ok(verdict)),
        Err(err) => Event::Ran(err.id(), Err(err)),
    }
}
