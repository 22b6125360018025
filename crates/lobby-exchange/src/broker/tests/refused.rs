//! The broker machine whose key is not that of the others: it says so, seldom, and does not take nobody for everybody.

use lobby_core::port::LinkState;

use super::{
    captured::Log,
    sealed::{Peer, keyed},
    *,
};
use crate::seal::{Key, Place};

/// What somebody with another key says.
fn foreign(n: u8) -> Vec<u8> {
    let (id, other) = (NodeId::from_bytes([n; 16]), Keys { list: vec![Key::from_bytes([8; 32])], takes_unsigned: false });
    Sealer::new("test", id, Generation(1), &other).seal(Place::Packets, None, hi(&record(id, "foreign"), Message::Hi))
}

fn lines(log: &Log) -> Vec<String> {
    log.lines().into_iter().filter(|line| line.contains("are refused")).collect()
}

/// Lets time pass while others with another key speak every KEEP_ALIVE, and what we say comes back as it does from a broker.
fn among_others(bench: &mut Bench, until: u64) {
    while bench.now.moment < at(until).moment {
        bench.hear(Topic::Packets, foreign(2));
        let next = (bench.now.moment.as_micros() - START) / 1000 + 5_000;
        bench.run_until(next.min(until));
        for output in bench.drain() {
            if let Output::Send(Address::Packets, _, bytes) = output {
                bench.hear(Topic::Packets, bytes);
            }
        }
    }
    bench.drain();
}

#[test]
fn packets_with_another_key_are_told_at_once_and_then_once_a_minute() {
    let log = Log::start();
    let mut bench = keyed(Answering::Queue, true);
    bench.run_until(3_000);
    bench.hear(Topic::Packets, foreign(2));
    let first = "WARN message=packets from test are refused: 1 with an unknown key, 0 without a seal; none was accepted since the link \
                 came up 3 s ago: does EXCHANGE_KEY differ from that of the others?";
    assert_eq!(lines(&log), [first]);
    for _ in 0..1000 {
        bench.hear(Topic::Packets, foreign(2));
    }
    for millis in (4_000..=62_000).step_by(1_000) {
        bench.run_until(millis);
        bench.hear(Topic::Packets, hi(&record(PEER, "open"), Message::Hi));
    }
    assert_eq!(lines(&log).len(), 1, "a stranger fills no log");
    bench.hear(Topic::Packets, Peer::new(3).says(Message::Hi));
    bench.run_until(63_000);
    bench.hear(Topic::Asks, hi(&record(PEER, "open"), Message::Hi));
    let second = "WARN message=packets from test are refused: 1000 with an unknown key, 60 without a seal; the last one was accepted \
                  1 s ago: whoever sends those has another EXCHANGE_KEY, or none";
    assert_eq!(lines(&log), [first, second]);
}

#[test]
fn while_all_that_comes_is_refused_the_picture_is_not_complete() {
    let mut bench = keyed(Answering::Queue, true);
    among_others(&mut bench, 59_900);
    let link = bench.snapshots.borrow().links[0].clone();
    assert_eq!((link.state, link.warm, link.given_up), (LinkState::Up, false, false));
    // WARM_MAX of the node.
    bench.catalog.handle_deadline(at(60_000));
    among_others(&mut bench, 70_000);
    let link = bench.snapshots.borrow().links[0].clone();
    assert_eq!((link.warm, link.given_up, bench.snapshots.borrow().warm), (false, true, true));
    // The key is mended: what is said then is believed.
    bench.hear(Topic::Packets, Peer::new(3).says(Message::Hi));
    bench.run_until(77_000);
    bench.drain();
    assert!(bench.is_warm());
}

#[test]
fn one_who_is_refused_keeps_nobody_waiting_among_others_nor_alone_for_long() {
    let mut bench = keyed(Answering::Queue, true);
    bench.run_until(2_000);
    bench.hear(Topic::Packets, Peer::new(3).says(Message::Hi));
    for _ in 0..10 {
        bench.hear(Topic::Packets, foreign(2));
    }
    bench.run_until(6_000);
    bench.drain();
    assert!(bench.is_warm(), "amid others");

    let mut bench = keyed(Answering::Queue, true);
    bench.run_until(6_000);
    bench.drain();
    assert!(bench.is_warm(), "with nobody there");

    let mut bench = keyed(Answering::Queue, true);
    bench.hear(Topic::Packets, foreign(2));
    bench.run_until(23_900);
    bench.drain();
    assert!(!bench.is_warm());
    bench.run_until(24_000);
    bench.drain();
    assert!(bench.is_warm(), "the stranger was not heard of again");
}
