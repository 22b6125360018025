//! Simulations of many checks. What is random comes from a seed that is printed with each failure.

use super::*;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

const SECOND: Duration = Duration::from_secs(1);

/// SplitMix64, for the tests.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0, Token(7))
    }

    fn below(&mut self, span: u64) -> u64 {
        super::below(self.next(), span).as_micros() as u64
    }
}

/// A caller with slots, in virtual time.
struct Runner {
    schedule: Schedule,
    random: Random,
    slots: usize,
    now: Moment,
    /// Ends of runs.
    running: BinaryHeap<Reverse<(Moment, Token)>>,
    /// Starts of runs by check.
    starts: BTreeMap<Token, Vec<Moment>>,
    most_running: usize,
}

impl Runner {
    fn new(seed: u64, slots: usize) -> Self {
        Self {
            schedule: Schedule::default(),
            random: Random(seed),
            slots,
            now: Moment::ZERO,
            running: BinaryHeap::new(),
            starts: BTreeMap::new(),
            most_running: 0,
        }
    }

    fn insert(&mut self, interval: Duration) -> Token {
        let token = self.schedule.insert(interval, self.now, self.random.next()).unwrap();
        assert!(self.starts.insert(token, Vec::new()).is_none(), "a token twice");
        token
    }

    /// Runs until `end`; each run takes up to `longest`.
    fn run(&mut self, end: Moment, longest: Duration) {
        loop {
            while let Some(token) = self.schedule.next_due(self.now, self.slots - self.running.len(), self.random.next()) {
                assert!(!self.running.iter().any(|Reverse((_, other))| *other == token), "two runs of one check at a time");
                self.starts.get_mut(&token).unwrap().push(self.now);
                let took = 1 + self.random.below(micros(longest));
                self.running.push(Reverse((self.now + Duration::from_micros(took), token)));
                self.most_running = self.most_running.max(self.running.len());
                assert!(self.running.len() <= self.slots, "more than there are slots");
            }
            assert!(self.running.len() == self.slots || self.schedule.deadline().is_none_or(|due| due > self.now));
            let finished = self.running.peek().map(|Reverse((end, _))| *end);
            let due = self.schedule.deadline().filter(|_| self.running.len() < self.slots);
            let Some(next) = finished.into_iter().chain(due).min().filter(|next| *next <= end) else { break };
            self.now = next.max(self.now);
            while let Some(&Reverse((end, token))) = self.running.peek()
                && end <= self.now
            {
                self.running.pop();
                self.schedule.handle_finished(token, self.now, self.random.next());
            }
        }
        self.now = end;
    }

