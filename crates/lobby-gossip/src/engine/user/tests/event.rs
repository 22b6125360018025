//! User events between whole engines.

use lobby_core::port::gossip::Filter;

use super::*;
use crate::{
    item::Item,
    post::{OFFERED, Post},
    spread,
};

pub(super) fn names(events: &[UserEvent]) -> Vec<(&str, bool)> {
    events.iter().map(|event| (event.event.name.as_str(), event.replayed)).collect()
}

#[test]
fn an_event_reaches_everybody_once_with_all_it_says() {
    let mut fleet = Fleet::formed(5, &[key(1)]);
    let filter =
        Filter { node: Some("web.*".to_owned()), tag: Some("eu".to_owned()), labels: vec!["a:b".to_owned()], service: None };
    let fired = NewEvent { filter, ..event("deploy", &[7; 1024]) };
    let own = fleet.with(2, |engine, now| engine.fire(fired.clone(), now)).unwrap();
    assert_eq!(fleet.heard(2), std::slice::from_ref(&own));
    let all_heard = |fleet: &Fleet| (0..5).all(|idx| !fleet.heard(idx).is_empty());
    let time = fleet.until(SEC, all_heard);
    assert!(time < 100 * MS, "{time:?}");
    fleet.run(30 * SEC);
    for idx in 0..5 {
        assert_eq!(fleet.heard(idx), std::slice::from_ref(&own), "node {idx}");
    }
    assert!((own.event == fired) && own.origin == id(2) && !own.replayed && own.ltime == 1);
    // Whoever has seen it speaks later.
    let next = fleet.with(0, |engine, now| engine.fire(event("next", b""), now)).unwrap();
    assert_eq!(next.ltime, 2);
}

#[test]
fn a_newcomer_gets_the_last_64_as_replayed_and_its_own_events_are_heard() {
    let mut fleet = Fleet::new(3);
    fleet.boot(0, &[]);
    fleet.boot(1, &[]);
    fleet.run(5 * SEC);
    for n in 0..600 {
        fleet.with(n % 2, |engine, now| engine.fire(event(&format!("n{n}"), &[0; 900]), now)).unwrap();
        fleet.run(100 * MS);
    }
    fleet.run(5 * SEC);
    assert_eq!(fleet.heard(1).len(), 600);
    fleet.boot(2, &[]);
    fleet.run(5 * SEC);
    let mut heard = fleet.heard(2);
    heard.sort_by_key(|event| event.ltime);
    assert_eq!(heard.len(), OFFERED);
    let expected: Vec<_> = (600 - OFFERED..600).map(|n| format!("n{n}")).collect();
    assert_eq!(names(&heard), expected.iter().map(|name| (name.as_str(), true)).collect::<Vec<_>>());
    // Its clock is that of the cluster: 512 behind, nobody would listen.
    fleet.with(2, |engine, now| engine.fire(event("hello", b""), now)).unwrap();
    fleet.run(2 * SEC);
    for idx in 0..3 {
        assert_eq!(names(&fleet.heard(idx)).last(), Some(&("hello", false)), "node {idx}");
    }
}

#[test]
fn an_event_that_is_an_hour_old_is_not_offered() {
    let mut fleet = Fleet::new(2);
    fleet.boot(0, &[]);
    fleet.with(0, |engine, now| engine.fire(event("old", b""), now)).unwrap();
    fleet.run(1800 * SEC);
    fleet.with(0, |engine, now| engine.fire(event("newer", b""), now)).unwrap();
    fleet.run(1801 * SEC);
    fleet.boot(1, &[]);
    fleet.run(5 * SEC);
    assert_eq!(names(&fleet.heard(1)), [("newer", true)]);
}

#[test]
fn an_event_fired_just_before_somebody_came_is_replayed_although_it_is_still_pushed() {
    let mut fleet = Fleet::new(3);
    fleet.boot(0, &[]);
    fleet.boot(1, &[]);
    fleet.run(5 * SEC);
    fleet.with(0, |engine, now| engine.fire(event("before", b""), now)).unwrap();
    fleet.run(30 * MS);
    fleet.boot(2, &[]);
    fleet.run(3 * SEC);
    assert_eq!(names(&fleet.heard(2)), [("before", true)]);
}

