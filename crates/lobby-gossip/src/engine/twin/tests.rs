//! Twins among engines in memory, and what only looks like one.

use std::net::SocketAddr;

use lobby_core::{
    id::{Generation, NodeId},
    time::Moment,
};

use super::super::{
    Engine, Input, Output,
    testnet::{MS, Net, Told, addr, signer},
};
use crate::{
    item::Item,
    packet::{Packet, PacketWriter},
};

/// Who was told to draw a new id, by host.
fn cloned(net: &Net) -> Vec<usize> {
    net.log.iter().filter(|(.., told)| *told == Told::Cloned).map(|(_, idx, ..)| *idx).collect()
}

/// The process behind this id at each of the others.
fn held(net: &Net, id: NodeId) -> Vec<Option<(Generation, SocketAddr)>> {
    let others = (0..net.hosts.len()).filter(|idx| net.hosts[*idx].engine.is_some() && net.id(*idx) != id);
    others
        .map(|idx| net.engine(idx).members().find(|member| member.id == id))
        .map(|member| member.map(|m| (m.generation, m.addr)))
        .collect()
}

#[test]
fn the_younger_twin_gives_way_and_the_older_one_is_back_at_all() {
    for seed in 0..16 {
        let mut net = Net::formed(10, seed);
        let (id, start) = (net.id(4), net.now);
        let young = net.add(id, 777, addr(50));
        net.run(3000 * MS);
        assert_eq!(cloned(&net), [young], "seed {seed}");
        let told = net.log.iter().find(|(.., told)| *told == Told::Cloned).map(|(at, ..)| at.since(start));
        assert!(told.is_some_and(|time| time < 2000 * MS), "{told:?}");
        // It starts again under another id, as the agent does.
        net.hosts[young].engine = None;
        net.run(25_000 * MS);
        assert_eq!(held(&net, id), vec![Some((Generation(100), addr(4))); 9], "seed {seed}");
        let record = |idx: usize| net.engine(idx).record(id).map(|record| record.stamp.generation);
        assert!((0..10).all(|idx| record(idx) == Some(Generation(100))), "seed {seed}");
        assert_eq!(net.engine(4).n_members(), 9);
    }
}

#[test]
fn of_twins_of_one_generation_the_larger_address_gives_way() {
    for (seed, twin) in (0..12).map(|seed| (seed, 50 + seed as usize % 2)) {
        let mut net = Net::formed(10, seed);
        let id = net.id(4);
        let young = net.add(id, 100, addr(twin));
        net.run(6000 * MS);
        assert_eq!(cloned(&net), [young], "seed {seed}");
        net.hosts[young].engine = None;
        net.run(30_000 * MS);
        assert_eq!(held(&net, id), vec![Some((Generation(100), addr(4))); 9], "seed {seed}");
    }
}

#[test]
fn a_restart_at_another_address_is_no_twin() {
    let mut net = Net::formed(10, 3);
    let id = net.id(4);
    net.kill(4);
    net.hosts[4].addr = addr(60);
    net.restart(4, 500);
    net.run(20_000 * MS);
    assert!(cloned(&net).is_empty());
    assert_eq!(held(&net, id), vec![Some((Generation(500), addr(60))); 9]);
}

/// A sealed datagram of some process with this engine's id.
fn datagram(engine: &mut Engine, generation: u64, items: &[Item]) -> Vec<u8> {
    let mut packet = PacketWriter::new(engine.own, Generation(generation), 9, &[], 1000);
    items.iter().for_each(|item| packet.push(&item.encode()));
    engine.keyring.seal(packet.as_bytes(), || [0; 24])
}

/// What a process of this engine's id and key answers.
fn proven(engine: &Engine, generation: u64, number: u64) -> Item {
    Item::Proven(number, engine.signer.answer(number, Generation(generation)))
}

/// Datagrams to this address, and the numbers of the questions in them.
fn questions(engine: &mut Engine, to: SocketAddr) -> Vec<(Vec<u8>, u64)> {
    let mut found = Vec::new();
    while let Some(output) = engine.poll_output() {
        assert!(!matches!(output, Output::Event(lobby_core::port::PeerEvent::Cloned)), "told of a twin");
        let Output::Datagram(addr, bytes) = output else { continue };
        let plain = engine.keyring.open(&bytes).unwrap();
        let mut packet = Packet::decode(&plain).unwrap();
        while let Ok(Some((kind, body))) = packet.next_item() {
            if let Ok(Item::Question(number)) = Item::decode(kind, body)
                && addr == to
            {
                found.push((bytes.clone(), number));
            }
        }
    }
    found
}

fn one() -> (Engine, Moment) {
    let mut net = Net::formed(2, 1);
    let mut engine = net.hosts[0].engine.take().unwrap();
    while engine.poll_output().is_some() {}
    (engine, net.now)
}

#[test]
fn old_packets_of_a_former_process_prove_nothing_whatever_they_say() {
    let (mut engine, now) = one();
    let stranger = addr(77);
    let said = proven(&engine, 50, 1);
    let old = datagram(&mut engine, 50, &[said, Item::Answer(2), Item::Question(3)]);
    engine.handle(Input::Datagram(stranger, &old), now);
    let asked = questions(&mut engine, stranger);
    assert_eq!(asked.len(), 1, "it is challenged once");
    // An answer of the former process to any other question, again and again.
    for number in 0..100 {
        let said = proven(&engine, 50, number);
        let old = datagram(&mut engine, 50, &[said]);
        engine.handle(Input::Datagram(stranger, &old), now);
    }
    assert_eq!(questions(&mut engine, stranger), [], "while it is being asked, and for a while after that, it is not asked anew");
}

