//! Proof of death: a process is gone although its host lives. Known in tenths of a second; silence takes seconds.
//!
//! ```text
//! watch stream ended ─┐              refused                    no answer                     refusals of two observers
//! own probe failed ───┼─► connect ─────────► question, 40 ms ─────────► refusal to all ─────► and no reply since:
//! somebody asks us to ┘                                                 checks by two more     Gone(Unattended)
//! ```
//! Of two members one observer is enough. An accepted connection proves nothing: the kernel accepts for a stopped
//! process too, and another program may listen there. The subject refutes what it hears about itself; an answer of its
//! own cancels all refusals that came before. Probes go on beside all this, and decide when nobody is refused.
//! At most [`MOST_CONNECTS`] connections at a time, [`MOST_INQUESTS`] members in question; those above it are left to
//! the probes. Not here: who watches whom (`watch`), who believes refusals (`verdict`), their bookkeeping (`case`).

use std::{collections::BTreeMap, time::Duration};

use lobby_core::{id::NodeId, stats::Verdict, time::Moment};
use rand::RngExt;

use super::{CONNECT_TIMEOUT, Engine, Output, Reach, Timer, force::Forgotten, twin::Challenges, watch::Watches};
use crate::{
    identity::Identity,
    item::Item,
    notice::{Key, Notice, Notices},
};

mod case;
#[cfg(test)]
mod tests;
mod verdict;

use case::Cases;

/// Least that a refused member has to answer by datagram: ten round trips of a large data centre.
const ANSWER_TIME: Duration = Duration::from_millis(40);

/// The other watchers of a dead member are as fast as we are. When none of them was, others are asked.
const BEFORE_CHECKS: Duration = Duration::from_millis(20);

/// Wait between two rounds of asking others, and how many rounds there are: of those asked some may be dead too.
const BETWEEN_CHECKS: Duration = Duration::from_millis(100);
const CHECK_ROUNDS: u8 = 3;

/// How many others are asked in a round.
const CHECKERS: usize = 2;

/// The kernel may close a stream of a dying process before its listener: an accepted connection is tried again.
const CONNECT_AGAIN: Duration = Duration::from_millis(50);
const CONNECT_TRIES: u8 = 3;

/// A member that was not proven dead is left alone for this long.
const REST: Duration = Duration::from_secs(1);

/// Connections that we try at a time.
pub(super) const MOST_CONNECTS: usize = 8;

/// Members in question at a time.
pub(super) const MOST_INQUESTS: usize = 128;

/// Why somebody is in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its watch stream ended without a goodbye.
    Ended,
    /// It did not answer our probe.
    Probe,
    /// Another member asks us to.
    Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// For one of the connections.
    Waiting,
    Connecting,
    /// Accepted; tried again soon.
    Again,
    /// Refused; the question with this number is out.
    Questioned(u64, Moment),
    /// Our refusal is out; others were asked in so many rounds. The question with this number may still be answered.
    Refused(u8, u64),
    /// Over.
    Resting,
}

#[derive(Debug)]
struct Inquest {
    identity: Identity,
    stage: Stage,
    tries: u8,
    /// A timer with another token is stale.
    token: u64,
}

/// All that one member knows about others' ends.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    inquests: BTreeMap<NodeId, Inquest>,
    n_tokens: u64,
    cases: Cases,
    pub(super) notices: Notices,
    pub(super) watches: Watches,
    pub(super) challenges: Challenges,
    pub(super) forgotten: Forgotten,
    release_at: Option<Moment>,
}

/// Timers of this part and its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Bring the watch streams up to date.
    Ring,
    /// The next step about this member.
    Inquest(NodeId, u64),
    /// This member's answer to us is due by now.
    Verdict(NodeId),
    /// Repeat the question with this number to this member.
    AskAgain(NodeId, u64),
    /// Repeat or end the challenge with this number.
    Challenge(u64),
    /// Repeat or end the question about the leave with this number.
    Dispute(u64),
    /// Forget pruned members once more.
    Prune,
    /// A goodbye that was on its way has come by now.
    Release,
}

