//! What is made of refusals: who believes them, who refutes them, and when the catalog is told.
//!
//! ```text
//! refusal of somebody else ─► question to the subject, 40 ms ──┬─ no answer, and two observers ─► Gone(Unattended)
//!                                                              └─ answer ─► Alive to all: these refusals are wrong
//! ```
//! Nobody believes others without having looked: two observers that a firewall keeps from a node would otherwise end it
//! for those who hear it well. The question goes out with the first refusal, so its time is mostly over when the second
//! one comes. It is repeated once at half of the time: with one datagram in twenty lost, one in ten would get no answer.
//! It costs two datagrams per member and death, and there are no more of them than open cases. Whoever was
//! refused itself has asked already. Where there are few everybody connects itself before it believes anything: the kernel
//! accepts for a process that is too busy to answer, and no liar can have us refused.
//! Not here: who connects to whom (`engine/death`), the bookkeeping of refusals (`case`).

use lobby_core::{id::NodeId, stats::Verdict, time::Moment};
use rand::RngExt;

use super::{
    super::{Engine, Output, Timer},
    Fate, REST, Stage, Why,
};
use crate::{
    identity::Identity,
    item::Item,
    member::FEW,
    notice::{Key, Notice, Refusal},
};

impl Engine {
    /// We were refused, and our question was not answered: everybody shall know.
    pub(super) fn refuse(&mut self, identity: Identity, now: Moment) {
        let (subject, generation) = (identity.id, identity.generation);
        let refusal = Refusal { subject, generation, observer: self.own, number: self.rng.random() };
        let is_needed = self.deaths.cases.take(refusal, now);
        if let Some(case) = self.deaths.cases.get_mut(subject).filter(|case| case.generation == generation) {
            case.seen = true;
        }
        if is_needed {
            self.push_notice(Key::Refusal(subject, self.own), &Notice::Refusal(refusal), now);
        }
        self.judge(subject, now);
    }

    /// Somebody's refusal.
    pub(super) fn take_refusal(&mut self, refusal: Refusal, now: Moment) -> Verdict {
        let Refusal { subject, generation, observer, number } = refusal;
        if observer == self.own {
            return Verdict::Own;
        }
        if subject == self.own {
            if generation == self.generation && !self.leaving {
                self.push_notice(Key::Alive(number), &Notice::Alive { subject, generation, number }, now);
            }
            return Verdict::Ok;
        }
        let is_this = self.roster.live_member(subject).is_some_and(|member| member.generation == generation);
        if !is_this || self.roster.said_goodbye(subject) || !self.deaths.cases.take(refusal, now) {
            return Verdict::Stale;
        }
        self.push_notice(Key::Refusal(subject, observer), &Notice::Refusal(refusal), now);
        self.judge(subject, now);
        Verdict::Ok
    }

    /// The subject, or somebody whom it answered, says that a refusal is wrong.
    pub(super) fn take_alive(&mut self, notice: &Notice, now: Moment) -> Verdict {
        let &Notice::Alive { subject, generation, number } = notice else { return Verdict::Garbage };
        let is_this = self.roster.live_member(subject).is_some_and(|member| member.generation == generation);
        if subject == self.own || !is_this {
            return Verdict::Stale;
        }
        let Some(refuted) = self.deaths.cases.refute(subject, number, now) else { return Verdict::Stale };
        if refuted.n_left < self.witnesses_needed(subject) {
            self.revive(subject);
        }
        if refuted.n_left == 0 {
            self.deaths.cases.drop_case(subject);
            self.withdraw_refusals(subject);
        }
        if !refuted.pass_on {
            return Verdict::Refused;
        }
        self.push_notice(Key::Alive(number), notice, now);
        Verdict::Ok
    }

    /// The member answered the question with this number.
    pub(in super::super) fn note_answer(&mut self, sender: NodeId, number: u64, now: Moment) {
        let is_ours = |stage: Stage| match stage {
            Stage::Questioned(asked, _) | Stage::Refused(_, asked) => asked == number,
            Stage::Waiting | Stage::Connecting | Stage::Again | Stage::Resting => false,
        };
        let inquired = self.deaths.inquests.get(&sender).is_some_and(|inquest| is_ours(inquest.stage));
        if inquired {
            self.enter(sender, Stage::Resting, REST, now);
        }
        let asked = self.deaths.cases.get(sender).and_then(|case| case.asked);
        if !inquired && asked.is_none_or(|(asked, _)| asked != number) {
            return;
        }
        // Whoever holds these refusals shall not have to ask too.
        for (generation, number) in self.acquit(sender) {
            self.push_notice(Key::Alive(number), &Notice::Alive { subject: sender, generation, number }, now);
        }
    }

