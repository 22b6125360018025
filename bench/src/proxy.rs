//! What clients of a proxy feel while its backends change: 1 000 requests a second through a real HAProxy, each on a new
//! connection or on kept ones, and every failure counted. `[proxy]` of lobbyd beside a template with `haproxy -sf`: the same
//! changes, in the same run, one after the other.
//!
//! Load, backends, agent and HAProxy share the machine. Not here: how things are started (`stage`), the table (`table`).

mod changes;
mod stage;
mod table;

use std::time::{Duration, Instant};

use lobby_testkit::load::{Connections, Last, Load, Report};

use self::{
    stage::{Backend, Stage, Structure, Way},
    table::Row,
};
use crate::{
    host::{lobbyd, now, sleep_until},
    times::Times,
};

pub(crate) use stage::backend;

/// Requests a second.
const RATE: u32 = 1_000;

/// Before and after the changes: what comes late belongs to them.
const AROUND: Duration = Duration::from_secs(1);

/// Deploys of six backends, as the issue has it.
const DEPLOYS: usize = 5;
const DEPLOYED: usize = 6;

/// How long a backend drains before it is ended.
const DRAIN: Duration = Duration::from_millis(500);
const SWAPS: usize = 10;

/// Backends among which one is killed.
const KILLED_OF: usize = 4;

/// Until nothing new goes to a backend that was killed.
const GOAL_GONE_MS: f64 = 150.0;

/// Of a killed backend: how long it is watched.
const AFTER_KILL: Duration = Duration::from_millis(600);

/// One scenario by one way under one load.
struct Run {
    report: Report,
    changes: usize,
    reloads: u64,
    gone: Option<Gone>,
}

/// After a kill.
struct Gone {
    /// When the last request was sent that somebody at the dead address answered.
    sent: Times,
    /// When the last answer from there came: later, where HAProxy tried a request again that it had in hand at the kill.
    answered: Times,
}

