//! What outputs ask of gossip, beside the catalog: members, keys, user events, queries, coordinates.
//!
//! ```text
//! HTTP, handlers, embedders ──GossipCommand (mpsc 64)──► gossip exchange
//!                           ◄──EventLog (watch)─────────
//!                           ◄──IncomingQuery (mpsc 64)── (one taker: the agent and its handlers)
//! ```
//! A full command queue makes the caller wait; a full query queue drops the query, which its asker sees as no answer.
//! Not here: how any of it travels (`lobby-gossip`).

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use imbl::Vector;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    coordinate::Coordinate,
    id::{Generation, NodeId},
    name::Name,
};

/// Bound of the command queue.
pub const COMMANDS: usize = 64;

/// Bound of the queue of queries that wait for a handler.
pub const QUERIES: usize = 64;

/// User events that an agent remembers, the newest.
pub const EVENTS: usize = 256;

/// Longest name of a user event or query in bytes.
pub const EVENT_NAME_BYTES: usize = 64;

/// Largest payload of a user event or query.
pub const EVENT_PAYLOAD_BYTES: usize = 1024;

/// Longest filter of a user event or query: all its patterns together.
pub const FILTER_BYTES: usize = 128;

/// Largest answer to a query. Up to 1 KiB goes by datagram, more by stream.
pub const ANSWER_BYTES: usize = 64 * 1024;

/// What a seed may be, for people.
pub const SEED: &str = "host, host:port, an IP address with or without a port, or _name._tcp.domain";

/// Whether a text may be a seed: as [`SEED`] says. Whether there is such a host is for the resolver to say.
pub fn is_seed(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok_and(|addr| addr.port() != 0) {
        return true;
    }
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(ip) = bracketed {
        return ip.parse::<Ipv6Addr>().is_ok();
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let in_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
    !host.is_empty() && host.chars().all(in_host) && port.is_none_or(is_port)
}

/// Through how many others an answer may travel. Serf's users take 1 to 3.
pub const RELAYS: u8 = 5;

/// What the time of a query may be: shorter than a round trip makes no sense, longer ones are no queries.
pub const QUERY_TIME: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(600);

/// The identity of a user event or query: 16 random bytes, shown as a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub [u8; 16]);

/// Whom a user event or query is for. Everybody when empty; else who matches every pattern that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Regular expression found in the node's name. An alternative of it that is nothing but the node's id, or its first 8
    /// digits or more, takes the node too.
    pub node: Option<String>,
    /// Regular expression found in the name of one of its services.
    pub service: Option<String>,
    /// Regular expression found in one of the tags of that service.
    pub tag: Option<String>,
    /// Each is a label, or the beginning of one up to a colon, as in `lobbyctl discoveries search`.
    pub labels: Vec<String>,
}

/// A user event that is to be fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its name, [`EVENT_NAME_BYTES`] at most.
    pub name: String,
    /// Whatever it says, [`EVENT_PAYLOAD_BYTES`] at most.
    pub payload: Bytes,
    /// Whom it is for.
    pub filter: Filter,
}

/// A user event as an agent holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEvent {
    /// Its identity.
    pub id: EventId,
    /// Lamport time: an event that was fired after another one had been seen has a higher one.
    pub ltime: u64,
    /// Who fired it.
    pub origin: NodeId,
    /// What it says, and for whom.
    pub event: NewEvent,
    /// The how many-th event this agent took in.
    pub number: u64,
    /// It was fired before we came. Shown, but no handler runs for it.
    pub replayed: bool,
}

/// The newest user events for this node, oldest first.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    /// At most [`EVENTS`].
    pub events: Vector<Arc<UserEvent>>,
    /// How many there were since the start.
    pub n_seen: u64,
}

/// A query that is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewQuery {
    /// Name and payload, and whom it is for.
    pub event: NewEvent,
    /// How long answers are waited for.
    pub timeout: Duration,
    /// Whether everybody who got the query says so.
    pub ack: bool,
    /// Through how many other members each answer travels as well.
    pub relays: u8,
}

/// A query that somebody asks us.
#[derive(Debug)]
pub struct IncomingQuery {
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
    /// Takes the answer, [`ANSWER_BYTES`] at most. Dropped, there is none.
    pub answer: oneshot::Sender<Bytes>,
}

/// What comes back for a query. The channel closes when its time is over or everybody has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryNews {
    /// This node got the query.
    Ack(NodeId),
    /// This node's answer.
    Answer(NodeId, Bytes),
}

/// A member as gossip sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Who.
    pub id: NodeId,
    /// Its name by its last record, also when it is gone; `None` while it has told none.
    pub name: Option<Name>,
    /// Which process of it.
    pub generation: Generation,
    /// Where it is reached.
    pub addr: SocketAddr,
    /// `alive`, `suspect`, `unattended`, `failed`, `restarting` or `left`.
    pub state: &'static str,
    /// Where it is in the space of round trip times, if it told.
    pub coordinate: Option<Coordinate>,
    /// The last round trip measured from here.
    pub rtt: Option<Duration>,
    /// It is ourselves.
    pub own: bool,
}

/// What gossip knows at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Everybody, ourselves too, sorted by id.
    pub members: Vec<Member>,
    /// Named numbers for people: queue lengths, health score, rumours, open streams.
    pub numbers: Vec<(&'static str, u64)>,
}

/// The name of a key: the beginning of a hash of it, as hexadecimal digits. Tells nothing about the key.
pub type Fingerprint = String;

