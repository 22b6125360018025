//! What one side of an exchange gives the other: members and records that it lacks, or that ended.

use std::collections::BTreeMap;

use foca::{Member, State};
use lobby_core::{
    id::{Generation, NodeId},
    record::Stamp,
    stats::{PacketKind, Verdict},
    time::Moment,
};

use super::{Engine, StreamId, talk::GIVE_BYTES};
use crate::{
    frame::{Frame, Gift, give_frames},
    identity::Identity,
    roster::{Entry, Mask},
};

/// What the entry of a node without an agent says of its process.
const NO_PROCESS: (Generation, u16) = (Generation(0), 0);

impl Engine {
    /// Compares their entries with ours: gives what they lack, wants what we lack.
    pub(super) fn give_and_want(&mut self, stream: StreamId, mask: &Mask, entries: &[Entry]) {
        let theirs: BTreeMap<_, _> = entries.iter().map(|entry| (entry.id, *entry)).collect();
        let unknown = self.roster.entries(mask).into_iter().map(|entry| entry.id).filter(|id| !theirs.contains_key(id));
        let mut give: Vec<_> = unknown.collect();
        let mut want = Vec::new();
        for theirs in theirs.values() {
            let member = self.roster.member(theirs.id);
            let stamp = self.roster.record(theirs.id).map_or(Stamp::default(), |record| record.stamp);
            let their_age = (theirs.generation, theirs.renewal);
            let no_agent = self.roster.is_external(theirs.id).then_some(NO_PROCESS);
            let age = member.map(|member| member.id().age()).or(no_agent);
            let ended = age == Some(their_age) && member.is_some_and(|member| member.state() == State::Down);
            if ended || age > Some(their_age) || stamp > theirs.stamp {
                give.push(theirs.id);
            }
            if theirs.id != self.own
                && (age < Some(their_age) || stamp < theirs.stamp)
                && !self.roster.has_given_up(theirs.id, theirs.stamp)
            {
                want.push(theirs.id);
            }
        }
        let (frames, complete) = give_frames(give.into_iter().filter_map(|id| self.gift(id)), GIVE_BYTES);
        self.say_all(stream, frames);
        self.say(stream, Frame::Want(want, complete));
    }

    /// All we know of a node; `None` when that is nothing.
    pub(super) fn gift(&self, id: NodeId) -> Option<Gift> {
        let (member, record) = (self.roster.member(id).cloned(), self.roster.record(id).cloned());
        (member.is_some() || record.is_some()).then_some(Gift { member, record, spoilt: false })
    }

    /// Takes in what the other gave; returns those that it holds up and we know to be down.
    pub(super) fn take_gifts(&mut self, gifts: Vec<Gift>, now: Moment) -> Vec<NodeId> {
        self.give_up_externals(now);
        let mut members = Vec::new();
        let mut ended = Vec::new();
        for Gift { member, record, spoilt } in gifts {
            if spoilt {
                self.stats.received(PacketKind::Record, Verdict::Garbage, 0);
            }
            if let Some(record) = record {
                let verdict = self.take_record(record, now);
                self.stats.received(PacketKind::Record, verdict, 0);
            }
            let Some(member) = member else { continue };
            if member.id().id == self.own {
                self.hear_of_twin(*member.id(), now);
            }
            let known = self.roster.member(member.id().id);
            let is_ended = |known: &Member<Identity>| {
                known.state() == State::Down && member.state() != State::Down && known.id().age() >= member.id().age()
            };
            if known.is_some_and(is_ended) {
                ended.push(member.id().id);
            }
            members.push(member);
        }
        self.take_members(members, now);
        ended
    }
}
