//! The gates of the gossip study that this stage must pass, at N = 50 and 200: 1, 2, 3, 7 and 10.
//!
//! The thresholds are those of the study. Each test prints what it measured (`cargo test -- --nocapture`).

use std::time::Duration;

use lobby_core::time::Moment;

use crate::{
    seeds::for_each_seed,
    sim::{MS, Note, SEC, Sim},
};

/// Times of several runs; a run in which too few knew counts as for ever.
#[derive(Default)]
struct Times(Vec<Duration>);

const NEVER: Duration = Duration::from_secs(1_000_000);

impl Times {
    fn mean(&self) -> Duration {
        self.0.iter().sum::<Duration>() / self.0.len().max(1) as u32
    }

    fn worst(&self) -> Duration {
        self.0.iter().copied().max().unwrap_or_default()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} mean {} worst ms", self.mean().as_millis(), self.worst().as_millis())
    }
}

/// When `part` of `n` observers knew.
fn quantile(times: &[Duration], part: f64, n: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get(((n as f64 * part).ceil() as usize).max(1) - 1).copied().unwrap_or(NEVER)
}

/// When each running observer first noted something, counted from `start`.
fn first(sim: &Sim, start: Moment, what: impl Fn(&Note) -> bool) -> Vec<Duration> {
    let mut times: Vec<Option<Duration>> = vec![None; sim.nodes.len()];
    for (at, observer, note) in &sim.log {
        if *at >= start && what(note) && sim.nodes[*observer].engine.is_some() {
            times[*observer].get_or_insert(at.since(start));
        }
    }
    times.into_iter().flatten().collect()
}

/// Verdicts about nodes that run.
fn false_downs(sim: &Sim) -> usize {
    let wrong = |note: &&(_, usize, Note)| matches!(note.2, Note::Gone(idx) if sim.nodes[idx].engine.is_some());
    sim.log.iter().filter(wrong).count()
}

/// Silent death: 99 % know within 4.5 s mean and 7 s worst, all within 20 s.
///
/// The wait for the first probe of the dead node is exponential with a mean of half a second, so about one death in
/// 2 500 is seen after more than 7 s whatever the implementation does: a wide sweep of seeds will meet one.
fn gate_1(n: usize, loss: f64, kills: usize, seeds: u64) {
    for_each_seed(seeds, |seed| {
        let mut sim = Sim::formed(n, seed, false);
        sim.loss = loss;
        let (mut t99, mut t100) = (Times::default(), Times::default());
        for _ in 0..kills {
            let victim = sim.random_up();
            sim.kill(victim);
            let start = sim.now;
            sim.log.clear();
            // The next node dies when all know of this one, or 20 s later.
            let live = sim.up().len();
            sim.run_until_true(20 * SEC, |sim| first(sim, start, |note| *note == Note::Gone(victim)).len() == live);
            let times = first(&sim, start, |note| *note == Note::Gone(victim));
            t99.0.push(quantile(&times, 0.99, live));
            t100.0.push(quantile(&times, 1.0, live));
            assert_eq!(false_downs(&sim), 0);
        }
        println!("gate 1: N={n} loss={loss} seed={seed} kills={kills}: 99 % {t99}; 100 % {t100}");
        assert!(t99.mean() <= 4500 * MS && t99.worst() <= 7 * SEC, "99 %: {t99}");
        assert!(t100.worst() <= 20 * SEC, "100 %: {t100}");
    });
}

#[test]
fn gate_1_silent_death_50() {
    gate_1(50, 0.0, 20, 5);
    gate_1(50, 0.05, 20, 5);
}

#[test]
fn gate_1_silent_death_200() {
    gate_1(200, 0.0, 20, 1);
    gate_1(200, 0.05, 20, 1);
}

/// Idle: at most 5 packets and 650 bytes per second and node, with sealed datagrams, whatever N is.
#[test]
fn gate_2_idle_traffic() {
    for n in [50, 200] {
        for_each_seed(2, |seed| {
            let mut sim = Sim::formed(n, seed, true);
            let before = sim.traffic();
            sim.run(60 * SEC);
            let after = sim.traffic();
            let per = |total: u64| total as f64 / 60.0 / n as f64;
            let (packets, bytes) = (per(after.0 - before.0), per(after.1 - before.1));
            println!("gate 2: N={n} seed={seed}: {packets:.2} packets/s, {bytes:.0} B/s");
            assert!(packets <= 5.0 && bytes <= 650.0, "{packets} packets/s, {bytes} B/s");
            assert_eq!(sim.log, []);
        });
    }
}

