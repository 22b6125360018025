//! The channels between tasks: how exchanges and outputs meet the one task that owns the catalog.
//!
//! ```text
//!            ┌── announcement (watch) ──►┐
//!  node task ┤── questions (mpsc 256) ──►├ exchange
//!            │◄─ peer events (mpsc 4096)─┘
//!            ├── snapshots (watch) ─────► every output
//!            └◄─ commands (mpsc 256) ──── every output
//! ```
//! A full event queue makes the exchange wait (its socket then drops, which is the network's way); a full question
//! queue drops the question, which the catalog takes as unanswered; a full command queue makes the caller wait.

use std::{sync::Arc, time::Duration};

use imbl::OrdMap;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    catalog::Snapshot,
    id::{ExchangeId, NodeId, Origin},
    label::Label,
    proof::Signer,
    record::Record,
    stats::Stats,
};

pub mod external;
pub mod gossip;
pub mod log;
pub mod registry;

/// Bound of the event queue: a full catalog of 4 096 nodes arrives without a wait.
pub const EVENTS: usize = 4096;

/// Bound of the question queue of one exchange.
pub const QUESTIONS: usize = 256;

/// Bound of the command queue.
pub const COMMANDS: usize = 256;

/// What an exchange publishes: our own record.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The record; its phase says when this is the last one.
    pub record: Arc<Record>,
    /// REGISTER: when false, nothing is published; over gossip we are a member without a listed record.
    pub listed: bool,
    /// The nodes without an agent that we know, removed ones too: whoever lacks one is told.
    pub externals: OrdMap<NodeId, Arc<Record>>,
}

impl Announcement {
    /// Our own record alone.
    pub fn new(record: Arc<Record>, listed: bool) -> Self {
        Self { record, listed, externals: OrdMap::new() }
    }
}

/// The state of an exchange's connection to its broker or network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected since the start.
    Connecting,
    /// Connected.
    Up,
    /// Connected once, not now. Nothing expires because of this exchange until it is up again.
    Down {
        /// The reason, for people.
        why: Arc<str>,
    },
}

/// How a node went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It said so: a bare goodbye. (Nodes with an id leave by a record of that phase.)
    Left,
    /// The exchange's own failure detection decided so.
    Failed,
    /// Its agent is gone while its host lives: proof of death, not silence. Shown for AGENT_GRACE, then failed.
    Unattended,
}

/// Everything an exchange can say.
#[derive(Clone, Debug)]
pub enum PeerEvent {
    /// The link changed.
    Link(LinkState),
    /// The first complete picture has arrived (or, after the exchange's own deadline, will not come).
    Warm,
    /// A version of some record. Says nothing about whether the node is alive.
    Record(Arc<Record>),
    /// The node was heard of this long ago, and is alive as far as this exchange knows.
    Seen(Origin, Duration),
    /// The node is suspected but not yet failed.
    Suspect(Origin),
    /// The node went away as far as this exchange knows.
    Gone(Origin, Gone),
    /// Somebody else lives under our node id, and we are the younger one: a cloned disk or machine. We need a new id.
    Cloned,
}

/// What an exchange gets to do its work with.
#[derive(Debug)]
pub struct PeerLink {
    /// Which exchange this is.
    pub exchange: ExchangeId,
    /// Our own record, the newest version at any time.
    pub announcement: watch::Receiver<Announcement>,
    /// Nodes that another exchange believes failed: ask them directly, report `Seen` if they answer.
    pub questions: mpsc::Receiver<NodeId>,
    /// The catalog, to answer peers' questions with.
    pub reader: CatalogReader,
    /// Where this exchange counts.
    pub stats: Arc<Stats>,
    /// Our key: shows a process that has our id too that we are no impostor.
    pub signer: Arc<Signer>,
    events: mpsc::Sender<(ExchangeId, PeerEvent)>,
}

/// The node task has ended, so there is nobody to tell. Stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node task has ended")]
pub struct NodeEnded;

