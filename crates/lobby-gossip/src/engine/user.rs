//! User events, queries, keys and coordinates, as outputs ask for them.

use bytes::Bytes;
use lobby_core::{
    id::NodeId,
    port::gossip::{EventId, GossipError, KeyChange, Keys, NewEvent, NewQuery, UserEvent},
    time::Moment,
};

use super::Engine;

impl Engine {
    /// Fires a user event. It is told to our own log too ([`super::Output::Heard`]).
    ///
    /// # Errors
    /// When a field breaks its rules.
    pub fn fire(&mut self, _event: NewEvent, _now: Moment) -> Result<UserEvent, GossipError> {
        Err(GossipError::Busy("events"))
    }

    /// Asks a query: its id, and how many members may answer.
    ///
    /// # Errors
    /// When a field breaks its rules, or too many are open.
    pub fn ask_query(&mut self, _query: NewQuery, _now: Moment) -> Result<(EventId, usize), GossipError> {
        Err(GossipError::Busy("queries"))
    }

    /// Answers a query of somebody else.
    pub fn answer(&mut self, _query: EventId, _payload: Bytes, _now: Moment) {}

    /// The keys of everybody.
    pub fn keys(&self) -> Keys {
        Keys::default()
    }

    /// Begins a change of keys everywhere; [`super::Output::KeysChanged`] with the returned number ends it.
    ///
    /// # Errors
    /// When the key is none, or the cluster is in no state for it.
    pub fn change_keys(&mut self, _change: KeyChange, _now: Moment) -> Result<u64, GossipError> {
        Err(GossipError::Busy("key changes"))
    }

    /// Finds out where these nodes are; [`super::Output::Located`] with the returned number follows.
    pub fn locate(&mut self, _nodes: Vec<NodeId>, _now: Moment) -> u64 {
        0
    }
}
