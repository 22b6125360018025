//! How each node stands: proven dead, forced to leave, gone by its own word. And what people are told about it.

use std::time::Duration;

use foca::State;
use lobby_core::{
    id::{NodeId, Origin},
    port::{Gone, PeerEvent},
    record::Phase,
    time::Moment,
};

use super::{Identity, Roster, Told};

/// How long a goodbye may be on its way after the news that its member is down: a round of the record queue.
const HOLD: Duration = Duration::from_millis(300);

impl Roster {
    /// Rises whenever a member comes or goes, or is proven dead or alive.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Whether there is proof that the node's process is gone.
    pub(crate) fn is_unattended(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.unattended)
    }

    /// Whether the node's record says that this process is gone, for good or until it is back.
    pub(crate) fn said_goodbye(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.said_goodbye())
    }

    /// Since when the member is down; `None` while it is up or unknown.
    pub(crate) fn down_since(&self, id: NodeId) -> Option<Moment> {
        self.nodes.get(&id).filter(|node| node.live_idx.is_none()).map(|node| node.since)
    }

    /// There is proof of a live member's death, or of its life after all; what the catalog must hear.
    pub(crate) fn set_unattended(&mut self, id: NodeId, unattended: bool) -> Option<PeerEvent> {
        let node = self.nodes.get_mut(&id).filter(|node| node.live_idx.is_some() && node.unattended != unattended)?;
        node.unattended = unattended;
        self.version += 1;
        let member = node.member.clone()?;
        node.tell(&member, false)
    }

    /// The node is made to leave; what the catalog must hear.
    pub(crate) fn force_left(&mut self, id: NodeId) -> Option<PeerEvent> {
        let node = self.nodes.get_mut(&id)?;
        node.unattended = false;
        let told = std::mem::replace(&mut node.told, Told::Left);
        // Its own goodbye has said it already, unless that was only until it is back.
        let has_left = node.said_goodbye() && node.record.as_ref().is_some_and(|record| record.has_left());
        (told != Told::Left && !has_left).then(|| PeerEvent::Gone(Origin::Node(id), Gone::Left))
    }

    /// Forgets a node that is not up, its record too.
    pub(crate) fn remove(&mut self, id: NodeId) {
        if id != self.own && self.nodes.get(&id).is_some_and(|node| node.live_idx.is_none() && !node.external) {
            self.nodes.remove(&id);
        }
    }

    /// When somebody's silence about its end is over, if somebody's is.
    pub(crate) fn release_at(&self) -> Option<Moment> {
        self.held.iter().map(|(since, _)| *since + HOLD).min()
    }

    /// What the catalog must hear of members that are down and said no goodbye in time.
    pub(crate) fn release(&mut self, now: Moment) -> Vec<PeerEvent> {
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(|(since, _)| now.since(*since) >= HOLD);
        self.held = held;
        let due: Vec<(Moment, NodeId)> = due;
        let mut tell = |id: NodeId| {
            let node = self.nodes.get_mut(&id)?;
            let member = node.member.clone().filter(|member| member.state() == State::Down)?;
            node.tell(&member, false)
        };
        due.into_iter().filter_map(|(_, id)| tell(id)).collect()
    }

    /// Members that were replaced by one at another address since this was last called: the old and the new.
    pub(crate) fn take_moved(&mut self) -> Vec<(Identity, Identity)> {
        std::mem::take(&mut self.moved)
    }

    /// Every other node that was ever a member, with its state for people; `alive` says who gave a proof of life
    /// although foca suspects it.
    pub(crate) fn standings(&self, alive: impl Fn(NodeId) -> bool) -> impl Iterator<Item = (Identity, &'static str)> {
        self.nodes.iter().filter(|(id, _)| **id != self.own).filter_map(move |(id, node)| {
            let member = node.member.as_ref()?;
            let phase = node.record.as_ref().map(|record| record.phase);
            let state = match member.state() {
                // Also one that meant to come back.
                _ if node.told == Told::Left => "left",
                _ if node.said_goodbye() && phase == Some(Phase::Restarting) => "restarting",
                _ if node.said_goodbye() => "left",
                State::Down => "failed",
                _ if node.unattended => "unattended",
                State::Suspect if !alive(*id) => "suspect",
                State::Suspect | State::Alive => "alive",
            };
            Some((*member.id(), state))
        })
    }
}