type Scenario = (&'static str, Structure, fn(&Stage, &mut [Backend], u32) -> usize, bool);

pub(crate) fn run(rounds: u32) {
    let program = lobbyd();
    let plain = Structure { redispatch: true, ..Structure::default() };
    let swapped = Structure { backup: Some(lobby_testkit::port::free()), ..plain };
    let scenarios: [Scenario; 4] = [
        ("(a) random changes of backends", plain, changes::random, true),
        ("(b) structural changes", plain, changes::structural, true),
        ("(c) rolling deploys of 6", plain, changes::rolling, true),
        ("swaps of primary and backup", swapped, changes::swaps, false),
    ];
    let mut broken = Vec::new();
    println!("{}", table::HEAD);
    for (what, structure, change, has_peer) in scenarios {
        for connections in [Connections::New, Connections::Kept] {
            let ours = one(&program, Way::Proxy, structure, connections, rounds, change);
            let peer = has_peer.then(|| one(&program, Way::Template, structure, connections, rounds, change));
            if ours.report.n_failed() > 0 {
                broken.push(format!("{what}, {connections:?}: failed {:?}", ours.report.failed));
            }
            if !what.starts_with("(b)") && ours.reloads > 0 {
                broken.push(format!("{what}, {connections:?}: {} reloads", ours.reloads));
            }
            println!("{}", Row { what, connections, ours: &ours, peer: peer.as_ref() });
        }
    }
    for connections in [Connections::New, Connections::Kept] {
        let ours = one(&program, Way::Nginx, plain, connections, rounds, changes::random);
        if ours.report.n_failed() > 0 {
            broken.push(format!("nginx, {connections:?}: failed {:?}", ours.report.failed));
        }
        println!("{}", Row { what: "(a) with nginx", connections, ours: &ours, peer: None });
    }
    let mut late = Vec::new();
    for (what, redispatch, haunts) in [
        ("(d) kill -9, with redispatch", true, false),
        ("(d) kill -9, without redispatch", false, false),
        ("(d) kill -9, last request there", true, true),
        ("(d) kill -9, without redispatch, last request there", false, true),
    ] {
        for connections in [Connections::New, Connections::Kept] {
            let structure = Structure { redispatch, ..plain };
            let [ours, peer] =
                [Way::Proxy, Way::Template].map(|way| kills(&program, way, structure, connections, rounds, haunts));
            println!("{}", Row { what, connections, ours: &ours, peer: Some(&peer) });
            let worst = ours.gone.as_ref().map_or(0.0, |gone| gone.sent.quantile(0.99));
            if worst > GOAL_GONE_MS {
                late.push(format!("{what}, {connections:?}: {worst:.0} ms"));
            }
        }
    }
    assert!(broken.is_empty(), "a promise does not hold: {broken:#?}");
    assert!(late.is_empty(), "above the goal of {GOAL_GONE_MS} ms: {late:?}");
}

fn one(
    program: &str,
    way: Way,
    structure: Structure,
    connections: Connections,
    rounds: u32,
    change: fn(&Stage, &mut [Backend], u32) -> usize,
) -> Run {
    let stage = Stage::start(program, way, structure);
    let n_backends = if structure.backup.is_some() { 1 } else { DEPLOYED };
    let mut backends: Vec<_> = (0..n_backends).map(|idx| Backend::start(&format!("b{idx}"))).collect();
    all_serve(&stage, &backends);
    let (report, changes, reloads) = under_load(&stage, connections, || change(&stage, &mut backends, rounds));
    Run { report, changes, reloads, gone: None }
}

/// Does something while the load goes on; how many changes it says it was, and how many reloads it took.
fn under_load(stage: &Stage, connections: Connections, change: impl FnOnce() -> usize) -> (Report, usize, u64) {
    sleep_until(now() + AROUND);
    let before = stage.reloads();
    let load = Load::start(stage.front, connections, RATE);
    sleep_until(now() + AROUND);
    let changes = change();
    sleep_until(now() + AROUND);
    let report = load.stop();
    if report.n_failed() > 0 && stage.way != Way::Template {
        eprintln!("{:?} {:?}\n{}", report.failed, report.answered, stage.agent.process.log());
    }
    (report, changes, stage.reloads() - before)
}

fn all_serve(stage: &Stage, backends: &[Backend]) {
    backends.iter().for_each(|backend| stage.register(backend, 1));
    stage.serves(&backends.iter().map(|backend| backend.name.as_str()).collect::<Vec<_>>());
}

/// One after the other is killed and replaced. `haunts`: somebody answers in its place, so that the last request that was
/// sent there is seen; nothing fails by that.
fn kills(program: &str, way: Way, structure: Structure, connections: Connections, rounds: u32, haunts: bool) -> Run {
    let stage = Stage::start(program, way, structure);
    let mut there: Vec<_> = (0..KILLED_OF).map(|idx| Backend::start(&format!("b{idx}"))).collect();
    let mut next: Vec<_> = (0..rounds).map(|round| Backend::start(&format!("n{round}"))).rev().collect();
    let mut killed: Vec<(String, Instant)> = Vec::new();
    all_serve(&stage, &there);
    let change = || {
        for round in 0..rounds {
            let mut backend = there.remove(0);
            let ghost = format!("ghost{round}");
            killed.push((if haunts { ghost.clone() } else { backend.name.clone() }, now()));
            backend.kill();
            if haunts {
                backend.haunt(ghost);
            }
            sleep_until(now() + AFTER_KILL);
            let next = next.pop().expect("as many as rounds");
            stage.register(&next, 1);
            there.push(next);
            let names: Vec<_> = there.iter().map(|backend| backend.name.as_str()).collect();
            stage.serves(&names);
        }
        rounds as usize
    };
    let (report, changes, reloads) = under_load(&stage, connections, change);
    let after = |of: fn(&Last) -> Instant| {
        let after = |(name, at): &(String, Instant)| report.last.get(name).map(|last| of(last).saturating_duration_since(*at));
        Times::new(killed.iter().map(|kill| after(kill).unwrap_or_default()).collect(), 0)
    };
    let gone = haunts.then(|| Gone { sent: after(|last| last.sent), answered: after(|last| last.answered) });
    Run { report, changes, reloads, gone }
}
