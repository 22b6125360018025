//! The machine against a naive one that looks at the whole history each time, with random inputs.

use super::*;
use crate::check::{
    flap::MOST_CHANGES,
    spec::{Draft, ShortIntervals},
};
use proptest::{collection::vec, prelude::*};

/// All that ever came in, with when.
#[derive(Debug)]
struct Naive {
    spec: Arc<Spec>,
    inputs: Vec<(Moment, Status)>,
}

impl Naive {
    /// The own statuses in order, each with when it began.
    fn own(&self, now: Moment) -> Vec<(Moment, Status)> {
        let mut own = vec![(Moment::ZERO, self.spec.initial())];
        let mut set = |at, status| {
            if own.last().is_some_and(|(_, last)| *last != status) {
                own.push((at, status));
            }
        };
        let mut reported = Moment::ZERO;
        for (n, &(at, status)) in self.inputs.iter().chain([&(now, Status::Passing)]).enumerate() {
            if let Some(expires) = self.spec.ttl().map(|ttl| reported + ttl).filter(|expires| *expires <= at) {
                set(expires, Status::Critical);
            }
            if n == self.inputs.len() {
                break;
            }
            reported = at;
            let fails = status == Status::Critical;
            let in_a_row = self.inputs[..=n].iter().rev().take_while(|(_, s)| (*s == Status::Critical) == fails).count() as u32;
            match () {
                () if self.spec.ttl().is_some() => set(at, status),
                () if !fails && in_a_row >= self.spec.success_before_passing() => set(at, status),
                () if fails && in_a_row >= self.spec.failures_before_critical() => set(at, Status::Critical),
                () if fails && in_a_row >= self.spec.failures_before_warning() => set(at, Status::Warning),
                () => {}
            }
        }
        own
    }

    /// What is shown, and whether it is flapping: a hold is a stretch of changes from the sixth within a window on, each
    /// less than half a window after the one before.
    fn shown(&self, now: Moment) -> (Status, bool) {
        let own = self.own(now);
        let last = own[own.len() - 1].1;
        let Some(interval) = self.spec.interval() else { return (last, false) };
        let window = (interval * 12).clamp(Duration::from_secs(60), Duration::from_secs(3600));
        // Since which change they count: those before were forgiven when a hold ended.
        let mut forgiven = 1;
        let mut held: Option<(usize, usize)> = None;
        for n in 1..own.len() {
            let (at, _) = own[n];
            if let Some((first, before)) = held {
                if at.since(own[before].0) < window / 2 {
                    held = Some((first, n));
                    continue;
                }
                held = None;
                forgiven = n;
            }
            let counted: Vec<_> = (forgiven..=n).filter(|&m| at.since(own[m].0) < window).collect();
            if counted.len() > MOST_CHANGES {
                held = Some((counted[0], n));
            }
        }
        match held {
            Some((first, before)) if now.since(own[before].0) < window / 2 => {
                (Status::worst(own[first..].iter().map(|(_, status)| *status)), true)
            }
            _ => (last, false),
        }
    }
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![2 => Just(Status::Passing), 1 => Just(Status::Warning), 2 => Just(Status::Critical)]
}

fn spec() -> impl Strategy<Value = Arc<Spec>> {
    let kind = prop_oneof![
        2 => (10..20_000_u64).prop_map(|millis| (Kind::Udp { address: "a:1".into() }, Duration::from_millis(millis))),
        1 => (1..20_000_u64).prop_map(|millis| (Kind::Ttl { ttl: Duration::from_millis(millis) }, Duration::ZERO)),
    ];
    (kind, 0..4_u32, 0..4_u32, 0..4_u32, proptest::option::of(status())).prop_map(|((kind, interval), success, a, b, initial)| {
        let draft = Draft {
            kinds: vec![kind],
            interval,
            initial,
            success_before_passing: success,
            failures_before_warning: a.min(b),
            failures_before_critical: a.max(b),
            deregister_after: Duration::from_secs(60),
            ..Draft::default()
        };
        Arc::new(Spec::try_new(draft, ShortIntervals::Allow).unwrap())
    })
}

/// Time until the next input in milliseconds, and the input; `None` only lets time pass.
fn inputs() -> impl Strategy<Value = Vec<(u64, Option<(Status, u8)>)>> {
    let gap = prop_oneof![6 => 1..4_000_u64, 2 => 4_000..20_000_u64, 1 => 20_000..90_000_u64];
    vec((gap, proptest::option::weighted(0.9, (status(), 0..3_u8))), 1..80)
}

