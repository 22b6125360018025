//! Sorting by distance: what is near in the space of round trip times comes first.
//!
//! Not here: how coordinates come about (`lobby-gossip`), who asks for it (`?near=` of later APIs, `lobbyctl rtt`).

use std::time::Duration;

use crate::coordinate::Coordinate;

/// Sorts by the estimated round trip from `from`, nearest first. Whose place is not known comes last. Items of equal
/// distance, and all items when `from` is not known, keep their order.
pub fn sort_near<T>(items: &mut [T], from: Option<&Coordinate>, place: impl Fn(&T) -> Option<Coordinate>) {
    let Some(from) = from else { return };
    let distance = |item: &T| place(item).filter(Coordinate::is_valid).map_or(Duration::MAX, |place| from.distance(&place));
    items.sort_by_cached_key(distance);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32) -> Coordinate {
        Coordinate { vec: [x, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], height: 0.0, adjustment: 0.0, error: 1.0 }
    }

    #[test]
    fn the_near_come_first_the_unknown_last_and_equals_keep_their_order() {
        let mut items = vec![("unknown 1", None), ("far", Some(at(3.0))), ("mad", Some(at(f32::NAN))), ("near", Some(at(1.0)))];
        items.extend([("near 2", Some(at(-1.0))), ("here", Some(at(0.0)))]);
        let names = |items: &[(&'static str, Option<Coordinate>)]| items.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let before = names(&items);
        sort_near(&mut items, None, |item| item.1);
        assert_eq!(names(&items), before, "without a place of our own nothing is near");
        sort_near(&mut items, Some(&at(0.0)), |item| item.1);
        assert_eq!(names(&items), ["here", "near", "near 2", "far", "unknown 1", "mad"]);
    }
}