    /// How many runs started in each span of time from `from` to now.
    fn histogram(&self, from: Moment, span: Duration) -> Vec<usize> {
        let mut histogram = vec![0; (micros(self.now.since(from)) / micros(span)) as usize];
        for start in self.starts.values().flatten().filter(|start| **start >= from) {
            if let Some(slot) = histogram.get_mut((micros(start.since(from)) / micros(span)) as usize) {
                *slot += 1;
            }
        }
        histogram
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_check_runs_on_time_when_slots_are_free(
        seed in any::<u64>(),
        intervals in proptest::collection::vec(10_000..20_000_000_u64, 1..40),
    ) {
        let mut runner = Runner::new(seed, intervals.len());
        let checks: Vec<_> = intervals.iter().map(|&micros| (runner.insert(Duration::from_micros(micros)), micros)).collect();
        runner.run(Moment::ZERO + 100 * SECOND, Duration::from_millis(1));
        for (token, interval) in checks {
            let starts = &runner.starts[&token];
            prop_assert!(starts[0] < Moment::ZERO + SECOND.min(Duration::from_micros(interval)), "the first is early");
            let most = Duration::from_micros(interval + interval / u64::from(JITTER_PART));
            let mut last = Moment::ZERO;
            for &start in starts.iter().chain([&runner.now]) {
                prop_assert!(start.since(last) <= most, "{interval} µs: from {last:?} to {start:?}");
                last = start;
            }
            // After the second run all lie on one grid: no drift over the whole time.
            for (n, start) in starts.iter().enumerate().skip(1) {
                let point = starts[1] + Duration::from_micros(interval * (n as u64 - 1));
                prop_assert!(*start >= point && start.since(point) <= Duration::from_micros(interval / 20), "run {n}");
            }
        }
    }

    #[test]
    fn short_of_slots_nobody_starves_and_the_bound_holds(seed in any::<u64>(), slots in 1..8_usize) {
        // 200 checks a second, of runs that take 50 ms at the mean: ten slots would be needed.
        let mut runner = Runner::new(seed, slots);
        let tokens: Vec<_> = (0..200).map(|_| runner.insert(SECOND)).collect();
        runner.run(Moment::ZERO + 60 * SECOND, SECOND / 10);
        prop_assert_eq!(runner.most_running, slots);
        let counts: Vec<_> = tokens.iter().map(|token| runner.starts[token].len()).collect();
        let (least, fair) = (counts.iter().min().unwrap(), counts.iter().sum::<usize>() / tokens.len());
        prop_assert!(fair >= 5 * slots, "the slots stand idle: {fair} runs of each");
        prop_assert!(*least >= fair / 2, "{slots} slots: {least} runs of one check, {fair} would be fair");
    }

    #[test]
    fn removal_and_replacement_at_any_time(seed in any::<u64>(), steps in 1..300_usize) {
        let mut runner = Runner::new(seed, 3);
        let mut present = Vec::new();
        for _ in 0..steps {
            if present.is_empty() || runner.random.below(2) == 0 {
                present.push(runner.insert(SECOND / 2));
            } else {
                let n_present = present.len() as u64;
                let token = present.swap_remove(runner.random.below(n_present) as usize);
                prop_assert!(runner.schedule.remove(token) && !runner.schedule.remove(token));
                let runs = runner.starts[&token].len();
                runner.run(runner.now + SECOND / 10, SECOND / 10);
                prop_assert_eq!(runner.starts[&token].len(), runs, "it ran after its removal");
            }
            runner.run(runner.now + SECOND / 20, SECOND / 10);
            prop_assert_eq!(runner.schedule.len(), present.len());
            prop_assert!(runner.schedule.running() <= 3);
        }
    }
}

#[test]
fn ten_thousand_checks_are_spread_and_a_stall_brings_no_herd() {
    for seed in 0..3 {
        let mut runner = Runner::new(seed, 10_000);
        (0..10_000).for_each(|_| _ = runner.insert(10 * SECOND));
        runner.run(Moment::ZERO + 30 * SECOND, SECOND / 100);
        let even = runner.histogram(Moment::ZERO + 10 * SECOND, SECOND / 10);
        assert!(even.iter().all(|runs| (50..=160).contains(runs)), "seed {seed}: {even:?}");
        for stall in [2, 7, 60] {
            let resumed = runner.now + stall * SECOND;
            // All runs end in the stall, nobody asks.
            runner.now = resumed;
            runner.run(resumed + 20 * SECOND, SECOND / 100);
            let after = runner.histogram(resumed, SECOND);
            assert!(
                after[0] <= 2_200 && after[1..].iter().all(|runs| (600..=1_300).contains(runs)),
                "seed {seed}, stall of {stall} s: {after:?}"
            );
            let ran = runner
                .starts
                .values()
                .filter(|starts| starts.iter().any(|start| start.since(resumed) < 11 * SECOND && *start >= resumed));
            assert_eq!(ran.count(), 10_000, "seed {seed}, stall of {stall} s: each within its interval");
        }
    }
}

#[test]
fn a_run_longer_than_the_interval_skips_points_and_keeps_the_grid() {
    let mut schedule = Schedule::default();
    let token = schedule.insert(SECOND, Moment::ZERO, 1).unwrap();
    let mut now = schedule.deadline().unwrap();
    let mut points = Vec::new();
    for _ in 0..5 {
        assert_eq!(schedule.next_due(now, 1, 2), Some(token));
        assert_eq!((schedule.next_due(now, 1, 2), schedule.running(), schedule.deadline()), (None, 1, None));
        points.push(schedule.entries[&token].point);
        let end = now + Duration::from_millis(2500);
        schedule.handle_finished(token, end, 3);
        schedule.handle_finished(token, end + 5 * SECOND, 4);
        now = schedule.deadline().unwrap();
        assert!(now > end && now.since(end) <= SECOND + SECOND / JITTER_PART);
    }
    for pair in points[1..].windows(2) {
        assert_eq!(pair[1].since(pair[0]), 3 * SECOND);
    }
}

#[test]
fn without_a_free_slot_nothing_is_taken() {
    let mut schedule = Schedule::default();
    let token = schedule.insert(SECOND, Moment::ZERO, 0).unwrap();
    let now = Moment::ZERO + SECOND;
    assert_eq!((schedule.next_due(now, 0, 0), schedule.running()), (None, 0));
    assert_eq!((schedule.next_due(now, 1, 0), schedule.running()), (Some(token), 1));
}

#[test]
fn bounds_and_extremes() {
    let mut schedule = Schedule::default();
    let tokens: Vec<_> = (0..MOST_CHECKS).map(|_| schedule.insert(SECOND, Moment::ZERO, 5).unwrap()).collect();
    assert_eq!(schedule.insert(SECOND, Moment::ZERO, 5), Err(FullError));
    assert!(schedule.remove(tokens[0]));
    assert!(schedule.insert(SECOND, Moment::ZERO, 5).is_ok());
    assert_eq!((schedule.len(), schedule.is_empty()), (MOST_CHECKS, false));
    for interval in [Duration::ZERO, Duration::MAX] {
        let mut schedule = Schedule::default();
        let token = schedule.insert(interval, Moment::ZERO, u64::MAX).unwrap();
        let now = schedule.deadline().unwrap();
        assert_eq!(schedule.next_due(now, 1, u64::MAX), Some(token));
        schedule.handle_finished(token, now, u64::MAX);
        assert!(schedule.deadline().unwrap() > now, "no busy loop at {interval:?}");
    }
}

#[test]
fn what_is_removed_leaves_nothing_behind() {
    let mut schedule = Schedule::default();
    for n in 0..100_000 {
        let token = schedule.insert(3600 * SECOND, Moment::ZERO, n).unwrap();
        if n % 2 == 0 {
            schedule.next_due(Moment::ZERO + SECOND, 1, n);
        }
        assert!(schedule.remove(token));
    }
    assert_eq!((schedule.entries.len(), schedule.line.len(), schedule.is_empty()), (0, 0, true));
}
