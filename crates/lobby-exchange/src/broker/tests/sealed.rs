//! The broker machine with a key: strangers, recordings, and how newcomers are let in.

use super::*;
use crate::seal::{Key, Place};

fn keys() -> Keys {
    Keys { list: vec![Key::from_bytes([7; 32])], takes_unsigned: false }
}

pub(super) fn keyed(answering: Answering, listed: bool) -> Bench {
    let mut bench = Bench::new(answering, listed);
    bench.broker.handle_keys(&keys());
    bench.bus(BusEvent::Up { max_bytes: 1 << 20 });
    bench
}

/// A peer by hand: its record and its seals.
pub(super) struct Peer {
    local: LocalRecord,
    sealer: Sealer,
}

impl Peer {
    pub(super) fn new(number: u8) -> Self {
        let id = NodeId::from_bytes([number; 16]);
        Self { local: record(id, "peer"), sealer: Sealer::new("test", id, Generation(1), &keys()) }
    }

    pub(super) fn says(&mut self, message: Message) -> Vec<u8> {
        self.sealer.seal(Place::Packets, None, hi(&self.local, message))
    }

    /// Reads everything the bench sends to all.
    fn listens(&mut self, bench: &mut Bench) {
        for output in bench.drain() {
            if let Output::Send(Address::Packets, _, bytes) = output {
                self.sealer.open(Place::Packets, &bytes).unwrap();
            }
        }
    }
}

fn count(bench: &Bench, verdict: Verdict) -> u64 {
    bench.broker.stats.received_count(PacketKind::Hi, verdict)
}

fn n_hosts(bench: &mut Bench) -> usize {
    bench.drain();
    bench.snapshots.borrow().hosts.len()
}

