//! As many `lobbyd` as `serf agent`, each on a host of its own at one switch, both fleets sealed with a key: what an idle
//! agent costs, and how long it takes until everybody else knows of a join, an event, a leave, the death of a process and
//! the death of a host.
//!
//! Each time is counted from before the act until the line in the other agents' logs was read; commands (`lobbyctl event`,
//! `serf event`) start inside that time for both. A host dies by its cable being pulled at the switch; its agent is killed
//! after that, so that it can come back. Needs root, `serf`, `ip` and `nft`.

use std::time::Duration;

use lobby_testkit::{TempDir, bridge::Bridge, process::Signal};

use crate::{
    fleet::{Agent, Fleet, Kind},
    host::{cpu_time, lobbyd, now, sleep_until},
    times::{self, Times},
};

/// How long the idle cost is measured.
const IDLE: Duration = Duration::from_secs(30);

/// How long everybody may take to know. Serf's slowest is about ten seconds at this size.
const MOST: Duration = Duration::from_secs(40);

/// Between the end of one act and the next: what the last one stirred up has settled.
const CALM: Duration = Duration::from_secs(3);

/// Every death takes another agent, and agent 0 is the one that all join.
const LEAST: usize = DEATHS + 4;

const EVENTS: usize = 20;
const LEAVES: usize = 5;
const DEATHS: usize = 10;

pub(crate) fn run(agents: u32) {
    let n = (agents as usize).clamp(LEAST, 100);
    let folder = TempDir::new().expect("a temporary folder");
    let (lobbyd, bridge) = (lobbyd(), Bridge::new(2 * n));
    let mut fleets = [
        Fleet::start(Kind::Lobby { program: lobbyd.into() }, &bridge, 0, n, folder.path()),
        Fleet::start(Kind::Serf, &bridge, n, n, folder.path()),
    ];
    println!("{n} lobbyd beside {n} serf agents, each on its own host, times in milliseconds\n");
    println!("| what | observers | lobbyd mean | p99 | worst | serf mean | p99 | worst | serf ÷ lobbyd (mean) |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let (idle_bytes, idle_mib) = idle(&fleets, &bridge, n);
    let events = both(&mut fleets, EVENTS, |fleet, round| {
        let (name, start) = (format!("bench-{round}"), now());
        fleet.fire(round % fleet.agents.len(), &name);
        fleet.heard(start, |line| line.contains(&name), MOST)
    });
    times::row("event", &events);
    let leaves = both(&mut fleets, LEAVES, |fleet, round| {
        let (victim, start) = (1 + round, now());
        let name = fleet.victim(victim).name.clone();
        fleet.agents[victim].process.signal(Signal::INT);
        fleet.heard(start, |line| fleet.kind.tells_leave(line, &name), MOST)
    });
    times::row("leave", &leaves);
    let joins = both(&mut fleets, LEAVES, |fleet, round| {
        let (newcomer, start) = (1 + round, now());
        fleet.start_again(newcomer, &bridge);
        let name = fleet.victim(newcomer).name.clone();
        let heard = fleet.heard(start, |line| fleet.kind.tells_join(line, &name), MOST);
        fleet.agents[newcomer].is_up = true;
        heard
    });
    times::row("join, from the start of the process", &joins);
    let processes = both(&mut fleets, DEATHS, |fleet, round| {
        let (victim, start) = (1 + round, now());
        let name = fleet.victim(victim).name.clone();
        fleet.agents[victim].process.kill();
        let heard = fleet.heard(start, |line| fleet.kind.tells_death(line, &name), MOST);
        fleet.start_again(victim, &bridge);
        heard
    });
    times::row("`kill -9` of the agent", &processes);
    let hosts = both(&mut fleets, DEATHS, |fleet, round| {
        let (victim, start) = (1 + DEATHS + round % (fleet.agents.len() - DEATHS - 1), now());
        bridge.unplug(fleet.first + victim);
        let name = fleet.victim(victim).name.clone();
        let heard = fleet.heard(start, |line| fleet.kind.tells_death(line, &name), MOST);
        fleet.agents[victim].process.kill();
        bridge.plug(fleet.first + victim);
        fleet.start_again(victim, &bridge);
        heard
    });
    times::row("death of the host (silence)", &hosts);
    judge(&[
        ("idle, B/s", idle_bytes, 900.0),
        ("idle, MiB", idle_mib, 10.0),
        ("event at the last, ms", events[0].worst(), 100.0),
        ("death of a process, 99 %, ms", processes[0].quantile(0.99), 200.0),
        ("death of a host, mean, ms", hosts[0].mean(), 4500.0),
        ("death of a host, mean, ms, at most Serf's", hosts[0].mean(), hosts[1].mean()),
        (
            "observers that never knew",
            [events, leaves, joins, processes, hosts].map(|both| both[0].missed).iter().sum::<usize>() as f64,
            0.0,
        ),
    ]);
}

/// Fails when one of lobbyd's numbers is above its goal.
fn judge(goals: &[(&str, f64, f64)]) {
    println!();
    for (what, value, most) in goals {
        println!("goal: {what}: {value:.1}, at most {most:.1}: {}", if value <= most { "reached" } else { "MISSED" });
    }
    assert!(goals.iter().all(|(_, value, most)| value <= most), "a goal was missed");
}

/// Runs an act on both fleets in turns and collects the times of both.
fn both(fleets: &mut [Fleet; 2], rounds: usize, mut act: impl FnMut(&mut Fleet, usize) -> Times) -> [Times; 2] {
    let mut all = [Times::default(), Times::default()];
    for round in 0..rounds {
        for (fleet, times) in fleets.iter_mut().zip(&mut all) {
            times.extend(act(fleet, round));
        }
        sleep_until(now() + CALM);
    }
    all
}

/// What an agent costs while nothing happens: bytes per second and MiB of lobbyd.
fn idle(fleets: &[Fleet; 2], bridge: &Bridge, n: usize) -> (f64, f64) {
    sleep_until(now() + CALM * 5);
    let sent = |fleet: &Fleet| {
        (fleet.first..fleet.first + n).map(|host| bridge.sent(host)).fold((0, 0), |sum, sent| (sum.0 + sent.0, sum.1 + sent.1))
    };
    let cpu = |fleet: &Fleet| fleet.agents.iter().map(|agent: &Agent| cpu_time(agent.process.pid())).sum::<Duration>();
    let (begin, before) = (now(), fleets.each_ref().map(|fleet| (sent(fleet), cpu(fleet))));
    sleep_until(begin + IDLE);
    let after = fleets.each_ref().map(|fleet| (sent(fleet), cpu(fleet)));
    let seconds = begin.elapsed().as_secs_f64() * n as f64;
    let costs = fleets.iter().zip(before.iter().zip(&after)).map(|(fleet, (before, after))| {
        let packets = (after.0.0 - before.0.0) as f64 / seconds;
        let bytes = (after.0.1 - before.0.1) as f64 / seconds;
        let cpu = (after.1 - before.1).as_secs_f64() / seconds * 100.0;
        let rss = fleet.agents.iter().map(|agent| agent.process.memory()).sum::<u64>() as f64 / n as f64 / f64::from(1 << 20);
        println!(
            "| idle {} | {packets:.1} packets/s | {bytes:.0} B/s with Ethernet headers | {cpu:.2} % of a core | {rss:.1} MiB RSS | | | | |",
            fleet.kind.name()
        );
        (bytes, rss)
    });
    costs.collect::<Vec<_>>()[0]
}