#[test]
fn our_own_question_that_comes_back_shows_that_it_is_ourselves() {
    let (mut engine, now) = one();
    let hairpin = addr(78);
    let ours = datagram(&mut engine, 100, &[]);
    engine.handle(Input::Datagram(hairpin, &ours), now);
    let (question, number) = questions(&mut engine, hairpin).remove(0);
    engine.handle(Input::Datagram(hairpin, &question), now);
    // Whoever answers with this number now is too late.
    let said = proven(&engine, 50, number);
    let answer = datagram(&mut engine, 50, &[said]);
    engine.handle(Input::Datagram(hairpin, &answer), now);
    assert_eq!(questions(&mut engine, hairpin), []);
    assert!(!engine.leaving);
}

#[test]
fn the_right_answer_of_an_older_process_proves_a_twin() {
    let (mut engine, now) = one();
    let stranger = addr(79);
    let other = datagram(&mut engine, 50, &[]);
    engine.handle(Input::Datagram(stranger, &other), now);
    let number = questions(&mut engine, stranger)[0].1;
    let said = proven(&engine, 50, number);
    let answer = datagram(&mut engine, 50, &[said]);
    engine.handle(Input::Datagram(stranger, &answer), now);
    assert!(engine.leaving, "the younger one is mute from then on");
}

/// Somebody has the cluster's key and says our id, but has not our secret.
#[test]
fn an_answer_without_our_key_is_no_twin_and_the_right_one_still_is() {
    let (mut engine, now) = one();
    let stranger = addr(79);
    let other = datagram(&mut engine, 0, &[]);
    engine.handle(Input::Datagram(stranger, &other), now);
    let number = questions(&mut engine, stranger)[0].1;
    let theirs = signer(NodeId::from_bytes([7; 16]));
    let lies = [
        Item::Answer(number),
        Item::Proven(number, [0; 64]),
        Item::Proven(number, theirs.answer(number, Generation(0))),
        // Signed by ourselves, for another number and another generation: what we answer to whoever asks.
        proven(&engine, 0, number ^ 1),
        proven(&engine, 100, number),
    ];
    for lie in lies {
        let lie = datagram(&mut engine, 0, &[lie]);
        engine.handle(Input::Datagram(stranger, &lie), now);
        assert_eq!(questions(&mut engine, stranger), []);
        assert!(!engine.leaving, "one datagram drove it out");
    }
    let right = proven(&engine, 0, number);
    let right = datagram(&mut engine, 0, &[right]);
    engine.handle(Input::Datagram(stranger, &right), now);
    assert!(engine.leaving, "the question was still open");
}

/// Who asks us as ourselves is answered, but never for a number of our own.
#[test]
fn we_do_not_sign_our_own_questions() {
    let (mut engine, now) = one();
    let (stranger, helper) = (addr(80), addr(81));
    let other = datagram(&mut engine, 50, &[]);
    engine.handle(Input::Datagram(stranger, &other), now);
    let number = questions(&mut engine, stranger)[0].1;
    let relayed = datagram(&mut engine, 50, &[Item::Question(number)]);
    engine.handle(Input::Datagram(helper, &relayed), now);
    let mut n_proofs = 0;
    let mut count = |engine: &mut Engine| {
        while let Some(output) = engine.poll_output() {
            let Output::Datagram(_, bytes) = output else { continue };
            let plain = engine.keyring.open(&bytes).unwrap();
            let mut packet = Packet::decode(&plain).unwrap();
            while let Ok(Some((kind, body))) = packet.next_item() {
                n_proofs += usize::from(matches!(Item::decode(kind, body), Ok(Item::Proven(..))));
            }
        }
        n_proofs
    };
    assert_eq!(count(&mut engine), 0);
    let asked = datagram(&mut engine, 50, &[Item::Question(number ^ 1)]);
    engine.handle(Input::Datagram(helper, &asked), now);
    assert_eq!(count(&mut engine), 1);
}

#[test]
fn who_gives_way_and_knows_nobody_leaves_the_word_to_its_twin() {
    let mut net = Net::formed(2, 1);
    let young = net.add(net.id(0), 777, addr(50));
    let mut young = net.hosts[young].engine.take().unwrap();
    let mut older = net.hosts[0].engine.take().unwrap();
    assert_eq!(young.n_members(), 0);
    let other = datagram(&mut young, 100, &[]);
    young.handle(Input::Datagram(addr(0), &other), net.now);
    let number = questions(&mut young, addr(0))[0].1;
    let said = proven(&older, 100, number);
    let answer = datagram(&mut young, 100, &[said]);
    young.handle(Input::Datagram(addr(0), &answer), net.now);
    assert!(young.leaving && older.deaths.notices.is_empty());
    while let Some(output) = young.poll_output() {
        if let Output::Datagram(to, bytes) = output {
            assert_eq!(to, addr(0));
            older.handle(Input::Datagram(addr(50), &bytes), net.now);
        }
    }
    assert!(!older.deaths.notices.is_empty(), "whoever has heard of the younger one is told to forget it");
    assert!(!older.leaving);
}

#[test]
fn challenges_are_bounded() {
    let (mut engine, now) = one();
    for n in 0..100 {
        let other = datagram(&mut engine, 50, &[]);
        engine.handle(Input::Datagram(addr(100 + n), &other), now);
    }
    assert_eq!(engine.deaths.challenges.open.len(), super::MOST_OPEN);
}
