//! Bytes from the network are hostile: whatever arrives, an engine neither panics nor believes what is not sealed.
//!
//! The laws of the single decoders stand beside them (`src/laws.rs`).

use lobby_core::stats::{PacketKind, Verdict};
use lobby_gossip::{Engine, Input, Keyring};
use proptest::prelude::*;

use crate::sim::{SEC, Sim, Tap, addr};

/// A small cluster and what its members said to each other.
fn tapped(key: bool) -> (Sim, Tap) {
    let mut sim = Sim::formed(6, 1, key);
    sim.tap = Some(Tap::default());
    sim.relabel(1, &["a:b".to_owned()]);
    sim.relabel(2, &(0..40).map(|n| format!("large:{n}:{}", "x".repeat(40))).collect::<Vec<_>>());
    sim.kill(5);
    sim.restart(5, SEC);
    sim.run(10 * SEC);
    let tap = sim.tap.take().unwrap();
    (sim, tap)
}

/// Flips, cuts or lengthens.
fn mutate(bytes: &mut Vec<u8>, at: usize, how: u8) {
    let at = at % bytes.len().max(1);
    match how % 4 {
        0 => bytes.truncate(at),
        1 => bytes.push(how),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= how;
            }
        }
    }
}

#[test]
fn a_sealed_cluster_ignores_ten_thousand_forged_datagrams() {
    let (mut sim, tap) = tapped(true);
    sim.log.clear();
    let received = |sim: &Sim, verdict| sim.nodes[0].stats.received_count(PacketKind::Datagram, verdict);
    // One whose mark of the key became that of none has no key.
    let verdicts = [Verdict::Garbage, Verdict::Foreign, Verdict::WrongKey, Verdict::NoKey, Verdict::Replayed, Verdict::Own];
    let before: u64 = verdicts.iter().map(|verdict| received(&sim, *verdict)).sum();
    for n in 0..10_000_usize {
        let mut datagram = tap.datagrams[n % tap.datagrams.len()].clone();
        mutate(&mut datagram, n * 31, (n % 251) as u8 | 2);
        sim.input(0, Input::Datagram(addr(1), &datagram));
    }
    // A datagram with one byte more or less does not open, and neither does any other change.
    let after: u64 = verdicts.iter().map(|verdict| received(&sim, *verdict)).sum();
    assert_eq!(after - before, 10_000);
    assert_eq!(sim.log, []);
    assert!(
        received(&sim, Verdict::WrongKey) > 0 && received(&sim, Verdict::Foreign) > 0 && received(&sim, Verdict::Garbage) > 0
    );
    // The real ones again: every one is a replay by now, or for somebody else's window.
    sim.run(SEC);
    assert!(sim.all_see_all());
}

#[test]
fn a_datagram_counts_once() {
    let (mut sim, tap) = tapped(true);
    let replayed = |sim: &Sim| sim.nodes[0].stats.received_count(PacketKind::Datagram, Verdict::Replayed);
    let before = replayed(&sim);
    for datagram in &tap.datagrams {
        sim.input(0, Input::Datagram(addr(1), datagram));
        sim.input(0, Input::Datagram(addr(1), datagram));
    }
    assert!(replayed(&sim) - before >= tap.datagrams.len() as u64 / 2);
}

#[test]
fn an_open_cluster_survives_mutated_datagrams_and_frames() {
    let (mut sim, tap) = tapped(false);
    for n in 0..20_000_usize {
        let mut datagram = tap.datagrams[n % tap.datagrams.len()].clone();
        for step in 0..1 + n % 3 {
            // The preamble stays: what is behind it is to be reached.
            let body = datagram.split_off(10.min(datagram.len()));
            let mut body = body;
            mutate(&mut body, n * 7 + step * 13, (n / 7 % 256) as u8);
            datagram.extend(body);
        }
        sim.input(0, Input::Datagram(addr(1), &datagram));
        let mut frame = tap.frames[n % tap.frames.len()].clone();
        if n % 3 > 0 {
            mutate(&mut frame, n * 11, (n / 5 % 256) as u8);
        }
        if let Some(stream) = sim.nodes[0].engine.as_mut().and_then(Engine::accept) {
            for bytes in [&frame, &tap.frames[n * 17 % tap.frames.len()]] {
                sim.input(0, Input::Frame(stream, bytes));
            }
            sim.input(0, Input::Closed(stream));
        }
    }
    sim.run(SEC);
}

proptest! {
    #[test]
    fn random_bytes_are_counted_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        thread_local! {
            static SIM: std::cell::RefCell<Sim> = std::cell::RefCell::new(Sim::formed(2, 1, false));
        }
        SIM.with_borrow_mut(|sim| {
            let datagrams = |sim: &Sim| {
                let counts = sim.nodes[0].stats.received_counts();
                counts.filter(|(kind, ..)| *kind == PacketKind::Datagram).map(|(.., count)| count).sum::<u64>()
            };
            let mut after_preamble = Keyring::new("sim", &[]).unwrap().preamble().to_vec();
            after_preamble.extend(&bytes);
            let before = datagrams(sim);
            let foreign = sim.nodes[0].stats.received_count(PacketKind::Datagram, Verdict::Foreign);
            sim.input(0, Input::Datagram(addr(1), &after_preamble));
            assert_eq!(sim.nodes[0].stats.received_count(PacketKind::Datagram, Verdict::Foreign), foreign, "not our preamble");
            sim.input(0, Input::Datagram(addr(1), &bytes));
            assert_eq!(datagrams(sim), before + 2);
            if let Some(stream) = sim.nodes[0].engine.as_mut().and_then(Engine::accept) {
                sim.input(0, Input::Frame(stream, &bytes));
                sim.input(0, Input::Closed(stream));
            }
            assert_eq!(sim.log, []);
            assert!(sim.all_see_all());
        });
    }
}
