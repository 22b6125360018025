//! Watch streams: each member keeps an idle stream to the three members that follow it in the ring of node ids.
//!
//! ```text
//!   ► Watch identity id                    the shell keeps the accepted stream open from then on
//!   … nothing …
//!   ◄ Bye, or ► Bye                        a polite end: no news
//! ```
//! An end without Bye is the fastest sign that a process is gone, and starts an inquest. What ends on the accepting side is no news.
//! The ring is brought up to date half a second after the membership has changed, not at each change. An accepting
//! member keeps at most [`MOST_KEPT`] such streams, one per opener; one above it is dismissed and comes back later.
//! Not here: what an inquest does (`engine/death`), the frames (`frame`).

use std::{collections::BTreeMap, time::Duration};

use lobby_core::{id::NodeId, time::Moment};

use super::{
    Engine, Output, StreamId, Timer,
    death::{Fate, Why},
    talk::Purpose,
};
use crate::{frame::Frame, identity::Identity};

/// How many members each member watches, and so by how many it is watched.
const SUCCESSORS: usize = 3;

/// Watch streams that others may keep to us: those of a ring at rest, and room for one that is changing.
pub(super) const MOST_KEPT: usize = 16;

/// The membership often changes several times in a row.
const SETTLE: Duration = Duration::from_millis(500);

/// Wait before a stream that ended is opened again; doubled each time, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(32);

/// A stream that was open for this long was a good one: the waits begin anew.
const GOOD: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Watch {
    identity: Identity,
    stream: Option<StreamId>,
    since: Moment,
    /// No stream before.
    after: Moment,
    wait: Duration,
}

/// Whom we watch, and whether the ring is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Watches {
    out: BTreeMap<NodeId, Watch>,
    /// When the ring is looked at next, if it is.
    due: Option<Moment>,
    seen_version: u64,
}

impl Watches {
    /// Streams to members that we watch.
    pub(super) fn n_open(&self) -> usize {
        self.out.values().filter(|watch| watch.stream.is_some()).count()
    }
}

impl Engine {
    /// The membership may have changed.
    pub(super) fn note_ring(&mut self, now: Moment) {
        let version = self.roster.version();
        if std::mem::replace(&mut self.deaths.watches.seen_version, version) != version {
            self.arm_ring(now + SETTLE, now);
        }
    }

    fn arm_ring(&mut self, at: Moment, now: Moment) {
        let due = &mut self.deaths.watches.due;
        if due.is_none_or(|due| at < due) {
            *due = Some(at);
            self.timers.arm(now, at.since(now), Timer::Fate(Fate::Ring));
        }
    }

    /// Closes streams to those that we no longer watch, and opens the missing ones.
    pub(super) fn reconcile_watches(&mut self, now: Moment) {
        // A timer that was armed for later than the one that came first.
        if self.leaving || self.deaths.watches.due.is_none_or(|due| now < due) {
            return;
        }
        self.deaths.watches.due = None;
        let wanted = self.successors();
        let is_wanted = |watch: &Watch| wanted.iter().any(|identity| same_process(identity, &watch.identity));
        let out = std::mem::take(&mut self.deaths.watches.out);
        let (kept, over): (BTreeMap<_, _>, BTreeMap<_, _>) = out.into_iter().partition(|(_, watch)| is_wanted(watch));
        self.deaths.watches.out = kept;
        for stream in over.into_values().filter_map(|watch| watch.stream) {
            self.dismiss(stream);
        }
        for identity in wanted {
            let fresh = Watch { identity, stream: None, since: now, after: now, wait: FIRST_WAIT };
            let watch = self.deaths.watches.out.entry(identity.id).or_insert(fresh);
            let after = watch.after;
            if watch.stream.is_some() {
                continue;
            }
            if now < after {
                self.arm_ring(after, now);
                continue;
            }
            let stream = self.open(identity.addr, Purpose::Watch(identity.id));
            if let Some(watch) = self.deaths.watches.out.get_mut(&identity.id) {
                (watch.stream, watch.since) = (Some(stream), now);
            }
        }
        for (stream, opener) in self.kept_streams() {
            if self.roster.live_member(opener).is_none() {
                self.dismiss(stream);
            }
        }
    }

    /// The live members that follow us in the ring of ids, nearest first.
    fn successors(&self) -> Vec<Identity> {
        let own = self.own;
        let mut nearest: Vec<Identity> = Vec::with_capacity(SUCCESSORS + 1);
        let key = |identity: &Identity| (identity.id < own, identity.id);
        let is_gone = |id| self.roster.is_unattended(id) || self.roster.said_goodbye(id);
        for identity in self.roster.live().filter(|identity| !is_gone(identity.id)) {
            let idx = nearest.partition_point(|other| key(other) < key(&identity));
            nearest.insert(idx, identity);
            nearest.truncate(SUCCESSORS);
        }
        nearest
    }

    /// The first frame of a watch stream.
    pub(super) fn watch_frame(&self, id: NodeId) -> Frame {
        Frame::Watch(self.identity(), id)
    }

    /// Somebody wants to watch us over this stream: whether it may.
    pub(super) fn take_watch(&mut self, stream: StreamId, peer: Identity, wanted: NodeId, now: Moment) -> bool {
        self.meet(peer, now);
        let kept = self.kept_streams();
        if wanted != self.own || peer.id == self.own || self.leaving {
            self.say(stream, Frame::Bye);
            return false;
        }
        // It would not open another one while the old one lives.
        for (old, _) in kept.iter().filter(|(_, opener)| *opener == peer.id) {
            self.dismiss(*old);
        }
        if kept.iter().filter(|(_, opener)| *opener != peer.id).count() >= MOST_KEPT {
            self.say(stream, Frame::Bye);
            return false;
        }
        self.outputs.push_back(Output::Keep(stream));
        true
    }

    /// The member that we watch wants no stream now.
    pub(super) fn watch_dismissed(&mut self, id: NodeId, now: Moment) {
        if let Some(watch) = self.deaths.watches.out.get_mut(&id) {
            (watch.stream, watch.after) = (None, now + LONGEST_WAIT);
            self.arm_ring(now + LONGEST_WAIT, now);
        }
    }

    /// A watch stream is over. Without a goodbye before, something is wrong at the other end.
    pub(super) fn watch_ended(&mut self, id: NodeId, now: Moment) {
        let Some(watch) = self.deaths.watches.out.get_mut(&id).filter(|watch| watch.stream.is_some()) else { return };
        if now.since(watch.since) > GOOD {
            watch.wait = FIRST_WAIT;
        }
        let after = now + watch.wait;
        (watch.stream, watch.after, watch.wait) = (None, after, LONGEST_WAIT.min(watch.wait * 2));
        self.arm_ring(after, now);
        self.inquire(id, Why::Ended, now);
    }

    /// Ends all watch streams, so that nobody takes our going for a death.
    pub(super) fn close_watches(&mut self) {
        let out = std::mem::take(&mut self.deaths.watches.out);
        let kept = self.kept_streams().into_iter().map(|(stream, _)| stream);
        for stream in out.into_values().filter_map(|watch| watch.stream).chain(kept) {
            self.dismiss(stream);
        }
    }

    fn dismiss(&mut self, stream: StreamId) {
        if self.drop_talk(stream) {
            self.say(stream, Frame::Bye);
        }
        self.outputs.push_back(Output::Close(stream));
    }
}

fn same_process(one: &Identity, other: &Identity) -> bool {
    (one.id, one.generation, one.addr) == (other.id, other.generation, other.addr)
}
