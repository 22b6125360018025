//! From single results of a check to up or down. Decides with the check machine of the core, whose thresholds mean what
//! Nerve's `rise` and `fall` mean; the first result counts at once, so it is what the machine begins with.
//!
//! That machine also holds a status that changes too often at its worst. Nerve does not, so what counts is the status by
//! results alone. Not here: how a result comes about (`check`).

use std::time::Duration;

use lobby_core::{
    check::{
        Status,
        kind::Kind,
        spec::{Draft, ShortIntervals, Spec, SpecError},
        state,
    },
    time::Moment,
};

/// Any interval: the machine asks for one, and only holds depend on it.
const INTERVAL: Duration = Duration::from_secs(1);

/// Judges the results of one check.
#[derive(Debug)]
pub(super) struct Judge {
    rise: u32,
    fall: u32,
    check: Option<state::Check>,
}

impl Judge {
    pub(super) fn new(rise: u32, fall: u32) -> Self {
        Self { rise, fall, check: None }
    }

    /// Whether it is up after this result.
    pub(super) fn result(&mut self, passes: bool, now: Moment) -> bool {
        let status = if passes { Status::Passing } else { Status::Critical };
        match &mut self.check {
            None => self.check = spec(status, self.rise, self.fall).ok().map(|spec| state::Check::new(spec, now)),
            Some(check) => {
                // What it would tell the catalog; here only the status counts.
                let _ = check.result(status, "", now);
            }
        }
        self.check.as_ref().is_some_and(|check| check.own_status() == Status::Passing)
    }
}

/// Of whatever kind that is run: the machine runs nothing.
fn spec(initial: Status, rise: u32, fall: u32) -> Result<Spec, SpecError> {
    let kind = Kind::Tcp { address: "localhost:1".into(), tls: None };
    let draft = Draft {
        kinds: vec![kind],
        interval: INTERVAL,
        initial: Some(initial),
        success_before_passing: rise,
        failures_before_critical: fall,
        ..Draft::default()
    };
    Spec::try_new(draft, ShortIntervals::Allow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Nerve's rule, as its documents say it: the first result at once, then the last `fall` or `rise` all alike.
        #[test]
        fn the_machine_judges_as_nerve_does(rise in 1_usize..5, fall in 1_usize..5, results in prop::collection::vec(any::<bool>(), 1..300)) {
            let mut judge = Judge::new(rise as u32, fall as u32);
            let mut want = results[0];
            for at in 0..results.len() {
                // The first result stands for all before it.
                let last = |n: usize| (0..n).map(|back| results[at.saturating_sub(back)]).collect::<Vec<_>>();
                if last(fall).iter().all(|result| !result) {
                    want = false;
                } else if last(rise).iter().all(|result| *result) {
                    want = true;
                }
                let now = Moment::from_micros(at as u64 * 10_000);
                prop_assert_eq!(judge.result(results[at], now), want, "after {:?}", &results[..=at]);
            }
        }
    }
}