/// The keys of this node: the first seals, all open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Newest knowledge of each live node, ourselves too: its keys, primary first. A node that told none is listed with none.
    pub nodes: Vec<(NodeId, Vec<Fingerprint>)>,
    /// Our own, primary first. Empty: nothing is sealed.
    pub own: Vec<Fingerprint>,
}

/// A change of the keys of the whole cluster.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// Everybody accepts this key (base64 of 32 bytes) too.
    Install(String),
    /// Everybody seals with this key. Refused until everybody has it. Takes a key or a fingerprint.
    Use(String),
    /// Everybody forgets this key. Refused while anybody seals with it. Takes a key or a fingerprint.
    Remove(String),
}

impl std::fmt::Debug for KeyChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Install(_) => "Install(…)",
            Self::Use(_) => "Use(…)",
            Self::Remove(_) => "Remove(…)",
        })
    }
}

/// What became of a key change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyOutcome {
    /// Nodes that did it.
    pub done: Vec<NodeId>,
    /// Nodes that refused, and why.
    pub refused: Vec<(NodeId, String)>,
    /// Live nodes that did not answer in time. They are told again until they do it; see the list of keys.
    pub silent: Vec<NodeId>,
}

/// What became of a `join`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinOutcome {
    /// Addresses at which a member of our cluster answered.
    pub reached: Vec<SocketAddr>,
    /// The others, as they were given, and why.
    pub failed: Vec<(String, String)>,
}

/// Why gossip did not do what it was asked. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GossipError {
    /// This agent has no gossip exchange.
    #[error("this agent does not gossip: add gossip to DRIVER")]
    NoGossip,
    /// A field of the request breaks its rules.
    #[error("{field}: {why}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong and what is accepted.
        why: String,
    },
    /// No node has this id or name.
    #[error("no node {0}")]
    UnknownNode(String),
    /// Only failed nodes are made to leave; a live one leaves itself.
    #[error("node {0} is alive: only a failed node is made to leave")]
    Alive(Name),
    /// The cluster is in no state for this change of keys.
    #[error("{0}")]
    Keys(String),
    /// More are under way than allowed. Try again later.
    #[error("too many {0} at a time")]
    Busy(&'static str),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Answer of a command.
pub type Answer<T> = oneshot::Sender<Result<T, GossipError>>;

/// What gossip can be asked.
#[derive(Debug)]
pub enum GossipCommand {
    /// Who is there.
    View(Answer<View>),
    /// Contact these now (as in GOSSIP_JOIN) and keep them as seeds until the process ends.
    Join(Vec<String>, Answer<JoinOutcome>),
    /// Everybody forgets this failed node: it has left. With `prune` also that it was ever there.
    ForceLeave {
        /// Which node.
        id: NodeId,
        /// Forget its record's version too.
        prune: bool,
        /// The answer.
        answer: Answer<()>,
    },
    /// The keys of the cluster.
    Keys(Answer<Keys>),
    /// Change the keys of the cluster.
    ChangeKeys(KeyChange, Answer<KeyOutcome>),
    /// Fire a user event. Answered when it stands in our own log, if it is for us too.
    Fire(NewEvent, Answer<Arc<UserEvent>>),
    /// Ask a query. News come until the time is over. Also answers with how many nodes were asked, as far as we know.
    Ask(NewQuery, mpsc::Sender<QueryNews>, Answer<usize>),
    /// Where these nodes are in the space of round trip times; asks them when it is not known, for a second at most.
    Coordinates(Vec<NodeId>, Answer<Vec<Option<Coordinate>>>),
}

/// Asks gossip. Cheap to clone. Without a gossip exchange every question is answered with [`GossipError::NoGossip`].
#[derive(Clone, Debug)]
pub struct GossipHandle {
    commands: Option<mpsc::Sender<GossipCommand>>,
    events: watch::Receiver<EventLog>,
}

impl GossipHandle {
    /// Commands go to whoever holds the other end; the same fills the log.
    pub const fn new(commands: mpsc::Sender<GossipCommand>, events: watch::Receiver<EventLog>) -> Self {
        Self { commands: Some(commands), events }
    }

    /// The handle of an agent that does not gossip.
    pub fn none() -> Self {
        // The log of nobody never changes; a receiver whose sender is gone still reads.
        Self { commands: None, events: watch::channel(EventLog::default()).1 }
    }

    /// Whether there is anybody to ask.
    pub const fn is_some(&self) -> bool {
        self.commands.is_some()
    }

    /// The newest user events.
    pub fn events(&self) -> EventLog {
        self.events.borrow().clone()
    }

    /// A receiver of the newest user events, to wait with. Closed when there is no gossip.
    pub fn watch_events(&self) -> watch::Receiver<EventLog> {
        self.events.clone()
    }

    /// Asks and waits for the answer.
    pub async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> GossipCommand) -> Result<T, GossipError> {
        let commands = self.commands.as_ref().ok_or(GossipError::NoGossip)?;
        let (answer, answered) = oneshot::channel();
        commands.send(command(answer)).await.map_err(|_| GossipError::Stopping)?;
        answered.await.unwrap_or(Err(GossipError::Stopping))
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (idx, byte) in self.0.iter().enumerate() {
            if matches!(idx, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_shown_as_a_uuid() {
        let id = EventId(std::array::from_fn(|i| i as u8));
        assert_eq!(id.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