#[test]
fn an_event_lost_on_all_its_ways_comes_with_an_exchange_and_is_live() {
    let mut fleet = Fleet::formed(3, &[]);
    // Only pings and acks of the deaf node pass for a moment: short enough to stay a member.
    fleet.lose = Box::new(|_, to| to == 2);
    fleet.with(0, |engine, now| engine.fire(event("lost", b""), now)).unwrap();
    fleet.run(1500 * MS);
    fleet.lose = Box::new(|_, _| false);
    assert_eq!(fleet.number(0, "posts_queued"), 0, "all copies are out");
    assert!(fleet.heard(2).is_empty());
    fleet.run(40 * SEC);
    assert_eq!(names(&fleet.heard(2)), [("lost", false)]);
    assert_eq!(fleet.number(2, "events_by_exchange"), 1);
}

#[test]
fn a_node_that_was_cut_off_gets_old_events_as_replayed() {
    let mut fleet = Fleet::formed(4, &[]);
    fleet.lose = Box::new(|from, to| (from == 3) != (to == 3));
    fleet.run(SEC);
    fleet.with(0, |engine, now| engine.fire(event("there", b""), now)).unwrap();
    fleet.with(3, |engine, now| engine.fire(event("here", b""), now)).unwrap();
    fleet.run(90 * SEC);
    assert_eq!(fleet.engine(0).n_members(), 2, "it is not cut off");
    fleet.lose = Box::new(|_, _| false);
    fleet.run(90 * SEC);
    assert_eq!(names(&fleet.heard(3)), [("here", false), ("there", true)]);
    for idx in 0..3 {
        assert_eq!(names(&fleet.heard(idx)), [("there", false), ("here", true)], "node {idx}");
    }
}

#[test]
fn a_flood_is_bounded_and_counted() {
    let mut fleet = Fleet::formed(2, &[]);
    // A foreign program with our key: a thousand events of one origin at once.
    let post = |n: u64| Post {
        id: EventId(std::array::from_fn(|i| n.to_le_bytes()[i % 8])),
        origin: id(9),
        ltime: 1 + n / 10,
        event: event("flood", &[0; 1024]),
    };
    let raw = |n| UserItem::Event(post(n), Duration::ZERO).encode();
    fleet.with(0, |engine, now| (0..1000).for_each(|n| engine.take_event(post(n), Duration::ZERO, Some(raw(n)), now)));
    assert_eq!(fleet.heard(0).len(), 64);
    assert_eq!(fleet.number(0, "events_over_rate"), 936);
    assert!(fleet.number(0, "posts_queued") <= spread::MOST as u64);
    // Our own are refused with a reason before anybody is bothered.
    let mut results: Vec<_> = (0..40).map(|_| fleet.with(1, |engine, now| engine.fire(event("own", b""), now))).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 32);
    assert_eq!(results.pop(), Some(Err(GossipError::Busy("events"))));
    fleet.run(SEC);
    assert!(fleet.with(1, |engine, now| engine.fire(event("own", b""), now)).is_ok());
}

#[test]
fn events_and_records_do_not_starve_each_other() {
    let mut fleet = Fleet::formed(5, &[]);
    for n in 0..30 {
        fleet.with(0, |engine, now| engine.fire(event(&format!("n{n}"), &[0; 1024]), now)).unwrap();
    }
    let stamp = fleet.relabel(0, &format!("large:{}", "x".repeat(900)));
    let is_everywhere =
        move |fleet: &Fleet| (1..5).all(|idx| fleet.engine(idx).record(id(0)).is_some_and(|record| record.stamp == stamp));
    let time = fleet.until(SEC, is_everywhere);
    assert!(time < 200 * MS, "the record took {time:?}");
    let time = fleet.until(2 * SEC, |fleet| (1..5).all(|idx| fleet.heard(idx).len() == 30));
    assert!(time < SEC, "the events took {time:?}");
}

