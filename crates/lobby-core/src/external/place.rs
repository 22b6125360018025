//! Where a node without an agent is in the space of round trip times, as its record has it: numbers as text.

use crate::{
    coordinate::{Coordinate, DIMENSIONS},
    record::{Record, meta},
};

/// Where somebody said that the node is in the space of round trip times.
pub fn coordinate(record: &Record) -> Option<Coordinate> {
    let numbers: Result<Vec<f32>, _> = record.meta(meta::COORDINATE)?.split(',').take(NUMBERS + 1).map(str::parse).collect();
    let numbers: [f32; NUMBERS] = numbers.ok()?.try_into().ok()?;
    let [a, b, c, d, e, f, g, h, height, adjustment, error] = numbers;
    Some(Coordinate { vec: [a, b, c, d, e, f, g, h], height, adjustment, error }).filter(Coordinate::is_valid)
}

/// The numbers of a coordinate, the Euclidean part first.
const NUMBERS: usize = DIMENSIONS + 3;

pub(super) fn coordinate_text(place: &Coordinate) -> String {
    let numbers = place.vec.iter().chain([&place.height, &place.adjustment, &place.error]);
    // With an exponent even the smallest number is short.
    numbers.map(|number| format!("{number:e}")).collect::<Vec<_>>().join(",")
}
