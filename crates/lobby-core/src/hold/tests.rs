//! Who is held and who is not, and laws over any course of events against a log of what was told.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::id::NodeId;

const A: ExchangeId = ExchangeId(0);
const B: ExchangeId = ExchangeId(1);

fn node(n: u8) -> Origin {
    Origin::Node(NodeId::from_bytes([n; 16]))
}

fn at(secs: u64) -> Moment {
    Moment::from_micros(secs * 1_000_000)
}

/// These nodes fall silent in A one after the other, each at its second.
fn silent_at(seconds: &[u64]) -> Hold {
    let mut hold = Hold::new(Rule::default(), 2);
    (0..).zip(seconds).for_each(|(n, second)| hold.fell_silent(A, node(n), at(*second)));
    hold
}

/// How many are held when so many, our own among them, are alive after seconds of silence.
fn held(seconds: &[u64], alive: usize) -> usize {
    silent_at(seconds).poll(|_| alive, |_| true).len()
}

#[test]
fn more_than_half_and_at_least_three_within_ten_seconds() {
    for (seconds, alive, want) in [
        (&[0, 0, 0, 0, 0][..], 2, 5),
        (&[0, 0, 0], 2, 3),
        // Half is not more than half.
        (&[0, 0, 0], 3, 0),
        (&[0, 0], 1, 0),
        (&[0, 0, 0, 0], 3, 4),
        // The last second of the window, and one later.
        (&[0, 4, 10], 2, 3),
        (&[0, 4, 11], 2, 0),
        (&[0, 4, 11, 12, 13], 2, 4),
    ] {
        assert_eq!(held(seconds, alive), want, "{seconds:?} and {alive} alive");
    }
}

#[test]
fn the_first_to_fall_silent_are_held_when_the_last_one_is() {
    let mut hold = Hold::new(Rule::default(), 1);
    let mut fall = |n, second, alive| {
        hold.fell_silent(A, node(n), at(second));
        hold.poll(|_| alive, |_| true)
    };
    assert_eq!((fall(1, 0, 5), fall(2, 3, 4), fall(3, 6, 3)), (vec![], vec![], vec![]));
    assert_eq!(fall(4, 9, 2), [node(1), node(2), node(3), node(4)]);
    let held = hold.of(&node(1)).unwrap();
    assert_eq!(held, Held { exchange: A, since: at(9), until: at(69), silent: 4, of: 6 });
}

#[test]
fn a_hold_ends_at_once_when_seen_or_explained_and_after_its_time_otherwise() {
    let mut hold = silent_at(&[0, 0, 0, 0]);
    hold.poll(|_| 1, |_| true);
    hold.release(&node(0));
    assert!(hold.explained(&node(1)) && !hold.explained(&node(1)));
    assert_eq!((hold.of(&node(0)), hold.of(&node(1)), hold.count(A), hold.count(B)), (None, None, 2, 0));
    assert_eq!((hold.next_deadline(), hold.pop_due(at(59))), (Some(at(60)), None));
    assert_eq!([hold.pop_due(at(60)), hold.pop_due(at(60)), hold.pop_due(at(60))], [Some(node(2)), Some(node(3)), None]);
    assert_eq!((hold.next_deadline(), hold.is_silent(&node(2))), (None, false));
}

#[test]
fn whose_hold_is_over_is_not_held_again_by_the_silence_of_others() {
    let rule = Rule { window: Duration::from_secs(100), max: Duration::from_secs(5), ..Rule::default() };
    let mut hold = Hold { rule, ..silent_at(&[0, 0, 0]) };
    assert_eq!(hold.poll(|_| 1, |_| true).len(), 3);
    while hold.pop_due(at(5)).is_some() {}
    (3..6).for_each(|n| hold.fell_silent(A, node(n), at(6)));
    assert_eq!(hold.poll(|_| 1, |_| true), [node(3), node(4), node(5)]);
}

#[test]
fn an_exchange_that_hears_the_others_is_believed() {
    let mut hold = silent_at(&[0, 0, 0]);
    hold.fell_silent(B, node(0), at(1));
    let alive = |exchange| if exchange == A { 1 } else { 3 };
    assert_eq!(hold.poll(alive, |_| true), [node(1), node(2)], "B lost one of four");
    // Whom B still holds alive is not lost, and counts in A all the same.
    let mut hold = silent_at(&[0, 0, 0]);
    assert_eq!(hold.poll(|_| 1, |origin| *origin == node(2)), [node(2)]);
    // Both are doubted.
    let mut hold = silent_at(&[0, 0, 0]);
    (0..3).for_each(|n| hold.fell_silent(B, node(n), at(1)));
    assert_eq!(hold.poll(|_| 1, |_| true).len(), 3);
}

