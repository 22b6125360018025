//! How often a service may be reported: a bucket of tokens. Pure; time is a parameter.
//!
//! Not here: what becomes of a report that finds none (`watch`).

use lobby_core::time::Moment;

use super::settings::Rate;

/// A bucket, full at first.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    rate: Rate,
    tokens: f64,
    filled: Moment,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Moment) -> Self {
        Self { rate, tokens: rate.burst, filled: now }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Moment) -> bool {
        let passed = now.since(self.filled).as_secs_f64();
        self.filled = now;
        // Zero seconds at an infinite rate are no number.
        let more = if passed > 0.0 { passed * self.rate.average } else { 0.0 };
        self.tokens = (self.tokens + more).min(self.rate.burst);
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_a_limit_there_is_always_one() {
        let mut bucket = Bucket::new(Rate::default(), Moment::ZERO);
        assert!((0..10_000).all(|_| bucket.take(Moment::ZERO)));
    }

    #[test]
    fn a_long_rest_fills_it_to_the_brim_and_no_further() {
        let mut bucket = Bucket::new(Rate { average: 1.0, burst: 3.0, is_shadow: false }, Moment::ZERO);
        let later = Moment::ZERO + Duration::from_secs(3600);
        let taken = (0..10).filter(|_| bucket.take(later)).count();
        assert_eq!(taken, 3);
    }

    proptest! {
        /// Whatever the times: at most the burst and what has flowed in, and never none after one full refill.
        #[test]
        fn no_more_than_flows_in(average in 0.01_f64..50.0, burst in 1.0_f64..20.0, pauses in prop::collection::vec(0_u64..3_000, 1..200)) {
            let mut bucket = Bucket::new(Rate { average, burst, is_shadow: false }, Moment::ZERO);
            let (mut now, mut taken) = (Moment::ZERO, 0_u32);
            for pause in pauses {
                now = now + Duration::from_millis(pause);
                taken += u32::from(bucket.take(now));
            }
            let most = burst + now.since(Moment::ZERO).as_secs_f64() * average;
            prop_assert!(f64::from(taken) <= most + 1e-6, "{taken} of {most}");
            now = now + Duration::from_secs_f64(1.0 / average + 0.001);
            prop_assert!(bucket.take(now));
        }
    }
}
