//! Last words: goodbyes for old names and for leaving, and restarts that are announced.

use super::*;

#[test]
fn who_is_too_large_for_a_hi_still_says_goodbye() {
    let mut bench = Bench::complete(Answering::Queue);
    bench.bus(BusEvent::Down { why: "test".into() });
    bench.bus(BusEvent::Up { max_bytes: 1024 });
    bench.drain();
    bench.local.set_labels((1..100).map(|idx| format!("a-label:{idx}").parse().unwrap()));
    bench.local.leave();
    let record = bench.local.commit(Moment::ZERO).unwrap();
    bench.broker.handle_announcement(Announcement::new(record.clone(), true), bench.now);
    let Some(Output::Send(Address::Packets, PacketKind::Goodbye, bytes)) = bench.drain().pop() else { panic!("no goodbye") };
    assert!(bytes.len() < 1024, "{} bytes", bytes.len());
    let incoming = packet::decode(&bytes, ExchangeId(0)).unwrap();
    assert!(incoming.record.has_left());
    assert_eq!((&incoming.record.origin, incoming.record.stamp), (&record.origin, record.stamp));
}

#[test]
fn goodbyes_come_for_old_names_and_once_for_leaving() {
    let mut bench = Bench::complete(Answering::Queue);
    bench.bus(BusEvent::Down { why: "test".into() });
    bench.local.set_name("new".parse().unwrap());
    let renamed = bench.local.commit(Moment::ZERO).unwrap();
    bench.broker.handle_announcement(Announcement::new(renamed, true), bench.now);
    assert!(bench.sent().is_empty());
    bench.bus(BusEvent::Up { max_bytes: 1 << 20 });
    let kinds: Vec<_> = bench.sent().into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [PacketKind::Goodbye, PacketKind::Hi, PacketKind::Ask]);
    bench.local.leave();
    let last = Announcement::new(bench.local.commit(Moment::ZERO).unwrap(), true);
    // Once as news, and once more at the stop.
    bench.broker.handle_announcement(last.clone(), bench.now);
    bench.broker.handle_announcement(last, bench.now);
    assert_eq!(bench.sent(), [(Address::Packets, PacketKind::Goodbye)]);
}

#[test]
fn who_restarts_says_so_once_without_a_goodbye_and_nothing_after() {
    let mut bench = Bench::complete(Answering::Queue);
    bench.local.restart();
    let last = Announcement::new(bench.local.commit(Moment::ZERO).unwrap(), true);
    bench.broker.handle_announcement(last.clone(), bench.now);
    bench.broker.handle_announcement(last.clone(), bench.now);
    let Some(Output::Send(Address::Packets, PacketKind::Hi, bytes)) = bench.drain().pop() else { panic!("no record") };
    assert_eq!(packet::decode(&bytes, ExchangeId(0)).unwrap().record.stamp, last.record.stamp);
    bench.run_until(60_000);
    bench.ask(PEER, false);
    bench.run_until(61_000);
    assert!(bench.answers().iter().all(|answer| answer.records.is_empty()), "a newcomer is not told of it");
}

#[test]
fn the_restart_of_a_peer_is_told_as_its_record_and_not_as_a_sign_of_life() {
    let mut bench = Bench::complete(Answering::Queue);
    let mut peer = record(PEER, "peer");
    bench.hear(Topic::Packets, hi(&peer, Message::Hi));
    bench.drain();
    peer.restart();
    peer.commit(Moment::ZERO).unwrap();
    bench.hear(Topic::Packets, hi(&peer, Message::Hi));
    let told: Vec<_> = std::iter::from_fn(|| bench.broker.poll_output()).collect();
    assert!(matches!(&told[..], [Output::Tell(PeerEvent::Record(record))] if record.is_last() && !record.has_left()), "{told:?}");
}