fn put(check: &mut Check, (status, word): (Status, u8), now: Moment) -> Change {
    let output = ["a", "b", "c"][usize::from(word)];
    check.beat(status, output, now).unwrap_or_else(|NotTtlError(_)| check.result(status, output, now))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_is_what_the_naive_machine_is(spec in spec(), inputs in inputs()) {
        let mut naive = Naive { spec: spec.clone(), inputs: Vec::new() };
        let mut prompt = Check::new(spec.clone(), Moment::ZERO);
        let mut late = Check::new(spec, Moment::ZERO);
        let mut now = Moment::ZERO;
        let mut told = (prompt.status(), prompt.is_flapping());
        for (gap, input) in inputs {
            let next = now + Duration::from_millis(gap);
            while let Some(deadline) = prompt.deadline().filter(|deadline| *deadline <= next) {
                prop_assert!(deadline > now, "a deadline that was handled comes again");
                now = deadline;
                let change = prompt.handle_deadline(now);
                prop_assert!(change != Change::None || naive.spec.ttl().is_some(), "woken for nothing");
                let shown = (prompt.status(), prompt.is_flapping());
                prop_assert_eq!(change == Change::Status, shown != told);
                prop_assert_eq!(shown, naive.shown(now));
                told = shown;
            }
            now = next;
            let change = match input {
                Some(input) => {
                    naive.inputs.push((now, input.0));
                    _ = put(&mut late, input, now);
                    put(&mut prompt, input, now)
                }
                None => prompt.handle_deadline(now),
            };
            let shown = (prompt.status(), prompt.is_flapping());
            prop_assert_eq!(change == Change::Status, shown != told);
            told = shown;
            prop_assert_eq!(shown, naive.shown(now));
            let own = naive.own(now);
            let (since, last) = own[own.len() - 1];
            prop_assert_eq!(prompt.own_status(), last);
            prop_assert_eq!(prompt.critical_for(now), (last == Status::Critical).then(|| now.since(since)));
            prop_assert_eq!(prompt.deregister_due(now), last == Status::Critical && now.since(since) >= Duration::from_secs(60));
            prop_assert!(prompt.deadline().is_none_or(|deadline| deadline > now));
            if input.is_some() {
                prop_assert_eq!((late.status(), late.is_flapping()), shown, "deadlines handled late");
                prop_assert_eq!(late.output(), prompt.output());
            }
        }
    }

    #[test]
    fn never_passing_before_enough_successes(spec in spec(), inputs in inputs()) {
        let mut check = Check::new(spec.clone(), Moment::ZERO);
        let (mut now, mut in_a_row) = (Moment::ZERO, 0);
        for (gap, input) in inputs {
            now = now + Duration::from_millis(gap);
            let before = check.own_status();
            match input {
                Some(input) => {
                    in_a_row = if input.0 == Status::Critical { 0 } else { in_a_row + 1 };
                    _ = put(&mut check, input, now);
                }
                None => _ = check.handle_deadline(now),
            }
            if spec.interval().is_some() && check.own_status() == Status::Passing && before != Status::Passing {
                prop_assert!(input.is_some() && in_a_row >= spec.success_before_passing().max(1));
            }
            prop_assert!(check.status() >= check.own_status(), "a hold never makes it better");
        }
    }

    #[test]
    fn outputs_alone_are_five_seconds_apart_and_none_is_lost(spec in spec(), inputs in inputs()) {
        let mut check = Check::new(spec, Moment::ZERO);
        let (mut now, mut published, mut output) = (Moment::ZERO, None, check.output().clone());
        let mut look = |check: &Check, change, now: Moment| {
            if change == Change::Output {
                assert!(published.is_none_or(|published| now.since(published) >= OUTPUT_EVERY));
            }
            if change != Change::None {
                (published, output) = (Some(now), check.output().clone());
            }
            assert!(output == *check.output() || check.deadline().is_some_and(|deadline| deadline.since(now) <= OUTPUT_EVERY));
        };
        for (gap, input) in inputs {
            let next = now + Duration::from_millis(gap);
            while let Some(deadline) = check.deadline().filter(|deadline| *deadline <= next) {
                now = deadline;
                let change = check.handle_deadline(now);
                look(&check, change, now);
            }
            now = next;
            if let Some(input) = input {
                let change = put(&mut check, input, now);
                look(&check, change, now);
            }
        }
    }

    #[test]
    fn a_restart_shows_the_same(spec in spec(), inputs in inputs()) {
        let mut check = Check::new(spec.clone(), Moment::ZERO);
        let mut now = Moment::ZERO;
        for (gap, input) in inputs {
            now = now + Duration::from_millis(gap);
            _ = check.handle_deadline(now);
            if let Some(input) = input {
                _ = put(&mut check, input, now);
            }
            let restored = Check::restore(spec.clone(), &check.save(now), Moment::ZERO);
            prop_assert_eq!((restored.status(), restored.own_status()), (check.status(), check.own_status()));
            prop_assert_eq!((restored.is_flapping(), restored.output()), (check.is_flapping(), check.output()));
            prop_assert_eq!(restored.critical_for(Moment::ZERO), check.critical_for(now));
            prop_assert_eq!(restored.save(Moment::ZERO), check.save(now));
        }
    }
}