#[test]
fn what_has_no_good_seal_is_ignored_and_counted_by_reason() {
    let mut bench = keyed(Answering::Queue, true);
    let peer = record(PEER, "peer");
    bench.hear(Topic::Packets, hi(&peer, Message::Hi));
    bench.hear(Topic::Packets, br#"{"discovery":{"hostname":"go","labels":null},"message":"goodbye"}"#.to_vec());
    let other = Keys { list: vec![Key::from_bytes([8; 32])], takes_unsigned: true };
    let sealed = Sealer::new("test", PEER, Generation(1), &other).seal(Place::Packets, None, hi(&peer, Message::Hi));
    bench.hear(Topic::Packets, sealed);
    bench.hear(Topic::Packets, br#"{"message":"hi","seal":"1.2.3"}"#.to_vec());
    assert_eq!(n_hosts(&mut bench), 1);
    let counts = [Verdict::NoKey, Verdict::WrongKey, Verdict::Garbage].map(|verdict| count(&bench, verdict));
    assert_eq!(counts, [2, 1, 1]);
}

#[test]
fn a_stranger_is_greeted_and_let_in_by_what_it_says_then() {
    let mut bench = keyed(Answering::Queue, true);
    bench.run_until(1_000);
    let mut peer = Peer::new(2);
    peer.listens(&mut bench);
    let mut peer = Peer::new(2);
    let first = peer.says(Message::Hi);
    bench.hear(Topic::Packets, first.clone());
    assert_eq!((n_hosts(&mut bench), count(&bench, Verdict::Unproven)), (1, 1));
    bench.run_until(1_400);
    peer.listens(&mut bench);
    let second = peer.says(Message::Hi);
    bench.hear(Topic::Packets, second.clone());
    assert_eq!(n_hosts(&mut bench), 2);
    for old in [first, second] {
        bench.hear(Topic::Packets, old);
    }
    assert_eq!(count(&bench, Verdict::Replayed), 2);
}

#[test]
fn a_recording_makes_and_removes_nobody() {
    // A life that is over: what the peer said to somebody else.
    let (mut peer, mut somebody) = (Peer::new(2), Peer::new(3));
    let mut recorded = Vec::new();
    for _ in 0..3 {
        let said = somebody.says(Message::Hi);
        peer.sealer.open(Place::Packets, &said).unwrap();
        let said = peer.says(Message::Hi);
        somebody.sealer.open(Place::Packets, &said).unwrap();
        recorded.push(said);
    }
    peer.local.leave();
    peer.local.commit(Moment::ZERO).unwrap();
    recorded.push(peer.says(Message::Goodbye));

    let mut bench = keyed(Answering::Queue, true);
    for packet in &recorded {
        bench.hear(Topic::Packets, packet.clone());
    }
    assert_eq!((n_hosts(&mut bench), count(&bench, Verdict::Unproven)), (1, 4));

    // Its next life, which is alive here: the old goodbye is over.
    let mut alive = Peer::new(2);
    alive.sealer = Sealer::new("test", PEER, Generation(2), &keys());
    bench.run_until(6_000);
    alive.listens(&mut bench);
    bench.hear(Topic::Packets, alive.says(Message::Hi));
    assert_eq!(n_hosts(&mut bench), 2);
    for packet in recorded {
        bench.hear(Topic::Packets, packet);
    }
    assert_eq!((n_hosts(&mut bench), count(&bench, Verdict::Replayed)), (2, 4));
}

#[test]
fn recordings_make_us_say_at_most_one_packet_a_second_more() {
    let mut bench = keyed(Answering::Queue, true);
    bench.run_until(10_000);
    bench.drain();
    for millis in (10_000..20_000).step_by(50) {
        let mut peer = Peer::new(u8::try_from(2 + millis / 50 % 200).unwrap());
        bench.hear(Topic::Packets, peer.says(Message::Hi));
        bench.run_until(millis + 50);
    }
    let sent = bench.sent().len();
    assert!((8..=13).contains(&sent), "{sent} in ten seconds");
}

#[test]
fn an_answer_counts_if_it_is_to_our_question() {
    let mut bench = keyed(Answering::Queue, true);
    let mut peer = Peer::new(2);
    let asked = bench.drain().into_iter().find_map(|output| match output {
        Output::Send(Address::Asks, _, bytes) => Some(bytes),
        _ => None,
    });
    let opened = peer.sealer.open(Place::Asks, &asked.unwrap()).unwrap();
    let answer = packet::encode_answer([(&**peer.local.record(), 0)], "lobby", WallSecond(1), 1 << 20).remove(0);
    let mut sealer = Sealer::new("test", PEER, Generation(1), &keys());
    let recorded = sealer.seal(Place::Answer(OWN), Some(1), answer.clone());
    bench.hear(Topic::Answers, recorded);
    assert_eq!((n_hosts(&mut bench), bench.is_warm()), (1, false));
    let good = sealer.seal(Place::Answer(OWN), opened.tag, answer);
    bench.hear(Topic::Answers, good);
    assert_eq!((n_hosts(&mut bench), bench.is_warm()), (2, true));
}

#[test]
fn who_answers_greets_at_once_and_claims_of_strangers_do_not_count() {
    let mut bench = keyed(Answering::Claim, true);
    bench.run_until(6_000);
    bench.drain();
    let mut peer = Peer::new(2);
    let ask = |asker, taken| packet::encode_ask(&Ask { asker, cluster: "lobby".into(), taken });
    bench.hear(Topic::Packets, peer.says(Message::Hi));
    bench.hear(Topic::Asks, peer.sealer.seal(Place::Asks, None, ask(PEER, false)));
    bench.hear(Topic::Asks, Peer::new(9).sealer.seal(Place::Asks, None, ask(PEER, true)));
    bench.hear(Topic::Asks, peer.sealer.seal(Place::Asks, None, ask(NodeId::from_bytes([5; 16]), false)));
    assert_eq!(bench.broker.stats.received_count(PacketKind::Ask, Verdict::Unproven), 1);
    assert_eq!(bench.broker.stats.received_count(PacketKind::Ask, Verdict::Garbage), 1);
    bench.run_until(6_400);
    let sent = bench.sent();
    assert!(sent.iter().any(|(to, _)| matches!(to, Address::Answer(PEER, _))), "{sent:?}");
    assert!(sent.contains(&(Address::Packets, PacketKind::Hi)), "{sent:?}");
}

/// Our own claim, as the bus brings it to us, once and then recorded.
#[test]
fn recordings_of_our_own_claims_do_not_keep_us_from_answering() {
    let mut bench = keyed(Answering::Claim, true);
    bench.run_until(6_000);
    bench.drain();
    let mut peer = Peer::new(2);
    let ask = |peer: &mut Peer| {
        let ask = Ask { asker: PEER, cluster: "lobby".into(), taken: false };
        peer.sealer.seal(Place::Asks, None, packet::encode_ask(&ask))
    };
    bench.hear(Topic::Asks, ask(&mut peer));
    bench.run_until(6_400);
    let claim = bench.drain().into_iter().find_map(|output| match output {
        Output::Send(Address::Asks, PacketKind::Ask, bytes) => Some(bytes),
        _ => None,
    });
    let claim = claim.expect("it claimed the question");
    bench.run_until(8_000);
    bench.hear(Topic::Asks, ask(&mut peer));
    (0..20).for_each(|_| bench.hear(Topic::Asks, claim.clone()));
    bench.run_until(8_050);
    bench.hear(Topic::Asks, ask(&mut peer));
    bench.run_until(8_500);
    assert!(bench.sent().iter().any(|(to, _)| matches!(to, Address::Answer(PEER, _))));
    assert_eq!(bench.broker.stats.received_count(PacketKind::Ask, Verdict::Replayed), 19);
}

#[test]
fn an_unlisted_node_asks_strangers() {
    let mut bench = keyed(Answering::Queue, false);
    bench.drain();
    let mut peer = Peer::new(2);
    bench.hear(Topic::Packets, peer.says(Message::Hi));
    bench.run_until(300);
    let asked = bench.drain().into_iter().find_map(|output| match output {
        Output::Send(Address::Node(PEER), _, bytes) => Some(bytes),
        _ => None,
    });
    peer.sealer.open(Place::Node(PEER), &asked.unwrap()).unwrap();
    assert_eq!(n_hosts(&mut bench), 0);
    bench.hear(Topic::Packets, peer.says(Message::Hi));
    assert_eq!(n_hosts(&mut bench), 1, "the peer, and not ourselves");
}

#[test]
fn a_packet_tells_of_its_sender_only_and_has_room_for_its_seal() {
    let mut bench = keyed(Answering::Queue, true);
    let mut peer = Peer::new(2);
    peer.listens(&mut bench);
    let forged = hi(&record(NodeId::from_bytes([5; 16]), "victim"), Message::Hi);
    bench.hear(Topic::Packets, peer.sealer.seal(Place::Packets, None, forged));
    assert_eq!((n_hosts(&mut bench), count(&bench, Verdict::Garbage)), (1, 1));

    bench.bus(BusEvent::Down { why: "test".into() });
    let longest = 4096;
    bench.bus(BusEvent::Up { max_bytes: longest });
    let mut largest = 0;
    for number in 0..100 {
        bench.local.set_labels((0..number).map(|idx| format!("label:{number}:{idx:030}").parse().unwrap()));
        let record = bench.local.commit(Moment::ZERO);
        bench.run_until(10_000 + 100 * number);
        record.into_iter().for_each(|record| bench.broker.handle_announcement(Announcement::new(record, true), bench.now));
        for output in bench.drain() {
            if let Output::Send(_, _, bytes) = output {
                largest = largest.max(bytes.len());
            }
        }
    }
    assert!((longest - 500..=longest).contains(&largest), "{largest}");
}
