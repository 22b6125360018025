//! Parts of a cluster that were cut off from each other find together again.
//!
//! ```text
//! packet of a member that we hold down ─► exchange with it, at once
//! exchange: the other holds down whom we hold up
//!    it is ourselves ─► we are renewed, and say so
//!    somebody else ──► told so and asked directly ─► renewed, or it answers ─► alive, nobody ever saw it fail
//!                                                └─► silent for a second ───► down
//! exchange that brought many members ─► exchanges with two others, at once
//! somebody is suspect for too long ───► exchange with one who is none
//! ```
//! "Down" is final for an identity, so after a cut everybody must be renewed. Believing the other part's verdicts first
//! would do that too, but then each part sees its own healthy members fail, for as long as the rumours last. Many members
//! go on by exchange and not as rumours: a thousand rumours fill every packet for half a minute.
//! Not here: who contacts members that are down, and when (foca, every 10 s; seeds, `engine/contact`).

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use foca::{Member, State};
use lobby_core::{
    id::{Generation, NodeId},
    time::Moment,
};

use super::{Engine, Timer};
use crate::identity::Identity;

/// A member that we hold down is not a reason for an exchange more often than this.
const REUNION_GAP: Duration = Duration::from_secs(1);

/// Members whom the other part holds down are told so this many at a time, at this distance: a thousand at once, and the
/// answers of all of them, would overflow a socket.
const TOLD_AT_ONCE: usize = 32;
const TELL_PERIOD: Duration = Duration::from_millis(20);

/// How long one that was told has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// An exchange that brought more members than this goes on by exchange. Fewer fit into one datagram as rumours.
const MANY: usize = 16;

/// With how many others.
const PASS_ON_TO: usize = 2;

/// Of so many one is found that is no suspect, even if most members are dead.
const ASKED_FOR_AN_END: usize = 16;

/// What remains to be done about verdicts of another part.
#[derive(Debug, Default)]
pub(super) struct Reunion {
    last: Moment,
    /// Held down by others, up here, not told yet. At most as many as the roster has.
    doubted: VecDeque<Identity>,
    /// Those, and the ones that were told and have their time.
    pending: HashSet<NodeId>,
    telling: bool,
}

impl Engine {
    /// A packet came from this process of a node. If we hold it down it lives nevertheless: the network was cut, or we
    /// were wrong.
    pub(super) fn note_sender(&mut self, sender: NodeId, generation: Generation, now: Moment) {
        let Some(member) = self.roster.member(sender) else { return };
        let (held_down, identity) = (member.state() == State::Down, *member.id());
        // What a leaver still sends on its way out is no news.
        let has_ended =
            self.roster.record(sender).is_some_and(|record| record.is_last() && record.stamp.generation >= generation);
        let rested = now.since(self.reunion.last) >= REUNION_GAP || self.reunion.last == Moment::ZERO;
        if held_down && generation >= identity.generation && !has_ended && rested {
            self.reunion.last = now;
            self.exchange_beside(identity.addr, now);
        }
    }

    /// Takes in what an exchange told about members.
    pub(super) fn take_members(&mut self, members: Vec<Member<Identity>>, now: Moment) {
        let mut taken = Vec::with_capacity(members.len());
        let mut n_new = 0;
        for member in members {
            let known = self.roster.member(member.id().id);
            n_new += usize::from(known.is_none_or(|known| known.id().age() < member.id().age()));
            let contradicts = member.state() == State::Down
                && known.is_some_and(|known| known.state() != State::Down && known.id().age() == member.id().age());
            if contradicts && member.id().id != self.own {
                self.doubt(*member.id(), now);
            } else {
                taken.push(member);
            }
        }
        let few = n_new <= MANY;
        self.with_membership(now, |membership, effects| membership.apply(taken, few, now, effects));
        if !few {
            self.pass_on(now);
        }
    }

    fn pass_on(&mut self, now: Moment) {
        for target in self.roster.choose(PASS_ON_TO, &[], &mut self.rng) {
            self.exchange_beside(target.addr, now);
        }
    }

    fn doubt(&mut self, identity: Identity, now: Moment) {
        if self.reunion.pending.insert(identity.id) {
            self.reunion.doubted.push_back(identity);
            if !std::mem::replace(&mut self.reunion.telling, true) {
                self.timers.arm(now, Duration::ZERO, Timer::Tell);
            }
        }
    }

    /// Tells the next ones that they are held down, and asks them for an answer.
    pub(super) fn tell_doubted(&mut self, now: Moment) {
        let mut n_told = 0;
        while n_told < TOLD_AT_ONCE
            && let Some(identity) = self.reunion.doubted.pop_front()
        {
            if self.leaving || !self.holds_up(identity) {
                self.reunion.pending.remove(&identity.id);
                continue;
            }
            n_told += 1;
            let words = self.membership.held_down(identity);
            self.send(identity.addr, &words, &[]);
            self.with_membership(now, |membership, effects| membership.announce(identity, effects));
            self.timers.arm(now, ANSWER_WITHIN, Timer::Doubt(identity));
        }
        self.reunion.telling = !self.reunion.doubted.is_empty();
        if self.reunion.telling {
            self.timers.arm(now, TELL_PERIOD, Timer::Tell);
        }
    }

    /// One that was told had its time. If it neither came back as another nor answered, the others are right.
    pub(super) fn end_doubt(&mut self, identity: Identity, now: Moment) {
        self.reunion.pending.remove(&identity.id);
        if self.holds_up(identity) {
            self.with_membership(now, |membership, effects| membership.apply([Member::down(identity)], true, now, effects));
        }
    }

    fn holds_up(&self, identity: Identity) -> bool {
        self.roster.live_member(identity.id) == Some(identity)
    }

    /// A suspicion does not end here: somebody else knows how it ended. Not a suspect, which may well be dead.
    pub(super) fn catch_up(&mut self, now: Moment) {
        if !self.has_rested(now) {
            return;
        }
        let others = self.roster.choose(ASKED_FOR_AN_END, &[], &mut self.rng);
        let is_well = |other: &&Identity| self.roster.member(other.id).is_some_and(|member| member.state() == State::Alive);
        if let Some(addr) = others.iter().find(is_well).map(|other| other.addr) {
            self.exchange_beside(addr, now);
        }
    }

    /// An exchange, even if another one is under way.
    fn exchange_beside(&mut self, addr: SocketAddr, now: Moment) {
        if !self.leaving && self.n_exchanges() < super::talk::MAX_EXCHANGES {
            self.start_exchange(addr, now);
        }
    }
}
