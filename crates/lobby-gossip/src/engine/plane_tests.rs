//! The catalog plane under unlucky or hostile peers: rates, slots, verdicts of others, many buckets.

use crate::item::Item;
use lobby_core::port::PeerEvent;
use std::net::SocketAddr;

use foca::{Member, State};
use lobby_core::{
    label::Label,
    local::LocalRecord,
    record::Stamp,
    stats::{PacketKind, Verdict},
};

use super::{
    tests::{at, engine, identity, meet, record, run},
    *,
};
use crate::{
    frame::{Frame, Gift},
    packet::Packet,
    roster::WIDE_BUCKETS,
};

fn addr(byte: u8) -> SocketAddr {
    identity(byte).addr
}

/// The last `n` versions of a node's record.
fn versions(byte: u8, n: u64) -> Vec<Arc<Record>> {
    let mut local = LocalRecord::new(identity(byte).id, Generation(5), format!("node-{byte}").parse().unwrap());
    let versions = (0..n).map(|version| {
        local.set_labels([format!("version:{version}").parse::<Label>().unwrap()]);
        local.commit(Moment::ZERO).unwrap()
    });
    versions.collect()
}

fn opened(outputs: &[Output]) -> Vec<(StreamId, SocketAddr)> {
    outputs.iter().filter_map(|output| if let Output::Open(stream, to) = output { Some((*stream, *to)) } else { None }).collect()
}

#[test]
fn a_change_above_the_rate_is_refused_and_comes_by_the_exchange() {
    let mut one = engine(1, false);
    meet(&mut one, 2, at(0));
    run(&mut one, at(5000));
    let versions = versions(2, 200);
    let push = |one: &mut Engine, record: &Arc<Record>, now| {
        let raw = Item::Full(record.clone()).encode();
        one.take_pushed(record.clone(), raw, now)
    };
    let verdicts: Vec<_> = versions.iter().map(|record| push(&mut one, record, at(5000))).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Ok).count(), 64);
    assert_eq!(verdicts.last(), Some(&Verdict::Refused));
    assert_eq!(one.record(identity(2).id), versions.get(63), "the first 64");
    // Somebody else is not affected, and an exchange brings what was refused.
    assert_eq!(push(&mut one, &record(3, &[]), at(5000)), Verdict::Ok);
    let gift = Gift { member: None, record: versions.last().cloned(), spoilt: false };
    let stream = one.accept().unwrap();
    let hello = Frame::Hello(identity(2), 0).encode();
    one.handle(Input::Frame(stream, &hello), at(5000));
    let entries = Frame::Entries(crate::roster::Mask(vec![0; 32].into()), Vec::new()).encode();
    one.handle(Input::Frame(stream, &entries), at(5000));
    one.handle(Input::Frame(stream, &Frame::Give(vec![gift]).encode()), at(5000));
    assert_eq!(one.record(identity(2).id), versions.last());
}

#[test]
fn a_source_that_says_nothing_holds_half_of_the_slots_and_those_for_five_seconds() {
    let mut one = engine(1, false);
    for byte in [2, 3] {
        meet(&mut one, byte, at(0));
    }
    run(&mut one, at(1000));
    let newer = Stamp { generation: Generation(9), ..Stamp::default() };
    for byte in 100..120 {
        assert_eq!(one.take_hint(identity(byte).id, newer, addr(2), at(1000)), Verdict::Ok);
    }
    let silent = opened(&run(&mut one, at(1200)));
    assert_eq!(silent.iter().filter(|(_, to)| *to == addr(2)).count(), 4);
    // Another source is asked at once.
    one.take_hint(identity(130).id, newer, addr(3), at(1200));
    assert_eq!(opened(&run(&mut one, at(1260))).iter().filter(|(_, to)| *to == addr(3)).count(), 1);
    let outputs = run(&mut one, at(6600));
    let closed =
        outputs.iter().filter(|output| matches!(output, Output::Close(stream) if silent.iter().any(|(open, _)| open == stream)));
    assert_eq!(closed.count(), 4, "their time is over");
    // What they were to bring is asked of the other member, and given up after three tries.
    assert!(opened(&outputs).iter().any(|(_, to)| *to == addr(3)));
    run(&mut one, at(300_000));
    assert_eq!(one.pulled_stamp(identity(100).id), Stamp::default(), "not wanted any more: the exchange will bring it");
}

#[test]
fn hints_above_the_bound_are_refused() {
    let mut one = engine(1, false);
    let newer = Stamp { generation: Generation(9), ..Stamp::default() };
    let id = |n: u16| NodeId::from_bytes(std::array::from_fn(|i| n.to_le_bytes()[i % 2]));
    let verdicts: Vec<_> = (0..2000).map(|n| one.take_hint(id(n), newer, addr(2), at(0))).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Ok).count(), 1024);
    assert_eq!(verdicts.last(), Some(&Verdict::Refused));
}

