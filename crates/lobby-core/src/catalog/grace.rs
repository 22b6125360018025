//! Nodes that are listed although nobody holds them alive: those that restart, and those known from disk.
//!
//! ```text
//! restarting:  record says so ─► listed for AGENT_GRACE ─► alive in a newer generation, else failed
//! stale:       read from disk ─► listed until warm      ─► alive when heard of, else dropped
//! ```
//! Not here: nodes whose agent is gone while their host lives, which are what an exchange says (`peer`).

use super::{
    peer::{Peer, due},
    *,
};
use crate::time::WallSecond;

impl Catalog {
    /// Nodes as an earlier process knew them, each with the second it was last heard of then. They are listed as stale
    /// until somebody tells of them or the first complete picture arrives. At most half the catalog, so that strangers
    /// find room; once warm, none.
    pub fn restore(&mut self, records: impl IntoIterator<Item = (Arc<Record>, WallSecond)>, now: Now) {
        if self.is_warm() {
            return;
        }
        for (record, wall) in records {
            let origin = record.origin.clone();
            let ours = origin == Origin::Node(self.own_id);
            if origin.node_id().is_none() || ours || record.has_left() || record.is_external() || self.peers.contains_key(&origin)
            {
                continue;
            }
            if self.peers.len() >= limits::NODES / 2 {
                break;
            }
            let peer = Peer { record: Some(record), stale: true, ..Peer::default() };
            let ago = Duration::from_secs(now.wall.0.saturating_sub(wall.0));
            peer.heard.at(Now { moment: now.moment - ago, wall });
            self.peers.insert(origin.clone(), peer);
            self.any_stale = true;
            self.settle(&origin, now.moment);
        }
    }

    /// The first complete picture is here: who is not in it is not there. A record that was told in this run stays, not
    /// listed: it is not told again when the news follows that its node is alive.
    pub(super) fn drop_stale(&mut self, now: Moment) {
        let stale: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.stale).map(|(origin, _)| origin.clone()).collect();
        for origin in stale {
            match self.peers.get_mut(&origin) {
                Some(peer) if peer.told || !peer.views.is_empty() => {
                    peer.stale = false;
                    self.settle(&origin, now);
                }
                _ => _ = self.remove(&origin),
            }
        }
    }

    /// The node says that it restarts. What exchanges made of the process that ends says nothing of the next one. A node
    /// that was failed before stays so: the news is old.
    pub(super) fn await_return(&mut self, origin: &Origin, now: Now) {
        let Some(peer) = self.peers.get_mut(origin) else { return };
        if !peer.views.is_empty() && !peer.state().is_listed() {
            return;
        }
        if peer.views.iter().any(|view| view.state == NodeState::Alive) {
            peer.heard.at(now);
        }
        peer.lose();
        for view in &mut peer.views {
            view.state = NodeState::Failed;
        }
        peer.stale = false;
        peer.restarting = Some(now.moment);
        if peer.returning.is_none() {
            self.arm_return(now.moment + self.grace, origin);
        }
    }

    fn arm_return(&mut self, at: Moment, origin: &Origin) {
        let number = self.arm(at, Timer::Return(origin.clone()));
        if let Some(peer) = self.peers.get_mut(origin) {
            peer.returning = Some(number);
        }
    }

    /// A restarting node had its time, unless its return could not be seen.
    pub(super) fn give_up_return(&mut self, origin: &Origin, number: u64, now: Moment) {
        let Some(peer) = self.peers.get_mut(origin) else { return };
        if peer.returning != Some(number) {
            return;
        }
        peer.returning = None;
        let Some(since) = peer.restarting else { return };
        let knows = |idx: usize| peer.views.is_empty() || peer.views.iter().any(|view| usize::from(view.exchange.0) == idx);
        let links = self.links.iter().enumerate().filter(|(idx, _)| knows(*idx));
        let due = links.map(|(_, info)| due(info.up_since, since, self.grace, now)).min();
        match due.filter(|due| *due > now) {
            Some(due) => self.arm_return(due, origin),
            None => {
                peer.restarting = None;
                self.settle(origin, now);
            }
        }
    }
}
