//! Random fault scripts: whatever goes wrong in whatever order, nothing impossible is told, and quiet heals all.
//!
//! ```text
//! seed ─► N = 5..30, 40 weighted actions with waits ─► invariants after each (`judge`) ─► quiet ─► all see all
//! ```
//! 64 seeds in the normal run, `LOBBY_SIM_SEEDS=1000` for more. A failing script is shortened (actions without which it
//! still fails are left out) and printed with the command that replays it: `LOBBY_SIM_SEED=7 LOBBY_SIM_ACTIONS=3,8,21`.

use std::time::Duration;

use lobby_core::time::Moment;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    seeds::{for_each_seed, number},
    sim::{MS, SEC, Sim},
};

mod judge;

use judge::Judge;

const ACTIONS: usize = 40;

/// All is well again after so long a quiet: down members are asked every 10 s and a seed every 30 s, an observer that
/// was deaf judges after 30 s.
const QUIET: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kill,
    PowerOff,
    /// A dead or departed node starts again.
    Boot,
    /// Killed, and back within 3 s.
    Restart,
    /// Said so, and back within 3 s.
    AnnouncedRestart,
    Leave,
    Pause,
    Cut,
    OneWayCut,
    Deaf,
    Loss,
    Duplicate,
    Reorder,
    Jump,
    Relabel,
}

/// How often each is drawn, in parts of the sum.
const WEIGHTS: [(Kind, u32); 15] = [
    (Kind::Kill, 4),
    (Kind::PowerOff, 4),
    (Kind::Boot, 10),
    (Kind::Restart, 6),
    (Kind::AnnouncedRestart, 4),
    (Kind::Leave, 3),
    (Kind::Pause, 8),
    (Kind::Cut, 6),
    (Kind::OneWayCut, 6),
    (Kind::Deaf, 2),
    (Kind::Loss, 4),
    (Kind::Duplicate, 3),
    (Kind::Reorder, 3),
    (Kind::Jump, 3),
    (Kind::Relabel, 16),
];

/// One action. Its numbers are raw: what they pick depends on who runs at that moment.
#[derive(Clone, Copy, Debug)]
struct Action {
    number: usize,
    kind: Kind,
    pick: usize,
    other: usize,
    ms: u32,
    wait_ms: u32,
}

fn script(seed: u64) -> (usize, Vec<Action>) {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0x5c71_7074);
    let n = rng.random_range(5..=30);
    let total = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut draw = |number| {
        let mut at = rng.random_range(0..total);
        let kind = WEIGHTS.iter().find(|(_, weight)| match at.checked_sub(*weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        Action {
            number,
            kind: kind.expect("the draw is below the sum").0,
            pick: rng.random_range(0..1_000_000),
            other: rng.random_range(0..1_000_000),
            ms: rng.random_range(100..10_000),
            wait_ms: if rng.random_bool(0.3) { rng.random_range(1..100) } else { rng.random_range(100..5_000) },
        }
    };
    (n, (0..ACTIONS).map(&mut draw).collect())
}

/// A cluster, what will end, and who judges.
struct Stage {
    sim: Sim,
    judge: Judge,
    /// Cuts and deafness that end.
    ends: Vec<(Moment, usize, usize)>,
    n_labels: usize,
}

impl Stage {
    fn act(&mut self, action: Action) {
        let up = self.sim.up();
        let n = self.sim.nodes.len();
        let idx = up[action.pick % up.len()];
        let other = (idx + 1 + action.other % (n - 1)) % n;
        let time = MS * action.ms;
        let spare = up.len() > 3;
        match action.kind {
            Kind::Kill if spare => {
                self.judge.impair(idx, self.sim.now);
                self.sim.kill(idx);
            }
            Kind::PowerOff if spare => {
                self.judge.impair(idx, self.sim.now);
                self.sim.power_off(idx);
            }
            Kind::Boot => {
                let down: Vec<_> =
                    (0..n).filter(|idx| !up.contains(idx) && !self.judge.is_starting(*idx, self.sim.now)).collect();
                if let Some(idx) = down.get(action.pick % down.len().max(1)) {
                    self.restart(*idx, Duration::ZERO);
                }
            }
            Kind::Restart if spare => {
                self.sim.kill(idx);
                self.restart(idx, time.min(3 * SEC));
            }
            Kind::AnnouncedRestart if spare => {
                self.judge.starts(idx, self.sim.now + SEC + time.min(2 * SEC));
                self.sim.announce_restart(idx, time.min(2 * SEC));
            }
            Kind::Leave if spare => {
                let all_hear = self.sim.faults.cut.is_empty() && self.sim.faults.deaf.is_empty();
                self.judge.leaves(idx, self.sim.now, all_hear);
                self.sim.leave(idx);
            }
            Kind::Relabel if !self.judge.is_going(idx) => {
                self.n_labels += 1;
                self.sim.relabel(idx, &[format!("change:{}", self.n_labels), "x".repeat(action.other % 900 + 1)]);
            }
            _ => self.disturb(action, idx, other, time),
        }
    }

    /// Faults that leave everybody running.
    fn disturb(&mut self, action: Action, idx: usize, other: usize, time: Duration) {
        match action.kind {
            Kind::Pause => {
                // Half of them are short enough to be nobody's death.
                let time = if action.other.is_multiple_of(2) { time.min(2 * SEC) } else { time };
                self.judge.pause(idx, self.sim.now, time);
                self.sim.pause(idx, time);
            }
            Kind::Cut => {
                self.sim.cut(idx, other);
                self.cut_until(self.sim.now + time * 3, &[(idx, other), (other, idx)]);
            }
            Kind::OneWayCut => {
                self.sim.faults.cut.insert((idx, other));
                self.cut_until(self.sim.now + time * 3, &[(idx, other)]);
            }
            Kind::Deaf if self.judge.may_deafen(self.sim.now) => {
                self.sim.faults.deaf.insert(idx);
                self.ends.push((self.sim.now + time, idx, idx));
                self.judge.impair(idx, self.sim.now + time);
            }
            Kind::Loss => self.sim.loss = [0.0, 0.02, 0.05, 0.1][action.other % 4],
            Kind::Duplicate => self.sim.faults.duplicate = [0.0, 0.05, 0.3][action.other % 3],
            Kind::Reorder => self.sim.faults.reorder = [0.0, 0.05, 0.3][action.other % 3],
            Kind::Jump => self.sim.jump(idx, SEC * 3600 * (1 + action.ms / 100)),
            _ => {}
        }
    }

    fn cut_until(&mut self, end: Moment, ways: &[(usize, usize)]) {
        for (from, to) in ways {
            self.ends.push((end, *from, *to));
            self.judge.impair(*from, end);
            self.judge.impair(*to, end);
        }
    }

    fn restart(&mut self, idx: usize, after: Duration) {
        self.judge.starts(idx, self.sim.now + after);
        self.sim.restart(idx, after);
    }

    fn end_faults(&mut self) {
        let now = self.sim.now;
        let faults = &mut self.sim.faults;
        self.ends.retain(|(end, from, to)| {
            if *end <= now {
                if from == to {
                    faults.deaf.remove(to);
                } else {
                    faults.cut.remove(&(*from, *to));
                }
            }
            *end > now
        });
    }

    /// Lets time pass in small steps, so that faults end in time and verdicts are judged while their reasons are known.
    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let end = self.sim.now + time;
        while self.sim.now < end {
            self.sim.run(end.since(self.sim.now).min(100 * MS));
            self.end_faults();
            self.judge.check(&mut self.sim)?;
        }
        Ok(())
    }

    /// No faults any more and at least one seed: everybody finds everybody.
    fn quiet(&mut self) -> Result<Duration, String> {
        self.sim.heal();
        self.ends.clear();
        self.pass(5 * SEC)?;
        if !self.sim.seeds.iter().any(|idx| self.sim.nodes[*idx].engine.is_some()) {
            self.restart(self.sim.seeds[0], Duration::ZERO);
        }
        let start = self.sim.now;
        while self.sim.now.since(start) < QUIET {
            self.pass(500 * MS)?;
            if self.sim.all_see_all() {
                return Ok(self.sim.now.since(start));
            }
        }
        let up = self.sim.up();
        let blind: Vec<_> = up.iter().filter(|idx| !self.sim.sees_all(**idx, &up)).collect();
        Err(format!("after {QUIET:?} of quiet {blind:?} of {up:?} do not see exactly all"))
    }
}

