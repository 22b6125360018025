//! Forced leaves: everybody forgets a member that is not alive, because somebody says so.
//!
//! It counts for one process and those before it; a newer one undoes it by being there, and so does the same one if it
//! proves to be alive after all. With prune even the version of its record is forgotten. A process that gives up a
//! cloned id says so itself, and then its id is free for the older twin: rumours about the later one are kept out. Who
//! seems to live is asked first (`dispute`), and who lives does not pass on that it is gone: the word is forged.
//! At most [`MOST_PRUNED`] pruned processes are remembered, for an hour.
//! Not here: who may order it (HTTP), the item (`notice`).

use std::{collections::VecDeque, time::Duration};

use lobby_core::{
    id::{Generation, NodeId},
    name::Name,
    port::gossip::GossipError,
    record::Stamp,
    stats::Verdict,
    time::Moment,
};

use super::{Engine, Output, Timer, death::Fate};
use crate::{
    config::REMEMBER_RECORD,
    notice::{ForceLeave, Key, Notice},
};

mod dispute;
#[cfg(test)]
mod tests;

use dispute::Dispute;

/// Processes remembered as pruned.
const MOST_PRUNED: usize = 64;

/// Forced leaves remembered, so that each is passed on once.
const MOST_HEARD: usize = 256;

/// A forced leave that was heard this long ago may be ordered again.
const HEARD_LASTS: Duration = Duration::from_secs(30);

/// When late rumours about a pruned member are over, but for stragglers.
const RUMOURS_LAST: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

#[derive(Debug)]
struct Pruned {
    id: NodeId,
    generation: Generation,
    /// Its record is not taken in any more: the id belongs to an older process.
    barred: bool,
    until: Moment,
}

/// What was forgotten on order.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    pruned: VecDeque<Pruned>,
    heard: VecDeque<(ForceLeave, Moment)>,
    disputes: Vec<Dispute>,
}

impl Engine {
    pub(super) fn order_leave(&mut self, id: NodeId, prune: bool, now: Moment) -> Result<(), GossipError> {
        let name = self.roster.record(id).map(|record| record.name.clone());
        let named = || name.or_else(|| id.to_string().parse::<Name>().ok());
        if id == self.own || (self.roster.live_member(id).is_some() && !self.is_gone(id)) {
            return Err(named().map_or_else(|| GossipError::UnknownNode(id.to_string()), GossipError::Alive));
        }
        let member = self.roster.member(id).map(|member| member.id().generation);
        let record = self.roster.record(id).map(|record| record.stamp.generation);
        let Some(generation) = member.max(record) else { return Err(GossipError::UnknownNode(id.to_string())) };
        let leave = ForceLeave { subject: id, generation, prune, own_word: false, shared: false };
        // An operator who orders it twice means it.
        self.deaths.forgotten.heard.retain(|(heard, _)| *heard != leave);
        self.take_force_leave(leave, now);
        Ok(())
    }

    /// Its agent is gone, or is going by its own word.
    fn is_gone(&self, id: NodeId) -> bool {
        self.roster.is_unattended(id) || self.roster.said_goodbye(id)
    }

    pub(super) fn take_force_leave(&mut self, leave: ForceLeave, now: Moment) -> Verdict {
        let heard = &mut self.deaths.forgotten.heard;
        heard.retain(|(_, at)| now.since(*at) < HEARD_LASTS);
        if heard.iter().any(|(other, _)| *other == leave) {
            return Verdict::Stale;
        }
        if heard.len() >= MOST_HEARD {
            heard.pop_front();
        }
        heard.push_back((leave, now));
        if leave.subject == self.own {
            if leave.own_word && !leave.shared && leave.generation == self.generation && !self.leaving {
                return Verdict::Refused;
            }
            // We live, and show it by what we send. A twin that gave way made room for us.
            if leave.own_word {
                self.repeat_own(now);
            }
        } else if self.claimed(leave).is_some() {
            let verdict = self.dispute(leave, now);
            if verdict != Verdict::Ok {
                // A later copy may find room.
                self.deaths.forgotten.heard.pop_back();
                return verdict;
            }
        } else {
            self.forget_member(leave, now);
        }
        self.push_notice(Key::ForceLeave(leave.subject), &Notice::ForceLeave(leave), now);
        Verdict::Ok
    }

    fn forget_member(&mut self, leave: ForceLeave, now: Moment) {
        let id = leave.subject;
        let live = self.roster.live_member(id);
        let is_newer = self.roster.member(id).is_some_and(|member| member.id().generation > leave.generation);
        if is_newer || (live.is_some() && !leave.own_word && !self.is_gone(id)) {
            return;
        }
        // Of a later process than the one that we know, and of which we have not heard ourselves, it says that it is not to come.
        let has_word = self.roster.record(id).is_some_and(|record| record.stamp.generation == leave.generation);
        if has_word || live.is_none_or(|live| live.generation == leave.generation) {
            let event = self.roster.force_left(id);
            self.outputs.extend(event.map(Output::Event));
            if let Some(identity) = live {
                self.with_membership(now, |membership, effects| membership.apply_leave(identity, effects));
            }
        }
        if leave.prune {
            self.prune(leave, now);
        }
    }

    fn prune(&mut self, leave: ForceLeave, now: Moment) {
        let ForceLeave { subject: id, generation, .. } = leave;
        let barred = leave.own_word && !leave.shared;
        let pruned = &mut self.deaths.forgotten.pruned;
        pruned.retain(|old| old.id != id && old.until > now);
        if pruned.len() >= MOST_PRUNED {
            pruned.pop_front();
        }
        pruned.push_back(Pruned { id, generation, barred, until: now + REMEMBER_RECORD });
        self.forget_pruned();
        self.roster.remove(id);
        self.replay.forget(id, barred.then_some(generation));
        for after in RUMOURS_LAST {
            self.timers.arm(now, after, Timer::Fate(Fate::Prune));
        }
    }

    /// Takes pruned members out of foca again, which a late rumour may have brought back. One that is there after all is
    /// a member like any other, unless its id belongs to another process.
    pub(super) fn forget_pruned(&mut self) {
        let roster = &self.roster;
        let is_back =
            |id: NodeId, generation: Generation| roster.live_member(id).is_some_and(|member| member.generation == generation);
        self.deaths.forgotten.pruned.retain(|pruned| pruned.barred || !is_back(pruned.id, pruned.generation));
        for pruned in &self.deaths.forgotten.pruned {
            self.membership.forget(pruned.id, pruned.generation, pruned.barred);
        }
    }

    /// Whether a record is of a process whose id belongs to another one.
    pub(super) fn is_barred(&self, id: NodeId, stamp: Stamp) -> bool {
        let is_it = |pruned: &Pruned| pruned.barred && (pruned.id, pruned.generation) == (id, stamp.generation);
        self.deaths.forgotten.pruned.iter().any(is_it)
    }
}
