//! Cloned ids: somebody else who lives now has our node id, from a copied disk or machine.
//!
//! ```text
//! a datagram or hello with our id, not ours ─┐             answered by our id
//! a member tells us of such a one ───────────┴► question ─────────────────────► the younger of the two gives way
//! ```
//! The answer carries the number that was just drawn, so old packets of a former process of ours prove nothing, and is
//! signed with the key that makes our id, so that members who only know the cluster's prove nothing either; and a
//! question of our own that comes back shows that the address is ourselves. Younger is the later generation; of one
//! generation (a machine resumed twice) the larger address. Who gives way tells the catalog [`PeerEvent::Cloned`], takes
//! its id out of the cluster and is mute from then on: the other one would stay shut out for as long as its later twin is remembered.
//! Not here: drawing a new id (the agent).

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use lobby_core::{
    id::{Generation, NodeId},
    port::PeerEvent,
    time::Moment,
};
use rand::RngExt;

use super::{Engine, Output, Timer, death::Fate};
use crate::{
    identity::Identity,
    item::Item,
    notice::{ForceLeave, Key, Notice},
    packet::Packet,
};

#[cfg(test)]
mod tests;

/// Challenges under way at a time.
const MOST_OPEN: usize = 4;

/// Times that a challenge is sent, and how long each has for its answer.
const TRIES: u8 = 3;
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// Times that the twin is told that we give way: we are gone before it could ask again.
const LAST_WORDS: usize = 2;

/// An address that did not answer, or answered, is not challenged again so soon.
const REST: Duration = Duration::from_secs(10);

/// One that proved to be ourselves is left alone for longer.
const OURSELVES: Duration = Duration::from_secs(600);

/// Addresses remembered as such.
const MOST_RESTING: usize = 16;

/// A member tells at most one twin in this time of the other.
const BETWEEN_HINTS: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct Challenge {
    number: u64,
    to: SocketAddr,
    tries: u8,
}

/// Whom we asked whether they are us.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    open: Vec<Challenge>,
    resting: VecDeque<(SocketAddr, Moment)>,
    next_hint: Moment,
}

impl Engine {
    /// A datagram with our own id. It may come from ourselves, from our former process, or from a twin.
    pub(super) fn handle_own_id(&mut self, from: SocketAddr, packet: &mut Packet<'_>, now: Moment) {
        let mut is_ourselves = packet.generation == self.generation && from == self.identity().addr;
        while let Ok(Some((kind, body))) = packet.next_item() {
            match Item::decode(kind, body) {
                Ok(Item::Question(number)) => match self.take_challenge(number) {
                    Some(challenge) => {
                        is_ourselves = true;
                        self.rest(challenge.to, now + OURSELVES);
                        self.rest(from, now + OURSELVES);
                    }
                    None if !self.leaving => {
                        let proof = self.signer.answer(number, self.generation);
                        self.send(from, &[], &[Item::Proven(number, proof).encode()]);
                    }
                    None => {}
                },
                // It gives way to us, and knows nobody else who would take its id out of the cluster.
                Ok(Item::Notice(Notice::ForceLeave(leave)))
                    if leave.own_word && leave.subject == self.own && leave.generation == packet.generation =>
                {
                    self.take_force_leave(leave, now);
                }
                Ok(Item::Proven(number, proof)) => {
                    if let Some(challenge) = self.take_answered(number, packet.generation, &proof) {
                        self.rest(challenge.to, now + REST);
                        self.decide(packet.generation, challenge.to, now);
                    }
                }
                _ => {}
            }
        }
        if !is_ourselves {
            self.challenge(from, now);
        }
    }

    /// Somebody says, or is said, to have our id.
    pub(super) fn hear_of_twin(&mut self, identity: Identity, now: Moment) {
        // At our own address there can be none but a former process of ours.
        if identity.addr != self.identity().addr {
            self.challenge(identity.addr, now);
        }
    }