    /// A datagram of this member was taken in: a reply in it ends what speaks for its death.
    pub(in super::super) fn note_datagram(&mut self, sender: NodeId) {
        let opened = self.deaths.cases.get(sender).map(|case| case.opened);
        if opened.is_some_and(|opened| self.membership.replied_since(sender, opened)) {
            self.acquit(sender);
        }
    }

    /// Drops all refusals of a subject; which they were.
    fn acquit(&mut self, subject: NodeId) -> Vec<(lobby_core::id::Generation, u64)> {
        let case = self.deaths.cases.drop_case(subject);
        if case.is_some() {
            self.withdraw_refusals(subject);
        }
        self.revive(subject);
        case.map(|case| case.numbers().map(|number| (case.generation, number)).collect()).unwrap_or_default()
    }

    fn revive(&mut self, subject: NodeId) {
        if let Some(case) = self.deaths.cases.get_mut(subject) {
            case.proven = false;
        }
        let event = self.roster.set_unattended(subject, false);
        self.outputs.extend(event.map(Output::Event));
    }

    /// Tells the catalog when there is proof, and looks first if we have not.
    pub(super) fn judge(&mut self, subject: NodeId, now: Moment) {
        let needed = self.witnesses_needed(subject);
        let few = self.roster.n_live() <= FEW;
        let Some(case) = self.deaths.cases.get_mut(subject).filter(|case| !case.proven) else { return };
        match case.asked {
            _ if case.seen => {}
            _ if few => return self.inquire(subject, Why::Asked, now),
            Some((_, until)) if now < until => return,
            Some((_, until)) if now.since(until) < REST => {}
            Some(_) | None => return self.look(subject, now),
        }
        if case.n_witnesses() >= needed {
            case.proven = true;
            let event = self.roster.set_unattended(subject, true);
            self.outputs.extend(event.map(Output::Event));
        }
    }

    /// Asks the subject of a case; the verdict waits for its answer.
    fn look(&mut self, subject: NodeId, now: Moment) {
        let Some(identity) = self.roster.live_member(subject) else { return };
        let (number, wait) = (self.rng.random(), self.answer_time(subject));
        if let Some(case) = self.deaths.cases.get_mut(subject) {
            case.asked = Some((number, now + wait));
            self.timers.arm(now, wait, Timer::Fate(Fate::Verdict(subject)));
            self.timers.arm(now, wait / 2, Timer::Fate(Fate::AskAgain(subject, number)));
            self.send_alone(identity.addr, &Item::Question(number).encode());
        }
    }

    /// Half of the time for an answer is over: question or answer may be lost.
    pub(super) fn ask_again(&mut self, subject: NodeId, number: u64) {
        let asked = self.deaths.cases.get(subject).and_then(|case| case.asked);
        let inquired = self.deaths.inquests.get(&subject).map(|inquest| inquest.stage);
        let is_open = asked.is_some_and(|(asked, _)| asked == number)
            || matches!(inquired, Some(Stage::Questioned(asked, _)) if asked == number);
        if let Some(identity) = self.roster.live_member(subject).filter(|_| is_open) {
            self.send_alone(identity.addr, &Item::Question(number).encode());
        }
    }

    /// Two, or one when nobody else is there to observe.
    fn witnesses_needed(&self, subject: NodeId) -> usize {
        let is_other = |member: Identity| member.id != subject && !self.roster.is_unattended(member.id);
        if self.roster.live().any(is_other) { 2 } else { 1 }
    }

    /// Drops what concerns processes that are no members any more.
    pub(super) fn forget_cases(&mut self) {
        let is_over = |(id, generation): &(NodeId, _)| {
            self.roster.live_member(*id).is_none_or(|member| member.generation != *generation) || self.roster.said_goodbye(*id)
        };
        let over: Vec<_> = self.deaths.cases.subjects().filter(is_over).map(|(id, _)| id).collect();
        for id in over {
            self.deaths.cases.drop_case(id);
            self.withdraw_refusals(id);
        }
    }

    fn withdraw_refusals(&mut self, subject: NodeId) {
        self.deaths.notices.withdraw(|key| matches!(key, Key::Refusal(id, _) if id == subject));
    }
}
