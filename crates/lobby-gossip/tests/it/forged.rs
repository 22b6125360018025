//! A member that has the cluster's key and lies about others' records: nobody takes them, and who is told of them says who.
//!
//! It lies with an honest engine: what its node task tells of nodes without an agent is not checked.

use std::sync::Arc;

use imbl::OrdMap;
use lobby_core::{
    id::{Generation, NodeId, Origin, Version},
    port::Announcement,
    record::{Entry, Key, Phase, Record, Stamp},
    stats::{PacketKind, Verdict},
};
use lobby_gossip::Input;

use crate::sim::{Note, SEC, Sim};

const LIAR: usize = 3;
const VICTIM: usize = 7;

/// The record of the victim with these labels and this phase, far newer than any, and still with its proof.
pub(crate) fn forged(real: &Record, phase: Phase, n_labels: u64, newer: u64) -> Record {
    let Stamp { generation, version } = real.stamp;
    let stamp = Stamp { generation, version: Version(version.0 + newer) };
    let entry = || Entry { version: stamp.version, value: Some([].into()) };
    let label = |n: u64| format!("forged:{n}:{:020}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let entries = (0..n_labels).map(|n| (Key::Label(label(n).parse().unwrap()), entry()));
    let forged = Record::from_parts(real.origin.clone(), real.name.clone(), stamp, stamp.version, phase, entries);
    forged.unwrap().with_proof(real.proof().cloned())
}

impl Sim {
    /// The liar says this in the name of whoever the record is of.
    pub(crate) fn lie(&mut self, liar: usize, record: Record) {
        let Origin::Node(id) = record.origin else { unreachable!("it has an id") };
        let externals: OrdMap<NodeId, Arc<Record>> = [(id, Arc::new(record))].into_iter().collect();
        let own = Announcement::new(self.nodes[liar].local.record().clone(), true);
        self.input(liar, Input::Announce(Announcement { externals, ..own }));
    }

    fn all_but_the_liar(&self) -> impl Iterator<Item = usize> {
        self.up().into_iter().filter(|idx| *idx != LIAR)
    }

    fn refused(&self) -> u64 {
        let count = |idx: usize| {
            let verdicts = [Verdict::Forged, Verdict::Unsigned].into_iter();
            verdicts.map(|verdict| self.nodes[idx].stats.received_count(PacketKind::Record, verdict)).sum::<u64>()
        };
        self.all_but_the_liar().map(count).sum()
    }
}

#[test]
fn a_liar_changes_nobody_s_record_and_is_named() {
    let mut sim = Sim::formed(20, 1, true);
    let real = sim.nodes[VICTIM].local.record().clone();
    let own = sim.nodes[LIAR].signer.clone();
    let lies = [
        forged(&real, Phase::Running, 1, 100),
        // Too large for a datagram: a hint, and a stream.
        forged(&real, Phase::Running, 200, 200),
        forged(&real, Phase::Left, 0, 300),
        forged(&real, Phase::Restarting, 1, 400),
        forged(&real, Phase::Running, 1, 500).with_proof(None),
        own.sign(forged(&real, Phase::Left, 0, 600)),
    ];
    for lie in lies {
        let before = sim.refused();
        sim.lie(LIAR, lie);
        sim.run(3 * SEC);
        assert!(sim.refused() > before, "nobody heard it");
    }
    let id = sim.id(VICTIM);
    for idx in sim.all_but_the_liar() {
        assert_eq!(sim.engine(idx).record(id), Some(&real), "at {idx}");
        assert!(sim.holds_up(idx, VICTIM) || idx == VICTIM, "at {idx}");
        // Who is honest hands nothing forged on.
        let culprits = sim.nodes[idx].stats.forged.counts();
        assert!(culprits.iter().all(|(culprit, count)| *culprit == sim.id(LIAR) && *count > 0), "{culprits:?}");
    }
    assert!(sim.all_but_the_liar().any(|idx| !sim.nodes[idx].stats.forged.counts().is_empty()), "nobody knows who it was");
    let gone = |note: &Note| matches!(note, Note::Gone(VICTIM) | Note::Unattended(VICTIM) | Note::Record(VICTIM, ..));
    assert!(!sim.log.iter().any(|(_, idx, note)| *idx != LIAR && gone(note)), "{:?}", sim.log);

    // And what the victim itself says still reaches them.
    let stamp = sim.relabel(VICTIM, &["real:2".to_owned()]);
    sim.run(2 * SEC);
    for idx in sim.all_but_the_liar() {
        assert_eq!(sim.engine(idx).record(id).map(|record| record.stamp), Some(stamp), "at {idx}");
    }
}

/// What the owner did write, later: an older process of it.
#[test]
fn an_older_process_s_words_do_not_come_back() {
    let mut sim = Sim::formed(12, 1, true);
    let old = sim.nodes[VICTIM].local.record().clone();
    sim.kill(VICTIM);
    sim.restart(VICTIM, SEC);
    assert!(sim.run_until_true(20 * SEC, |sim| sim.up().len() == 12 && sim.all_see_all()).is_some());
    let new = sim.nodes[VICTIM].local.record().clone();
    assert!(new.stamp.generation > Generation(old.stamp.generation.0));
    sim.lie(LIAR, (*old).clone());
    sim.run(5 * SEC);
    let id = sim.id(VICTIM);
    for idx in sim.up() {
        assert_eq!(sim.engine(idx).record(id), Some(&new), "at {idx}");
    }
}
