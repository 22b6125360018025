//! Changes of records by datagram: our own go out at once, those of others are passed on at once.
//!
//! ```text
//! change here ──┐
//! datagram ─────┼─► roster ─► queue ─► 5 members at once (together with all other changes of 20 ms)
//! stream pull ──┘                 └──► 3 members every 200 ms, and on every probe, until 12 copies are out
//! ```
//! A hint is passed on only after the record is here, so pulls form a tree and the origin serves a handful.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use lobby_core::{
    id::{NodeId, Origin, Version},
    port::{Announcement, PeerEvent},
    record::{ApplyDeltaError, Delta, Record, Stamp},
    stats::Verdict,
    time::Moment,
};
use rand::RngExt;

use super::{Engine, Output, StreamId, Timer, talk::Purpose};
use crate::{
    item::{self, Item},
    queue::PushQueue,
    roster::Taken,
};

/// A receiver has surely heard of a change that is this old, or an exchange is repairing it.
const SETTLED: Duration = Duration::from_secs(5);

/// Records waiting to be fetched. Above it the exchange repairs what is missing.
const MAX_PULLS: usize = 1024;

/// Fetched at the same time.
const MAX_OPEN_PULLS: usize = 8;

/// A hint reaches many at once; they fetch within this time, not all in the same instant.
const PULL_SPREAD: Duration = Duration::from_millis(50);

/// How often fetching is tried before it is left to the exchange.
const PULL_TRIES: u8 = 3;

/// What is being sent and fetched.
#[derive(Debug, Default)]
pub(super) struct Push {
    pub(super) queue: PushQueue,
    /// Our own record has a version that is not in the queue yet.
    own_changed: bool,
    /// Versions of our own record that went out, and when; the first is settled.
    own_sent: VecDeque<(Moment, Version)>,
    flush_armed: bool,
    gossip_armed: bool,
    last_flush: Moment,
    pulls: HashMap<NodeId, Pull>,
}

#[derive(Debug)]
struct Pull {
    stamp: Stamp,
    source: SocketAddr,
    tries: u8,
    stream: Option<StreamId>,
}

impl Push {
    pub(super) fn backlog(&self) -> usize {
        self.queue.len()
    }
}

impl Engine {
    /// Our own record is now this one.
    pub(super) fn announce(&mut self, announcement: Announcement, now: Moment) {
        if announcement.listed && self.roster.put_record(announcement.record, now) == Taken::Newer {
            self.push.own_changed = true;
            self.arm_flush(now);
        }
    }

    /// Pushes our own record once more, to those who had to forget it.
    pub(super) fn repeat_own(&mut self, now: Moment) {
        self.push.own_changed = true;
        self.push.own_sent.clear();
        self.arm_flush(now);
    }

    /// Queues the newest version of our own record in its smallest form.
    pub(super) fn queue_own(&mut self, now: Moment) {
        if !std::mem::take(&mut self.push.own_changed) {
            return;
        }
        let Some(record) = self.roster.record(self.own) else { return };
        let sent = &mut self.push.own_sent;
        while sent.get(1).is_some_and(|(at, _)| now.since(*at) > SETTLED) {
            sent.pop_front();
        }
        let bases = sent.front().into_iter().chain(sent.back()).map(|(_, version)| *version);
        let form = item::change(record, bases);
        sent.push_back((now, record.stamp.version));
        self.push.queue.push(self.own, record.stamp, form);
    }

    /// Pushes what is fresh.
    pub(super) fn flush(&mut self, now: Moment) {
        self.push.flush_armed = false;
        self.push.last_flush = now;
        self.queue_own(now);
        self.send_queue(self.config.fanout);
        let copies = self.config.fanout.min(self.roster.n_live());
        if self.push.queue.has_fresh(copies) || self.deaths.notices.has_fresh(copies) {
            self.arm_flush(now);
        }
        self.arm_gossip(now);
    }

    /// Sends another round.
    pub(super) fn gossip(&mut self, now: Moment) {
        self.push.gossip_armed = false;
        self.send_queue(self.config.gossip_fanout);
        self.arm_gossip(now);
    }

    fn send_queue(&mut self, fanout: usize) {
        for target in self.roster.choose(fanout, &[], &mut self.rng) {
            if self.push.queue.is_empty() && self.deaths.notices.is_empty() {
                break;
            }
            self.send(target.addr, &[], &[]);
        }
    }

    pub(super) fn arm_flush(&mut self, now: Moment) {
        if !std::mem::replace(&mut self.push.flush_armed, true) {
            let wait = (self.push.last_flush + self.config.push_period).since(now);
            self.timers.arm(now, wait, Timer::Flush);
        }
    }

    /// Sees to it that the queue goes out. While nobody is there it waits for somebody to come up.
    pub(super) fn arm_gossip(&mut self, now: Moment) {
        let idle = (self.push.queue.is_empty() && self.deaths.notices.is_empty()) || self.roster.n_live() == 0;
        if !idle && !std::mem::replace(&mut self.push.gossip_armed, true) {
            // Anywhere within the period: members that heard of a change together must not go on in step.
            let wait = self.rng.random_range(self.config.push_period..self.config.gossip_period);
            self.timers.arm(now, wait, Timer::Gossip);
        }
    }

    /// A delta came by datagram.
    pub(super) fn take_delta(&mut self, delta: &Delta, raw: Bytes, source: SocketAddr, now: Moment) -> Verdict {
        if delta.origin == self.own {
            return Verdict::Own;
        }
        let applied = self.roster.record(delta.origin).map(|record| record.apply(delta));
        match applied {
            Some(Ok(next)) => self.take_pushed(Arc::new(next), raw, now),
            Some(Err(ApplyDeltaError::Stale)) => Verdict::Stale,
            Some(Err(ApplyDeltaError::TooLarge)) => Verdict::Oversize,
            Some(Err(ApplyDeltaError::UnknownBase)) | None => self.take_hint(delta.origin, delta.stamp, source, now),
        }
    }

