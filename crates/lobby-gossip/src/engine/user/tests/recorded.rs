//! Recordings of datagrams, played to processes that have just started.

use super::{event::names, *};
use crate::{item::KeyOp, post::Post};

/// What a node says to node 0, in datagrams that somebody keeps: an event, a query and a key.
fn record(fleet: &mut Fleet, from: usize) -> [Vec<u8>; 3] {
    let old = |ltime| Post { id: EventId([ltime as u8; 16]), origin: id(from), ltime, event: event("old", b"") };
    let terms = crate::post::Terms { ack: false, relays: 0, left: 60 * SEC };
    let items =
        [UserItem::Event(old(1), Duration::ZERO), UserItem::Query(old(1), terms), UserItem::Key(KeyOp::Install(key(9)), 7)];
    items.map(|item| {
        let engine = fleet.nodes[from].engine.as_mut().expect("it runs");
        engine.send_alone(super::addr(0), &item.encode());
        let sent = std::iter::from_fn(|| engine.poll_output());
        let datagrams = sent.filter_map(|output| if let Output::Datagram(_, bytes) = output { Some(bytes) } else { None });
        datagrams.last().expect("it was sent")
    })
}

fn play(fleet: &mut Fleet, from: usize, recorded: &[Vec<u8>]) {
    for datagram in recorded {
        fleet.with(0, |engine, now| engine.handle(Input::Datagram(super::addr(from), datagram), now));
    }
}

/// A cluster in which this node has fired an event and asked a query, and what was recorded of it then: twice, as each
/// datagram is taken in once at most.
fn recorded(from: usize) -> (Fleet, [[Vec<u8>; 3]; 2]) {
    let mut fleet = Fleet::formed(3, &[key(1)]);
    fleet.with(from, |engine, now| engine.fire(event("old", b""), now)).unwrap();
    fleet.with(from, |engine, now| engine.ask_query(query("old", SEC, false), now)).unwrap();
    let recorded = [record(&mut fleet, from), record(&mut fleet, from)];
    fleet.run(10 * SEC);
    (fleet, recorded)
}

#[test]
fn recordings_played_to_a_process_that_has_just_started_are_no_news() {
    let (mut fleet, recorded) = recorded(1);
    fleet.kill(0);
    fleet.run(5 * SEC);
    fleet.restart(0, &[key(1)]);
    let n_before = (fleet.heard(0).len(), fleet.asked(0).len());
    // Before it has spoken to anybody, and when its peers have spoken to it.
    play(&mut fleet, 1, &recorded[0]);
    assert_eq!(fleet.number(0, "posts_unproven"), 3);
    fleet.run(3 * SEC);
    let replayed: Vec<_> = fleet.heard(0).split_off(n_before.0);
    assert_eq!(names(&replayed), [("old", true)], "what the exchange brought");
    play(&mut fleet, 1, &recorded[1]);
    assert_eq!(fleet.number(0, "posts_unproven"), 6);
    fleet.run(3 * SEC);
    assert_eq!((fleet.heard(0).len(), fleet.asked(0).len()), (n_before.0 + 1, n_before.1));
    assert_eq!(fleet.engine(0).keys().own, [key(1).fingerprint()]);
    // What is new comes at once, events and queries.
    fleet.with(1, |engine, now| engine.fire(event("new", b""), now)).unwrap();
    fleet.with(1, |engine, now| engine.ask_query(query("new", SEC, false), now)).unwrap();
    fleet.run(100 * MS);
    assert_eq!(names(&fleet.heard(0)).last(), Some(&("new", false)));
    assert_eq!(fleet.asked(0).len(), n_before.1 + 1);
}

/// The seeds start together: each is the first that the other asks.
#[test]
fn a_first_exchange_with_another_newcomer_opens_the_door_to_no_recording_and_to_the_clock_of_the_cluster() {
    for n_steps in [0, 3] {
        let (mut fleet, recorded) = recorded(2);
        // So far ahead that it would come down step by step.
        fleet.with(2, |engine, _| (0..n_steps).for_each(|_| _ = engine.user.events.lamport.hear_clock(u64::MAX, false)));
        let time = fleet.number(2, "event_time");
        fleet.restart(1, &[key(1)]);
        fleet.restart(0, &[key(1)]);
        let n_before = (fleet.heard(0).len(), fleet.asked(0).len());
        fleet.until(SEC, |fleet| fleet.engine(0).is_warm());
        assert_eq!((fleet.number(0, "event_time"), fleet.heard(0).len()), (0, n_before.0), "its peer knew nothing");
        play(&mut fleet, 2, &recorded[0]);
        assert_eq!(fleet.number(0, "posts_unproven"), 3);
        fleet.until(60 * SEC, |fleet| fleet.number(0, "event_time") == time);
        play(&mut fleet, 2, &recorded[1]);
        assert_eq!(fleet.number(0, "posts_unproven"), 6);
        fleet.run(3 * SEC);
        let heard = fleet.heard(0).split_off(n_before.0);
        assert!(names(&heard).iter().all(|name| *name == ("old", true)), "{heard:?}");
        assert_eq!(fleet.asked(0).len(), n_before.1);
    }
}
