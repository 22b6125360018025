//! Hearsay: what others say of a member's end makes it suspect here, and no more, as long as we can look ourselves.
//!
//! foca lets "down" beat any answer, so one member that says it of all others, again and again, would have them all flap.
//! Who has answered us lately is therefore not down because somebody says so, and in a cluster of few nobody is: whoever
//! hears of it asks, and judges by itself ([`super::guard`]), and tells a few others at once. It costs the time of two questions,
//! where the suspicion has not gone round before the verdict. A member's own word still counts at once, and so does proof of death.
//! What others say of ourselves makes us come back as another now and then only ([`RENEWALS`]).
//! Not here: what exchanges tell (`engine/reunite`).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use bytes::BufMut;
use foca::{Header, Member, Message, State};
use lobby_core::{
    time::Moment,
    wire::binary::{DecodeError, Reader},
};

use super::{Effects, Membership, guard::Ruling};
use crate::{
    bucket::Rate,
    codec::{put_member, read_member},
    identity::Identity,
};

/// In a cluster of up to so many everybody judges by itself. In larger ones a verdict spares the dead thousands of questions.
pub(crate) const FEW: usize = 64;

/// Whom a member tells at once that somebody is to be judged: with five each, three hops reach nearly all of [`FEW`].
const TOLD_AT_ONCE: usize = 5;

/// How often we come back as another because somebody holds us down, or says so: there are 65 535 lives to a process, and each
/// new one costs everybody the probe that is under way. Parts of a cluster that meet again take one each.
const RENEWALS: Rate = Rate { burst: 16, refill_micros: 5_000_000 };

impl Membership {
    /// A packet with verdicts turned into suspicions, `None` if there are none to turn; its header has `head` bytes.
    pub(super) fn temper_packet(
        &mut self,
        data: &[u8],
        head: usize,
        header: &Header<Identity>,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<Option<Vec<u8>>, DecodeError> {
        let mut rest = Reader::new(&data[head..]);
        if header.message == Message::Broadcast || rest.remaining() < 2 {
            return Ok(None);
        }
        let n_members = u16::from_be_bytes(rest.array()?);
        let mut packet = data[..head + 2].to_vec();
        let mut is_other = false;
        for _ in 0..n_members {
            let told = read_member(&mut rest)?;
            let tempered = self.temper(&told, header, now);
            is_other |= tempered.is_some();
            if let Some(suspect) = tempered.as_ref().filter(|member| member.state() == State::Suspect) {
                self.summon(*suspect.id(), now, effects);
            }
            put_member(&tempered.unwrap_or(told), &mut packet);
        }
        packet.put_slice(rest.take(rest.remaining())?);
        Ok(is_other.then_some(packet))
    }

    /// What a verdict is worth, if it is another thing than it says.
    fn temper(&mut self, told: &Member<Identity>, header: &Header<Identity>, now: Moment) -> Option<Member<Identity>> {
        let id = told.id().id;
        if id == self.identity().id {
            return self.temper_own(told, now);
        }
        let may_look = self.has_proof(id, now) || self.foca.num_members() <= FEW;
        if told.state() != State::Down || *told.id() == header.src || !may_look {
            return None;
        }
        let known = self.states().find(|known| known.id().id == id && known.state() != State::Down)?;
        // Of a process that nobody has seen here it says nothing, but that something is wrong with the one we know.
        (told.id().age() >= known.id().age()).then(|| Member::new(*known.id(), known.incarnation(), State::Suspect))
    }

    /// A newer life of ours than we have. foca would tell everybody, in our name, that it is dead, and nobody would ever hear
    /// of us again. Twins are for `engine/twin`. And what would have us come back as another once too often.
    pub(super) fn temper_own(&mut self, told: &Member<Identity>, now: Moment) -> Option<Member<Identity>> {
        let own = self.identity();
        if told.id().id != own.id {
            return None;
        }
        let renews = match told.state() {
            State::Alive => false,
            // Beyond the last incarnation there is another life.
            State::Suspect => told.incarnation() > self.incarnation || self.incarnation == u16::MAX,
            State::Down => true,
        };
        let is_refused = told.id().age() > own.age() || (*told.id() == own && renews && !self.may_renew(now));
        is_refused.then(|| Member::alive(own))
    }

    /// Whether we may come back as another; it is counted as if we did.
    pub(super) fn may_renew(&mut self, now: Moment) -> bool {
        self.renewals.take_of(RENEWALS, now)
    }

    /// Sees to it that this member is judged here: at once, or when its last answer is too old.
    fn summon(&mut self, suspect: Identity, now: Moment, effects: &mut Effects) {
        if self.judging.insert(suspect.id) {
            let wait = if self.has_proof(suspect.id, now) { self.config.suspect_to_down_after } else { Duration::ZERO };
            effects.judgements.push((wait, suspect));
            self.spread(suspect, effects);
        }
    }

    /// Tells a few others at once what they have to judge too. Else each of them would hear of it only from somebody who has
    /// come to a verdict, one after the other, and the questions' time would count as often as there are hops.
    fn spread(&self, suspect: Identity, effects: &mut Effects) {
        if self.foca.num_members() > FEW {
            return;
        }
        let own = self.identity();
        let is_alive = |member: &&Member<Identity>| member.state() == State::Alive && member.id().id != suspect.id;
        let mut others: Vec<_> = self.states().filter(is_alive).map(|member| *member.id()).collect();
        // Anybody, but each tells others; the same ones in each replay.
        others.sort_by_cached_key(|other| {
            let mut hasher = DefaultHasher::new();
            (own.id, suspect.id, other.id).hash(&mut hasher);
            hasher.finish()
        });
        let known = self.states().find(|known| *known.id() == suspect).map_or(0, Member::incarnation);
        let verdict = Member::new(suspect, known, State::Down);
        let told = others.into_iter().take(TOLD_AT_ONCE).map(|other| (other, self.codec.rumour(own, other, &verdict)));
        effects.sends.extend(told);
    }

    /// Judges a member of which others say that it is dead: by the same questions as one whose probe failed.
    pub(crate) fn judge(&mut self, suspect: Identity, now: Moment, effects: &mut Effects) {
        let is_suspect = |member: &Member<Identity>| *member.id() == suspect && member.state() == State::Suspect;
        self.judging.remove(&suspect.id);
        // It has refuted, or is down already.
        if self.left || !self.states().any(is_suspect) {
            return self.guards.close(suspect.id);
        }
        let n_others = self.foca.num_members().saturating_sub(1);
        let after = match self.guards.rule(suspect.id, n_others, now) {
            Ruling::Acquit => return,
            Ruling::Convict => {
                let _ = self.foca.apply_many(std::iter::once(Member::down(suspect)), true, effects);
                return;
            }
            Ruling::Later(after) => after,
            Ruling::Ask(after) => {
                let _ = self.foca.announce(suspect, &mut *effects);
                after
            }
        };
        self.judging.insert(suspect.id);
        effects.judgements.push((after, suspect));
    }
}
