//! Round trips, coordinates, and asking for them.

use lobby_core::coordinate::Coordinate;

use super::*;
use crate::item::Item;

/// Two sites of three, far from each other.
fn sites(from: usize, to: usize) -> Duration {
    if from % 2 == to % 2 { MS } else { 20 * MS }
}

fn located(fleet: &Fleet, idx: usize, number: u64) -> Option<Vec<Option<Coordinate>>> {
    fleet.nodes[idx].told.iter().find_map(|(_, output)| match output {
        Output::Located(other, found) if *other == number => Some(found.clone()),
        _ => None,
    })
}

#[test]
fn probes_measure_round_trips_and_coordinates_predict_them() {
    let mut fleet = Fleet::formed(6, &[]);
    fleet.latency = sites;
    fleet.run(300 * SEC);
    for one in 0..6 {
        for other in (0..6).filter(|other| *other != one) {
            assert_eq!(fleet.engine(one).rtt_of(id(other)), Some(2 * sites(one, other)));
            let there = fleet.engine(one).coordinate_of(id(other)).unwrap();
            let estimate = fleet.engine(one).own_coordinate().distance(&there);
            let (least, most) = if one % 2 == other % 2 { (MS / 2, 8 * MS) } else { (30 * MS, 50 * MS) };
            assert!(estimate > least && estimate < most, "{one} {other}: {estimate:?}");
        }
    }
    assert!(fleet.number(0, "round_trips") > 100);
    assert_eq!(fleet.engine(0).coordinate_of(id(0)), Some(fleet.engine(0).own_coordinate()));
    assert_eq!((fleet.engine(0).coordinate_of(id(9)), fleet.engine(0).rtt_of(id(0))), (None, None));
}

#[test]
fn locating_asks_those_that_are_unknown_and_gives_up_within_a_second() {
    let mut fleet = Fleet::formed(4, &[]);
    fleet.run(60 * SEC);
    for idx in 1..4 {
        fleet.nodes[0].engine.as_mut().unwrap().user.locate.forget(|_| false);
        let number = fleet.with(0, |engine, now| engine.locate(vec![id(idx), id(9), id(0)], now));
        fleet.run(10 * MS);
        let found = located(&fleet, 0, number).expect("the answer came after a round trip");
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
        let error = |found: Coordinate, idx| found.distance(&fleet.engine(idx).own_coordinate());
        assert!(error(found[0].unwrap(), idx) < 5 * MS && error(found[2].unwrap(), 0) < 5 * MS);
    }
    fleet.nodes[0].engine.as_mut().unwrap().user.locate.forget(|_| false);
    fleet.lose = Box::new(|_, _| true);
    let number = fleet.with(0, |engine, now| engine.locate(vec![id(1)], now));
    fleet.run(900 * MS);
    assert_eq!(located(&fleet, 0, number), None);
    fleet.run(100 * MS);
    assert_eq!(located(&fleet, 0, number), Some(vec![None]));
    let number = fleet.with(0, |engine, now| engine.locate(Vec::new(), now));
    assert_eq!(located(&fleet, 0, number), Some(Vec::new()));
}

#[test]
fn waiting_requests_are_bounded() {
    let mut fleet = Fleet::formed(2, &[]);
    fleet.lose = Box::new(|_, _| true);
    fleet.nodes[0].engine.as_mut().unwrap().user.locate.forget(|_| false);
    let numbers: Vec<_> = (0..70).map(|_| fleet.with(0, |engine, now| engine.locate(vec![id(1)], now))).collect();
    assert_eq!(numbers.iter().filter(|number| located(&fleet, 0, **number).is_some()).count(), 6);
    fleet.run(SEC);
    assert!(numbers.iter().all(|number| located(&fleet, 0, *number).is_some()));
}

#[test]
fn a_bad_coordinate_and_one_of_a_stranger_are_not_kept() {
    let mut fleet = Fleet::formed(2, &[]);
    let before = fleet.engine(0).own_coordinate();
    let bad = Coordinate { vec: [f32::INFINITY; 8], ..before };
    let item = Item::User(UserItem::Coordinate(bad)).encode();
    let known = fleet.engine(0).coordinate_of(id(1));
    fleet.with(1, |engine, _| engine.send(super::addr(0), &[], &[item]));
    fleet.run(2 * MS);
    assert_eq!(fleet.engine(0).coordinate_of(id(1)), known);
    fleet.with(0, |engine, now| engine.take_coordinate(id(7), before, now));
    assert_eq!(fleet.engine(0).coordinate_of(id(7)), None);
}
