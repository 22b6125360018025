//! One engine by itself: what it does with inputs that a whole cluster hardly ever brings about.

use lobby_core::port::Announcement;
use lobby_core::port::PeerEvent;
use std::net::SocketAddr;

use bytes::Bytes;
use foca::Member;
use lobby_core::{
    label::Label,
    local::LocalRecord,
    record::Stamp,
    stats::{PacketKind, Verdict},
};

use super::*;
use crate::{config::Profile, packet::PacketWriter};

pub(super) fn at(ms: u64) -> Moment {
    Moment::from_micros(ms * 1000)
}

pub(super) fn identity(byte: u8) -> Identity {
    let addr = SocketAddr::from(([10, 0, 0, byte], 1314));
    Identity { id: NodeId::from_bytes([byte; 16]), generation: Generation(5), renewal: 0, addr }
}

pub(super) fn record(byte: u8, labels: &[String]) -> Arc<Record> {
    let mut local = LocalRecord::new(identity(byte).id, Generation(5), format!("node-{byte}").parse().unwrap());
    local.set_labels(labels.iter().map(|label| label.parse::<Label>().unwrap()));
    local.commit(Moment::ZERO);
    local.record().clone()
}

pub(super) fn engine(byte: u8, seeded: bool) -> Engine {
    let setup = Setup {
        config: Profile::Lan.config(),
        keyring: Arc::new(Keyring::new("test", &[]).unwrap()),
        advertise: identity(byte).addr,
        announcement: Announcement::new(record(byte, &[]), true),
        peers: Vec::new(),
        seeded,
        nonces: Box::new(|| [0; 24]),
        seed: u64::from(byte),
        check: lobby_core::proof::unchecked(),
        signer: super::testnet::signer(identity(byte).id),
        stats: Arc::default(),
    };
    Engine::new(setup, at(0))
}

pub(super) fn meet(engine: &mut Engine, byte: u8, now: Moment) {
    engine.with_membership(now, |membership, effects| membership.apply([Member::alive(identity(byte))], true, now, effects));
}

/// Runs the timers until `end`; returns what came out.
pub(super) fn run(engine: &mut Engine, end: Moment) -> Vec<Output> {
    let mut outputs = Vec::new();
    while let Some(now) = engine.next_deadline().filter(|due| *due <= end) {
        engine.handle_deadline(now);
        outputs.extend(std::iter::from_fn(|| engine.poll_output()));
    }
    outputs.extend(std::iter::from_fn(|| engine.poll_output()));
    outputs
}

pub(super) fn n_datagrams(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Datagram(..))).count()
}

#[test]
fn a_pushed_item_that_is_too_large_to_push_goes_on_as_a_hint() {
    let mut engine = engine(1, false);
    meet(&mut engine, 2, at(0));
    let record = record(3, &[]);
    let raw = Bytes::from(vec![0; 1390]);
    assert_eq!(engine.take_pushed(record, raw, at(100)), Verdict::Ok);
    // Before the silent member is given up. An item that never fits would be tried every 20 ms: 150 datagrams.
    let outputs = run(&mut engine, at(3_000));
    assert!(n_datagrams(&outputs) < 60, "{} datagrams in three seconds", n_datagrams(&outputs));
    assert!(engine.push.queue.is_empty());
}

#[test]
fn nothing_is_sent_while_nothing_fits() {
    let mut engine = engine(1, false);
    meet(&mut engine, 2, at(0));
    run(&mut engine, at(10_000));
    engine.push.queue.push(identity(3).id, Stamp::default(), Bytes::from(vec![0; 2000]));
    engine.gossip(at(10_000));
    assert_eq!(n_datagrams(&run(&mut engine, at(10_000))), 0);
}

pub(super) fn is_warm(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Event(PeerEvent::Warm)))
}

#[test]
fn a_node_is_warm_alone_only_when_every_seed_resolved_to_itself() {
    let mut engine = engine(1, true);
    engine.handle(Input::Seeds { addrs: vec![identity(1).addr], all_resolved: false }, at(100));
    assert!(!is_warm(&run(&mut engine, at(200))));
    engine.handle(Input::Seeds { addrs: vec![identity(1).addr], all_resolved: true }, at(300));
    assert!(is_warm(&run(&mut engine, at(400))));
}

#[test]
fn an_incomplete_exchange_with_a_seed_is_repeated_after_a_second_and_not_at_once() {
    let mut engine = engine(1, true);
    let seeds = || Input::Seeds { addrs: vec![identity(2).addr], all_resolved: true };
    let n_opened = |outputs: &[Output]| outputs.iter().filter(|output| matches!(output, Output::Open(..))).count();
    engine.handle(seeds(), at(0));
    let outputs = run(&mut engine, at(100));
    let opened = outputs.iter().find_map(|output| if let Output::Open(stream, _) = output { Some(*stream) } else { None });
    let stream = opened.expect("the seed is contacted");
    meet(&mut engine, 2, at(100));
    engine.seed_answered(identity(2).addr, identity(2), false, at(100));
    engine.handle(Input::Closed(stream), at(100));
    let outputs = run(&mut engine, at(700));
    assert!(n_opened(&outputs) == 0 && !is_warm(&outputs));
    let outputs = run(&mut engine, at(1400));
    assert_eq!(outputs.iter().filter(|output| matches!(output, Output::Resolve)).count(), 1);
    engine.handle(seeds(), at(1400));
    assert_eq!(n_opened(&run(&mut engine, at(1400))), 1);
}

#[test]
fn gossip_rests_while_nobody_is_there_and_starts_when_somebody_comes() {
    let mut engine = engine(1, false);
    run(&mut engine, at(1000));
    assert!(!engine.push.queue.is_empty());
    assert!(engine.next_deadline() > Some(at(1200)), "a timer runs for nobody");
    meet(&mut engine, 2, at(1000));
    assert!(n_datagrams(&run(&mut engine, at(1300))) > 0);
}

#[test]
fn a_sender_that_never_becomes_known_is_forgotten() {
    let mut engine = engine(1, false);
    let stranger = identity(2);
    let packet = PacketWriter::new(stranger.id, stranger.generation, 1, &[], 1000);
    let datagram = engine.keyring.seal(packet.as_bytes(), || [0; 24]);
    let n_replayed = |engine: &Engine| engine.stats.received_count(PacketKind::Datagram, Verdict::Replayed);
    for _ in 0..2 {
        engine.handle(Input::Datagram(stranger.addr, &datagram), at(0));
    }
    assert_eq!(n_replayed(&engine), 1);
    run(&mut engine, at(61_000));
    engine.handle(Input::Datagram(stranger.addr, &datagram), at(61_000));
    assert_eq!(n_replayed(&engine), 1, "its window is still here");
}
