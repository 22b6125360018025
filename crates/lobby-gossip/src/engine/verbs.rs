//! What people ask of the engine about members: who is there, join these, forget that one.

use std::net::SocketAddr;

use lobby_core::{
    id::NodeId,
    port::gossip::{GossipError, View},
    time::Moment,
};

use super::Engine;

impl Engine {
    /// Contacts this address now and keeps it as a seed; [`super::Output::Joined`] follows.
    pub fn join(&mut self, addr: SocketAddr, now: Moment) {
        self.join_at(addr, now);
    }

    /// Makes everybody forget a failed node.
    ///
    /// # Errors
    /// When the node is unknown or alive.
    pub fn force_leave(&mut self, id: NodeId, prune: bool, now: Moment) -> Result<(), GossipError> {
        self.order_leave(id, prune, now)
    }

    /// What we know of everybody.
    pub fn view(&self, now: Moment) -> View {
        self.make_view(now)
    }

    /// Addresses worth trying after a restart, the best first: at most 64.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.peers_now()
    }

    /// A sealed datagram for the beacon's multicast group: that we are here.
    pub fn beacon(&mut self) -> Vec<u8> {
        self.seal_beacon()
    }
}
