//! Where nodes are in the space of round trip times: measured by our probes, told on acks and answers.
//!
//! ```text
//! ping n ─► (when) … ack n + coordinate ─► median of the peer's last three ─► our own coordinate moves
//! ```
//! Every second ack carries the sender's coordinate: 46 bytes, so 46 B/s of each member. Answers to questions always do;
//! that is how [`Engine::locate`] finds out about nodes that have not acked us yet.
//! Not here: the arithmetic (`vivaldi`), the probes (`member`).

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use lobby_core::{coordinate::Coordinate, id::NodeId, time::Moment};
use rand::RngExt;

use super::{
    Engine, Output,
    user::{Count, UserTimer},
};
use crate::{
    codec::{self, Probe},
    identity::Identity,
    item::{Item, UserItem},
    vivaldi::{Samples, Vivaldi},
};

/// Pings whose ack may still come: one goes out in each probe period, 200 ms at least, and 10 s is the longest that counts.
const PINGS: usize = 50;

/// Only each such ack carries our coordinate.
const ACKS_PER_COORDINATE: u64 = 2;

/// How often nodes whose coordinate is unknown are asked, and the wait each time.
const TRIES: u8 = 3;
const WAIT: Duration = Duration::from_millis(330);

/// Nodes that are asked for one request; of the rest only what is known is told.
const MOST_ASKED: usize = 256;

/// Requests that wait at a time; others are told what is known.
const MOST_OPEN: usize = 64;

#[derive(Debug, Default)]
struct Peer {
    coordinate: Option<Coordinate>,
    samples: Samples,
}

/// Somebody wants to know where these are.
#[derive(Debug)]
struct Search {
    nodes: Vec<NodeId>,
    tries: u8,
}

/// What is known of round trips.
#[derive(Debug)]
pub(super) struct Locate {
    own: Vivaldi,
    /// In boxes, as a table of thousands has nearly as many empty places.
    peers: HashMap<NodeId, Box<Peer>>,
    /// Newest last.
    pings: VecDeque<(NodeId, u8, Moment)>,
    /// The round trip that the datagram at hand has just completed.
    measured: Option<Duration>,
    n_acks: u64,
    searches: HashMap<u64, Search>,
    n_searches: u64,
}

impl Default for Locate {
    fn default() -> Self {
        Self {
            own: Vivaldi::new(),
            peers: HashMap::new(),
            pings: VecDeque::new(),
            measured: None,
            n_acks: 0,
            searches: HashMap::new(),
            n_searches: 0,
        }
    }
}

impl Locate {
    pub(super) fn forget(&mut self, is_known: impl Fn(NodeId) -> bool) {
        self.peers.retain(|id, _| is_known(*id));
    }
}

impl Engine {
    /// Where we are.
    pub fn own_coordinate(&self) -> Coordinate {
        self.user.locate.own.coordinate()
    }

    /// Where a node said it is; ourselves too.
    pub fn coordinate_of(&self, id: NodeId) -> Option<Coordinate> {
        if id == self.own { Some(self.own_coordinate()) } else { self.user.locate.peers.get(&id)?.coordinate }
    }

    /// The last round trip to a node that was measured from here.
    pub fn rtt_of(&self, id: NodeId) -> Option<Duration> {
        self.user.locate.peers.get(&id)?.samples.newest()
    }

    /// Finds out where these nodes are; [`Output::Located`] with the returned number follows within a second, in their order.
    /// Those whose coordinate is unknown are asked, 256 of them at most.
    pub fn locate(&mut self, nodes: Vec<NodeId>, now: Moment) -> u64 {
        self.user.now = now;
        let locate = &mut self.user.locate;
        locate.n_searches += 1;
        let number = locate.n_searches;
        let tries = if locate.searches.len() < MOST_OPEN { 0 } else { TRIES };
        locate.searches.insert(number, Search { nodes, tries });
        self.locate_again(number, now);
        number
    }

