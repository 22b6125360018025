//! Gates 1 and 11b: a host dies in silence, alone or with many others.

use crate::{
    seeds::for_each_seed,
    sim::{MS, Note, SEC, Sim, Times, first, quantile, victims},
};

/// Hosts die one after the other; when 99 % and all of the others knew.
pub(crate) fn deaths(sim: &mut Sim, loss: f64, kills: usize) -> (Times, Times) {
    sim.loss = loss;
    let (mut t99, mut t100) = (Times::default(), Times::default());
    for _ in 0..kills {
        let victim = sim.random_up();
        sim.power_off(victim);
        let start = sim.now;
        sim.log.clear();
        // The next one dies when all know of this one, or 20 s later.
        let live = sim.up().len();
        sim.run_until_true(20 * SEC, |sim| first(sim, start, |note| *note == Note::Gone(victim)).len() == live);
        let times = first(sim, start, |note| *note == Note::Gone(victim));
        t99.0.push(quantile(&times, 0.99, live));
        t100.0.push(quantile(&times, 1.0, live));
        assert!(victims(sim).is_empty(), "nodes that run were called dead");
    }
    sim.loss = 0.0;
    (t99, t100)
}

/// 99 % know within 4.5 s mean and 7 s worst of 20, all within 20 s.
///
/// The wait for the first probe of the dead node is exponential with a mean of half a second, so one death in some
/// thousands is seen by nobody for 7 s, whatever the implementation does: of each hundred one may take longer.
fn gate_1(n: usize, seeds: u64) {
    for loss in [0.0, 0.05] {
        let mut all = Times::default();
        for_each_seed(seeds, |seed| {
            let mut sim = Sim::formed(n, seed, false);
            let (t99, t100) = deaths(&mut sim, loss, 20);
            println!("gate 1: N={n} loss={loss} seed={seed}: 99 % {t99}; 100 % {t100}");
            assert!(t99.mean() <= 4500 * MS, "99 %: {t99}");
            assert!(t100.worst() <= 20 * SEC, "100 %: {t100}");
            all.0.extend(t99.0);
        });
        let late = all.0.iter().filter(|time| **time > 7 * SEC).count();
        assert!(late <= all.0.len() / 100, "{late} deaths took more than 7 s to be seen: {all}");
    }
}

#[test]
fn gate_1_silent_death_50() {
    gate_1(50, 5);
}

#[test]
fn gate_1_silent_death_200() {
    gate_1(200, 5);
}

/// Many hosts die at once: the survivors know all of them in time, and give no wrong verdict.
pub(crate) fn mass_death(sim: &mut Sim, part: f64) -> std::time::Duration {
    let n_dead = (sim.nodes.len() as f64 * part) as usize;
    for idx in 0..n_dead {
        sim.power_off(idx);
    }
    let others = sim.up().len() - 1;
    let knows_all = |sim: &Sim| sim.up().iter().all(|idx| sim.engine(*idx).n_members() == others);
    let known = sim.run_until_true(120 * SEC, knows_all).unwrap_or(crate::sim::NEVER);
    assert!(victims(sim).is_empty(), "survivors were called dead");
    known
}

/// 30 % within 10 s, 90 % within 60 s.
fn gate_11b(n: usize, seeds: u64) {
    for (part, most) in [(0.3, 10 * SEC), (0.9, 60 * SEC)] {
        for_each_seed(seeds, |seed| {
            let mut sim = Sim::formed(n, seed, false);
            let known = mass_death(&mut sim, part);
            println!("gate 11b: N={n} seed={seed}: {part} of all known to the survivors after {} ms", known.as_millis());
            assert!(known <= most, "{known:?}");
        });
    }
}

#[test]
fn gate_11b_mass_death_50() {
    gate_11b(50, 5);
}

#[test]
fn gate_11b_mass_death_200() {
    gate_11b(200, 5);
}
