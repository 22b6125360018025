//! Seeds, peers of a former life, `join` and the beacon, with two or three engines and streams that never fail to arrive.

use crate::item::Item;
use lobby_core::port::Announcement;
use std::net::SocketAddr;

use lobby_core::stats::{PacketKind, Verdict};

use super::{
    tests::{at, engine, identity, is_warm, meet, record, run},
    *,
};
use crate::{config::Profile, keyring::Key, packet::PacketWriter};

/// An engine that starts with these peers.
fn engine_with(byte: u8, seeded: bool, peers: &[SocketAddr]) -> Engine {
    let setup = Setup {
        config: Profile::Lan.config(),
        keyring: Arc::new(Keyring::new("test", &[]).unwrap()),
        advertise: identity(byte).addr,
        announcement: Announcement::new(record(byte, &[]), true),
        peers: peers.to_vec(),
        seeded,
        nonces: Box::new(|| [0; 24]),
        seed: u64::from(byte),
        check: lobby_core::proof::unchecked(),
        signer: super::testnet::signer(identity(byte).id),
        stats: Arc::default(),
    };
    Engine::new(setup, at(0))
}

fn addr(byte: u8) -> SocketAddr {
    identity(byte).addr
}

fn seeds(engine: &mut Engine, addrs: &[SocketAddr], now: Moment) {
    engine.handle(Input::Seeds { addrs: addrs.to_vec(), all_resolved: true }, now);
}

/// Carries streams between engines until nothing is left to do. Nobody is at other addresses than theirs; at 10.0.0.99 is
/// the first of them once more. Returns the other outputs of the first.
fn pump(engines: &mut [&mut Engine], now: Moment) -> Vec<Output> {
    let (mut streams, mut rest, mut busy) = (HashMap::new(), Vec::new(), true);
    while std::mem::take(&mut busy) {
        for idx in 0..engines.len() {
            while let Some(output) = engines[idx].poll_output() {
                busy = true;
                match output {
                    Output::Open(stream, to) => {
                        let there = |engine: &Engine| engine.identity().addr == to;
                        let peer = if to == addr(99) { Some(0) } else { engines.iter().position(|engine| there(engine)) };
                        let theirs = peer.and_then(|peer| Some((peer, engines[peer].accept()?)));
                        let Some((peer, theirs)) = theirs else {
                            engines[idx].handle(Input::Closed(stream), now);
                            continue;
                        };
                        streams.insert((idx, stream), (peer, theirs));
                        streams.insert((peer, theirs), (idx, stream));
                        engines[idx].handle(Input::Opened(stream), now);
                    }
                    Output::Frame(stream, bytes) => {
                        if let Some((peer, theirs)) = streams.get(&(idx, stream)) {
                            engines[*peer].handle(Input::Frame(*theirs, &bytes), now);
                        }
                    }
                    Output::Close(stream) => {
                        if let Some((peer, theirs)) = streams.remove(&(idx, stream)) {
                            engines[peer].handle(Input::Closed(theirs), now);
                        }
                    }
                    output if idx == 0 => rest.push(output),
                    _ => {}
                }
            }
        }
    }
    rest
}

fn opened(outputs: &[Output]) -> Vec<SocketAddr> {
    outputs.iter().filter_map(|output| if let Output::Open(_, to) = output { Some(*to) } else { None }).collect()
}

fn joined(outputs: &[Output]) -> Vec<(SocketAddr, bool)> {
    let outcome =
        |output: &Output| if let Output::Joined(addr, outcome) = output { Some((*addr, outcome.is_ok())) } else { None };
    outputs.iter().filter_map(outcome).collect()
}

#[test]
fn join_reaches_a_member_and_brings_its_whole_picture() {
    let (mut one, mut two) = (engine(1, false), engine(2, false));
    meet(&mut two, 3, at(0));
    pump(&mut [&mut one], at(0));
    one.join(addr(2), at(100));
    let outputs = pump(&mut [&mut one, &mut two], at(100));
    assert_eq!(joined(&outputs), [(addr(2), true)]);
    assert_eq!((one.n_members(), two.n_members()), (2, 2));
    assert!(one.record(identity(2).id).is_some());
}

