//! A little chance, so that hosts started together do not ask together; and the one look at the time of day.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime},
};

/// From 0 up to, but not including, 1.
pub(super) fn draw() -> f64 {
    let bits = RandomState::new().hash_one(0_u64) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

/// How long to wait after so many throttled attempts in a row: half to all of the interval, doubled for each, up to `most`.
/// 0 attempts: the interval itself, up to a tenth shorter.
pub(super) fn pause(interval: Duration, throttled: u32, most: Duration, chance: f64) -> Duration {
    if throttled == 0 {
        return interval.mul_f64(1.0 - chance / 10.0);
    }
    let doubled = 2_u32.checked_pow(throttled).and_then(|times| interval.checked_mul(times));
    let longest = doubled.map_or(most, |pause| pause.min(most)).max(interval);
    longest.mul_f64(0.5 + chance / 2.0).max(interval)
}

/// The time of day, which signatures and credentials need.
#[expect(clippy::disallowed_methods, reason = "signatures carry the real time; what is decided from it takes it as a parameter")]
pub(super) fn time_of_day() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_stays_in_its_range_and_differs() {
        let drawn: Vec<_> = (0..100).map(|_| draw()).collect();
        assert!(drawn.iter().all(|chance| (0.0..1.0).contains(chance)));
        assert!(drawn.iter().any(|chance| *chance != drawn[0]));
    }

    #[test]
    fn throttling_doubles_up_to_a_bound_and_never_asks_sooner() {
        let (interval, most) = (Duration::from_secs(10), Duration::from_secs(300));
        for (throttled, chance, want) in
            [(0, 0.0, 10), (0, 1.0, 9), (1, 0.0, 10), (1, 1.0, 20), (2, 1.0, 40), (2, 0.0, 20), (9, 1.0, 300), (99, 0.0, 150)]
        {
            assert_eq!(pause(interval, throttled, most, chance).as_secs(), want, "{throttled} {chance}");
        }
        let slow = Duration::from_secs(600);
        assert_eq!(pause(slow, 3, most, 0.0), slow);
    }
}