impl PeerLink {
    /// A link whose other ends the node task (or a test) holds.
    pub fn new(
        exchange: ExchangeId,
        announcement: watch::Receiver<Announcement>,
        questions: mpsc::Receiver<NodeId>,
        reader: CatalogReader,
        stats: Arc<Stats>,
        signer: Arc<Signer>,
        events: mpsc::Sender<(ExchangeId, PeerEvent)>,
    ) -> Self {
        Self { exchange, announcement, questions, reader, stats, signer, events }
    }

    /// Tells the node task; waits while its queue is full.
    pub async fn tell(&self, event: PeerEvent) -> Result<(), NodeEnded> {
        self.stats.depth(crate::stats::Queue::Events, EVENTS - self.events.capacity(), EVENTS);
        self.events.send((self.exchange, event)).await.map_err(|_| NodeEnded)
    }

    /// A sender for a helper task of the exchange.
    pub fn teller(&self) -> mpsc::Sender<(ExchangeId, PeerEvent)> {
        self.events.clone()
    }
}

/// Reads the newest snapshot. Cheap to clone; never waits for the writer.
#[derive(Clone, Debug)]
pub struct CatalogReader {
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl CatalogReader {
    /// A reader of what `snapshots` publishes.
    pub const fn new(snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self { snapshots }
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Waits for a snapshot newer than the last one this reader returned here, and returns it.
    pub async fn changed(&mut self) -> Result<Arc<Snapshot>, NodeEnded> {
        self.snapshots.changed().await.map_err(|_| NodeEnded)?;
        Ok(self.snapshots.borrow_and_update().clone())
    }
}

/// What an output asks of the node task. Each is answered when it is visible in a snapshot.
#[derive(Debug)]
pub enum Command {
    /// Adds runtime labels.
    AddLabels(Vec<Label>, oneshot::Sender<Result<(), CommandError>>),
    /// Removes runtime labels; labels of other sources stay.
    RemoveLabels(Vec<Label>, oneshot::Sender<Result<(), CommandError>>),
    /// Reads all label sources again, the configuration among them.
    Reload(oneshot::Sender<Result<(), CommandError>>),
    /// Leaves the fleet and stops the agent.
    Leave(oneshot::Sender<Result<(), CommandError>>),
}

/// Why a command was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// More labels, or more bytes of them, than a node may have.
    #[error("a node may have at most {} labels of together {} bytes", crate::limits::LABELS, crate::limits::LABELS_BYTES)]
    TooManyLabels,
    /// The runtime labels could not be saved.
    #[error("runtime labels could not be saved: {0}")]
    NotSaved(Arc<str>),
    /// The configuration is no longer good; the old one stays in use.
    #[error("not reloaded: {0}")]
    NotReloaded(Arc<str>),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Sends commands to the node task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Commands {
    sender: mpsc::Sender<Command>,
}

impl Commands {
    /// Commands go to whoever holds the other end.
    pub const fn new(sender: mpsc::Sender<Command>) -> Self {
        Self { sender }
    }

    /// Adds runtime labels; returns when a snapshot shows them.
    pub async fn add_labels(&self, labels: Vec<Label>) -> Result<(), CommandError> {
        self.ask(|answer| Command::AddLabels(labels, answer)).await
    }

    /// Removes runtime labels; returns when no snapshot shows them any more.
    pub async fn remove_labels(&self, labels: Vec<Label>) -> Result<(), CommandError> {
        self.ask(|answer| Command::RemoveLabels(labels, answer)).await
    }

    /// Reads all label sources again, the configuration among them; returns when a snapshot shows them.
    pub async fn reload(&self) -> Result<(), CommandError> {
        self.ask(Command::Reload).await
    }

    /// Leaves the fleet and stops the agent.
    pub async fn leave(&self) -> Result<(), CommandError> {
        self.ask(Command::Leave).await
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Result<(), CommandError>>) -> Command) -> Result<(), CommandError> {
        let (answer, answered) = oneshot::channel();
        self.sender.send(command(answer)).await.map_err(|_| CommandError::Stopping)?;
        answered.await.unwrap_or(Err(CommandError::Stopping))
    }
}
