//! Nodes without an agent ride on packets of the agent that wrote them.

use lobby_core::external::{Change, NodeData, next};

use super::*;

fn external(writer: NodeId, n: usize, bytes: usize) -> Arc<Record> {
    let node = NodeData { address: "x".repeat(bytes), ..NodeData::default() };
    Arc::new(next(None, &format!("db-{n:03}").parse().unwrap(), writer, 1, &[Change::Node(node)]).unwrap().unwrap())
}

fn announce(bench: &mut Bench, records: &[Arc<Record>]) {
    let externals = records.iter().map(|record| (record.origin.node_id().unwrap(), record.clone())).collect();
    let announced = Announcement { externals, ..Announcement::new(bench.local.record().clone(), true) };
    bench.broker.handle_announcement(announced, bench.now);
}

/// The names of those that rode, by packet.
fn rode(bench: &mut Bench) -> Vec<Vec<String>> {
    let packets = bench.drain().into_iter().filter_map(|output| match output {
        Output::Send(Address::Packets, PacketKind::Hi, bytes) => Some(packet::decode(&bytes, ExchangeId(0)).unwrap()),
        _ => None,
    });
    packets.map(|packet| packet.externals.iter().map(|record| record.name.to_string()).collect()).collect()
}

#[test]
fn what_we_wrote_rides_at_once_and_again_in_turn() {
    let mut bench = Bench::complete(Answering::Queue);
    let mut records: Vec<_> = (0..40).map(|n| external(OWN, n, 10)).collect();
    records.push(external(PEER, 99, 10));
    announce(&mut bench, &records);
    bench.run_until(6_100);
    let packets = rode(&mut bench);
    let mut names: Vec<_> = packets.concat();
    names.sort();
    names.dedup();
    assert_eq!((packets.len(), names.len()), (3, 40), "not what another agent wrote");
    // One rides again on each packet, each in its turn.
    bench.run_until(6_000 + 41 * 5_000);
    let again = rode(&mut bench);
    assert!(again.iter().all(|packet| packet.len() == 1));
    let mut names = again.concat();
    names.sort();
    names.dedup();
    assert!(names.len() >= 39, "{}", names.len());
    // After a pause of the link all ride once more.
    bench.bus(BusEvent::Down { why: "test".into() });
    bench.bus(BusEvent::Up { max_bytes: 1 << 20 });
    let until = bench.now.moment.as_micros() / 1000 - START / 1000 + 200;
    bench.run_until(until);
    assert!(rode(&mut bench).concat().len() >= 40);
}

#[test]
fn those_for_which_there_is_no_room_ride_on_the_next_packet() {
    let mut bench = Bench::new(Answering::Queue, true);
    bench.bus(BusEvent::Up { max_bytes: 1200 });
    bench.drain();
    let records: Vec<_> = (0..6).map(|n| external(OWN, n, 200)).collect();
    announce(&mut bench, &records);
    bench.run_until(1_000);
    let packets = rode(&mut bench);
    assert!(packets.len() >= 3 && packets.iter().all(|packet| packet.len() <= 2), "{packets:?}");
    let mut names = packets.concat();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 6);
}

#[test]
fn those_of_others_come_into_the_catalog_and_newcomers_are_told() {
    let mut bench = Bench::complete(Answering::Queue);
    let (peer, removed) = (record(PEER, "peer"), external(PEER, 2, 10));
    let gone = Arc::new(next(Some(&removed), &removed.name, PEER, 2, &[Change::Remove]).unwrap().unwrap());
    let told = [external(PEER, 1, 10), gone];
    let carried = told.iter().map(|record| &**record);
    bench.hear(Topic::Packets, packet::encode_carrying(peer.record(), carried, false, "lobby", WallSecond(1)));
    bench.drain();
    let snapshot = bench.snapshots.borrow().clone();
    assert!(snapshot.hosts.contains_key("db-001") && !snapshot.hosts.contains_key("db-002"));
    bench.ask(NodeId::from_bytes([7; 16]), false);
    bench.run_until(6_500);
    let mut newcomer = Bench::up(Answering::Queue);
    let answers: Vec<_> = bench
        .drain()
        .into_iter()
        .filter_map(|output| match output {
            Output::Send(Address::Answer(..), _, part) => Some(part),
            _ => None,
        })
        .collect();
    assert!(!answers.is_empty());
    answers.into_iter().for_each(|part| newcomer.hear(Topic::Answers, part));
    newcomer.drain();
    let snapshot = newcomer.snapshots.borrow().clone();
    assert!(snapshot.hosts.contains_key("db-001"));
    assert_eq!(snapshot.externals.len(), 2, "also that one was removed");
}

#[test]
fn a_packet_cannot_smuggle_records_of_agents() {
    let mut bench = Bench::complete(Answering::Queue);
    let (peer, victim) = (record(PEER, "peer"), record(NodeId::from_bytes([3; 16]), "victim"));
    let carried = packet::encode_carrying(peer.record(), [&**victim.record()], false, "lobby", WallSecond(1));
    let read = packet::decode(&carried, ExchangeId(0)).unwrap();
    assert_eq!((read.externals.len(), read.dropped), (0, 1));
    bench.hear(Topic::Packets, carried);
    bench.drain();
    assert!(!bench.snapshots.borrow().hosts.contains_key("victim"));
}
