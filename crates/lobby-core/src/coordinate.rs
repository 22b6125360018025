//! Where a node is in the space of round trip times: Vivaldi coordinates, as Serf and Consul have them.
//!
//! The distance of two coordinates is an estimate of the round trip between their nodes. How a coordinate moves with
//! each measurement is not here but in `lobby-gossip`, which measures.

use std::time::Duration;

/// Dimensions of the Euclidean part.
pub const DIMENSIONS: usize = 8;

/// A point in the space of round trip times. All numbers are seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinate {
    /// The Euclidean part.
    pub vec: [f32; DIMENSIONS],
    /// How far the access link puts the node above the plane; never negative.
    pub height: f32,
    /// Correction of the estimate by recent errors.
    pub adjustment: f32,
    /// How sure the node is of all this: 1.5 at the start, towards 0 later. No unit.
    pub error: f32,
}

impl Coordinate {
    /// The estimated round trip between two nodes.
    pub fn distance(&self, other: &Self) -> Duration {
        let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
        let plane = self.vec.iter().zip(&other.vec).map(square).sum::<f64>().sqrt();
        // Each sum of two first, so that the distance is the same from both ends to the last bit.
        let raw = plane + (f64::from(self.height) + f64::from(other.height));
        let adjusted = raw + (f64::from(self.adjustment) + f64::from(other.adjustment));
        Duration::try_from_secs_f64(if adjusted > 0.0 { adjusted } else { raw }).unwrap_or_default()
    }

    /// Whether every number is finite and none is absurd: what comes from the network must be.
    pub fn is_valid(&self) -> bool {
        let numbers = self.vec.iter().chain([&self.height, &self.adjustment, &self.error]);
        numbers.clone().all(|number| number.is_finite() && number.abs() <= 3600.0) && self.height >= 0.0 && self.error >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_adds_heights_and_adjustments() {
        let at = |x: f32, adjustment| Coordinate {
            vec: [x, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            height: 0.001,
            adjustment,
            error: 1.0,
        };
        let close = |distance: Duration, ms: f64| (distance.as_secs_f64() * 1000.0 - ms).abs() < 0.001;
        assert!(close(at(0.0, 0.0).distance(&at(0.01, 0.0)), 12.0));
        assert!(close(at(0.0, 0.002).distance(&at(0.01, 0.0)), 14.0));
        assert!(close(at(0.0, -1.0).distance(&at(0.01, 0.0)), 12.0), "an adjustment never makes a round trip negative");
        assert!(!Coordinate { error: f32::NAN, ..at(0.0, 0.0) }.is_valid());
    }
}