impl Deaths {
    /// Refusals that are held.
    pub(super) fn n_refusals(&self) -> usize {
        self.cases.n_pending()
    }

    fn n_connecting(&self) -> usize {
        self.inquests.values().filter(|inquest| inquest.stage == Stage::Connecting).count()
    }
}

impl Engine {
    pub(super) fn handle_fate(&mut self, fate: Fate, now: Moment) {
        match fate {
            Fate::Ring => self.reconcile_watches(now),
            Fate::Inquest(id, token) => self.handle_inquest(id, token, now),
            Fate::Verdict(id) => self.judge(id, now),
            Fate::AskAgain(id, number) => self.ask_again(id, number),
            Fate::Challenge(number) => self.repeat_challenge(number, now),
            Fate::Dispute(number) => self.repeat_dispute(number, now),
            Fate::Prune => self.forget_pruned(),
            Fate::Release => self.release(now),
        }
    }

    /// Finds out whether a member's process is gone.
    pub(super) fn inquire(&mut self, id: NodeId, why: Why, now: Moment) {
        let Some(identity) = self.roster.live_member(id).filter(|_| !self.leaving) else { return };
        let known = self.roster.is_unattended(id) || self.deaths.cases.has_witness(id, self.own, now);
        if known || self.roster.said_goodbye(id) || self.deaths.inquests.contains_key(&id) {
            return;
        }
        if self.deaths.inquests.len() < MOST_INQUESTS {
            let tries = if why == Why::Ended { CONNECT_TRIES } else { 1 };
            self.deaths.inquests.insert(id, Inquest { identity, stage: Stage::Waiting, tries, token: 0 });
            self.connect_waiting(now);
        }
    }

    /// Gives free connections to those who wait.
    fn connect_waiting(&mut self, now: Moment) {
        while self.deaths.n_connecting() < MOST_CONNECTS {
            let waiting = self.deaths.inquests.iter_mut().find(|(_, inquest)| inquest.stage == Stage::Waiting);
            let Some((id, inquest)) = waiting else { return };
            inquest.tries = inquest.tries.saturating_sub(1);
            let (id, addr) = (*id, inquest.identity.addr);
            self.outputs.push_back(Output::Connect(id, addr));
            // The shell always answers; should it not, the connection must not be lost for ever.
            self.enter(id, Stage::Connecting, CONNECT_TIMEOUT * 2, now);
        }
    }

    /// The next stage of an inquest, and when to look at it again.
    fn enter(&mut self, id: NodeId, stage: Stage, after: Duration, now: Moment) {
        self.deaths.n_tokens += 1;
        let token = self.deaths.n_tokens;
        if let Some(inquest) = self.deaths.inquests.get_mut(&id) {
            (inquest.stage, inquest.token) = (stage, token);
            self.timers.arm(now, after, Timer::Fate(Fate::Inquest(id, token)));
        }
    }

    /// An attempt to connect is over.
    pub(super) fn handle_reached(&mut self, id: NodeId, reach: Reach, now: Moment) {
        let Some(inquest) = self.deaths.inquests.get(&id).filter(|inquest| inquest.stage == Stage::Connecting) else { return };
        let (tries, addr) = (inquest.tries, inquest.identity.addr);
        match reach {
            Reach::Refused if !self.leaving => {
                let (number, wait) = (self.rng.random(), self.answer_time(id));
                self.enter(id, Stage::Questioned(number, now), wait, now);
                self.timers.arm(now, wait / 2, Timer::Fate(Fate::AskAgain(id, number)));
                self.send(addr, &[], &[Item::Question(number).encode()]);
            }
            Reach::Open if tries > 0 => self.enter(id, Stage::Again, CONNECT_AGAIN, now),
            Reach::Refused | Reach::Open | Reach::Silent => self.enter(id, Stage::Resting, REST, now),
        }
        self.connect_waiting(now);
    }