#[test]
fn bad_events_are_refused_by_name() {
    let mut fleet = Fleet::new(1);
    fleet.boot(0, &[]);
    let mut why = |event: NewEvent| fleet.with(0, |engine, now| engine.fire(event, now)).unwrap_err().to_string();
    assert_eq!(why(event("x", &[0; 1025])), "payload: 1025 bytes: at most 1024 are accepted");
    assert_eq!(why(event("_lobby:x", b"")), "name: \"_lobby:x\": names that begin with _lobby: are the agents' own");
    let mut fleet = Fleet::new(1);
    fleet.boot_as(0, &[], Profile::Wan);
    let filter = Filter { node: Some("n".repeat(128)), ..Filter::default() };
    let large = |payload: usize| NewEvent { filter: filter.clone(), ..event(&"x".repeat(64), &vec![0; payload]) };
    let err = fleet.with(0, |engine, now| engine.fire(large(1024), now)).unwrap_err().to_string();
    let most: usize = err.split_whitespace().nth(5).unwrap().parse().unwrap();
    assert_eq!(err, format!("payload: 1024 bytes: at most {most} are accepted with this name and filter in this GOSSIP_PROFILE"));
    assert!(fleet.with(0, |engine, now| engine.fire(large(most), now)).is_ok());
    assert!(fleet.with(0, |engine, now| engine.fire(large(most + 1), now)).is_err());
}

#[test]
fn what_does_not_fit_into_our_datagrams_is_heard_and_not_queued() {
    let mut fleet = Fleet::new(1);
    fleet.boot_as(0, &[], Profile::Wan);
    let large = Post { id: EventId([1; 16]), origin: id(3), ltime: 1, event: event(&"x".repeat(64), &[0; 1024]) };
    let raw = Bytes::from(vec![0; 1300]);
    fleet.with(0, |engine, now| engine.take_event(large, Duration::ZERO, Some(raw), now));
    assert_eq!((fleet.heard(0).len(), fleet.number(0, "posts_oversize"), fleet.number(0, "posts_queued")), (1, 1, 0));
}

#[test]
fn an_event_with_an_absurd_clock_is_dropped() {
    let mut fleet = Fleet::formed(2, &[]);
    let post = Post { id: EventId([1; 16]), origin: id(1), ltime: u64::MAX, event: event("x", b"") };
    let item = Item::User(UserItem::Event(post, Duration::ZERO)).encode();
    fleet.with(1, |engine, _| engine.send(super::addr(0), &[], &[item]));
    fleet.run(SEC);
    assert_eq!((fleet.heard(0).len(), fleet.number(0, "posts_too_far_ahead"), fleet.number(0, "event_time")), (0, 1, 0));
}

#[test]
fn forged_clocks_do_not_silence_a_newcomer() {
    let mut fleet = Fleet::new(3);
    fleet.boot(0, &[]);
    fleet.boot(1, &[]);
    fleet.run(5 * SEC);
    // From somebody who has our key: absurd times are refused, and what the last two reach a newcomer must reach too.
    for (n, ltime) in [1 << 40, 1 << 41, 1 << 20, 2 << 20].into_iter().enumerate() {
        let post = Post { id: EventId([n as u8; 16]), origin: id(1), ltime, event: event("far", b"") };
        let item = UserItem::Event(post, Duration::ZERO).encode();
        fleet.with(1, |engine, _| engine.send(super::addr(0), &[], &[item]));
        fleet.run(SEC);
    }
    assert_eq!((fleet.number(0, "event_time"), fleet.number(1, "event_time")), (2 << 20, 2 << 20));
    assert_eq!(fleet.number(0, "posts_too_far_ahead"), 2);
    fleet.boot(2, &[]);
    fleet.run(3 * SEC);
    assert_eq!((fleet.number(2, "event_time"), fleet.number(2, "posts_too_far_ahead")), (2 << 20, 0));
    fleet.with(2, |engine, now| engine.fire(event("hello", b""), now)).unwrap();
    fleet.run(SEC);
    assert!((0..2).all(|idx| names(&fleet.heard(idx)).last() == Some(&("hello", false))));
}

#[test]
fn halves_that_counted_far_apart_come_together_step_by_step() {
    let mut fleet = Fleet::formed(2, &[]);
    fleet.with(0, |engine, now| engine.fire(event("first", b""), now)).unwrap();
    fleet.run(60 * SEC);
    let far = fleet.with(0, |engine, _| (0..3).map(|_| engine.user.events.lamport.hear_clock(u64::MAX, false)).count());
    assert_eq!((far, fleet.number(0, "event_time")), (3, 1 + (3 << 20)));
    fleet.with(0, |engine, now| engine.fire(event("ahead", b""), now)).unwrap();
    fleet.run(SEC);
    assert!(fleet.number(1, "posts_too_far_ahead") > 0);
    fleet.until(300 * SEC, |fleet| fleet.heard(1).len() == 2);
    assert_eq!(fleet.number(1, "event_time"), 2 + (3 << 20));
}

