//! The broker machine whose node key is in use a second time: what of it is proof, and what is not.

use lobby_core::{
    id::Version,
    record::{Phase, Record, Stamp},
};

use super::{captured::Log, *};
use crate::seal::{Key, Place};

/// The generation of the bench.
const GENERATION: u64 = 5;

fn of(generation: u64, secret: u8) -> LocalRecord {
    LocalRecord::signed(signer(secret), Generation(generation), "own".parse().unwrap())
}

fn checking() -> Bench {
    let mut bench = Bench::of(of(GENERATION, 1), Answering::Queue, true);
    bench.broker.setup.check = Checker::new("lobby").into_check();
    bench
}

fn up() -> Bench {
    let mut bench = checking();
    bench.bus(BusEvent::Up { max_bytes: 1 << 20 });
    bench.drain();
    bench
}

/// How many conflicts the node task is told of, which it counts.
fn conflicts(bench: &mut Bench) -> usize {
    let own = bench.local.record().origin.clone();
    let told = bench.drain().into_iter().filter(|output| match output {
        Output::Tell(PeerEvent::Record(record)) => record.origin == own,
        _ => false,
    });
    told.count()
}

#[test]
fn only_a_later_version_that_our_key_signed_is_a_conflict() {
    let log = Log::start();
    let (mut later, mut last) = (of(GENERATION, 1), of(GENERATION + 1, 1));
    later.set_labels(["b:1".parse().unwrap()]);
    later.commit(Moment::ZERO).unwrap();
    last.leave();
    last.commit(Moment::ZERO).unwrap();
    let earlier = of(GENERATION - 1, 1);
    // What somebody without our key makes of our record.
    let stamp = Stamp { generation: Generation(GENERATION + 1), version: Version(1) };
    let ours = of(GENERATION, 1);
    let forged =
        Record::from_parts(ours.record().origin.clone(), "own".parse().unwrap(), stamp, stamp.version, Phase::Running, []);
    let forged = forged.unwrap();
    let said = |record: &Record, message| packet::encode(record, message, "lobby", WallSecond(1));
    let cases = [
        ("a later generation", said(of(GENERATION + 1, 1).record(), Message::Hi), 1),
        ("the goodbye of one", said(last.record(), Message::Goodbye), 1),
        ("a later version", said(later.record(), Message::Hi), 1),
        ("our own, come back", said(ours.record(), Message::Hi), 0),
        ("our own goodbye for an old name", said(ours.record(), Message::Goodbye), 0),
        ("an earlier life of ours", said(earlier.record(), Message::Hi), 0),
        ("not signed", said(&forged, Message::Hi), 0),
        ("signed by another", said(&forged.clone().with_proof(of(1, 2).record().proof().cloned()), Message::Hi), 0),
        ("of another version", said(&forged.with_proof(ours.record().proof().cloned()), Message::Hi), 0),
    ];
    for (what, packet, expected) in cases {
        let mut bench = up();
        bench.hear(Topic::Packets, packet);
        assert_eq!(conflicts(&mut bench), expected, "{what}");
        let counts = [PacketKind::Hi, PacketKind::Goodbye].map(|kind| bench.broker.stats.received_count(kind, Verdict::Own));
        assert_eq!(counts.iter().sum::<u64>(), 1, "{what}");
        assert_eq!(bench.snapshots.borrow().hosts.len(), 1, "{what}");
    }
    assert_eq!(log.lines().iter().filter(|line| line.contains("remove its DATA_DIR/node.key")).count(), 3, "one of each bench");
}

#[test]
fn an_answer_that_holds_us_is_none() {
    let (mut bench, twin) = (up(), of(GENERATION + 1, 1));
    let part = packet::encode_answer([(&**twin.record(), 0)], "lobby", WallSecond(1), 1 << 20).remove(0);
    bench.hear(Topic::Answers, part);
    assert_eq!(conflicts(&mut bench), 0);
}

#[test]
fn each_is_counted_and_one_a_minute_is_logged() {
    let log = Log::start();
    let mut bench = up();
    let own = bench.local.record().clone();
    let twin = of(GENERATION + 1, 1);
    for millis in (0..=65_000).step_by(5_000) {
        bench.run_until(millis);
        bench.hear(Topic::Packets, hi(&twin, Message::Hi));
    }
    assert_eq!(conflicts(&mut bench), 14);
    let lines: Vec<_> = log.lines().into_iter().filter(|line| line.contains("node key")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let id = own.origin.node_id().unwrap();
    assert!(lines[0].starts_with("WARN") && lines[0].contains(&format!("id={id}")) && lines[0].contains("more=0"), "{lines:?}");
    assert!(lines[1].contains("more=11"), "{lines:?}");
}

/// With a key of the fleet: whoever has it may seal under our id, and is believed nothing but what we signed.
#[test]
fn seals_under_our_own_id_are_looked_at_and_believed_nothing() {
    let keys = Keys { list: vec![Key::from_bytes([7; 32])], takes_unsigned: false };
    let mut bench = checking();
    bench.broker.handle_keys(&keys);
    bench.bus(BusEvent::Up { max_bytes: 1 << 20 });
    bench.drain();
    let own = bench.local.record().origin.node_id().unwrap();
    let sealer = |generation| Sealer::new("test", own, Generation(generation), &keys);
    let (mut later, mut earlier) = (sealer(GENERATION + 1), sealer(GENERATION - 1));
    let twin = of(GENERATION + 1, 1);
    bench.hear(Topic::Packets, later.seal(Place::Packets, None, hi(&twin, Message::Hi)));
    assert_eq!(conflicts(&mut bench), 1);
    let claim = Ask { asker: PEER, cluster: "lobby".into(), taken: true };
    bench.hear(Topic::Asks, later.seal(Place::Asks, None, packet::encode_ask(&claim)));
    let peer = LocalRecord::signed(signer(2), Generation(1), "peer".parse().unwrap());
    let part = packet::encode_answer([(&**peer.record(), 0)], "lobby", WallSecond(1), 1 << 20).remove(0);
    bench.hear(Topic::Answers, later.seal(Place::Answer(own), None, part));
    bench.hear(Topic::Packets, later.seal(Place::Packets, None, hi(&peer, Message::Hi)));
    bench.hear(Topic::Packets, earlier.seal(Place::Packets, None, hi(&of(GENERATION - 1, 1), Message::Hi)));
    assert_eq!((conflicts(&mut bench), bench.snapshots.borrow().hosts.len(), bench.is_warm()), (0, 1, false));
    let count = |kind, verdict| bench.broker.stats.received_count(kind, verdict);
    assert_eq!(count(PacketKind::Ask, Verdict::Replayed), 1);
    assert_eq!(count(PacketKind::Answer, Verdict::Replayed), 1);
    assert_eq!((count(PacketKind::Hi, Verdict::Garbage), count(PacketKind::Hi, Verdict::Replayed)), (1, 1));
}
