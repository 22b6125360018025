//! Guards 2 to 4: before a suspect is declared down, three things are asked.
//!
//! ```text
//! suspicion timer ─► are we ill ourselves? ── yes ─► later (for a bounded time per suspect)
//!                        │ no
//!                    did it answer us lately? ─ yes ─► acquitted
//!                        │ no
//!                    was it asked directly? ─── no ──► ask, come back
//!                        │ yes
//!                    did it have time? ──────── no ──► later
//!                        │ yes
//!                    down
//! ```
//! foca alone lets one node that cannot hear kill every node it probes, because "down" beats any answer.
//! Without the bound on "later", the 20 survivors of 200 would never judge the 180 dead.

use std::{collections::HashMap, time::Duration};

use foca::Message;
use lobby_core::{id::NodeId, time::Moment};

use crate::{config::Config, identity::Identity};

/// From this many more failed than answered probes on, the fault is ours rather than theirs.
const ILL: u8 = 2;

/// Highest score: eight answered probes make the worst patient healthy.
const WORST: u8 = 8;

/// How long an ill observer puts off one verdict, in halves of the time that a suspect has.
const HALVES_WHEN_ILL: u32 = 3;

/// How long an observer that hears nothing at all puts off one verdict.
const PATIENCE_WHEN_DEAF: Duration = Duration::from_secs(30);

/// An answer this old proves nothing to anybody.
const PROOF_KEPT: Duration = Duration::from_secs(60);

/// What becomes of a suspicion whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// Judge after this time.
    Later(Duration),
    /// The suspect lives. A new failed probe may accuse it again.
    Acquit,
    /// Ask the suspect, judge after this time.
    Ask(Duration),
    /// Down.
    Convict,
}

/// A pending verdict.
#[derive(Clone, Copy, Debug)]
struct Case {
    opened: Moment,
    /// When the last question was asked first.
    asked: Option<Moment>,
    /// It was asked once more, half the time later: one lost packet must not decide.
    repeated: bool,
}

/// What the observer knows about itself and its suspects.
#[derive(Debug)]
pub(super) struct Guards {
    suspect_for: Duration,
    last_question: Duration,
    deaf_after: Duration,
    /// One up per failed probe of our own, one down per answer; 0 to [`WORST`].
    score: u8,
    last_heard: Moment,
    /// When a member last answered us. Only answers count, else a node that cannot hear would live for ever.
    proofs: HashMap<NodeId, Moment>,
    cases: HashMap<NodeId, Case>,
}

impl Guards {
    pub(super) fn new(config: &Config, now: Moment) -> Self {
        Self {
            suspect_for: config.suspect_for,
            last_question: config.last_question,
            deaf_after: config.probe_period * 2,
            score: 0,
            last_heard: now,
            proofs: HashMap::new(),
            cases: HashMap::new(),
        }
    }

    pub(super) fn note_failed_probe(&mut self) {
        self.score = WORST.min(self.score + 1);
    }

    pub(super) fn note_message(&mut self, src: NodeId, message: &Message<Identity>, now: Moment) {
        self.last_heard = now;
        if matches!(message, Message::Ack(_) | Message::ForwardedAck { .. }) {
            self.score = self.score.saturating_sub(1);
        }
        if matches!(message, Message::Ack(_) | Message::IndirectAck { .. } | Message::Feed) {
            self.proofs.insert(src, now);
        }
    }

    pub(super) fn has_proof(&self, id: NodeId, now: Moment) -> bool {
        self.proofs.get(&id).is_some_and(|answered| now.since(*answered) < self.suspect_for)
    }

    pub(super) fn replied_since(&self, id: NodeId, moment: Moment) -> bool {
        self.proofs.get(&id).is_some_and(|answered| *answered > moment)
    }

    pub(super) const fn score(&self) -> u8 {
        self.score
    }

    /// Keeps the proofs from outgrowing the cluster.
    pub(super) fn forget_old(&mut self, members: usize, now: Moment) {
        if self.proofs.len() > 2 * members + 64 {
            self.proofs.retain(|_, answered| now.since(*answered) < PROOF_KEPT);
        }
    }

    /// There is nothing to rule any more: the next suspicion is another case, with questions of its own.
    pub(super) fn close(&mut self, suspect: NodeId) {
        self.cases.remove(&suspect);
    }