fn play(n: usize, seed: u64, actions: &[Action]) -> Result<Duration, String> {
    let sim = Sim::formed(n, seed, false);
    let mut stage = Stage { judge: Judge::new(n, sim.now), sim, ends: Vec::new(), n_labels: 0 };
    for action in actions {
        stage.act(*action);
        stage.pass(MS * action.wait_ms).map_err(|err| format!("after action {}: {err}", action.number))?;
    }
    stage.quiet()
}

/// Leaves out actions as long as the script still fails.
fn shorten(n: usize, seed: u64, mut actions: Vec<Action>, mut err: String) -> (Vec<Action>, String) {
    let mut at = 0;
    while at < actions.len() {
        let mut fewer = actions.clone();
        fewer.remove(at);
        match play(n, seed, &fewer) {
            Err(other) => (actions, err) = (fewer, other),
            Ok(_) => at += 1,
        }
    }
    (actions, err)
}

/// The actions that the environment asks for.
fn chosen(actions: Vec<Action>) -> Vec<Action> {
    let Ok(text) = std::env::var("LOBBY_SIM_ACTIONS") else { return actions };
    let numbers: Vec<usize> = text.split(',').filter_map(|number| number.parse().ok()).collect();
    actions.into_iter().filter(|action| numbers.contains(&action.number)).collect()
}

#[test]
fn random_faults_do_no_lasting_harm() {
    let mut slowest = (Duration::ZERO, 0);
    for_each_seed(64, |seed| {
        let (n, actions) = script(seed);
        let actions = chosen(actions);
        match play(n, seed, &actions) {
            Ok(healed) => slowest = slowest.max((healed, seed)),
            Err(err) => {
                let (actions, err) = if number("LOBBY_SIM_SEED").is_some() && std::env::var("LOBBY_SIM_ACTIONS").is_ok() {
                    (actions, err)
                } else {
                    shorten(n, seed, actions, err)
                };
                let numbers: Vec<_> = actions.iter().map(|action| action.number.to_string()).collect();
                actions.iter().for_each(|action| eprintln!("{action:?}"));
                panic!("N={n}: {err}\nthis script: LOBBY_SIM_SEED={seed} LOBBY_SIM_ACTIONS={}", numbers.join(","));
            }
        }
    });
    println!("random faults: all saw all after {:?} of quiet at most (seed {})", slowest.0, slowest.1);
}
