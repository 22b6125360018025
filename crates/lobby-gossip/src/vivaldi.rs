//! Vivaldi: our own coordinate, moved by each measured round trip so that distances come to predict round trips.
//!
//! The algorithm and its constants are Serf's (`coordinate/client.go`): the spring force of Vivaldi with heights, the
//! adjustment term of Lee et al. ("On suitability of Euclidean embedding"), a pull towards the origin so that the cloud of
//! all nodes does not drift, and the median of the last three samples of each peer against outliers.
//! Pure: numbers in, numbers out. Not here: when a round trip is measured, whose coordinates are known (`engine/locate`).

use std::time::Duration;

use lobby_core::coordinate::{Coordinate, DIMENSIONS};
use rand::{RngExt, rngs::SmallRng};

/// How much one sample moves the error estimate, and the coordinate, at most.
const ERROR_STEP: f64 = 0.25;
const FORCE_STEP: f64 = 0.25;

/// The error of a node that knows nothing.
const MOST_ERROR: f64 = 1.5;

/// Seconds.
const LEAST_HEIGHT: f64 = 10e-6;

/// Samples behind the adjustment term.
const ADJUSTMENT_WINDOW: usize = 20;

/// Seconds from the origin at which the pull is one second strong. Large: the pull only stops drift.
const GRAVITY_RHO: f64 = 150.0;

/// Below this, numbers count as zero.
const TINY: f64 = 1e-6;

/// Samples of one peer of which the median counts.
const SAMPLES: usize = 3;

/// Longest round trip that is believed.
const LONGEST: Duration = Duration::from_secs(10);

type Vector = [f64; DIMENSIONS];

/// The last round trips to one peer, seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    last: [f64; SAMPLES],
    n_taken: usize,
}

impl Samples {
    /// Adds a sample; returns the median of those that are there.
    pub(crate) fn add(&mut self, rtt: Duration) -> Duration {
        self.last[self.n_taken % SAMPLES] = rtt.as_secs_f64();
        self.n_taken += 1;
        let n_there = self.n_taken.min(SAMPLES);
        let mut sorted = self.last;
        sorted[..n_there].sort_by(f64::total_cmp);
        Duration::from_secs_f64(sorted[n_there / 2])
    }

    /// The last sample.
    pub(crate) fn newest(&self) -> Option<Duration> {
        let idx = self.n_taken.checked_sub(1)? % SAMPLES;
        Some(Duration::from_secs_f64(self.last[idx]))
    }
}

/// Our own coordinate.
#[derive(Clone, Debug)]
pub(crate) struct Vivaldi {
    vec: Vector,
    height: f64,
    adjustment: f64,
    error: f64,
    misses: [f64; ADJUSTMENT_WINDOW],
    n_updates: usize,
}

impl Vivaldi {
    pub(crate) const fn new() -> Self {
        Self {
            vec: [0.0; DIMENSIONS],
            height: LEAST_HEIGHT,
            adjustment: 0.0,
            error: MOST_ERROR,
            misses: [0.0; ADJUSTMENT_WINDOW],
            n_updates: 0,
        }
    }

    /// As it is told to others.
    pub(crate) fn coordinate(&self) -> Coordinate {
        Coordinate {
            vec: self.vec.map(|part| part as f32),
            height: self.height as f32,
            adjustment: self.adjustment as f32,
            error: self.error as f32,
        }
    }

    /// Whether a round trip is believed.
    pub(crate) fn takes(rtt: Duration) -> bool {
        rtt <= LONGEST
    }

    /// The round trip to a node that is there took this long.
    pub(crate) fn update(&mut self, other: &Coordinate, rtt: Duration, rng: &mut SmallRng) {
        if !Self::takes(rtt) || !other.is_valid() {
            return;
        }
        let rtt = rtt.as_secs_f64().max(TINY);
        let theirs = other.vec.map(f64::from);
        let (height, error) = (f64::from(other.height), f64::from(other.error));
        let raw = self.raw_distance(&theirs, height);
        let adjusted = raw + self.adjustment + f64::from(other.adjustment);
        let distance = if adjusted > 0.0 { adjusted } else { raw };
        let miss = (distance - rtt).abs() / rtt;
        let weight = self.error / (self.error + error).max(TINY);
        self.error = (ERROR_STEP * weight * miss + self.error * (1.0 - ERROR_STEP * weight)).min(MOST_ERROR);
        self.push(FORCE_STEP * weight * (rtt - distance), &theirs, height, rng);
        self.misses[self.n_updates % ADJUSTMENT_WINDOW] = rtt - self.raw_distance(&theirs, height);
        self.n_updates = self.n_updates.wrapping_add(1);
        self.adjustment = self.misses.iter().sum::<f64>() / (2.0 * ADJUSTMENT_WINDOW as f64);
        let origin = Self::new();
        let pull = (self.raw_distance(&origin.vec, origin.height) / GRAVITY_RHO).powi(2);
        self.push(-pull, &origin.vec, origin.height, rng);
        if !self.coordinate().is_valid() {
            *self = Self::new();
        }
    }

    fn raw_distance(&self, theirs: &Vector, height: f64) -> f64 {
        length(&minus(&self.vec, theirs)) + self.height + height
    }