    /// Asks those that are still unknown, or ends the search.
    pub(super) fn locate_again(&mut self, number: u64, now: Moment) {
        let Some(search) = self.user.locate.searches.get_mut(&number) else { return };
        search.tries = search.tries.saturating_add(1);
        let (tries, nodes) = (search.tries, search.nodes.clone());
        let is_unknown = |id: &NodeId| self.coordinate_of(*id).is_none();
        let asked = nodes.iter().filter(|id| is_unknown(id)).filter_map(|id| self.roster.live_member(*id));
        let asked: Vec<_> = asked.take(MOST_ASKED).collect();
        if tries > TRIES || asked.is_empty() || self.leaving {
            let found = nodes.iter().map(|id| self.coordinate_of(*id)).collect();
            self.user.locate.searches.remove(&number);
            self.outputs.push_back(Output::Located(number, found));
            return;
        }
        for identity in asked {
            let question = Item::Question(self.rng.random()).encode();
            self.send(identity.addr, &[], &[question]);
        }
        self.arm_user(now, WAIT, UserTimer::Locate(number));
    }

    /// A foca packet goes out: notes a ping, and returns what rides on an ack.
    pub(super) fn note_probe_out(&mut self, to: &Identity, packet: &[u8], now: Moment) -> Option<Bytes> {
        let locate = &mut self.user.locate;
        match codec::probe(packet)? {
            Probe::Ping(number) => {
                if locate.pings.len() >= PINGS {
                    locate.pings.pop_front();
                }
                locate.pings.push_back((to.id, number, now));
                None
            }
            Probe::Ack(_) => {
                locate.n_acks += 1;
                locate.n_acks.is_multiple_of(ACKS_PER_COORDINATE).then(|| self.coordinate_item())
            }
        }
    }

    /// Our coordinate as it travels.
    pub(super) fn coordinate_item(&self) -> Bytes {
        UserItem::Coordinate(self.own_coordinate()).encode()
    }

    /// A foca packet came in: an ack of a ping of ours completes a round trip.
    pub(super) fn note_probe_in(&mut self, sender: NodeId, packet: &[u8], now: Moment) {
        let locate = &mut self.user.locate;
        locate.measured = None;
        if let Some(Probe::Ack(number)) = codec::probe(packet)
            && let Some(idx) = locate.pings.iter().rposition(|(id, ping, _)| (*id, *ping) == (sender, number))
            && let Some((_, _, sent)) = locate.pings.remove(idx)
        {
            locate.measured = Some(now.since(sent)).filter(|rtt| Vivaldi::takes(*rtt));
        }
    }

    /// A member says where it is.
    pub(super) fn take_coordinate(&mut self, sender: NodeId, coordinate: Coordinate, now: Moment) {
        if self.roster.knows(sender) {
            self.user.locate.peers.entry(sender).or_default().coordinate = Some(coordinate);
            self.end_searches(now);
        }
    }

    /// All of a datagram was read: a round trip that it completed moves our coordinate.
    pub(super) fn learn_round_trip(&mut self, sender: NodeId) {
        let Some(rtt) = self.user.locate.measured.take().filter(|_| self.roster.knows(sender)) else { return };
        let locate = &mut self.user.locate;
        let peer = locate.peers.entry(sender).or_default();
        let median = peer.samples.add(rtt);
        if let Some(coordinate) = peer.coordinate {
            locate.own.update(&coordinate, median, &mut self.rng);
            self.user.count(Count::RoundTrips);
        }
    }

    /// Ends the searches that have found all they can.
    fn end_searches(&mut self, now: Moment) {
        let is_known = |id: &NodeId| self.coordinate_of(*id).is_some() || self.roster.live_member(*id).is_none();
        let searches = self.user.locate.searches.iter();
        let done = searches.filter(|(_, search)| search.nodes.iter().all(is_known)).map(|(number, _)| *number);
        let mut done: Vec<_> = done.collect();
        done.sort_unstable();
        for number in done {
            self.locate_again(number, now);
        }
    }
}
