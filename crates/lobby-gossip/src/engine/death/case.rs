//! What speaks for a process' death: refusals of different observers, and which of them were refuted.
//!
//! Pure bookkeeping. A case lapses [`LASTS`] after its first refusal unless it was proven by then; a proven one stays
//! until somebody drops it. Numbers of refuted refusals are remembered, so that a late copy proves nothing.
//! Not here: who connects to whom (`engine/death`), how many observers it takes (there too).

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Duration,
};

use lobby_core::{
    id::{Generation, NodeId},
    time::Moment,
};

use crate::{
    bucket::{Bucket, Rate},
    notice::Refusal,
};

/// Refusals that lie further apart do not support each other. Checks take a tenth of it.
const LASTS: Duration = Duration::from_secs(5);

/// Members whose death is in question at a time. Those above it are left to the probes.
pub(crate) const MOST_CASES: usize = 256;

/// Observers kept per case: one more than it takes, should one be refuted.
const WITNESSES: usize = 3;

/// Numbers remembered as refuted: at [`UNHELD`] and three per case in [`LASTS`] enough for 20 s, and a notice is spread
/// within a few. One that was forgotten while it is still on its way would go round for ever.
const MOST_VOID: usize = 4096;

/// Refutations of refusals that are not held here and are passed on all the same: 256 at once, 50 per second.
const UNHELD: Rate = Rate { burst: 256, refill_micros: 20_000 };

#[derive(Debug)]
pub(super) struct Case {
    pub(super) generation: Generation,
    /// When the first refusal came. An answer after that ends the case.
    pub(super) opened: Moment,
    /// Observers and the numbers of their refusals.
    witnesses: Vec<(NodeId, u64)>,
    /// The number of our own question to the subject, and until when it has to answer.
    pub(super) asked: Option<(u64, Moment)>,
    /// We were refused ourselves, whether or not our word was needed.
    pub(super) seen: bool,
    /// The catalog was told.
    pub(super) proven: bool,
}

/// The cases of one member.
#[derive(Debug)]
pub(super) struct Cases {
    open: BTreeMap<NodeId, Case>,
    unheld: Bucket,
    void: HashSet<u64>,
    void_order: VecDeque<u64>,
}

/// What became of a refutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refuted {
    /// Refusals of the subject that still stand.
    pub(super) n_left: usize,
    /// Others shall hear of it.
    pub(super) pass_on: bool,
}

impl Default for Cases {
    fn default() -> Self {
        Self { open: BTreeMap::new(), unheld: Bucket::full(), void: HashSet::new(), void_order: VecDeque::new() }
    }
}

impl Cases {
    /// Takes in a refusal; false when it is known, refuted, not needed any more, or there are too many cases.
    pub(super) fn take(&mut self, refusal: Refusal, now: Moment) -> bool {
        if self.void.contains(&refusal.number) {
            return false;
        }
        let lapsed = |case: &Case| !case.proven && now.since(case.opened) > LASTS;
        if self.open.len() >= MOST_CASES && !self.open.contains_key(&refusal.subject) {
            self.open.retain(|_, case| !lapsed(case));
            if self.open.len() >= MOST_CASES {
                return false;
            }
        }
        let new = || Case {
            generation: refusal.generation,
            opened: now,
            witnesses: Vec::new(),
            asked: None,
            seen: false,
            proven: false,
        };
        let case = self.open.entry(refusal.subject).or_insert_with(new);
        if lapsed(case) || case.generation < refusal.generation {
            *case = new();
        }
        let known = case.witnesses.iter().any(|(observer, _)| *observer == refusal.observer);
        if known || case.witnesses.len() >= WITNESSES || case.generation > refusal.generation {
            return false;
        }
        case.witnesses.push((refusal.observer, refusal.number));
        true
    }

    pub(super) fn get(&self, subject: NodeId) -> Option<&Case> {
        self.open.get(&subject)
    }

    pub(super) fn get_mut(&mut self, subject: NodeId) -> Option<&mut Case> {
        self.open.get_mut(&subject)
    }

    /// Whether somebody's refusal of the subject stands.
    pub(super) fn is_open(&self, subject: NodeId, now: Moment) -> bool {
        self.open.get(&subject).is_some_and(|case| case.proven || now.since(case.opened) <= LASTS)
    }

    /// Whether this observer's refusal of the subject stands.
    pub(super) fn has_witness(&self, subject: NodeId, observer: NodeId, now: Moment) -> bool {
        self.open.get(&subject).is_some_and(|case| {
            let stands = case.proven || now.since(case.opened) <= LASTS;
            stands && case.witnesses.iter().any(|(other, _)| *other == observer)
        })
    }

    /// One refusal is refuted; `None` when that was known already.
    pub(super) fn refute(&mut self, subject: NodeId, number: u64, now: Moment) -> Option<Refuted> {
        if !self.avoid(number) {
            return None;
        }
        let (mut n_left, mut held) = (0, false);
        if let Some(case) = self.open.get_mut(&subject) {
            held = case.numbers().any(|other| other == number);
            case.witnesses.retain(|(_, other)| *other != number);
            n_left = case.witnesses.len();
        }
        Some(Refuted { n_left, pass_on: held || self.unheld.take_of(UNHELD, now) })
    }

