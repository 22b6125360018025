//! Conversations over streams: exchange of the whole state, join, pulls. The frames stand in `frame`.
//!
//! A frame out of turn ends the conversation. The shell ends those that take too long or too many bytes.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    time::Duration,
};

use foca::Member;
use lobby_core::{
    id::NodeId,
    port::gossip::EventId,
    stats::{PacketKind, Queue, Verdict},
    time::Moment,
};

use super::{Engine, Output, StreamId, watch::MOST_KEPT};
use crate::{
    frame::{Frame, Gift, give_frames},
    identity::Identity,
    item::Item,
};

/// Streams that others may have open to us at a time.
pub const MAX_INBOUND: usize = 8;

/// What one side gives in one exchange; the rest follows in the next.
pub(super) const GIVE_BYTES: usize = 32 << 20;

/// Sums differ while a change is on its way: an exchange because of them is not started more often.
const ROOT_EXCHANGE_GAP: Duration = Duration::from_secs(3);

/// Exchanges that we have open at a time, when those before them are slow.
pub(super) const MAX_EXCHANGES: usize = 3;

/// An exchange that takes longer is slow.
const SLOW_EXCHANGE: Duration = Duration::from_secs(5);

/// Why we opened a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Exchange,
    Seed(SocketAddr),
    Pull(NodeId),
    Watch(NodeId),
    /// A large answer to this query.
    Answer(EventId),
}

/// Where a conversation stands.
#[derive(Debug)]
pub(super) enum Talk {
    /// We opened it: not open yet.
    Opening(Purpose),
    /// Our first frame is out.
    Asked(Purpose),
    /// Our entries are out. These nodes are up for the other and down for us: it will want to know.
    Compared(Purpose, Identity, BTreeSet<NodeId>),
    /// The sums are equal; events are still to come.
    Parting(Purpose),
    /// They opened it and have said nothing yet.
    Accepted,
    /// Our bucket sums are out.
    Summed,
    /// What we give is out, what they give comes in.
    Given,
    /// This member watches us: nothing is said until the end.
    Kept(NodeId),
}

impl Talk {
    const fn purpose(&self) -> Option<Purpose> {
        match self {
            Self::Opening(purpose) | Self::Asked(purpose) | Self::Compared(purpose, ..) | Self::Parting(purpose) => {
                Some(*purpose)
            }
            Self::Accepted | Self::Summed | Self::Given | Self::Kept(_) => None,
        }
    }
}

/// All open conversations.
#[derive(Debug, Default)]
pub(super) struct Talks {
    n_opened: u64,
    open: HashMap<StreamId, Talk>,
    /// Who said that they are at the other end of a stream.
    ends: HashMap<StreamId, NodeId>,
    last_exchange: Moment,
}

impl Engine {
    /// A new id for a stream that somebody opened to us; `None` while there are enough of them.
    pub fn accept(&mut self) -> Option<StreamId> {
        let is_inbound = |talk: &&Talk| talk.purpose().is_none() && !matches!(talk, Talk::Kept(_));
        let n_inbound = self.talks.open.values().filter(is_inbound).count();
        self.stats.depth(Queue::Streams, n_inbound, MAX_INBOUND);
        (n_inbound < MAX_INBOUND).then(|| self.begin(Talk::Accepted))
    }

    fn begin(&mut self, talk: Talk) -> StreamId {
        self.talks.n_opened += 1;
        let stream = StreamId(self.talks.n_opened);
        self.talks.open.insert(stream, talk);
        stream
    }

    pub(super) fn open(&mut self, to: SocketAddr, purpose: Purpose) -> StreamId {
        let stream = self.begin(Talk::Opening(purpose));
        self.outputs.push_back(match purpose {
            Purpose::Watch(_) => Output::Watch(stream, to),
            Purpose::Exchange | Purpose::Seed(_) | Purpose::Pull(_) | Purpose::Answer(_) => Output::Open(stream, to),
        });
        stream
    }

