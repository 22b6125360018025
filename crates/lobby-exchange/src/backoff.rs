//! How long to wait before the next attempt to connect: doubling up to a bound, with jitter. Written once.
//!
//! Pure: the random number is a parameter. After a broker's restart a whole fleet reconnects; the jitter spreads it.

use std::time::Duration;

/// A policy of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first repetition.
    pub first: Duration,
    /// The longest wait of all.
    pub most: Duration,
}

impl Default for Backoff {
    /// Five seconds at most, so that a broker that is back is found well within the default TTL of 30 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// The wait before attempt `attempt` (the first repetition is 0), between half and the whole of what the doubling gives.
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        let whole = doubled.min(self.most);
        let share = 0.5 + 0.5 * ((random >> 32) as f64 / f64::from(u32::MAX));
        whole.mul_f64(share)
    }
}

/// A random number for [`Backoff::delay`] and other jitter.
pub fn random() -> u64 {
    // Without randomness of the system there is no jitter, which is no reason to stop.
    getrandom::u64().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis() -> impl Strategy<Value = Duration> {
        (1_u64..100_000).prop_map(Duration::from_millis)
    }

    proptest! {
        #[test]
        fn stays_between_half_and_whole(first in millis(), most in millis(), attempt: u32, random: u64) {
            let delay = Backoff { first, most }.delay(attempt, random);
            prop_assert!(delay <= most);
            prop_assert!(delay >= first.min(most) / 2);
        }

        #[test]
        fn never_falls_with_the_attempts(first in millis(), most in millis(), attempt in 0_u32..100, random: u64) {
            let backoff = Backoff { first, most };
            prop_assert!(backoff.delay(attempt, random) <= backoff.delay(attempt + 1, random));
        }

        #[test]
        fn reaches_its_bound(first in millis(), most in millis(), attempt in 20_u32..) {
            prop_assert_eq!(Backoff { first, most }.delay(attempt, u64::MAX), most);
        }
    }

    #[test]
    fn a_fleet_is_spread() {
        let delay = |random| Backoff::default().delay(3, random);
        assert_ne!(delay(0), delay(u64::MAX / 2));
        assert_ne!(delay(u64::MAX / 2), delay(u64::MAX));
    }
}
