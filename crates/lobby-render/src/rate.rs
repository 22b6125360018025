//! How many renderings a second there may be, over all templates. Decides whether one more may be made now, and counts how
//! often it had to wait: data that never rests must not keep a processor busy.
//!
//! Pure: moments are parameters. Not here: waiting for one template's data to rest (`quiescence`).

use std::{collections::VecDeque, time::Duration};

use lobby_core::time::Moment;

/// Higher caps count as this one: no machine renders more in a second, and it bounds what is remembered (8 bytes each).
pub const MAX_PER_SECOND: u32 = 10_000;

const SECOND: Duration = Duration::from_secs(1);

/// A cap over any second, not only over those that a clock begins.
#[derive(Debug)]
pub struct Rate {
    /// None: no cap.
    most: Option<usize>,
    /// The renderings of the last second, oldest first; never more than `most`.
    recent: VecDeque<Moment>,
    n_delayed: u64,
}

impl Rate {
    /// At most so many in any second; 0: no cap.
    pub fn new(per_second: u32) -> Self {
        let most = (per_second > 0).then(|| per_second.min(MAX_PER_SECOND) as usize);
        Self { most, recent: VecDeque::new(), n_delayed: 0 }
    }

    /// Takes the right to one rendering now.
    ///
    /// # Errors
    /// None is left: the moment from which on there is one.
    pub fn try_take(&mut self, now: Moment) -> Result<(), Moment> {
        let Some(most) = self.most else { return Ok(()) };
        self.recent.retain(|at| now.since(*at) < SECOND);
        match self.recent.front() {
            Some(oldest) if self.recent.len() >= most => {
                self.n_delayed += 1;
                Err(*oldest + SECOND)
            }
            _ => {
                self.recent.push_back(now);
                Ok(())
            }
        }
    }

    /// How often a rendering had to wait: for a metric.
    pub fn n_delayed(&self) -> u64 {
        self.n_delayed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn more_than_the_cap_waits_and_is_counted() {
        let mut rate = Rate::new(2);
        let at = Moment::from_micros;
        assert_eq!((rate.try_take(at(0)), rate.try_take(at(400_000))), (Ok(()), Ok(())));
        assert_eq!(rate.try_take(at(999_999)), Err(at(1_000_000)));
        assert_eq!((rate.try_take(at(1_000_000)), rate.try_take(at(1_000_000))), (Ok(()), Err(at(1_400_000))));
        assert_eq!(rate.n_delayed(), 2);
    }

    #[test]
    fn zero_is_no_cap_and_a_huge_one_is_bounded() {
        let mut rate = Rate::new(0);
        assert!((0..100_000).all(|_| rate.try_take(Moment::ZERO).is_ok()));
        let mut rate = Rate::new(u32::MAX);
        assert_eq!((0..20_000).filter(|_| rate.try_take(Moment::ZERO).is_ok()).count(), 10_000);
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_the_cap(cap in 1u32..5, gaps in prop::collection::vec(0u64..700_000, 1..100)) {
            let (mut rate, mut now, mut made) = (Rate::new(cap), 0, Vec::new());
            for gap in gaps {
                now += gap;
                match rate.try_take(Moment::from_micros(now)) {
                    Ok(()) => made.push(now),
                    Err(again) => {
                        prop_assert!(again.as_micros() > now && again.as_micros() <= now + 1_000_000);
                        now = again.as_micros();
                        prop_assert_eq!(rate.try_take(again), Ok(()));
                        made.push(now);
                    }
                }
            }
            for from in &made {
                let within = made.iter().filter(|at| (*from..from + 1_000_000).contains(at)).count();
                prop_assert!(within <= cap as usize);
            }
        }
    }
}