#[test]
fn a_threshold_of_a_hundred_percent_holds_nobody() {
    let mut hold = Hold { rule: Rule { threshold: 100, ..Rule::default() }, ..silent_at(&[0; 9]) };
    assert!(hold.poll(|_| 1, |_| true).is_empty());
}

#[test]
fn exchanges_that_are_not_there_are_ignored() {
    let mut hold = Hold::new(Rule::default(), 0);
    hold.fell_silent(A, node(1), at(0));
    hold.seen(A, &node(1));
    assert!(hold.poll(|_| 0, |_| true).is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Silent(u8, u8),
    Seen(u8, u8),
    Release(u8),
    Explained(u8),
    Wait(u64),
    Poll(usize, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_u8, 0..8_u8).prop_map(|(exchange, n)| Step::Silent(exchange, n)),
        1 => (0..2_u8, 0..8_u8).prop_map(|(exchange, n)| Step::Seen(exchange, n)),
        1 => (0..8_u8).prop_map(Step::Release),
        1 => (0..8_u8).prop_map(Step::Explained),
        2 => (0..30_u64).prop_map(Step::Wait),
        3 => (1..9_usize, any::<u8>()).prop_map(|(alive, lost)| Step::Poll(alive, lost)),
    ]
}

proptest! {
    #[test]
    fn nobody_is_held_without_the_threshold_nor_for_longer_than_the_longest(
        threshold in 1..=100_u8, window in 1..40_u64, max in 1..90_u64, steps in vec(step(), 0..120),
    ) {
        let rule = Rule { threshold, window: Duration::from_secs(window), max: Duration::from_secs(max) };
        let mut hold = Hold::new(rule, 2);
        // What was told: who fell silent where and when, and was neither seen there nor explained since.
        let mut log: BTreeMap<(u8, u8), u64> = BTreeMap::new();
        let mut starts: BTreeMap<u8, u64> = BTreeMap::new();
        let (mut now, mut last) = (0, 0);
        for step in steps {
            match step {
                Step::Silent(exchange, n) => {
                    hold.fell_silent(ExchangeId(exchange), node(n), at(now));
                    log.insert((exchange, n), now);
                    last = now;
                }
                Step::Seen(exchange, n) => {
                    hold.seen(ExchangeId(exchange), &node(n));
                    log.remove(&(exchange, n));
                }
                Step::Release(n) => {
                    hold.release(&node(n));
                    prop_assert_eq!(hold.of(&node(n)), None);
                    starts.remove(&n);
                }
                Step::Explained(n) => {
                    hold.explained(&node(n));
                    prop_assert!(hold.of(&node(n)).is_none() && !hold.is_silent(&node(n)));
                    log.retain(|(_, of), _| *of != n);
                    starts.remove(&n);
                }
                Step::Wait(seconds) => {
                    now += seconds;
                    while let Some(over) = hold.pop_due(at(now)) {
                        let n = (0..8).find(|n| node(*n) == over).unwrap();
                        prop_assert!(now >= starts.remove(&n).unwrap() + max, "{n} is let go too early");
                        log.retain(|(_, of), _| *of != n);
                    }
                    prop_assert!(starts.values().all(|start| now < start + max), "held for too long");
                }
                Step::Poll(alive, lost) => {
                    let silent = |exchange: u8| log.iter().filter(move |((of, _), at)| *of == exchange && last - **at <= window);
                    let doubted = |exchange| {
                        let n = silent(exchange).count();
                        n >= LEAST && n * 100 > usize::from(threshold) * (n + alive)
                    };
                    for origin in hold.poll(|_| alive, |origin| (0..8).any(|n| node(n) == *origin && lost & (1 << n) != 0)) {
                        let n = (0..8).find(|n| node(*n) == origin).unwrap();
                        prop_assert!(lost & (1 << n) != 0 && !starts.contains_key(&n));
                        let by: BTreeSet<_> = (0..2).filter(|exchange| silent(*exchange).any(|((_, of), _)| *of == n)).collect();
                        prop_assert!(!by.is_empty() && by.iter().all(|exchange| doubted(*exchange)), "{n} in {by:?}");
                        starts.insert(n, last);
                    }
                }
            }
            let held: BTreeSet<_> = (0..8).filter(|n| hold.of(&node(*n)).is_some()).collect();
            prop_assert_eq!(held, starts.keys().copied().collect());
            prop_assert_eq!(hold.count(A) + hold.count(B), starts.len());
            prop_assert_eq!(hold.next_deadline().is_some(), !starts.is_empty());
        }
    }
}