    /// Moves away from `theirs` by `force` seconds.
    fn push(&mut self, force: f64, theirs: &Vector, height: f64, rng: &mut SmallRng) {
        let away = minus(&self.vec, theirs);
        let apart = length(&away);
        // At the same point any direction will do.
        let unit = if apart > TINY { away.map(|part| part / apart) } else { random_unit(rng) };
        for (part, unit) in self.vec.iter_mut().zip(unit) {
            *part += unit * force;
        }
        if apart > TINY {
            self.height = ((self.height + height) * force / apart + self.height).max(LEAST_HEIGHT);
        }
    }
}

fn minus(one: &Vector, other: &Vector) -> Vector {
    std::array::from_fn(|i| one[i] - other[i])
}

fn length(vector: &Vector) -> f64 {
    vector.iter().map(|part| part * part).sum::<f64>().sqrt()
}

fn random_unit(rng: &mut SmallRng) -> Vector {
    let vector: Vector = std::array::from_fn(|_| rng.random_range(-0.5..0.5));
    let length = length(&vector);
    if length > TINY { vector.map(|part| part / length) } else { std::array::from_fn(|i| if i == 0 { 1.0 } else { 0.0 }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    fn ms(n: f64) -> Duration {
        Duration::from_secs_f64(n / 1000.0)
    }

    /// Nodes that measure random others; the relative errors of all pairs afterwards, sorted.
    fn errors(n: usize, rounds: usize, rtt: impl Fn(usize, usize) -> f64, noise: f64) -> Vec<f64> {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut nodes = vec![Vivaldi::new(); n];
        for _ in 0..rounds {
            for idx in 0..n {
                let peer = (idx + rng.random_range(1..n)) % n;
                let sample = rtt(idx, peer) * (1.0 + rng.random_range(0.0..=noise));
                let other = nodes[peer].coordinate();
                nodes[idx].update(&other, ms(sample), &mut rng);
            }
        }
        let pairs = (0..n).flat_map(|one| (0..one).map(move |other| (one, other)));
        let error = |(one, other): (usize, usize)| {
            let estimate = nodes[one].coordinate().distance(&nodes[other].coordinate()).as_secs_f64() * 1000.0;
            (estimate - rtt(one, other)).abs() / rtt(one, other)
        };
        let mut errors: Vec<_> = pairs.map(error).collect();
        errors.sort_by(f64::total_cmp);
        errors
    }

    #[test]
    fn a_grid_converges_to_a_tenth() {
        let place = |idx: usize| ((idx % 5) as f64, (idx / 5) as f64);
        let rtt = |one: usize, other: usize| {
            let ((x, y), (u, v)) = (place(one), place(other));
            5.0 + 10.0 * ((x - u).powi(2) + (y - v).powi(2)).sqrt()
        };
        let errors = errors(25, 300, rtt, 0.05);
        let median = errors[errors.len() / 2];
        assert!(median < 0.1, "median error {median}");
    }

    #[test]
    fn three_data_centres_are_told_apart() {
        let rtt = |one: usize, other: usize| if one % 3 == other % 3 { 1.0 } else { 40.0 };
        let errors = errors(18, 400, rtt, 0.1);
        let median = errors[errors.len() / 2];
        assert!(median < 0.1, "median error {median}");
    }

    #[test]
    fn the_median_of_three_hides_one_outlier() {
        let mut samples = Samples::default();
        assert_eq!(samples.newest(), None);
        assert_eq!(samples.add(ms(1.0)), ms(1.0));
        samples.add(ms(900.0));
        assert_eq!(samples.add(ms(2.0)), ms(2.0));
        assert_eq!(samples.add(ms(1.0)), ms(2.0));
        assert_eq!(samples.newest(), Some(ms(1.0)));
    }

    #[test]
    fn long_round_trips_and_bad_coordinates_change_nothing() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut vivaldi = Vivaldi::new();
        let before = vivaldi.coordinate();
        vivaldi.update(&before, Duration::from_secs(11), &mut rng);
        vivaldi.update(&Coordinate { height: f32::NAN, ..before }, ms(1.0), &mut rng);
        assert_eq!(vivaldi.coordinate(), before);
        vivaldi.update(&before, ms(1.0), &mut rng);
        assert_ne!(vivaldi.coordinate(), before);
    }

    proptest! {
        #[test]
        fn it_stays_finite_and_distances_are_symmetric(
            steps in proptest::collection::vec((any::<[f32; 8]>(), any::<f32>(), any::<f32>(), any::<f32>(), 0_u64..20_000_000), 1..60),
        ) {
            let mut rng = SmallRng::seed_from_u64(3);
            let mut vivaldi = Vivaldi::new();
            for (vec, height, adjustment, error, micros) in steps {
                let tame = |number: f32| if number.is_finite() { number % 3600.0 } else { 1.0 };
                let other = Coordinate {
                    vec: vec.map(tame),
                    height: tame(height).abs(),
                    adjustment: tame(adjustment),
                    error: tame(error).abs(),
                };
                prop_assert!(other.is_valid());
                vivaldi.update(&other, Duration::from_micros(micros), &mut rng);
                let own = vivaldi.coordinate();
                prop_assert!(own.is_valid(), "{own:?}");
                prop_assert_eq!(own.distance(&other), other.distance(&own));
            }
        }
    }
}