    /// Who is at the other end of a stream: by their own word, else whoever listens where we opened it to.
    pub(super) fn other_end(&self, stream: StreamId) -> Option<NodeId> {
        let addr = || self.pulled_from(stream);
        let listens = || addr().and_then(|addr| self.roster.live().find(|member| member.addr == addr));
        self.talks.ends.get(&stream).copied().or_else(|| listens().map(|member| member.id))
    }

    /// Streams that are open.
    pub(super) fn n_streams(&self) -> usize {
        self.talks.open.len()
    }

    /// Notes how many others watch us.
    pub(super) fn note_kept(&self) {
        let n_kept = self.talks.open.values().filter(|talk| matches!(talk, Talk::Kept(_))).count();
        self.stats.depth(Queue::Kept, n_kept, MOST_KEPT);
    }

    /// Streams over which others watch us, and who does.
    pub(super) fn kept_streams(&self) -> Vec<(StreamId, NodeId)> {
        let opener = |(stream, talk): (&StreamId, &Talk)| if let Talk::Kept(id) = talk { Some((*stream, *id)) } else { None };
        let mut kept: Vec<_> = self.talks.open.iter().filter_map(opener).collect();
        kept.sort();
        kept
    }

    /// Ends a conversation without a word; whether there was one in which a word would be heard.
    pub(super) fn drop_talk(&mut self, stream: StreamId) -> bool {
        self.talks.ends.remove(&stream);
        self.talks.open.remove(&stream).is_some_and(|talk| !matches!(talk, Talk::Opening(_)))
    }

    /// Whether a stream to this seed is under way.
    pub(super) fn is_contacting(&self, seed: SocketAddr) -> bool {
        self.talks.open.values().any(|talk| talk.purpose() == Some(Purpose::Seed(seed)))
    }

    /// Sends our sum to some member.
    pub(super) fn send_root(&mut self) {
        if self.leaving {
            return;
        }
        if let Some(target) = self.roster.choose(1, &[], &mut self.rng).first() {
            let item = Item::Root(self.roster.sums().root).encode();
            self.send(target.addr, &[], &[item]);
        }
    }

    /// Somebody's sum: if it differs, and no change on its way explains that, compare.
    pub(super) fn handle_root(&mut self, root: u64, source: SocketAddr, now: Moment) {
        if root != self.roster.sums().root && self.has_rested(now) && self.push.queue.is_empty() {
            self.exchange_with(source, now);
        }
    }

    /// Whether the last exchange was some time ago.
    pub(super) fn has_rested(&self, now: Moment) -> bool {
        now.since(self.talks.last_exchange) >= ROOT_EXCHANGE_GAP
    }

    pub(super) fn exchange_with_anybody(&mut self, now: Moment) {
        if let Some(target) = self.roster.choose(1, &[], &mut self.rng).first() {
            self.exchange_with(target.addr, now);
        }
    }

    fn exchange_with(&mut self, addr: SocketAddr, now: Moment) {
        // One that takes longer than usual does not hold up the others: its peer may be slow, or say nothing at all.
        let rested = now.since(self.talks.last_exchange) >= SLOW_EXCHANGE;
        let n_open = self.n_exchanges();
        if !self.leaving && (n_open == 0 || (rested && n_open < MAX_EXCHANGES)) {
            self.start_exchange(addr, now);
        }
    }

    pub(super) fn start_exchange(&mut self, addr: SocketAddr, now: Moment) {
        self.talks.last_exchange = now;
        self.open(addr, Purpose::Exchange);
    }

    pub(super) fn n_exchanges(&self) -> usize {
        self.talks.open.values().filter(|talk| talk.purpose() == Some(Purpose::Exchange)).count()
    }

    pub(super) fn handle_opened(&mut self, stream: StreamId) {
        let Some(Talk::Opening(purpose)) = self.talks.open.get(&stream) else { return };
        let purpose = *purpose;
        let first = match purpose {
            Purpose::Exchange | Purpose::Seed(_) => Frame::Hello(self.identity(), self.roster.sums().root),
            Purpose::Pull(id) => Frame::Pull(id, self.pulled_stamp(id)),
            Purpose::Watch(id) => self.watch_frame(id),
            Purpose::Answer(query) => self.large_frame(query),
        };
        self.say(stream, first);
        self.talks.open.insert(stream, Talk::Asked(purpose));
    }

