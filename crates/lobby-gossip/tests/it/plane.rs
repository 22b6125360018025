//! The catalog plane at its limits: the largest records, and deletions that are older than what is remembered of them.
//!
//! Not here: how fast changes are (`gates/spread`).

use std::time::Duration;

use lobby_core::{port::Announcement, record::Stamp, time::Moment};
use lobby_gossip::Input;

use crate::sim::{MS, Note, SEC, Sim};

/// When the running observers first had this version, sorted.
fn heard(sim: &Sim, start: Moment, origin: usize, stamp: Stamp) -> Vec<Duration> {
    let notes = sim.log.iter().filter(|note| note.0 >= start && note.2 == Note::Record(origin, stamp, false));
    let mut times: Vec<_> = notes.map(|note| note.0.since(start)).collect();
    times.sort();
    times
}

/// Labels of about a hundred bytes of digits of a generator: nothing that lz4 could shrink into a datagram.
fn large_labels(count: u64, salt: u64) -> Vec<String> {
    let digits =
        |n: u64| (0..5).map(|i| format!("{:020}", (n * 5 + i + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect::<String>();
    (0..count).map(|n| format!("large:{n}:{}", digits(n))).collect()
}

#[test]
fn a_record_of_a_megabyte_reaches_everybody_and_a_newcomer() {
    let mut sim = Sim::formed(20, 1, true);
    let start = sim.now;
    sim.nodes[4].local.set_labels(large_labels(4000, 1).iter().map(|label| label.parse().unwrap()));
    for n in 0..480_u64 {
        let value: String = large_labels(9, n * 100).concat();
        sim.nodes[4].local.set_meta(&format!("large-{n}"), &value);
    }
    let record = sim.nodes[4].local.commit(start).unwrap();
    let mut encoded = Vec::new();
    lobby_core::wire::binary::encode_record(&record, &mut encoded);
    assert!(encoded.len() > 900_000 && encoded.len() <= lobby_core::limits::RECORD_BYTES, "{} bytes", encoded.len());
    sim.input(4, Input::Announce(Announcement::new(record.clone(), true)));
    sim.run(5 * SEC);
    assert_eq!(heard(&sim, start, 4, record.stamp).len(), 19);
    sim.kill(9);
    sim.restart(9, SEC);
    assert!(sim.run_until_true(10 * SEC, |sim| sim.up().len() == 20 && sim.all_see_all()).is_some(), "the newcomer lacks it");
    // The next change is small again: it goes as a delta, at once.
    let start = sim.now;
    sim.nodes[4].local.set_meta("large-0", "small");
    let record = sim.nodes[4].local.commit(start).unwrap();
    sim.input(4, Input::Announce(Announcement::new(record.clone(), true)));
    sim.run(200 * MS);
    assert_eq!(heard(&sim, start, 4, record.stamp).len(), 19);
}

#[test]
fn deletions_that_are_forgotten_meanwhile_reach_who_was_away() {
    let mut sim = Sim::formed(12, 1, false);
    sim.relabel(3, &(0..400).map(|n| format!("old:{n}")).collect::<Vec<_>>());
    sim.run(3 * SEC);
    sim.split = 2;
    sim.run(20 * SEC);
    // More deletions than tombstones are kept, over many versions.
    for n in (10..400).step_by(10) {
        sim.relabel(3, &(n..400).map(|n| format!("old:{n}")).collect::<Vec<_>>());
        sim.run(200 * MS);
    }
    sim.relabel(3, &["new:1".to_owned()]);
    sim.split = 0;
    assert!(sim.run_until_true(60 * SEC, Sim::all_see_all).is_some(), "not healed");
    for idx in sim.up() {
        let labels: Vec<_> =
            sim.nodes[idx].engine.as_ref().unwrap().record(sim.id(3)).unwrap().labels().map(ToString::to_string).collect();
        assert_eq!(labels, ["new:1"], "at {idx}");
    }
}
