//! `kill -9` of a program that a registration is bound to (`"PID"`), on one of 31 agents over gossip: how long until it is
//! gone from its own agent's API and from those of all others, as clients see it that wait there with a blocking query.
//!
//! Time is counted from before the signal until the client has the answer without the instance. All 31 agents, the clients
//! and the program share the machine.

use std::{process::Command, time::Duration};

use lobby_testkit::process::{Process, find};
use serde_json::json;

use crate::{
    agents::{self, all_pass, blocked, put, registration},
    host::{lobbyd, now, sleep_until},
    times::Times,
    watch::{Watches, What, entries, health},
};

const AGENTS: usize = 31;

/// How long everybody may take to know.
const MOST: Duration = Duration::from_secs(10);

/// Between one round and the next.
const CALM: Duration = Duration::from_millis(300);
const GOAL_OWN_MS: f64 = 5.0;
const GOAL_OTHERS_MS: f64 = 100.0;

pub(crate) fn run(rounds: u32) {
    let mut fleet = agents::start(&lobbyd(), AGENTS, &[]);
    let (watches, _) = Watches::start(fleet.iter().map(|agent| health(agent, "web")).collect());
    let (mut own, mut others) = (Times::default(), Times::default());
    for round in 0..rounds.max(1) as usize {
        let owner = round % AGENTS;
        let mut sleep = Command::new(find("sleep"));
        sleep.arg("1000");
        let mut program = Process::start("program", sleep);
        let body = json!({"Name": "web", "ID": format!("web-{round}"), "Port": 80, "Check": {"PID": program.pid()}});
        put(&fleet[owner], &registration(&body));
        all_pass(&fleet, "web", 1);
        fleet.iter().for_each(|agent| blocked(agent, 1));
        sleep_until(now() + CALM);
        watches.drain();

        let start = now();
        program.signal(lobby_testkit::process::Signal::KILL);
        let mut gone = vec![None; AGENTS];
        while gone.contains(&None) && start.elapsed() < MOST {
            for seen in watches.gather(1, CALM) {
                match seen.what {
                    What::Answer { body, .. } if entries(&body) == json!([]) => {
                        gone[seen.watch].get_or_insert(seen.at - start);
                    }
                    other => panic!("a watch of agent {} got {other:?}", seen.watch),
                }
            }
        }
        let time = |idx: &usize| gone[*idx];
        own.extend(times([owner].iter().map(time)));
        others.extend(times((0..AGENTS).filter(|idx| *idx != owner).collect::<Vec<_>>().iter().map(time)));
    }
    println!("| gone from | observations | mean ms | p50 | p99 | max |\n|---|---|---|---|---|---|");
    for (what, times) in [("its own agent", &own), ("30 other agents", &others)] {
        let (p50, p99, max) = (times.quantile(0.5), times.quantile(0.99), times.worst());
        println!("| {what} | {} | {:.1} | {p50:.1} | {p99:.1} | {max:.1} |", times.n(), times.mean());
    }
    drop(watches);
    fleet.iter_mut().for_each(|agent| agent.stop(Duration::from_secs(10)));
    assert_eq!(own.missed + others.missed, 0, "somebody never knew");
    assert!(own.quantile(0.99) <= GOAL_OWN_MS, "above the goal of {GOAL_OWN_MS} ms at its own agent");
    assert!(others.quantile(0.99) <= GOAL_OTHERS_MS, "above the goal of {GOAL_OTHERS_MS} ms at others");
}

fn times(all: impl Iterator<Item = Option<Duration>>) -> Times {
    let all: Vec<_> = all.collect();
    let missed = all.iter().filter(|time| time.is_none()).count();
    Times::new(all.into_iter().flatten().collect(), missed)
}
