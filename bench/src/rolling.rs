//! Restarts of agents under 1 000 services and 1 000 open watches: nobody may be told of a change, and all watches resume.
//!
//! `rolling`: three agents, each restarted in turn by SIGUSR2, as an upgrade does it; the services and the watches are spread
//! over all three. `start`: the agent of all services is killed and started again, the watches are at another one.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use lobby_testkit::{daemon::Daemon, process::Signal};
use serde_json::Value;

use crate::{
    agents::{self, CONNECTIONS, SOON, blocked, deregistration, instance, knows, put, registration},
    client::put_all,
    host::{backlog_drops, lobbyd, mib, now, sleep_until},
    times::Times,
    watch::{Watches, What, entries, health},
};

const AGENTS: usize = 3;
const COUNT: usize = 1_000;

/// How long it is watched that nothing comes any more; longer than an agent is missed without being called failed.
const AFTER: Duration = Duration::from_secs(12);
const CALM: Duration = Duration::from_secs(2);

/// When which agent was away.
struct Away {
    agent: usize,
    from: Instant,
    until: Instant,
}

/// What the watches were told.
#[derive(Default)]
struct Told {
    /// Other entries than before.
    changes: usize,
    /// The same entries, from an agent that was not restarting.
    woken: usize,
    /// The same entries, from the agent that stopped.
    stopped: usize,
    /// The same entries, once the agent was there again.
    resumed: usize,
    /// Other statuses than 200.
    refused: Vec<u16>,
    gaps: Times,
}

pub(crate) fn run() {
    let mut fleet = agents::start(&lobbyd(), AGENTS, &[]);
    let list: Vec<_> = (0..COUNT).map(|idx| (idx % AGENTS, idx / AGENTS % AGENTS)).collect();
    fill(&fleet, &list);
    let (watches, first) = watch(&fleet, &list);
    let (mut away, drops) = (Vec::new(), backlog_drops());
    for agent in 0..AGENTS {
        let mut daemon = fleet.remove(agent);
        let from = now();
        daemon.process.signal(Signal::USR2);
        assert!(daemon.process.wait(SOON).success(), "no clean end");
        let ended = from.elapsed();
        fleet.insert(agent, daemon.start_again());
        let ready = from.elapsed();
        knows(&fleet[agent], AGENTS);
        println!("agent {agent}: ended after {ended:.1?}, ready after {ready:.1?}, knows all after {:.1?}", from.elapsed());
        blocked(&fleet[agent], list.iter().filter(|(_, at)| *at == agent).count());
        away.push(Away { agent, from, until: now() });
        sleep_until(now() + CALM);
    }
    println!("connections that the kernel dropped at a full backlog: {}", backlog_drops() - drops);
    sleep_until(now() + AFTER);
    finish(fleet, &watches, &first, &list, &away);
}

/// The second agent has the watches, the first one the services and the restarts.
pub(crate) fn start(rounds: u32) {
    let mut fleet = agents::start(&lobbyd(), 2, &[]);
    let list = vec![(0, 1); COUNT];
    fill(&fleet, &list);
    let (watches, first) = watch(&fleet, &list);
    let mut away = Vec::new();
    println!("| restart | ready after ms | warm and all known after ms | RSS MiB |\n|---|---|---|---|");
    for round in 0..rounds.max(1) {
        let mut daemon = fleet.remove(0);
        daemon.kill();
        let from = now();
        fleet.insert(0, daemon.start_again());
        let ready = from.elapsed();
        knows(&fleet[0], 2);
        println!("| {round} | {} | {} | {:.1} |", ready.as_millis(), from.elapsed().as_millis(), mib(&fleet[0].process));
        away.push(Away { agent: 0, from, until: now() });
        sleep_until(now() + CALM);
    }
    sleep_until(now() + AFTER);
    finish(fleet, &watches, &first, &list, &away);
}