#[test]
fn join_does_not_reach_ourselves_nor_nobody_and_the_address_is_tried_for_ever() {
    let mut one = engine(1, false);
    pump(&mut [&mut one], at(0));
    for there in [addr(1), addr(99), addr(7)] {
        one.join(there, at(100));
        assert_eq!(joined(&pump(&mut [&mut one], at(100))), [(there, false)]);
    }
    // Nobody was at the last one; ten minutes later somebody is.
    let mut n_tries = 0;
    while let Some(now) = one.next_deadline().filter(|due| *due <= at(600_000)) {
        one.handle_deadline(now);
        let outputs: Vec<_> = std::iter::from_fn(|| one.poll_output()).collect();
        n_tries += opened(&outputs).iter().filter(|to| **to == addr(7)).count();
        for output in outputs {
            if let Output::Open(stream, _) = output {
                one.handle(Input::Closed(stream), now);
            }
        }
    }
    assert!((15..40).contains(&n_tries), "{n_tries} tries: at first after a second, later every 30");
    let mut seven = engine(7, false);
    while one.n_members() == 0 {
        let now = one.next_deadline().unwrap();
        one.handle_deadline(now);
        assert!(now < at(700_000), "not found within 100 s");
        pump(&mut [&mut one, &mut seven], now);
    }
}

#[test]
fn more_joins_than_can_be_tried_at_a_time_are_refused_and_none_after_leaving() {
    let mut one = engine(1, false);
    run(&mut one, at(0));
    for port in 1..=65 {
        one.join(SocketAddr::from(([10, 0, 1, 1], port)), at(0));
    }
    let outputs = run(&mut one, at(10));
    assert_eq!(joined(&outputs), [(SocketAddr::from(([10, 0, 1, 1], 65)), false)]);
    one.handle(Input::Leave, at(20));
    one.join(addr(2), at(20));
    assert_eq!(joined(&run(&mut one, at(20))), [(addr(2), false)]);
}

#[test]
fn peers_of_a_former_life_are_found_although_all_seeds_have_changed() {
    let mut one = engine_with(1, true, &[addr(5), addr(2)]);
    let mut two = engine(2, false);
    seeds(&mut one, &[addr(77), addr(78)], at(0));
    let outputs = pump(&mut [&mut one, &mut two], at(0));
    assert!(is_warm(&outputs), "an exchange with a peer is as good as one with a seed");
    assert_eq!(one.n_members(), 1);
    assert_eq!(one.peers(), [addr(2), addr(5)], "who is there comes first, who was not is kept");
}

#[test]
fn without_seeds_a_node_waits_for_its_peers_until_each_was_tried_once() {
    let mut one = engine_with(1, false, &[addr(5), addr(6), addr(1)]);
    let outputs = run(&mut one, at(10));
    assert_eq!(opened(&outputs), [addr(5), addr(6)]);
    assert!(!is_warm(&outputs));
    let streams: Vec<_> =
        outputs.iter().filter_map(|output| if let Output::Open(stream, _) = output { Some(*stream) } else { None }).collect();
    one.handle(Input::Closed(streams[0]), at(20));
    assert!(!is_warm(&run(&mut one, at(20))));
    one.handle(Input::Closed(streams[1]), at(30));
    let outputs = run(&mut one, at(30));
    assert!(is_warm(&outputs));
    assert_eq!(opened(&run(&mut one, at(3000))).len(), 2, "they are tried again, for ever");
}

#[test]
fn peers_are_the_live_then_the_failed_then_the_old_and_none_that_left() {
    let mut one = engine_with(1, false, &[addr(200)]);
    for byte in 2..=5 {
        meet(&mut one, byte, at(0));
    }
    let down = |engine: &mut Engine, byte: u8, now| {
        engine.with_membership(now, |membership, effects| membership.apply_leave(identity(byte), effects));
    };
    down(&mut one, 3, at(1000));
    down(&mut one, 2, at(2000));
    let mut local = lobby_core::local::LocalRecord::new(identity(4).id, Generation(5), "node-4".parse().unwrap());
    local.leave();
    local.commit(at(0));
    one.take_record(local.record().clone(), at(3000));
    assert_eq!(one.peers(), [addr(5), addr(2), addr(3), addr(200)]);
    for byte in 10..=150 {
        meet(&mut one, byte, at(4000));
    }
    assert_eq!(one.peers().len(), 64);
}

