//! The node task: the one owner of the local record and the catalog.
//!
//! ```text
//! sources ──updates──► ┌──────┐ ──announcement──► exchanges
//! exchanges ──events─► │ node │ ──questions─────► exchanges
//!            time ───► └──────┘ ──snapshots─────► outputs
//! ```
//! Everything that can wake it is one [`Event`]. It takes all events that are there, then publishes one snapshot;
//! an update that somebody waits for is published before it is acknowledged, so that two acknowledged writes never
//! share a snapshot. It never waits for an exchange, an output or a disk.

use std::sync::{Arc, atomic::Ordering};

use lobby_core::{
    catalog::{Catalog, Outcome, Snapshot},
    change,
    id::ExchangeId,
    label::Label,
    local::{LocalRecord, RecordChange, SetError},
    name::Name,
    port::{Announcement, LinkState, PeerEvent, gossip::Fingerprint},
    record::{Record, meta},
    stats::AgentStats,
    time::Moment,
};
use lobby_exchange::clock::Clock;
use tokio::sync::{mpsc, oneshot, watch};

use crate::agent::Stops;

#[cfg(test)]
mod tests;

/// Most events taken in one turn, so that a flood cannot keep a snapshot from being published.
const EVENTS_A_TURN: usize = 512;

/// What sources tell the node task. The queue holds [`UPDATES`]; a full one makes the source wait.
#[derive(Debug)]
pub(crate) enum Update {
    /// All labels of all sources; the sender, if any, is told when a snapshot shows them.
    Labels(Vec<Label>, Option<oneshot::Sender<()>>),
    /// The machine has a new host name.
    Name(Name),
    /// The names of our gossip keys, the one that seals first.
    Keys(Vec<Fingerprint>),
    /// Room is asked for, and kept until these changes come or are given up.
    Reserve(Vec<RecordChange>, oneshot::Sender<Result<(), SetError>>),
    /// Changes for which room was kept do not come.
    Release(Vec<RecordChange>),
    /// What the registry has changed, all of it in one version of our record; told, if anybody waits, when a snapshot shows
    /// it.
    Record(Vec<RecordChange>, Option<Told>),
    /// Versions of nodes without an agent that were written here, which count together or not at all; told what became of
    /// each when a snapshot shows them.
    Externals(Vec<Arc<Record>>, oneshot::Sender<Vec<Outcome>>),
}

/// Tells whoever waits for an update that it is done. Must not block.
pub(crate) struct Told(Box<dyn FnOnce() + Send>);

impl Told {
    pub(crate) fn new(tell: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(tell))
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

/// Bound of the update queue: sources send one at a time.
pub(crate) const UPDATES: usize = 16;

/// Everything that can wake the node task.
enum Event {
    Peer(ExchangeId, PeerEvent),
    Update(Update),
    Deadline,
    Stop(LastWord),
}

/// What our last record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastWord {
    Left,
    Restarting,
}

/// The task and everything it owns.
pub(crate) struct Node {
    pub(crate) clock: Clock,
    pub(crate) local: LocalRecord,
    pub(crate) listed: bool,
    pub(crate) catalog: Catalog,
    /// The catalog's next deadline, and from when on we are late for it: a deadline may be past when it is made.
    pub(crate) deadline: Option<(Moment, Moment)>,
    pub(crate) events: mpsc::Receiver<(ExchangeId, PeerEvent)>,
    pub(crate) updates: mpsc::Receiver<Update>,
    pub(crate) announcement: watch::Sender<Announcement>,
    /// `exchanges` is cancelled once our last record is announced, so that none stops before it can say goodbye.
    pub(crate) stops: Stops,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    /// One for each exchange, in the order of their ids.
    pub(crate) questions: Vec<mpsc::Sender<lobby_core::id::NodeId>>,
    pub(crate) stats: Arc<AgentStats>,
}