    fn handle_inquest(&mut self, id: NodeId, token: u64, now: Moment) {
        let Some(inquest) = self.deaths.inquests.get_mut(&id).filter(|inquest| inquest.token == token) else { return };
        let identity = inquest.identity;
        if inquest.stage == Stage::Resting || self.roster.live_member(id) != Some(identity) || self.leaving {
            self.deaths.inquests.remove(&id);
            // Others still say that it is dead.
            if self.deaths.cases.is_open(id, now) {
                self.judge(id, now);
            }
            return self.connect_waiting(now);
        }
        match inquest.stage {
            Stage::Again => {
                inquest.stage = Stage::Waiting;
                self.connect_waiting(now);
            }
            Stage::Questioned(number, asked) => {
                if self.membership.replied_since(id, asked) {
                    self.enter(id, Stage::Resting, REST, now);
                } else {
                    self.refuse(identity, now);
                    self.enter(id, Stage::Refused(0, number), BEFORE_CHECKS, now);
                }
            }
            Stage::Refused(rounds, number) if rounds < CHECK_ROUNDS && !self.roster.is_unattended(id) => {
                let check = Item::Notice(Notice::Check(identity)).encode();
                for checker in self.roster.choose(CHECKERS, &[id], &mut self.rng) {
                    self.send(checker.addr, &[], std::slice::from_ref(&check));
                }
                self.enter(id, Stage::Refused(rounds + 1, number), BETWEEN_CHECKS, now);
            }
            Stage::Connecting | Stage::Waiting | Stage::Refused(..) | Stage::Resting => {
                self.enter(id, Stage::Resting, REST, now);
                self.connect_waiting(now);
            }
        }
    }

    pub(super) fn take_notice(&mut self, notice: &Notice, now: Moment) -> Verdict {
        match *notice {
            Notice::Refusal(refusal) => self.take_refusal(refusal, now),
            Notice::Check(identity) => self.take_check(identity, now),
            Notice::Alive { .. } => self.take_alive(notice, now),
            Notice::ForceLeave(leave) => self.take_force_leave(leave, now),
        }
    }

    /// Another member wants us to look.
    fn take_check(&mut self, identity: Identity, now: Moment) -> Verdict {
        if identity.id == self.own {
            self.hear_of_twin(identity, now);
        } else if self.roster.live_member(identity.id).is_some_and(|known| known.generation == identity.generation) {
            self.inquire(identity.id, Why::Asked, now);
        }
        Verdict::Ok
    }

    /// How long the accused has to answer: three round trips, if we know them.
    fn answer_time(&self, id: NodeId) -> Duration {
        let guess = self.config.probe_rtt / 5;
        self.rtt_of(id).map_or(guess, |rtt| rtt * 3).clamp(ANSWER_TIME, self.config.probe_rtt.max(ANSWER_TIME))
    }

    /// The membership has changed, and with it whom we watch, who is in question, and who is where.
    pub(super) fn note_standing(&mut self, now: Moment) {
        self.forget_cases();
        self.note_ring(now);
        self.release(now);
        self.hint_at_moved(now);
    }

    /// Tells of members that are down and have said no goodbye although there was time.
    fn release(&mut self, now: Moment) {
        let events = self.roster.release(now);
        self.outputs.extend(events.into_iter().map(Output::Event));
        let at = self.roster.release_at();
        if at != self.deaths.release_at
            && let Some(at) = at
        {
            self.timers.arm(now, at.since(now), Timer::Fate(Fate::Release));
        }
        self.deaths.release_at = at;
    }

    /// Tells everybody, at once.
    pub(super) fn push_notice(&mut self, key: Key, notice: &Notice, now: Moment) {
        self.deaths.notices.push(key, Item::Notice(*notice).encode());
        self.arm_flush(now);
    }
}