    /// A record came by datagram, whole or by delta. Passed on as it came.
    pub(super) fn take_pushed(&mut self, record: Arc<Record>, raw: Bytes, now: Moment) -> Verdict {
        let Some(origin) = record.origin.node_id() else { return Verdict::Garbage };
        if self.roster.record(origin).is_some_and(|known| known.stamp >= record.stamp) {
            return if origin == self.own { Verdict::Own } else { Verdict::Stale };
        }
        if !self.roster.may_change(origin, now) {
            return Verdict::Refused;
        }
        let stamp = record.stamp;
        let verdict = self.take_record(record, now);
        if verdict == Verdict::Ok {
            // What somebody with larger datagrams sent whole need not fit into ours.
            let form = if raw.len() > item::PUSH_BYTES { Item::Hint(origin, stamp).encode() } else { raw };
            self.push.queue.push(origin, stamp, form);
            self.arm_flush(now);
        }
        verdict
    }

    /// There is a version of a record that could not be sent here whole.
    pub(super) fn take_hint(&mut self, origin: NodeId, stamp: Stamp, source: SocketAddr, now: Moment) -> Verdict {
        if origin == self.own {
            return Verdict::Own;
        }
        if self.roster.record(origin).is_some_and(|known| known.stamp >= stamp) {
            return Verdict::Stale;
        }
        if let Some(pull) = self.push.pulls.get_mut(&origin) {
            pull.stamp = pull.stamp.max(stamp);
            pull.source = source;
        } else if self.push.pulls.len() < MAX_PULLS {
            self.push.pulls.insert(origin, Pull { stamp, source, tries: 0, stream: None });
            let wait = self.rng.random_range(Duration::ZERO..PULL_SPREAD);
            self.timers.arm(now, wait, Timer::Pull(origin));
        } else {
            return Verdict::Refused;
        }
        Verdict::Ok
    }

    /// Fetches a record, if it is still missing.
    pub(super) fn pull(&mut self, origin: NodeId, now: Moment) {
        let known = self.roster.record(origin).map_or(Stamp::default(), |record| record.stamp);
        let n_open = self.push.pulls.values().filter(|pull| pull.stream.is_some()).count();
        let Some(pull) = self.push.pulls.get_mut(&origin) else { return };
        if pull.stream.is_some() {
            return;
        }
        if known >= pull.stamp || self.leaving {
            self.push.pulls.remove(&origin);
        } else if n_open >= MAX_OPEN_PULLS {
            self.timers.arm(now, PULL_SPREAD, Timer::Pull(origin));
        } else {
            let source = pull.source;
            let stream = self.open(source, Purpose::Pull(origin));
            if let Some(pull) = self.push.pulls.get_mut(&origin) {
                (pull.tries, pull.stream) = (pull.tries + 1, Some(stream));
            }
        }
    }

    /// The version that a pull of this record asks for.
    pub(super) fn pulled_stamp(&self, origin: NodeId) -> Stamp {
        self.push.pulls.get(&origin).map_or(Stamp::default(), |pull| pull.stamp)
    }

    /// A pull brought the record: pass the hint on.
    pub(super) fn take_pulled(&mut self, record: Arc<Record>, now: Moment) {
        let Some(origin) = record.origin.node_id() else { return };
        let stamp = record.stamp;
        if self.take_record(record, now) == Verdict::Ok {
            self.push.queue.push(origin, stamp, Item::Hint(origin, stamp).encode());
            self.arm_flush(now);
        }
    }

    /// The stream of a pull ended; if the record is still missing, somebody else is asked.
    pub(super) fn end_pull(&mut self, origin: NodeId, now: Moment) {
        let known = self.roster.record(origin).map_or(Stamp::default(), |record| record.stamp);
        let Some(pull) = self.push.pulls.get_mut(&origin) else { return };
        pull.stream = None;
        if known >= pull.stamp || pull.tries >= PULL_TRIES {
            self.push.pulls.remove(&origin);
            return;
        }
        if let Some(other) = self.roster.choose(1, &[], &mut self.rng).first() {
            pull.source = other.addr;
        }
        self.timers.arm(now, PULL_SPREAD * 4, Timer::Pull(origin));
    }

    /// Takes a record in, whichever way it came, and tells the catalog.
    pub(super) fn take_record(&mut self, record: Arc<Record>, now: Moment) -> Verdict {
        let Origin::Node(origin) = record.origin else { return Verdict::Garbage };
        if origin == self.own {
            // Somebody with our id who is not us: the catalog counts and shows the conflict.
            if self.roster.record(origin).is_some_and(|own| record.stamp > own.stamp) {
                self.outputs.push_back(Output::Event(PeerEvent::Record(record)));
            }
            return Verdict::Own;
        }
        if self.is_barred(origin, record.stamp) {
            return Verdict::Stale;
        }
        match self.roster.put_record(record.clone(), now) {
            Taken::Newer => {}
            Taken::Stale => return Verdict::Stale,
            Taken::Full => return Verdict::Refused,
        }
        let (leaving, generation) = (record.is_last(), record.stamp.generation);
        self.outputs.push_back(Output::Event(PeerEvent::Record(record)));
        // Its own word is proof enough: nobody need probe it any more.
        if leaving
            && let Some(identity) = self.roster.member(origin).map(|member| *member.id())
            && identity.generation <= generation
        {
            self.with_membership(now, |membership, effects| membership.apply_leave(identity, effects));
        }
        Verdict::Ok
    }
}