    pub(super) fn handle_closed(&mut self, stream: StreamId, now: Moment) {
        self.talks.ends.remove(&stream);
        self.user.events.forget_stream(stream);
        if let Some(purpose) = self.talks.open.remove(&stream).and_then(|talk| talk.purpose()) {
            self.end(stream, purpose, now);
        }
    }

    /// Ends a conversation that we opened; nothing is told about its end.
    pub(super) fn hang_up(&mut self, stream: StreamId) {
        self.talks.ends.remove(&stream);
        if self.talks.open.remove(&stream).is_some() {
            self.outputs.push_back(Output::Close(stream));
        }
    }

    pub(super) fn handle_frame(&mut self, stream: StreamId, bytes: &[u8], now: Moment) {
        let Some(talk) = self.talks.open.remove(&stream) else { return };
        let purpose = talk.purpose();
        self.hear_stream(stream);
        let next = match Frame::decode(bytes) {
            Ok(frame) => {
                if let Frame::Hello(peer, _) | Frame::Same(peer) | Frame::Buckets(peer, _) = &frame {
                    self.talks.ends.insert(stream, peer.id);
                }
                self.converse(stream, talk, frame, now)
            }
            Err(_) => Err(Verdict::Garbage),
        };
        let verdict = next.as_ref().map_or_else(|verdict| *verdict, |_| Verdict::Ok);
        self.stats.received(PacketKind::Stream, verdict, bytes.len());
        match next {
            Ok(Some(talk)) => {
                self.talks.open.insert(stream, talk);
            }
            Ok(None) | Err(_) => {
                self.talks.ends.remove(&stream);
                self.user.events.forget_stream(stream);
                self.outputs.push_back(Output::Close(stream));
                if let Some(purpose) = purpose {
                    self.end(stream, purpose, now);
                }
            }
        }
    }

    /// One step of a conversation: the state after it, `None` at its good end.
    fn converse(&mut self, stream: StreamId, talk: Talk, frame: Frame, now: Moment) -> Result<Option<Talk>, Verdict> {
        match (talk, frame) {
            (talk, Frame::Events(notice)) => self.converse_events(stream, talk, notice, now),
            (Talk::Accepted, Frame::Answer(reply)) => Ok(Some(self.take_large(stream, reply))),
            (Talk::Asked(Purpose::Answer(query)), Frame::Done) => Ok(self.large_arrived(query)),
            (Talk::Accepted, Frame::Hello(peer, root)) => Ok(Some(self.greet(stream, peer, root, now))),
            (Talk::Accepted, Frame::Pull(id, stamp)) => {
                match self.roster.record(id).filter(|record| record.stamp >= stamp) {
                    Some(record) => {
                        self.say(stream, Frame::Give(vec![Gift { member: None, record: Some(record.clone()), spoilt: false }]))
                    }
                    None => self.say(stream, Frame::Done),
                }
                Ok(Some(Talk::Given))
            }
            (Talk::Asked(Purpose::Pull(_)), Frame::Give(gifts)) => {
                for record in gifts.into_iter().filter_map(|gift| gift.record) {
                    let verdict = self.take_pulled(record, now);
                    self.stats.received(PacketKind::Record, verdict, 0);
                }
                Ok(None)
            }
            (Talk::Asked(Purpose::Pull(_)), Frame::Done) => Ok(None),
            (Talk::Asked(purpose), Frame::Same(peer)) => {
                self.meet(peer, now);
                self.complete(purpose, peer, true, now);
                Ok(self.part(stream, purpose, now))
            }
            (Talk::Asked(purpose), Frame::Buckets(peer, sums)) => {
                self.meet(peer, now);
                self.begin_events(stream, now);
                let mask = self.roster.sums().differing(&sums);
                let entries = self.roster.entries(&mask);
                self.say(stream, Frame::Entries(mask, entries));
                Ok(Some(Talk::Compared(purpose, peer, BTreeSet::new())))
            }
            (Talk::Summed, Frame::Entries(mask, entries)) => {
                self.give_and_want(stream, &mask, &entries);
                Ok(Some(Talk::Given))
            }
            (Talk::Compared(purpose, peer, mut ended), Frame::Give(gifts)) => {
                ended.extend(self.take_gifts(gifts, now));
                Ok(Some(Talk::Compared(purpose, peer, ended)))
            }
            (Talk::Compared(purpose, peer, ended), Frame::Want(ids, complete)) => {
                let ids: BTreeSet<_> = ids.into_iter().chain(ended).collect();
                let (frames, _) = give_frames(ids.into_iter().filter_map(|id| self.gift(id)), GIVE_BYTES);
                self.say_all(stream, frames);
                self.say(stream, Frame::Done);
                self.complete(purpose, peer, complete, now);
                Ok(None)
            }
            (Talk::Given, Frame::Give(gifts)) => {
                self.take_gifts(gifts, now);
                Ok(Some(Talk::Given))
            }
            (Talk::Given, Frame::Done) => Ok(None),
            (talk, frame @ (Frame::Watch(..) | Frame::Bye)) => self.converse_watch(stream, &talk, &frame, now),
            _ => Err(Verdict::Garbage),
        }
    }