    /// What becomes of a suspicion whose time is over, when there are `n_others` live members beside the suspect.
    pub(super) fn rule(&mut self, suspect: NodeId, n_others: usize, now: Moment) -> Ruling {
        let half = self.suspect_for / 2;
        // Of two members only the suspect could be heard or probed: its silence is no sign that we are deaf or ill.
        let patience = if n_others == 0 {
            Duration::ZERO
        } else if now.since(self.last_heard) > self.deaf_after {
            PATIENCE_WHEN_DEAF
        } else if self.score >= ILL {
            half * HALVES_WHEN_ILL
        } else {
            Duration::ZERO
        };
        let proven = self.has_proof(suspect, now);
        let case = self.cases.entry(suspect).or_insert(Case { opened: now, asked: None, repeated: false });
        if now.since(case.opened) < patience {
            return Ruling::Later(half);
        }
        // Its answer may be old by now, if we were ill or deaf after we had asked. It is one all the same.
        let answered = case.asked.and_then(|asked| self.proofs.get(&suspect).map(|answer| *answer > asked)).unwrap_or_default();
        let proven = proven || answered;
        if !proven {
            // One suspect may have several timers pending: each of them lets the question have its time.
            let Some(asked) = case.asked else {
                case.asked = Some(now);
                return Ruling::Ask(self.last_question / 2);
            };
            if !case.repeated && now.since(asked) >= self.last_question / 2 {
                case.repeated = true;
                return Ruling::Ask((asked + self.last_question).since(now));
            }
            let rest = (asked + self.last_question).since(now);
            if !rest.is_zero() {
                return Ruling::Later(rest);
            }
        }
        self.cases.remove(&suspect);
        if proven { Ruling::Acquit } else { Ruling::Convict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;

    const SUSPECT: NodeId = NodeId::from_bytes([1; 16]);
    const OTHER: NodeId = NodeId::from_bytes([2; 16]);

    fn at(ms: u64) -> Moment {
        Moment::from_micros(ms * 1000)
    }

    #[test]
    fn a_healthy_observer_asks_twice_and_convicts() {
        let mut guards = Guards::new(&Profile::Lan.config(), at(0));
        assert_eq!(guards.rule(SUSPECT, 5, at(500)), Ruling::Ask(Duration::from_millis(200)));
        assert_eq!(guards.rule(SUSPECT, 5, at(700)), Ruling::Ask(Duration::from_millis(200)));
        assert_eq!(guards.rule(SUSPECT, 5, at(900)), Ruling::Convict);
    }

    #[test]
    fn an_answer_acquits_and_a_mere_message_does_not() {
        let mut guards = Guards::new(&Profile::Lan.config(), at(0));
        guards.note_message(SUSPECT, &Message::Gossip, at(100));
        assert!(matches!(guards.rule(SUSPECT, 5, at(500)), Ruling::Ask(_)));
        guards.note_message(SUSPECT, &Message::Feed, at(600));
        assert_eq!(guards.rule(SUSPECT, 5, at(900)), Ruling::Acquit);
    }

    #[test]
    fn an_ill_observer_waits_three_times_and_a_deaf_one_thirty_seconds() {
        let half = Ruling::Later(Duration::from_secs(1));
        let mut ill = Guards::new(&Profile::Lan.config(), at(0));
        ill.note_failed_probe();
        ill.note_failed_probe();
        let mut rule = |n: &u64| {
            ill.note_message(OTHER, &Message::Gossip, at(n * 1000));
            ill.rule(SUSPECT, 5, at(n * 1000))
        };
        assert_eq!((0..10).take_while(|n| rule(n) == half).count(), 3);
        let mut deaf = Guards::new(&Profile::Lan.config(), at(0));
        assert_eq!((0..100).take_while(|n| deaf.rule(SUSPECT, 5, at(5000 + n * 1000)) == half).count(), 30);
    }

    #[test]
    fn who_was_ill_after_it_had_asked_does_not_forget_the_answer() {
        let mut guards = Guards::new(&Profile::Lan.config(), at(0));
        assert!(matches!(guards.rule(SUSPECT, 5, at(500)), Ruling::Ask(_)));
        guards.note_message(SUSPECT, &Message::Feed, at(510));
        (0..8).for_each(|_| guards.note_failed_probe());
        assert!(matches!(guards.rule(SUSPECT, 5, at(700)), Ruling::Later(_)));
        guards.note_message(OTHER, &Message::Gossip, at(4700));
        assert_eq!(guards.rule(SUSPECT, 5, at(4700)), Ruling::Acquit);
    }

    #[test]
    fn a_closed_case_is_no_reason_not_to_ask() {
        let mut guards = Guards::new(&Profile::Lan.config(), at(0));
        assert!(matches!(guards.rule(SUSPECT, 5, at(500)), Ruling::Ask(_)));
        guards.close(SUSPECT);
        guards.note_message(OTHER, &Message::Gossip, at(9000));
        assert_eq!(guards.rule(SUSPECT, 5, at(9000)), Ruling::Ask(Duration::from_millis(200)));
    }

    #[test]
    fn of_two_members_the_silent_one_is_not_excused_by_its_silence() {
        let mut guards = Guards::new(&Profile::Lan.config(), at(0));
        (0..8).for_each(|_| guards.note_failed_probe());
        assert!(matches!(guards.rule(SUSPECT, 0, at(5000)), Ruling::Ask(_)));
        assert!(matches!(guards.rule(SUSPECT, 0, at(5200)), Ruling::Ask(_)));
        assert_eq!(guards.rule(SUSPECT, 0, at(5400)), Ruling::Convict);
    }

    #[test]
    fn every_pending_timer_leaves_the_last_question_its_time() {
        let mut guards = Guards::new(&Profile::Lan.config(), at(0));
        let ms = Duration::from_millis;
        assert_eq!(guards.rule(SUSPECT, 5, at(500)), Ruling::Ask(ms(200)));
        assert_eq!(guards.rule(SUSPECT, 5, at(501)), Ruling::Later(ms(399)));
        guards.note_message(SUSPECT, &Message::Feed, at(700));
        assert_eq!(guards.rule(SUSPECT, 5, at(900)), Ruling::Acquit);
    }
}