#[test]
fn a_newcomer_hears_new_events_from_members_that_have_never_spoken_to_it() {
    let mut fleet = Fleet::formed(3, &[]);
    fleet.with(1, |engine, now| engine.fire(event("old", b""), now)).unwrap();
    fleet.run(10 * SEC);
    let post = |ltime| Post { id: EventId([ltime as u8; 16]), origin: id(8), ltime, event: event("x", b"") };
    let stranger = |ltime| {
        let mut packet = crate::packet::PacketWriter::new(id(8), Generation(5), ltime, &[], 500);
        packet.push(&UserItem::Event(post(ltime), Duration::ZERO).encode());
        Keyring::new("test", &[]).unwrap().seal(packet.as_bytes(), || [7; 24])
    };
    fleet.restart(0, &[]);
    let n_before = fleet.heard(0).len();
    let hear = |fleet: &mut Fleet, datagram: &[u8]| {
        fleet.with(0, |engine, now| engine.handle(Input::Datagram(super::addr(2), datagram), now));
    };
    hear(&mut fleet, &stranger(50));
    assert_eq!(fleet.heard(0).len(), n_before, "before its first exchange it cannot know");
    fleet.run(3 * SEC);
    let n_before = fleet.heard(0).len();
    hear(&mut fleet, &stranger(51));
    assert_eq!(fleet.heard(0).len(), n_before + 1);
}

#[test]
fn a_talk_about_events_ends_and_nobody_may_go_on_with_it_for_ever() {
    use crate::{frame::Frame, post::EventExchange};
    let mut fleet = Fleet::formed(3, &[]);
    for n in 0..3 {
        fleet.with(n, |engine, now| engine.fire(event("x", b""), now)).unwrap();
    }
    fleet.run(60 * SEC);
    assert!((0..3).all(|idx| fleet.engine(idx).user.events.n_talks() == 0));
    // Somebody who opens a stream and asks again and again.
    let stream = fleet.with(0, |engine, _| engine.accept()).unwrap();
    let hello = Frame::Hello(fleet.engine(1).identity(), 0).encode();
    let have = (0..OFFERED as u8).map(|n| (EventId([n; 16]), 1)).collect();
    let notice = Frame::Events(EventExchange { have, ..EventExchange::default() }).encode();
    let mut replies = Vec::new();
    fleet.with(0, |engine, now| {
        for frame in [&hello, &notice, &notice, &notice] {
            engine.handle(Input::Frame(stream, frame), now);
            replies.extend(std::iter::from_fn(|| engine.poll_output()));
        }
    });
    let n_told = replies.iter().filter(|output| matches!(output, Output::Frame(..))).count();
    assert_eq!(n_told, 4, "its own notice, its sums, and two replies");
    assert!(matches!(replies.last(), Some(Output::Close(other)) if *other == stream));
    assert_eq!(fleet.engine(0).user.events.n_talks(), 0);
    // Nor in a stream that was opened for something else.
    let stream = fleet.with(0, |engine, _| engine.accept()).unwrap();
    fleet.with(0, |engine, now| engine.handle(Input::Frame(stream, &notice), now));
    assert_eq!(fleet.engine(0).user.events.n_talks(), 0);
}

#[test]
fn who_is_leaving_fires_and_asks_nothing() {
    let mut fleet = Fleet::formed(2, &[key(1)]);
    fleet.with(0, |engine, now| engine.handle(Input::Leave, now));
    let install = lobby_core::port::gossip::KeyChange::Install(key(2).to_base64());
    fleet.with(0, |engine, now| {
        assert_eq!(engine.fire(event("x", b""), now), Err(GossipError::Stopping));
        assert_eq!(engine.ask_query(query("x", SEC, false), now), Err(GossipError::Stopping));
        assert_eq!(engine.change_keys(install, now), Err(GossipError::Stopping));
    });
}