    fn converse_watch(&mut self, stream: StreamId, talk: &Talk, frame: &Frame, now: Moment) -> Result<Option<Talk>, Verdict> {
        match (talk, frame) {
            (Talk::Accepted, Frame::Watch(peer, wanted)) => {
                Ok(self.take_watch(stream, *peer, *wanted, now).then_some(Talk::Kept(peer.id)))
            }
            (Talk::Kept(_), Frame::Bye) => Ok(None),
            (Talk::Asked(Purpose::Watch(id)), Frame::Bye) => {
                self.watch_dismissed(*id, now);
                Ok(None)
            }
            _ => Err(Verdict::Garbage),
        }
    }

    /// Somebody who opened a stream tells who they are and the sum of what they know.
    fn greet(&mut self, stream: StreamId, peer: Identity, root: u64, now: Moment) -> Talk {
        let same = root == self.roster.sums().root;
        self.meet(peer, now);
        let own = self.identity();
        if peer.id != self.own {
            self.offer_events(stream, now);
        }
        if same || peer.id == self.own {
            self.say(stream, Frame::Same(own));
            return Talk::Given;
        }
        self.say(stream, Frame::Buckets(own, self.roster.sums().told(self.roster.n_live() + 1)));
        Talk::Summed
    }

    /// The other end of a stream is alive, and is where it says it is.
    pub(super) fn meet(&mut self, peer: Identity, now: Moment) {
        if peer.id != self.own {
            self.with_membership(now, |membership, effects| membership.apply([Member::alive(peer)], true, now, effects));
        } else {
            self.hear_of_twin(peer, now);
        }
    }

    fn complete(&mut self, purpose: Purpose, peer: Identity, complete: bool, now: Moment) {
        let seed = if let Purpose::Seed(addr) = purpose { Some(addr) } else { None };
        if let Some(addr) = seed {
            self.seed_answered(addr, peer, complete, now);
        }
        if peer.id != self.own {
            // Before it may make us warm.
            self.note_clocks();
            self.exchanged(seed.is_some(), complete, now);
        }
    }

    /// A stream that we opened is over, well or badly.
    fn end(&mut self, stream: StreamId, purpose: Purpose, now: Moment) {
        match purpose {
            Purpose::Exchange => {}
            Purpose::Seed(addr) => self.seed_ended(addr, now),
            Purpose::Pull(id) => self.end_pull(id, stream, now),
            Purpose::Watch(id) => self.watch_ended(id, now),
            Purpose::Answer(query) => self.end_large(query, now),
        }
    }

    pub(super) fn say(&mut self, stream: StreamId, frame: Frame) {
        self.say_all(stream, vec![frame.encode()]);
    }

    pub(super) fn say_all(&mut self, stream: StreamId, frames: Vec<Vec<u8>>) {
        for bytes in frames {
            self.stats.sent(PacketKind::Stream, Verdict::Ok, bytes.len());
            self.outputs.push_back(Output::Frame(stream, bytes));
        }
    }
}
