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
    id::ExchangeId,
    label::Label,
    local::LocalRecord,
    name::Name,
    port::{Announcement, LinkState, PeerEvent},
    stats::AgentStats,
};
use lobby_exchange::clock::Clock;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Most events taken in one turn, so that a flood cannot keep a snapshot from being published.
const EVENTS_A_TURN: usize = 512;

/// What sources tell the node task. The queue holds [`UPDATES`]; a full one makes the source wait.
#[derive(Debug)]
pub(crate) enum Update {
    /// All labels of all sources; the sender, if any, is told when a snapshot shows them.
    Labels(Vec<Label>, Option<oneshot::Sender<()>>),
    /// The machine has a new host name.
    Name(Name),
}

/// Bound of the update queue: sources send one at a time.
pub(crate) const UPDATES: usize = 16;

/// Everything that can wake the node task.
enum Event {
    Peer(ExchangeId, PeerEvent),
    Update(Update),
    Deadline,
    Stop,
}

/// The task and everything it owns.
pub(crate) struct Node {
    pub(crate) clock: Clock,
    pub(crate) local: LocalRecord,
    pub(crate) listed: bool,
    pub(crate) catalog: Catalog,
    pub(crate) events: mpsc::Receiver<(ExchangeId, PeerEvent)>,
    pub(crate) updates: mpsc::Receiver<Update>,
    pub(crate) announcement: watch::Sender<Announcement>,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    /// One for each exchange, in the order of their ids.
    pub(crate) questions: Vec<mpsc::Sender<lobby_core::id::NodeId>>,
    pub(crate) stats: Arc<AgentStats>,
}

impl Node {
    /// Runs until `stop`, then publishes the last version of our record, the one that says goodbye.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let event = self.next_event(&stop).await;
            let turn = self.clock.moment();
            if matches!(event, Event::Stop) {
                self.local.leave();
                self.commit();
                self.publish();
                return;
            }
            self.handle_event(event);
            for _ in 1..EVENTS_A_TURN {
                match self.events.try_recv() {
                    Ok((exchange, event)) => self.handle_event(Event::Peer(exchange, event)),
                    Err(_) => break,
                }
            }
            self.ask_questions();
            self.publish();
            let took = u64::try_from(self.clock.moment().since(turn).as_micros()).unwrap_or(u64::MAX);
            self.stats.last_turn_us.store(took, Ordering::Relaxed);
            self.stats.longest_turn_us.fetch_max(took, Ordering::Relaxed);
        }
    }

    async fn next_event(&mut self, stop: &CancellationToken) -> Event {
        let deadline = self.catalog.next_deadline().map(|moment| self.clock.instant(moment));
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        // Senders of events and updates outlive this task, so `None` cannot come; were it to, only that branch rests.
        tokio::select! {
            () = stop.cancelled() => Event::Stop,
            Some((exchange, event)) = self.events.recv() => Event::Peer(exchange, event),
            Some(update) = self.updates.recv() => Event::Update(update),
            () = due => Event::Deadline,
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Peer(exchange, event) => self.handle_peer(exchange, event),
            Event::Update(Update::Labels(labels, done)) => {
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
            Event::Update(Update::Name(name)) => {
                tracing::info!(%name, "the host name has changed");
                self.local.set_name(name);
                self.commit();
            }
            Event::Deadline => self.catalog.handle_deadline(self.clock.now()),
            Event::Stop => {}
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
            self.announcement.send_replace(Announcement { record, listed: self.listed });
        }
    }

    fn ask_questions(&mut self) {
        while let Some((exchange, node)) = self.catalog.poll_question() {
            if let Some(questions) = self.questions.get(usize::from(exchange.0)) {
                // A full queue drops the question; the catalog takes that as no answer.
                let _ = questions.try_send(node);
            }
        }
    }

    fn publish(&mut self) {
        if let Some(snapshot) = self.catalog.poll_snapshot() {
            self.snapshots.send_replace(snapshot);
        }
    }
}