/// Registers service `idx` at the agent that `list` says first.
fn fill(fleet: &[Daemon], list: &[(usize, usize)]) {
    for (at, agent) in fleet.iter().enumerate() {
        let own = list.iter().enumerate().filter(|(_, (owner, _))| *owner == at);
        let puts = own.map(|(idx, _)| registration(&instance(&format!("svc-{idx}"), idx))).collect();
        put_all(agent, puts, CONNECTIONS);
    }
    agents::all_list(fleet, COUNT);
    // What registrations do may still be under way when all are listed.
    sleep_until(now() + CALM);
}

/// Watches service `idx` at the agent that `list` says second; the entries it begins with.
fn watch(fleet: &[Daemon], list: &[(usize, usize)]) -> (Watches, Vec<Value>) {
    let at = |(idx, (_, at)): (usize, &(usize, usize))| health(&fleet[*at], &format!("svc-{idx}"));
    let (watches, first) = Watches::start(list.iter().enumerate().map(at).collect());
    for (idx, agent) in fleet.iter().enumerate() {
        blocked(agent, list.iter().filter(|(_, at)| *at == idx).count());
    }
    let first: Vec<_> = first.iter().map(|body| entries(body)).collect();
    assert!(first.iter().all(|entries| entries.as_array().is_some_and(|list| list.len() == 1)), "a service is not there");
    (watches, first)
}

/// Says what the watches were told, and fails when that is too much.
fn finish(mut fleet: Vec<Daemon>, watches: &Watches, first: &[Value], list: &[(usize, usize)], away: &[Away]) {
    let mut told = Told::default();
    let mut lost: HashMap<usize, Instant> = HashMap::new();
    for seen in watches.drain() {
        let agent = list[seen.watch].1;
        match seen.what {
            What::Answer { body, .. } if entries(&body) != first[seen.watch] => {
                if told.changes == 0 {
                    println!("first change, of svc-{}:\n{}\nbefore:\n{}", seen.watch, entries(&body), first[seen.watch]);
                }
                told.changes += 1;
            }
            What::Answer { is_resumed: true, .. } => told.resumed += 1,
            What::Answer { .. } => {
                let is_own = away.iter().any(|away| away.agent == agent && away.from <= seen.at && seen.at <= away.until);
                *(if is_own { &mut told.stopped } else { &mut told.woken }) += 1;
            }
            What::Refused(status) => told.refused.push(status),
            What::Lost => _ = lost.insert(seen.watch, seen.at),
            What::Back => {
                // Lost twice before the first answer: the second return has no gap of its own.
                if let Some(since) = lost.remove(&seen.watch) {
                    told.gaps.extend(Times::new(vec![seen.at - since], 0));
                }
            }
        }
    }
    let missing = lost.len();
    println!("{COUNT} services, {COUNT} watches, {} restarts: {} changes told", away.len(), told.changes);
    println!(
        "answers without a change: {} by the agent that stopped, {} after it was there again, {} by others; refused with {:?}",
        told.stopped, told.resumed, told.woken, told.refused
    );
    if told.gaps.n() > 0 {
        let (p50, p99, max) = (told.gaps.quantile(0.5), told.gaps.quantile(0.99), told.gaps.worst());
        println!(
            "{} reconnects: mean {:.0} ms, p50 {p50:.0}, p99 {p99:.0}, max {max:.0} without a connection",
            told.gaps.n(),
            told.gaps.mean()
        );
    }
    for (idx, agent) in fleet.iter().enumerate() {
        blocked(agent, list.iter().filter(|(_, at)| *at == idx).count());
    }
    // They are awake: a change is told.
    put(&fleet[list[0].0], &deregistration("svc-0-0"));
    let seen = watches.gather(1, SOON);
    assert!(seen.iter().any(|seen| seen.watch == 0), "a change was not told: {seen:?}");
    fleet.iter_mut().for_each(|agent| agent.stop(Duration::from_secs(5)));
    assert_eq!(
        (told.changes, told.woken, missing),
        (0, 0, 0),
        "(changes told, watches woken by others, watches that stayed away)"
    );
}