impl Node {
    /// Runs until it is told to stop, then announces the last version of our record, the one that says goodbye or that we
    /// are back in a moment, and ends after the exchanges: to them the end of this task means that there is nobody left
    /// to say anything for.
    pub(crate) async fn run(mut self) {
        loop {
            let event = self.next_event().await;
            let turn = self.clock.moment();
            if let Event::Stop(word) = event {
                return self.end(word).await;
            }
            self.handle_event(event);
            for _ in 1..EVENTS_A_TURN {
                match self.events.try_recv() {
                    Ok((exchange, event)) => self.handle_event(Event::Peer(exchange, event)),
                    Err(_) => break,
                }
            }
            self.ask_questions();
            self.tell_conflicts();
            self.publish();
            let took = micros(self.clock.moment().since(turn));
            self.stats.last_turn_us.store(took, Ordering::Relaxed);
            self.stats.longest_turn_us.fetch_max(took, Ordering::Relaxed);
        }
    }

    async fn end(mut self, word: LastWord) {
        match word {
            LastWord::Left => self.local.leave(),
            LastWord::Restarting => self.local.restart(),
        }
        self.commit();
        self.publish();
        self.stops.exchanges.cancel();
        loop {
            tokio::select! {
                // Every exchange holds a receiver until it ends.
                () = self.announcement.closed() => return,
                // What they still hear changes nothing any more, but must not make them wait.
                Some(_) = self.events.recv() => {}
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let next = self.catalog.next_deadline();
        if next != self.deadline.map(|(deadline, _)| deadline) {
            self.deadline = next.map(|deadline| (deadline, deadline.max(self.clock.moment())));
        }
        let deadline = next.map(|deadline| self.clock.instant(deadline));
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        // Senders of events and updates outlive this task, so `None` cannot come; were it to, only that branch rests.
        tokio::select! {
            () = self.stops.node.cancelled() => Event::Stop(LastWord::Left),
            () = self.stops.restart.cancelled() => Event::Stop(LastWord::Restarting),
            Some((exchange, event)) = self.events.recv() => Event::Peer(exchange, event),
            Some(update) = self.updates.recv() => Event::Update(update),
            () = due => Event::Deadline,
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Peer(exchange, event) => self.handle_peer(exchange, event),
            Event::Update(update) => self.handle_update(update),
            Event::Deadline => {
                let now = self.clock.now();
                let late = self.deadline.take().map_or(0, |(_, due)| micros(now.moment.since(due)));
                self.stats.last_lag_us.store(late, Ordering::Relaxed);
                self.stats.longest_lag_us.fetch_max(late, Ordering::Relaxed);
                self.catalog.handle_deadline(now);
            }
            Event::Stop(_) => {}
        }
    }

    fn handle_update(&mut self, update: Update) {
        match update {
            Update::Labels(labels, done) => {
                let left_out = self.local.set_labels(labels);
                if left_out > 0 {
                    tracing::warn!(left_out, "too many labels: the last in sorted order are left out");
                }
                self.commit();
                if let Some(done) = done {
                    self.publish();
                    // The waiting request may have been cut off; the labels stay.
                    let _ = done.send(());
                }
            }
            Update::Name(name) => {
                tracing::info!(%name, "the host name has changed");
                self.local.set_name(name);
                self.commit();
            }
            Update::Keys(keys) => {
                self.local.set_meta(meta::GOSSIP_KEYS, &keys.join(","));
                self.commit();
            }
            Update::Reserve(changes, answer) => {
                let reserved = self.local.reserve(&changes);
                if let Err(Ok(())) = answer.send(reserved) {
                    self.local.release(&changes);
                }
            }
            Update::Release(changes) => self.local.release(&changes),
            Update::Record(changes, told) => {
                for change in &changes {
                    if let Err(err) = self.local.apply(change) {
                        // Room was kept for it, so this is a defect; what the record said before stays.
                        tracing::error!("a change of our record is refused: {err}");
                    }
                }
                self.commit();
                if let Some(Told(tell)) = told {
                    self.publish();
                    tell();
                }
            }
            Update::Externals(records, told) => {
                let now = self.clock.now();
                let outcomes = self.catalog.put_externals(records, now);
                self.publish();
                // Whoever waits may have been cut off.
                let _ = told.send(outcomes);
            }
        }
    }

    fn handle_peer(&mut self, exchange: ExchangeId, event: PeerEvent) {
        if let (PeerEvent::Link(state), Some(link)) = (&event, self.catalog.link(exchange)) {
            match state {
                LinkState::Up => tracing::info!(exchange = %link.name, "link is up"),
                LinkState::Connecting => tracing::debug!(exchange = %link.name, "connecting"),
                LinkState::Down { why } => tracing::warn!(exchange = %link.name, %why, "link is down, holding what it told"),
            }
        }
        if matches!(event, PeerEvent::Cloned) && !self.stops.cloned.is_cancelled() {
            let exchange = self.catalog.link(exchange).map(|link| link.name.clone()).unwrap_or_default();
            tracing::error!(%exchange, "another node lives under our id, a cloned disk or machine: we are the younger and give way");
            self.stops.cloned.cancel();
        }
        match self.catalog.apply(exchange, event, self.clock.now()) {
            Outcome::Applied => {}
            Outcome::Stale => _ = self.stats.events_stale.fetch_add(1, Ordering::Relaxed),
            Outcome::Ours => _ = self.stats.own_conflicts.fetch_add(1, Ordering::Relaxed),
            Outcome::Refused => _ = self.stats.events_refused.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Makes the next version of our record, if something differs, and hands it to catalog and exchanges.
    fn commit(&mut self) {
        if let Some(record) = self.local.commit(self.clock.moment()) {
            self.catalog.set_local(record.clone());
            let externals = self.catalog.externals().clone();
            self.announcement.send_replace(Announcement { record, listed: self.listed, externals });
        }
    }

    /// Exchanges are told of nodes without an agent as soon as the catalog has another version of one.
    fn announce_externals(&mut self) {
        let externals = self.catalog.externals();
        self.announcement.send_if_modified(|announced| {
            let differs = !announced.externals.ptr_eq(externals);
            if differs {
                announced.externals = externals.clone();
            }
            differs
        });
    }

    fn ask_questions(&mut self) {
        while let Some((exchange, node)) = self.catalog.poll_question() {
            if let Some(questions) = self.questions.get(usize::from(exchange.0)) {
                // A full queue drops the question; the catalog takes that as no answer.
                let _ = questions.try_send(node);
            }
        }
    }

    fn tell_conflicts(&mut self) {
        while let Some(host) = self.catalog.poll_conflict() {
            let ids: Vec<_> =
                host.nodes.iter().filter_map(|node| node.record.origin.node_id()).map(|id| id.to_string()).collect();
            let ids = ids.join(" ");
            tracing::warn!(name = %host.name, %ids, "several live nodes have this name: lists merge them");
        }
    }

    fn publish(&mut self) {
        self.announce_externals();
        let Some(snapshot) = self.catalog.poll_snapshot() else { return };
        let before = self.snapshots.send_replace(snapshot.clone());
        tell_states(&before, &snapshot);
        tell_holds(&before, &snapshot, &self.stats);
        for (link, _) in snapshot.links.iter().zip(&*before.links).filter(|(now, before)| now.given_up && !before.given_up) {
            tracing::warn!(exchange = %link.name, "not warm within WARM_MAX: the list counts as complete without it");
        }
    }
}

/// Logs how the state of each node has changed, a line a node.
fn tell_states(before: &Snapshot, now: &Snapshot) {
    for (node, state) in change::states(before, now) {
        if !node.own {
            tracing::info!(name = %node.record.name, %state, "node");
        }
    }
}

/// Logs and counts where a hold starts, and logs where one is over.
fn tell_holds(before: &Snapshot, now: &Snapshot, stats: &AgentStats) {
    for (link, before) in now.links.iter().zip(&*before.links) {
        if before.held == 0 && link.held > 0 {
            stats.holds.fetch_add(1, Ordering::Relaxed);
            let (exchange, nodes) = (&link.name, link.held);
            tracing::warn!(%exchange, nodes, "most nodes fell silent at once, the fault may be ours: their services are held");
        } else if before.held > 0 && link.held == 0 {
            tracing::info!(exchange = %link.name, "the hold is over");
        }
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
