//! A leave in the name of a process that seems to live: it is asked before anybody is shut out.
//!
//! Whoever gives up a cloned id says so and is mute from then on, so a process that answers has not said it. Everybody
//! asks for itself, three times, and passes the word on meanwhile. One answer, and the word is void here; and so it is if
//! it probes, or answers a probe, after the second question, for one that is flooded may not answer in time.
//! At most [`MOST`] at a time; one above it is refused.

use std::time::Duration;

use lobby_core::{
    id::{Generation, NodeId},
    stats::Verdict,
    time::Moment,
};
use rand::RngExt;

use super::super::{Engine, Timer, death::Fate};
use crate::{identity::Identity, item::Item, notice::ForceLeave};

/// Leaves in question at a time. Twins are rare, and there is one leave for each pair.
pub(super) const MOST: usize = 32;

/// Questions to one process, and how long each has for its answer: with one datagram in twenty lost, all three exchanges
/// fail once in a thousand times.
const TRIES: u8 = 3;
const ANSWER_TIME: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Dispute {
    leave: ForceLeave,
    number: u64,
    tries: u8,
}

impl Engine {
    /// Asks a process that is said to have gone by its own word.
    pub(super) fn dispute(&mut self, leave: ForceLeave, now: Moment) -> Verdict {
        if self.deaths.forgotten.disputes.len() >= MOST {
            return Verdict::Refused;
        }
        let number = self.rng.random();
        self.deaths.forgotten.disputes.push(Dispute { leave, number, tries: TRIES });
        self.repeat_dispute(number, now);
        Verdict::Ok
    }

    pub(in super::super) fn repeat_dispute(&mut self, number: u64, now: Moment) {
        let disputes = &self.deaths.forgotten.disputes;
        let Some(idx) = disputes.iter().position(|dispute| dispute.number == number) else { return };
        let Dispute { leave, tries, .. } = disputes[idx];
        let Some(to) = self.claimed(leave).filter(|_| tries > 0) else {
            self.deaths.forgotten.disputes.swap_remove(idx);
            return self.forget_member(leave, now);
        };
        self.deaths.forgotten.disputes[idx].tries -= 1;
        self.send_alone(to.addr, &Item::Question(number).encode());
        self.timers.arm(now, ANSWER_TIME, Timer::Fate(Fate::Dispute(number)));
    }

    /// The process that a leave is about, if it is a live member. Of twins of one generation the one that stays answers, and
    /// the other is mute.
    pub(super) fn claimed(&self, leave: ForceLeave) -> Option<Identity> {
        let is_it = |member: &Identity| member.generation == leave.generation && leave.own_word;
        self.roster.live_member(leave.subject).filter(is_it).filter(|member| !self.is_gone(member.id))
    }

    /// This process probes or answers a probe, which one that gives up its id does no more.
    pub(in super::super) fn note_sign_of(&mut self, sender: NodeId, generation: Generation) {
        let is_mute = |dispute: &Dispute| {
            let is_it = (dispute.leave.subject, dispute.leave.generation) == (sender, generation);
            !is_it || dispute.tries >= TRIES - 1
        };
        self.deaths.forgotten.disputes.retain(is_mute);
    }

    /// The member answered the question with this number.
    pub(in super::super) fn note_denial(&mut self, sender: NodeId, number: u64) {
        self.deaths.forgotten.disputes.retain(|dispute| (dispute.leave.subject, dispute.number) != (sender, number));
    }
}