/// Rumours and records share every datagram: neither plane waits until the other's queue is empty.
#[test]
fn a_full_queue_of_rumours_leaves_room_for_records_and_a_full_one_of_records_for_rumours() {
    let mut one = engine(1, false);
    for byte in 2..200 {
        meet(&mut one, byte, at(0));
        let record = record(byte, &[format!("filler:{}", "x".repeat(150))]);
        one.take_pushed(record.clone(), Item::Full(record).encode(), at(0));
    }
    let outputs = run(&mut one, at(400));
    let (mut n_both, mut n_gossip) = (0, 0);
    for output in outputs {
        let Output::Datagram(_, bytes) = output else { continue };
        let plaintext = one.keyring.open(&bytes).unwrap();
        let mut packet = Packet::decode(&plaintext).unwrap();
        // A foca packet with rumours, not a mere announcement of ourselves.
        if packet.foca.len() > 300 {
            n_gossip += 1;
            n_both += usize::from(packet.next_item().unwrap().is_some());
        }
    }
    assert!(n_gossip > 0 && n_both == n_gossip, "{n_both} of {n_gossip}");
}

fn gifts(members: impl IntoIterator<Item = Member<Identity>>) -> Vec<Gift> {
    members.into_iter().map(|member| Gift { member: Some(member), record: None, spoilt: false }).collect()
}

fn states(engine: &Engine, byte: u8) -> Option<State> {
    engine.roster.member(identity(byte).id).map(Member::state)
}

fn has_gone(outputs: &[Output], byte: u8) -> bool {
    let origin = Origin::Node(identity(byte).id);
    outputs.iter().any(|output| matches!(output, Output::Event(PeerEvent::Gone(gone, _)) if *gone == origin))
}

#[test]
fn whom_another_part_holds_down_is_asked_first_and_goes_only_when_silent() {
    let mut one = engine(1, false);
    for byte in [2, 3] {
        meet(&mut one, byte, at(0));
    }
    run(&mut one, at(100));
    one.take_gifts(gifts([2, 3].map(|byte| Member::down(identity(byte)))), at(100));
    let told = run(&mut one, at(110));
    assert!(!has_gone(&told, 2) && !has_gone(&told, 3));
    assert!(told.iter().filter(|output| matches!(output, Output::Datagram(to, _) if *to == addr(2))).count() >= 2);
    // Number 2 hears that it is held down and comes back as its next self; number 3 says nothing.
    let renewed = Identity { renewal: 1, ..identity(2) };
    one.with_membership(at(300), |membership, effects| membership.apply([Member::alive(renewed)], true, at(300), effects));
    let outputs = run(&mut one, at(1200));
    assert!(!has_gone(&outputs, 2) && has_gone(&outputs, 3));
    assert_eq!(states(&one, 3), Some(State::Down));
    assert_eq!(states(&one, 2), Some(State::Alive));
}

#[test]
fn a_packet_of_a_member_that_we_hold_down_starts_one_exchange() {
    let mut one = engine(1, false);
    meet(&mut one, 2, at(0));
    run(&mut one, at(100));
    one.with_membership(at(100), |membership, effects| membership.apply_leave(identity(2), effects));
    run(&mut one, at(5000));
    one.note_sender(identity(2).id, Generation(4), at(5000));
    assert_eq!(opened(&run(&mut one, at(5000))), [], "its former process is over");
    for _ in 0..20 {
        one.note_sender(identity(2).id, Generation(5), at(5000));
    }
    assert_eq!(opened(&run(&mut one, at(5000))).len(), 1);
    let mut local = LocalRecord::new(identity(2).id, Generation(5), "node-2".parse().unwrap());
    local.leave();
    local.commit(at(0));
    one.take_record(local.record().clone(), at(9000));
    one.note_sender(identity(2).id, Generation(5), at(9000));
    assert_eq!(opened(&run(&mut one, at(9000))), [], "it has left and is on its way out");
}

#[test]
fn above_four_thousand_members_the_exchange_has_more_buckets() {
    let (mut many, mut new) = (engine(1, false), engine(2, false));
    let member = |n: u16| {
        let id = NodeId::from_bytes(std::array::from_fn(|i| blake3::hash(&n.to_le_bytes()).as_bytes()[i]));
        Member::alive(Identity { id, ..identity(9) })
    };
    many.with_membership(at(0), |membership, effects| membership.apply((0..4100).map(member), false, at(0), effects));
    new.with_membership(at(0), |membership, effects| membership.apply((0..4000).map(member), false, at(0), effects));
    run(&mut many, at(0));
    run(&mut new, at(0));
    new.start_exchange(addr(1), at(0));
    let ours = opened(&run(&mut new, at(0)))[0].0;
    let theirs = many.accept().unwrap();
    new.handle(Input::Opened(ours), at(0));
    let mut kinds = Vec::new();
    for _ in 0..4 {
        for output in run(&mut new, at(0)) {
            if let Output::Frame(_, bytes) = output {
                many.handle(Input::Frame(theirs, &bytes), at(0));
            }
        }
        for output in run(&mut many, at(0)) {
            if let Output::Frame(_, bytes) = output {
                kinds.push(bytes[0]);
                assert!(kinds.len() > 1 || bytes.len() > WIDE_BUCKETS * 8);
                new.handle(Input::Frame(ours, &bytes), at(0));
            }
        }
    }
    assert_eq!(kinds.first(), Some(&14));
    assert_eq!(new.n_members(), 4101);
    assert_eq!(many.n_members(), 4101);
    assert_eq!(new.stats.received_count(PacketKind::Stream, Verdict::Garbage), 0);
}
