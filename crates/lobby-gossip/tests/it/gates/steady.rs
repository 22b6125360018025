//! Gates 2 to 6: idle traffic, and that nobody is called dead for loss, pauses and the deafness of others.

use crate::{
    seeds::for_each_seed,
    sim::{SEC, Sim, victims},
};

/// Packets and bytes per second and node of a cluster at rest.
pub(crate) fn idle(sim: &mut Sim, seconds: u32) -> (f64, f64) {
    let before = sim.traffic();
    sim.run(SEC * seconds);
    let after = sim.traffic();
    let per = |total: u64| total as f64 / f64::from(seconds) / sim.nodes.len() as f64;
    (per(after.0 - before.0), per(after.1 - before.1))
}

/// At most 5 packets and 650 bytes per second and node, with sealed datagrams, whatever N is.
fn gate_2(n: usize, seeds: u64) {
    for_each_seed(seeds, |seed| {
        let mut sim = Sim::formed(n, seed, true);
        let (packets, bytes) = idle(&mut sim, 60);
        println!("gate 2: N={n} seed={seed}: {packets:.2} packets/s, {bytes:.0} B/s");
        assert!(packets <= 5.0 && bytes <= 650.0, "{packets} packets/s, {bytes} B/s");
        assert_eq!(sim.log, []);
    });
}

#[test]
fn gate_2_idle_traffic() {
    gate_2(50, 5);
    gate_2(200, 5);
}

/// What happened while nodes were paused, or not, under loss.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Harm {
    /// Healthy nodes that somebody called dead.
    pub(crate) victims: usize,
    /// How often a node came back as a new member.
    pub(crate) rejoins: u64,
}

/// Every 10 s this part of the nodes stops for 2 s.
pub(crate) fn harm(sim: &mut Sim, loss: f64, seconds: u32, paused: f64) -> Harm {
    sim.loss = loss;
    let renewals = sim.renewals();
    for _ in 0..seconds / 10 {
        for _ in 0..(sim.nodes.len() as f64 * paused).round() as usize {
            let idx = sim.random_up();
            sim.pause(idx, 2 * SEC);
        }
        sim.run(10 * SEC);
    }
    sim.loss = 0.0;
    let victims = victims(sim);
    if !victims.is_empty() {
        println!("called dead: {victims:?}");
    }
    Harm { victims: victims.len(), rejoins: sim.renewals() - renewals }
}

/// 5 % loss, every 10 s 5 % of the nodes stopped for 2 s: nobody is wrongly declared down, nobody rejoins.
fn gate_3(n: usize, seeds: u64) {
    for_each_seed(seeds, |seed| {
        let mut sim = Sim::formed(n, seed, false);
        let harm = harm(&mut sim, 0.05, 120, 0.05);
        println!("gate 3: N={n} seed={seed}: {harm:?}");
        assert_eq!(harm, Harm { victims: 0, rejoins: 0 });
    });
}

#[test]
fn gate_3_no_false_downs_50() {
    gate_3(50, 5);
}

#[test]
fn gate_3_no_false_downs_200() {
    gate_3(200, 5);
}

/// 20 % loss: nobody is called dead, and at most two when nodes stop as well.
fn gate_4(n: usize, seeds: u64) {
    for (paused, most) in [(0.0, 0), (0.05, 2)] {
        for_each_seed(seeds, |seed| {
            let mut sim = Sim::formed(n, seed, false);
            let harm = harm(&mut sim, 0.2, 120, paused);
            println!("gate 4: N={n} seed={seed} paused={paused}: {harm:?}");
            assert!(harm.victims <= most, "{harm:?}");
        });
    }
}

#[test]
fn gate_4_heavy_loss_50() {
    gate_4(50, 5);
}

#[test]
fn gate_4_heavy_loss_200() {
    gate_4(200, 5);
}

/// 2 % of the nodes hear nothing for 15 s: all others call them dead, and nobody else.
pub(crate) fn deaf(sim: &mut Sim) {
    let n_deaf = sim.nodes.len().div_ceil(50);
    sim.log.clear();
    while sim.faults.deaf.len() < n_deaf {
        let idx = sim.random_up();
        sim.faults.deaf.insert(idx);
    }
    let deaf = sim.faults.deaf.clone();
    sim.run(15 * SEC);
    let healthy: Vec<_> = sim.up().into_iter().filter(|idx| !deaf.contains(idx)).collect();
    let believers = healthy.iter().filter(|idx| deaf.iter().any(|deaf| sim.holds_up(**idx, *deaf))).count();
    assert_eq!(believers, 0, "some still hold a deaf node up");
    sim.heal();
    let back = sim.run_until_true(60 * SEC, Sim::all_see_all);
    println!("gate 6: N={}: {n_deaf} deaf nodes, all see all {back:?} after they hear again", sim.nodes.len());
    let about_healthy = |note: &&crate::sim::Entry| {
        let wronged = match note.2 {
            crate::sim::Note::Gone(idx) | crate::sim::Note::Unattended(idx) => !deaf.contains(&idx),
            _ => false,
        };
        wronged && !deaf.contains(&note.1)
    };
    let wrong: Vec<_> = sim.log.iter().filter(about_healthy).collect();
    assert!(wrong.is_empty(), "{} verdicts about healthy nodes, the first {:?}", wrong.len(), wrong[0]);
    assert!(back.is_some(), "the deaf nodes did not come back");
}

#[test]
fn gate_6_deaf_nodes() {
    for n in [50, 200] {
        for_each_seed(5, |seed| deaf(&mut Sim::formed(n, seed, false)));
    }
}
