//! What goes into the engine and what comes out of it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lobby_core::{
    coordinate::Coordinate,
    id::NodeId,
    port::{
        Announcement, PeerEvent,
        gossip::{EventId, KeyOutcome, NewEvent, QueryNews, UserEvent},
    },
    proof::{Check, Forged, Signer},
    stats::Stats,
};

#[cfg(doc)]
use crate::engine::Engine;
use crate::{
    config::Config,
    keyring::{Keyring, Nonce},
};

/// A stream, for as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) u64);

/// What comes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram.
    Datagram(SocketAddr, &'a [u8]),
    /// Our own record is now this one.
    Announce(Announcement),
    /// Ask this node directly whether it is there.
    Question(NodeId),
    /// What the seeds resolve to at present, the answer to [`Output::Resolve`].
    Seeds {
        /// All addresses that were found.
        addrs: Vec<SocketAddr>,
        /// Whether every seed has some. Otherwise we may not take ourselves for the only one.
        all_resolved: bool,
    },
    /// A stream of [`Output::Open`] is open.
    Opened(StreamId),
    /// A whole frame.
    Frame(StreamId, &'a [u8]),
    /// A stream ended, or could not be opened. Ends that we asked for need not be told.
    Closed(StreamId),
    /// How [`Output::Connect`] ended.
    Reached(NodeId, Reach),
    /// A datagram from the beacon's multicast group.
    Beacon(SocketAddr, &'a [u8]),
    /// Say goodbye, for good or until we are back: our last record's phase says which. [`Output::Left`] follows.
    Leave,
}

/// What goes out.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Datagram(SocketAddr, Vec<u8>),
    /// Tell the catalog.
    Event(PeerEvent),
    /// Resolve the seeds and answer with [`Input::Seeds`].
    Resolve,
    /// Open a stream.
    Open(StreamId, SocketAddr),
    /// Open a stream that stays open for as long as both ends live: its end is news.
    Watch(StreamId, SocketAddr),
    /// This stream, which somebody opened to us, is such a one: it has no deadline and takes no slot.
    Keep(StreamId),
    /// Open a TCP connection and close it again; answer with [`Input::Reached`], [`CONNECT_TIMEOUT`] at most.
    Connect(NodeId, SocketAddr),
    /// Send this frame.
    Frame(StreamId, Vec<u8>),
    /// Close the stream once its frames are sent.
    Close(StreamId),
    /// Goodbye is said.
    Left,
    /// An address given to [`Engine::join`] was tried: whether a member of our cluster answered, else why not.
    Joined(SocketAddr, Result<(), &'static str>),
    /// A user event for the log; the shell numbers it.
    Heard(UserEvent),
    /// Somebody asks us; answer with [`Engine::answer`].
    Asked(Asked),
    /// News of a query of ours.
    News(EventId, QueryNews),
    /// The time of a query of ours is over, or everybody has answered.
    QueryOver(EventId),
    /// Use this keyring for streams from now on, and save its keys.
    Keyring(Arc<Keyring>),
    /// What became of the change of keys with this number.
    KeysChanged(u64, KeyOutcome),
    /// Somebody delivered a record that its owner did not write. One a second is told.
    Forged {
        /// Whose record it pretends to be.
        origin: NodeId,
        /// Who delivered it, by their own word; `None` when they gave none.
        from: Option<NodeId>,
        /// What is wrong with it.
        why: Forged,
        /// Others since the one that was told last.
        more: u64,
    },
    /// The answer to [`Engine::locate`] with this number.
    Located(u64, Vec<Option<Coordinate>>),
}

/// How long an attempt to connect may take. Only a refusal matters, and that comes at once.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How an attempt to connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Refused: the host lives and nothing listens there.
    Refused,
    /// Somebody listens there.
    Open,
    /// Neither, within the time.
    Silent,
}

/// A query of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its identity.
    pub id: EventId,
    /// Lamport time.
    pub ltime: u64,
    /// Who asks.
    pub origin: NodeId,
    /// What it says.
    pub event: NewEvent,
    /// How long the asker still waits.
    pub timeout: Duration,
}

/// What an engine starts with.
pub struct Setup {
    /// Timings and sizes.
    pub config: Config,
    /// Cluster and keys.
    pub keyring: Arc<Keyring>,
    /// Where the others reach us.
    pub advertise: SocketAddr,
    /// Our own record; it names our id and generation.
    pub announcement: Announcement,
    /// Whether there are seeds. Without, and without `peers`, the picture is complete at once.
    pub seeded: bool,
    /// Members of our former life: tried beside the seeds.
    pub peers: Vec<SocketAddr>,
    /// Draws a nonce: random bytes of the operating system.
    pub nonces: Box<dyn FnMut() -> Nonce + Send>,
    /// Seed of all choices that need no secrecy.
    pub seed: u64,
    /// Says whether a record is its owner's: [`lobby_core::proof::Checker::into_check`].
    pub check: Check,
    /// Our key, for whoever has our id too: [`lobby_core::port::PeerLink::signer`].
    pub signer: Arc<Signer>,
    /// Where packets are counted.
    pub stats: Arc<Stats>,
}