#[test]
fn a_beacon_of_an_unknown_node_leads_to_one_contact() {
    let (mut one, mut two) = (engine(1, false), engine(2, false));
    run(&mut one, at(10));
    let beacon = two.beacon();
    one.handle(Input::Beacon(addr(2), &beacon), at(100));
    assert_eq!(opened(&run(&mut one, at(100))), [addr(2)]);
    one.handle(Input::Beacon(addr(2), &beacon), at(100));
    assert_eq!(one.stats.received_count(PacketKind::Datagram, Verdict::Replayed), 1);
    one.handle(Input::Beacon(addr(2), &two.beacon()), at(200));
    assert_eq!(opened(&run(&mut one, at(300))), []);
    // Our own comes back on every group.
    let own = one.beacon();
    one.handle(Input::Beacon(addr(1), &own), at(300));
    assert_eq!(one.stats.received_count(PacketKind::Datagram, Verdict::Own), 1);
    // It is no datagram: nothing is answered, nobody becomes a member.
    let mut three = engine(3, false);
    run(&mut three, at(10));
    three.handle(Input::Datagram(addr(2), &two.beacon()), at(300));
    assert!(run(&mut three, at(400)).is_empty() && three.n_members() == 0);
}

#[test]
fn beacons_join_two_nodes_without_seeds() {
    let (mut one, mut two) = (engine(1, false), engine(2, false));
    pump(&mut [&mut one, &mut two], at(0));
    let beacon = two.beacon();
    one.handle(Input::Beacon(addr(2), &beacon), at(100));
    one.handle_deadline(at(100));
    pump(&mut [&mut one, &mut two], at(100));
    assert_eq!((one.n_members(), two.n_members()), (1, 1));
    one.handle(Input::Beacon(addr(2), &two.beacon()), at(20_000));
    assert_eq!(one.stats.received_count(PacketKind::Datagram, Verdict::Stale), 1, "it is a live member");
}

#[test]
fn a_storm_of_beacons_leads_to_four_contacts_in_a_second() {
    let mut one = engine(1, false);
    run(&mut one, at(5000));
    for byte in 2..=250 {
        let beacon = engine(byte, false).beacon();
        one.handle(Input::Beacon(addr(byte), &beacon), at(5000));
    }
    assert_eq!(opened(&run(&mut one, at(5500))).len(), 4);
    // Later again four at a time, as seeds of a node that is alone.
    let later = opened(&run(&mut one, at(20_000))).len();
    assert!((1..=12).contains(&later), "{later}");
}

#[test]
fn a_beacon_must_be_sealed_whole_and_about_its_sender() {
    let mut one = engine(1, false);
    run(&mut one, at(10));
    let sealed = Keyring::new("test", &[Key::from_bytes([7; 32])]).unwrap().seal(b"anything", || [0; 24]);
    one.handle(Input::Beacon(addr(2), &sealed), at(100));
    let mut from_two = |items: &[Item], foca: &[u8]| {
        let mut packet = PacketWriter::new(identity(2).id, Generation(5), 1, foca, 1000);
        items.iter().for_each(|item| packet.push(&item.encode()));
        let datagram = one.keyring.seal(packet.as_bytes(), || [0; 24]);
        one.handle(Input::Beacon(addr(2), &datagram), at(100));
    };
    let nowhere = Identity { addr: SocketAddr::from(([0, 0, 0, 0], 1314)), ..identity(2) };
    from_two(&[], &[]);
    from_two(&[Item::Question(1)], &[]);
    from_two(&[Item::Beacon(identity(3))], &[]);
    from_two(&[Item::Beacon(nowhere)], &[]);
    from_two(&[Item::Beacon(identity(2)), Item::Question(1)], &[]);
    from_two(&[Item::Beacon(identity(2))], &[0; 60]);
    assert_eq!(run(&mut one, at(5000)).len(), 0);
    assert_eq!(one.stats.received_count(PacketKind::Datagram, Verdict::Garbage), 6);
    assert_eq!(one.stats.received_count(PacketKind::Datagram, Verdict::WrongKey), 1);
}