/// 5 % loss, every 10 s 5 % of the nodes stopped for 2 s: nobody is wrongly declared down, nobody rejoins.
fn gate_3(n: usize, seeds: u64) {
    for_each_seed(seeds, |seed| {
        let mut sim = Sim::formed(n, seed, false);
        sim.loss = 0.05;
        let renewals = sim.renewals();
        let mut n_pauses = 0;
        for _ in 0..12 {
            for _ in 0..n / 20 {
                let idx = sim.random_up();
                sim.pause(idx, 2 * SEC);
                n_pauses += 1;
            }
            sim.run(10 * SEC);
        }
        let (downs, rejoins) = (false_downs(&sim), sim.renewals() - renewals);
        println!("gate 3: N={n} seed={seed}: {n_pauses} pauses, {downs} false downs, {rejoins} rejoins");
        assert_eq!((downs, rejoins), (0, 0));
    });
}

#[test]
fn gate_3_no_false_downs_50() {
    gate_3(50, 5);
}

#[test]
fn gate_3_no_false_downs_200() {
    gate_3(200, 2);
}

/// A change of 200 bytes: 99 % have it within 60 ms mean, all within 500 ms or after the next exchange.
fn gate_7(n: usize, loss: f64, changes: usize, seeds: u64) {
    for_each_seed(seeds, |seed| {
        let mut sim = Sim::formed(n, seed, false);
        sim.loss = loss;
        let (mut t99, mut t100, mut n_late) = (Times::default(), Times::default(), 0);
        for change in 0..changes {
            let origin = sim.random_up();
            sim.log.clear();
            let start = sim.now;
            let stamp = sim.relabel(origin, &[format!("service:web:{change}:{}", "x".repeat(170))]);
            let know = |sim: &Sim| first(sim, start, |note| *note == Note::Record(origin, stamp, false));
            sim.run(SEC);
            let times = know(&sim);
            t99.0.push(quantile(&times, 0.99, n - 1));
            let late = times.iter().filter(|time| **time > 500 * MS).count() + (n - 1 - times.len());
            n_late += late;
            if late > 0 {
                sim.run(45 * SEC);
            }
            t100.0.push(quantile(&know(&sim), 1.0, n - 1));
        }
        println!("gate 7: N={n} loss={loss} seed={seed} changes={changes}: 99 % {t99}; 100 % {t100}; {n_late} after 500 ms");
        assert!(t100.worst() <= 46 * SEC, "somebody never heard of a change");
        if loss <= 0.05 {
            assert!(t99.mean() <= 60 * MS, "99 %: {t99}");
        }
    });
}

#[test]
fn gate_7_change_50() {
    gate_7(50, 0.05, 20, 5);
    gate_7(50, 0.2, 10, 2);
}

#[test]
fn gate_7_change_200() {
    gate_7(200, 0.0, 10, 1);
    gate_7(200, 0.05, 20, 3);
    gate_7(200, 0.2, 10, 1);
}

/// Goodbye with 5 % loss: 99 % know within 600 ms mean and 1 s worst; the leaver never comes back.
fn gate_10(n: usize, leaves: usize, seeds: u64) {
    for_each_seed(seeds, |seed| {
        let mut sim = Sim::formed(n, seed, false);
        sim.loss = 0.05;
        let (mut t99, mut member) = (Times::default(), Times::default());
        for _ in 0..leaves {
            let leaver = sim.random_up();
            sim.log.clear();
            let start = sim.now;
            sim.leave(leaver);
            let id = sim.id(leaver);
            let knows = |sim: &Sim| {
                let holds_up = |idx: &&usize| !sim.nodes[**idx].engine.as_ref().unwrap().members().any(|member| member.id == id);
                sim.up().iter().filter(holds_up).filter(|idx| **idx != leaver).count()
            };
            let needed = ((n - leaves) as f64 * 0.99).ceil() as usize;
            member.0.push(sim.run_until_true(5 * SEC, |sim| knows(sim) >= needed.min(sim.up().len() - 1)).unwrap_or(NEVER));
            sim.run(10 * SEC);
            let others = sim.up().len();
            t99.0.push(quantile(
                &first(&sim, start, |note| matches!(note, Note::Record(idx, _, true) if *idx == leaver)),
                0.99,
                others,
            ));
            assert!(sim.nodes[leaver].engine.is_none(), "the leaver did not end");
            assert_eq!(knows(&sim), others, "somebody still holds the leaver up");
            assert!(!sim.log.iter().any(|note| note.2 == Note::Seen(leaver)), "the leaver came back");
            assert_eq!(false_downs(&sim), 0);
        }
        println!("gate 10: N={n} seed={seed} leaves={leaves}: record at 99 % {t99}; not a member at 99 % {member}");
        for times in [&t99, &member] {
            assert!(times.mean() <= 600 * MS && times.worst() <= SEC, "{times}");
        }
    });
}

#[test]
fn gate_10_goodbye_50() {
    gate_10(50, 10, 5);
}

#[test]
fn gate_10_goodbye_200() {
    gate_10(200, 8, 2);
}