    /// The subject answered, or the case is no longer about the process that is there: all its refusals are void.
    pub(super) fn drop_case(&mut self, subject: NodeId) -> Option<Case> {
        let case = self.open.remove(&subject)?;
        for (_, number) in &case.witnesses {
            self.avoid(*number);
        }
        Some(case)
    }

    /// Subjects of all cases.
    pub(super) fn subjects(&self) -> impl Iterator<Item = (NodeId, Generation)> {
        self.open.iter().map(|(id, case)| (*id, case.generation))
    }

    /// Refusals that are held.
    pub(super) fn n_pending(&self) -> usize {
        self.open.values().map(|case| case.witnesses.len()).sum()
    }

    fn avoid(&mut self, number: u64) -> bool {
        let is_new = self.void.insert(number);
        if is_new {
            self.void_order.push_back(number);
        }
        if self.void_order.len() > MOST_VOID
            && let Some(oldest) = self.void_order.pop_front()
        {
            self.void.remove(&oldest);
        }
        is_new
    }
}

impl Case {
    pub(super) fn n_witnesses(&self) -> usize {
        self.witnesses.len()
    }

    /// Numbers of its refusals.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.witnesses.iter().map(|(_, number)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    fn refusal(observer: u8, number: u64) -> Refusal {
        Refusal { subject: id(1), generation: Generation(5), observer: id(observer), number }
    }

    fn at(ms: u64) -> Moment {
        Moment::from_micros(ms * 1000)
    }

    #[test]
    fn the_same_observer_counts_once_and_a_refuted_refusal_never_again() {
        let mut cases = Cases::default();
        assert!(cases.take(refusal(2, 10), at(0)));
        assert!(!cases.take(refusal(2, 11), at(0)), "the same observer");
        assert!(cases.take(refusal(3, 12), at(0)));
        assert_eq!(cases.refute(id(1), 10, at(0)), Some(Refuted { n_left: 1, pass_on: true }));
        assert_eq!(cases.refute(id(1), 10, at(0)), None);
        assert!(!cases.take(refusal(2, 10), at(1)), "a late copy");
        assert!(cases.take(refusal(2, 13), at(1)), "it was refused again");
        assert_eq!(cases.get(id(1)).map(Case::n_witnesses), Some(2));
    }

    #[test]
    fn refusals_that_lie_far_apart_do_not_support_each_other() {
        let mut cases = Cases::default();
        assert!(cases.take(refusal(2, 10), at(0)));
        assert!(cases.take(refusal(3, 11), at(5001)));
        assert_eq!(cases.get(id(1)).map(Case::n_witnesses), Some(1));
    }

    #[test]
    fn a_dropped_case_does_not_come_back_by_late_copies() {
        let mut cases = Cases::default();
        cases.take(refusal(2, 10), at(0));
        cases.drop_case(id(1));
        assert!(!cases.take(refusal(2, 10), at(1)));
    }

    #[test]
    fn cases_are_bounded_and_lapsed_ones_make_room() {
        let mut cases = Cases::default();
        let of = |n: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            Refusal { subject: NodeId::from_bytes(bytes), ..refusal(2, n as u64) }
        };
        assert!((0..MOST_CASES).all(|n| cases.take(of(n), at(0))));
        assert!(!cases.take(of(MOST_CASES), at(0)));
        assert_eq!(cases.n_pending(), MOST_CASES);
        assert!(cases.take(of(MOST_CASES), at(6000)));
        assert_eq!(cases.n_pending(), 1);
    }

    #[test]
    fn the_memory_of_refuted_refusals_is_bounded() {
        let mut cases = Cases::default();
        for number in 0..5000 {
            cases.refute(id(1), number, at(0));
        }
        assert_eq!((cases.void.len(), cases.void_order.len()), (MOST_VOID, MOST_VOID));
    }

    /// A thousand members that pass on whatever is new to them, more numbers than anybody remembers: it ends.
    #[test]
    fn refutations_of_what_nobody_holds_do_not_go_round_for_ever() {
        let n_numbers = MOST_VOID as u64 + 1000;
        let mut cases = Cases::default();
        // What is passed on comes back a second later, and so does what was there before.
        let mut passed_on = 0;
        for second in 0..10 {
            for number in 0..n_numbers {
                passed_on += u64::from(cases.refute(id(1), number, at(second * 1000)).is_some_and(|refuted| refuted.pass_on));
            }
        }
        assert!(passed_on <= 256 + 9 * 50, "{passed_on} of {n_numbers} were passed on in 10 s");
        // One that is held is passed on whatever the rate.
        assert!(cases.take(refusal(2, 99_999), at(9000)));
        assert_eq!(cases.refute(id(1), 99_999, at(9000)), Some(Refuted { n_left: 0, pass_on: true }));
    }
}
