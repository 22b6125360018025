//! Gate 11: a cluster that was cut in two for a minute is one again soon after.

use std::time::Duration;

use crate::{
    seeds::for_each_seed,
    sim::{Note, SEC, Sim},
};

/// Cuts the cluster in two for a minute, with a change on either side; how long until all see all.
pub(crate) fn cut_and_heal(sim: &mut Sim) -> Duration {
    let up = sim.up();
    sim.split = sim.nodes.len() / 2;
    let sizes = [up.iter().filter(|idx| **idx < sim.split).count(), up.iter().filter(|idx| **idx >= sim.split).count()];
    sim.run(55 * SEC);
    for idx in &up {
        let side = usize::from(*idx >= sim.split);
        assert_eq!(sim.engine(*idx).n_members() + 1, sizes[side], "node {idx} does not know its half");
    }
    sim.relabel(up[1], &["side:left".to_owned()]);
    sim.relabel(up[up.len() - 2], &["side:right".to_owned()]);
    sim.run(5 * SEC);
    sim.split = 0;
    sim.log.clear();
    let healed = sim.run_until_true(120 * SEC, Sim::all_see_all).unwrap_or(crate::sim::NEVER);
    let within = |note: &&crate::sim::Entry| {
        let same = |idx: usize| (idx < sim.nodes.len() / 2) == (note.1 < sim.nodes.len() / 2);
        matches!(note.2, Note::Gone(idx) if same(idx))
    };
    let (renewals, wrong) = (sim.renewals(), sim.log.iter().filter(within).count());
    println!("gate 11: N={} healed after {healed:?}, {renewals} renewals, {wrong} verdicts within a half", sim.nodes.len());
    assert_eq!(wrong, 0, "nodes were called failed by members that could hear them all the time");
    healed
}

#[test]
fn gate_11_halves() {
    for n in [50, 200] {
        for_each_seed(5, |seed| {
            let healed = cut_and_heal(&mut Sim::formed(n, seed, false));
            assert!(healed <= 20 * SEC, "{healed:?}");
        });
    }
}
