//! Changes of records by datagram: our own go out at once, those of others are passed on at once.
//!
//! ```text
//! change here ──┐
//! datagram ─────┼─► roster ─► queue ─► 5 members at once (together with all other changes of 20 ms)
//! stream pull ──┘                 └──► 3 members every 200 ms, and on every probe, until 12 copies are out
//! ```
//! Not here: what came as a hint (`engine/pull`).

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use lobby_core::{
    id::{NodeId, Origin, Version},
    port::{Announcement, PeerEvent},
    record::{ApplyDeltaError, Delta, Record, Stamp},
    stats::{PacketKind, Verdict},
    time::Moment,
};
use rand::RngExt;

use super::{Engine, Output, Timer, pull::Pulls};
use crate::{
    item::{self, Item},
    queue::PushQueue,
    roster::Taken,
};

/// A receiver has surely heard of a change that is this old, or an exchange is repairing it.
const SETTLED: Duration = Duration::from_secs(5);

/// In a cluster of more than this many the third duplicate ends what is in the queue. In smaller ones all copies go out:
/// they are few, and what they repair is not left to the exchange (engine study, §4).
const STOP_EARLY_ABOVE: usize = 500;

/// How long the node task may take until it announces what we told it of a node without an agent.
const EXTERNAL_PENDING: Duration = Duration::from_secs(10);

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
    pub(super) pulls: Pulls,
    /// What our node task told last: which nodes without an agent it keeps.
    announced: Option<Announcement>,
}

impl Push {
    pub(super) fn backlog(&self) -> usize {
        self.queue.len()
    }
}

impl Engine {
    /// Our own record is now this one.
    pub(super) fn announce(&mut self, announcement: Announcement, now: Moment) {
        self.announce_externals(&announcement, now);
        if announcement.listed && self.roster.put_record(announcement.record, now) == Taken::Newer {
            self.push.own_changed = true;
            self.arm_flush(now);
        }
    }

    /// These are the nodes without an agent that our node task keeps: what is newer than here goes out.
    fn announce_externals(&mut self, announcement: &Announcement, now: Moment) {
        self.push.announced = Some(announcement.clone());
        self.give_up_externals(now);
        for (id, record) in &announcement.externals {
            match self.roster.put_kept(record.clone(), now) {
                Taken::Newer => {
                    self.push.queue.push(*id, record.stamp, item::change(record, []));
                    self.arm_flush(now);
                }
                Taken::Stale => {}
                Taken::Full => self.stats.received(PacketKind::Record, Verdict::Refused, 0),
            }
        }
    }

    /// Forgets nodes without an agent that our node task does not keep, or keeps in an older version: it has given them up,
    /// unless they came a moment ago and it has not heard of them.
    pub(super) fn give_up_externals(&mut self, now: Moment) {
        let Some(announced) = &self.push.announced else { return };
        let keeps = |id: &NodeId, record: &Record| {
            let kept = announced.externals.get(id);
            kept.is_some_and(|kept| kept.stamp >= record.stamp)
        };
        let given_up =
            |(id, record, since): &(NodeId, &Arc<Record>, Moment)| now.since(*since) > EXTERNAL_PENDING && !keeps(id, record);
        let given_up: Vec<_> = self.roster.externals().filter(given_up).map(|(id, ..)| id).collect();
        given_up.into_iter().for_each(|id| self.roster.give_up_external(id));
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
        if item::is_hint(&form) {
            let copies = u8::try_from(self.config.fanout).unwrap_or(u8::MAX);
            self.push.queue.push_resting(self.own, record.stamp, form, copies, now + self.config.gossip_period);
        } else {
            self.push.queue.push(self.own, record.stamp, form);
        }
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
            self.note_duplicate(delta.origin, delta.stamp);
            return Verdict::Own;
        }
        // Before the work, which a large record makes long.
        let is_news = self.roster.record(delta.origin).is_some_and(|known| known.stamp < delta.stamp);
        if is_news && !self.roster.could_change(delta.origin, now) {
            return Verdict::Refused;
        }
        let applied = self.roster.record(delta.origin).map(|record| record.apply(delta));
        match applied {
            Some(Ok(next)) => {
                // Nobody is to blame for a delta: which version it is for is not signed, so one that was enough where it was
                // checked and passed on may be too little here.
                let speaker = self.forgeries.speaker.take();
                let verdict = self.take_pushed(Arc::new(next), raw, now);
                self.forgeries.speaker = speaker;
                // What we have may differ from what the delta was made for; the whole record shows it.
                if matches!(verdict, Verdict::Unsigned | Verdict::Forged) {
                    self.take_hint(delta.origin, delta.stamp, source, now);
                }
                verdict
            }
            Some(Err(ApplyDeltaError::Stale)) => {
                self.note_duplicate(delta.origin, delta.stamp);
                Verdict::Stale
            }
            // Too large with what we hold: tombstones are not signed, and ours may be somebody's invention.
            Some(Err(ApplyDeltaError::UnknownBase | ApplyDeltaError::TooLarge)) | None => {
                self.take_hint(delta.origin, delta.stamp, source, now)
            }
        }
    }

    /// A record came by datagram, whole or by delta. Passed on as it came.
    pub(super) fn take_pushed(&mut self, record: Arc<Record>, raw: Bytes, now: Moment) -> Verdict {
        let Some(origin) = record.origin.node_id() else { return Verdict::Garbage };
        if self.roster.record(origin).is_some_and(|known| known.stamp >= record.stamp) {
            self.note_duplicate(origin, record.stamp);
            return if origin == self.own { Verdict::Own } else { Verdict::Stale };
        }
        if !self.roster.could_change(origin, now) {
            return Verdict::Refused;
        }
        // Before it is taken from the owner's allowance: what others forge must not use that up.
        if let Err(forged) = self.check_owner(&record, now) {
            return forged;
        }
        if !self.roster.may_change(origin, now) {
            return Verdict::Refused;
        }
        let stamp = record.stamp;
        let verdict = self.take_proven(record, now);
        if verdict == Verdict::Ok {
            // What somebody with larger datagrams sent whole need not fit into ours.
            let form = if raw.len() > item::PUSH_BYTES { Item::Hint(origin, stamp).encode() } else { raw };
            self.push.queue.push(origin, stamp, form);
            self.arm_flush(now);
        }
        verdict
    }

    /// Somebody told us of a version that we may be telling of ourselves.
    pub(super) fn note_duplicate(&mut self, origin: NodeId, stamp: Stamp) {
        if self.roster.n_live() > STOP_EARLY_ABOVE {
            self.push.queue.note_duplicate(origin, stamp);
        }
    }

    /// Takes a record in that came by stream, if it is newer and its owner's.
    pub(super) fn take_record(&mut self, record: Arc<Record>, now: Moment) -> Verdict {
        let Origin::Node(origin) = record.origin else { return Verdict::Garbage };
        if self.roster.record(origin).is_some_and(|known| known.stamp >= record.stamp) {
            return if origin == self.own { Verdict::Own } else { Verdict::Stale };
        }
        match self.check_owner(&record, now) {
            Ok(()) => self.take_proven(record, now),
            Err(forged) => forged,
        }
    }

    /// Takes a record in, whichever way it came, and tells the catalog.
    fn take_proven(&mut self, record: Arc<Record>, now: Moment) -> Verdict {
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
        self.note_keys_of(origin);
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