    fn challenge(&mut self, to: SocketAddr, now: Moment) {
        let challenges = &mut self.deaths.challenges;
        challenges.resting.retain(|(_, until)| *until > now);
        let known = challenges.resting.iter().any(|(addr, _)| *addr == to) || challenges.open.iter().any(|open| open.to == to);
        if self.leaving || known || challenges.open.len() >= MOST_OPEN {
            return;
        }
        // Nobody can tell it beforehand, not even from those before it, and have it signed by ourselves.
        let [a, b, c, d, e, f, g, h, ..] = (self.nonces)();
        let number = self.rng.random::<u64>() ^ u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        challenges.open.push(Challenge { number, to, tries: TRIES });
        self.repeat_challenge(number, now);
    }

    pub(super) fn repeat_challenge(&mut self, number: u64, now: Moment) {
        let Some(challenge) = self.deaths.challenges.open.iter_mut().find(|open| open.number == number) else { return };
        let to = challenge.to;
        if challenge.tries == 0 || self.leaving {
            self.take_challenge(number);
            return self.rest(to, now + REST);
        }
        challenge.tries -= 1;
        self.send(to, &[], &[Item::Question(number).encode()]);
        self.timers.arm(now, ANSWER_TIME, Timer::Fate(Fate::Challenge(number)));
    }

    fn take_challenge(&mut self, number: u64) -> Option<Challenge> {
        let open = &mut self.deaths.challenges.open;
        let idx = open.iter().position(|open| open.number == number)?;
        Some(open.swap_remove(idx))
    }

    /// The challenge that this answers. What was not asked is not worth the check, and a lie does not end the question.
    fn take_answered(&mut self, number: u64, generation: Generation, proof: &[u8; 64]) -> Option<Challenge> {
        let is_open = self.deaths.challenges.open.iter().any(|open| open.number == number);
        (is_open && self.signer.is_answer(number, generation, proof)).then(|| self.take_challenge(number))?
    }

    fn rest(&mut self, addr: SocketAddr, until: Moment) {
        let resting = &mut self.deaths.challenges.resting;
        if resting.len() >= MOST_RESTING {
            resting.pop_front();
        }
        resting.push_back((addr, until));
    }

    /// A twin lives: one of us gives way, and both of us know which.
    fn decide(&mut self, theirs: Generation, addr: SocketAddr, now: Moment) {
        if (self.generation, self.identity().addr) < (theirs, addr) || self.leaving {
            return;
        }
        let (subject, generation) = (self.own, self.generation);
        let leave = ForceLeave { subject, generation, prune: true, own_word: true, shared: generation == theirs };
        self.outputs.push_back(Output::Event(PeerEvent::Cloned));
        self.push_notice(Key::ForceLeave(subject), &Notice::ForceLeave(leave), now);
        // We may know nobody else yet, and others may have heard of us: the twin passes it on.
        let word = Item::Notice(Notice::ForceLeave(leave)).encode();
        (0..LAST_WORDS).for_each(|_| self.send(addr, &[], std::slice::from_ref(&word)));
        self.leave(now);
    }

    /// A datagram of a process that is not the one we know under its id, and came from another place: tells its sender of the
    /// other. A former process is not there any more, and a twin can find out.
    pub(super) fn hint_at_twin(&mut self, sender: NodeId, generation: Generation, from: SocketAddr, now: Moment) {
        let known = self.roster.live_member(sender);
        if let Some(known) = known.filter(|known| known.addr != from && known.generation >= generation) {
            self.hint(known, from, now);
        }
    }

    /// Members whose address changed: an old process and a new one, or twins.
    pub(super) fn hint_at_moved(&mut self, now: Moment) {
        for (old, new) in self.roster.take_moved() {
            self.hint(new, old.addr, now);
        }
    }

    fn hint(&mut self, known: Identity, to: SocketAddr, now: Moment) {
        if now >= self.deaths.challenges.next_hint && !self.leaving {
            self.deaths.challenges.next_hint = now + BETWEEN_HINTS;
            self.send(to, &[], &[Item::Notice(Notice::Check(known)).encode()]);
        }
    }
}
