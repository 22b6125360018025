//! The broker machine that checks signatures: what gets in past them, by answers, by goodbyes, and while a node is forgotten.

use lobby_core::record::{Phase, Record, Stamp};

use super::*;

fn checking(mut bench: Bench) -> Bench {
    bench.broker.setup.check = Checker::new("lobby").into_check();
    bench
}

fn signed(byte: u8, name: &str) -> LocalRecord {
    LocalRecord::signed(signer(byte), Generation(1), name.parse().unwrap())
}

/// What somebody without the key makes of it: another phase and another label, at any version.
fn forged(real: &LocalRecord, stamp: Stamp, phase: Phase) -> Record {
    let real = real.record();
    let label = (
        lobby_core::record::Key::Label("forged:1".parse().unwrap()),
        lobby_core::record::Entry { version: stamp.version, value: Some([].into()) },
    );
    Record::from_parts(real.origin.clone(), real.name.clone(), stamp, stamp.version, phase, [label]).unwrap()
}

fn names(bench: &mut Bench) -> Vec<String> {
    bench.drain();
    bench.snapshots.borrow().hosts.keys().map(ToString::to_string).collect()
}

/// As an answer, but each of its packets says this.
fn answer(records: &[&Record], message: &str) -> Vec<u8> {
    let told = records.iter().map(|record| (*record, 0));
    let part = packet::encode_answer(told, "lobby", WallSecond(1), 1 << 20).remove(0);
    let part = String::from_utf8(part).unwrap();
    assert!(part.contains("\"message\":\"hi\""), "{part}");
    part.replace("\"message\":\"hi\"", &format!("\"message\":\"{message}\"")).into_bytes()
}

#[test]
fn an_answer_holds_what_its_owners_signed_whatever_it_calls_it() {
    let (peer, victim) = (signed(2, "peer"), signed(3, "victim"));
    let latest = Stamp { generation: Generation(u64::MAX), version: lobby_core::id::Version(u64::MAX) };
    for phase in [Phase::Running, Phase::Restarting, Phase::Left] {
        for message in ["hi", "goodbye"] {
            let mut bench = checking(Bench::up(Answering::Queue));
            bench.hear(Topic::Answers, answer(&[&forged(&victim, latest, phase), peer.record()], message));
            let expected = if message == "hi" { &["own", "peer"][..] } else { &["own"] };
            assert_eq!(names(&mut bench), expected, "{phase:?} {message}");
        }
    }
}

#[test]
fn the_goodbye_of_an_old_name_needs_no_signature_and_does_nothing() {
    let mut bench = checking(Bench::complete(Answering::Queue));
    let peer = signed(2, "peer");
    bench.hear(Topic::Packets, hi(&peer, Message::Hi));
    assert_eq!(names(&mut bench), ["own", "peer"]);
    let next = Stamp { version: peer.record().stamp.version.next(), ..peer.record().stamp };
    for (phase, counted) in [(Phase::Running, 0), (Phase::Left, 1)] {
        let goodbye = packet::encode(&forged(&peer, next, phase), Message::Goodbye, "lobby", WallSecond(1));
        bench.hear(Topic::Packets, goodbye);
        assert!(!bench.drain().iter().any(|output| matches!(output, Output::Tell(_))));
        assert_eq!(bench.broker.stats.received_count(PacketKind::Goodbye, Verdict::Unsigned), counted);
    }
}

/// The snapshot is older than the catalog at times: what it knows may be forgotten by now.
#[test]
fn what_is_known_already_is_told_as_it_was_checked() {
    let peer = signed(2, "peer");
    let lie = forged(&peer, peer.record().stamp, Phase::Running);
    let told = |bench: &mut Bench| {
        let told = bench.drain().into_iter().filter_map(|output| match output {
            Output::Tell(PeerEvent::Record(record)) => Some(record),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let mut bench = checking(Bench::up(Answering::Queue));
    bench.hear(Topic::Packets, hi(&peer, Message::Hi));
    assert_eq!(told(&mut bench), [peer.record().clone()]);
    bench.hear(Topic::Packets, packet::encode(&lie, Message::Hi, "lobby", WallSecond(1)));
    assert_eq!(told(&mut bench), [peer.record().clone()]);
    bench.hear(Topic::Answers, answer(&[&lie], "hi"));
    assert_eq!(told(&mut bench), [peer.record().clone()]);
}
