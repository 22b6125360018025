//! Thousands of blocked requests for one service: what wakes them, how soon all are answered, what each costs.
//!
//! A change of another service must wake none; a change of theirs must be answered to all within 200 ms. They ask in four
//! ways, so that more than one body is made. The clients are one thread of this program and take processor time too. What other
//! programs take of the machine is measured and taken off before the goal is looked at.

use std::time::Duration;

use lobby_testkit::daemon::Daemon;
use tokio::task::JoinSet;

use crate::{
    agents::{self, CONNECTIONS, blocked, instance, put, registration},
    client::{Client, put_all, runtime},
    host::{CpuMeter, OthersMeter, cpu_time, lobbyd, metric, mib, now},
    times::Times,
    watch::{Seen, Watches, What},
};

/// Instances of the service that is watched. The goal is for the first.
const INSTANCES: [usize; 2] = [1, 10];
const WAYS: &[&str] = &["", "?passing", "?stale", "?tag=v1"];
const ROUNDS: usize = 9;

/// How long it is watched that nobody wakes.
const QUIET: Duration = Duration::from_secs(2);
const MOST: Duration = Duration::from_secs(10);
const GOAL_MS: f64 = 200.0;

pub(crate) fn run(n: u32) {
    raise_files();
    let (n, program) = (n.max(1) as usize, lobbyd());
    let times: Vec<_> = INSTANCES.iter().map(|instances| measure(&program, n, *instances)).collect();
    assert!(times[0] <= GOAL_MS, "above the goal of {GOAL_MS} ms");
}

/// All rounds with a service of so many instances; the median time until the last watch was answered, less what other programs
/// took of the machine meanwhile.
fn measure(program: &str, n: usize, instances: usize) -> f64 {
    // The one is only asked, so that it shows what connections cost that do not wait.
    let mut fleet = [agents::start(program, 1, &[]).remove(0), agents::start(program, 1, &[]).remove(0)];
    for agent in &fleet {
        put_all(agent, (0..instances).map(|idx| registration(&instance("web", idx))).collect(), 1);
    }
    let [asked, agent] = &fleet;
    let empty = [mib(&asked.process), mib(&agent.process)];
    let plain = plain(asked, n);
    let list = (0..n).map(|idx| (agent.http, path(idx)));
    let (watches, first) = Watches::start(list.collect());
    blocked(agent, n);
    let full = mib(&agent.process);
    let each = |mib: f64| mib * 1024.0 / n as f64;
    println!("\n{n} watches of {} bytes each, {instances} instances, asked for in {} ways", first[0].len(), WAYS.len());
    println!(
        "RSS {:.1} MiB without, {full:.1} MiB with: {:.1} KiB a watch, of which {:.1} are those of a connection that has asked once",
        empty[1],
        each(full - empty[1]),
        each(plain.1 - empty[0])
    );
    irrelevant(agent, &watches);

    let (mut all, mut worst) = (Times::default(), Vec::new());
    let others = OthersMeter::start(fleet.iter().map(|agent| &agent.process));
    println!("| round | answered | mean ms | p99 | max | processor ms of lobbyd | of the clients | in vain |");
    println!("|---|---|---|---|---|---|---|---|");
    for round in 0..ROUNDS {
        let pids = [agent.process.pid(), std::process::id()];
        let (used, in_vain) = (pids.map(cpu_time), in_vain(agent));
        let times = relevant(agent, &watches, n, round);
        let used: [_; 2] = std::array::from_fn(|idx| (cpu_time(pids[idx]) - used[idx]).as_millis());
        blocked(agent, n);
        let in_vain = self::in_vain(agent) - in_vain;
        println!("| {round} | {} of {n} | {} | {} | {} | {in_vain} |", n - times.missed, times.cells(), used[0], used[1]);
        worst.push(times.worst());
        all.extend(times);
    }
    worst.sort_by(f64::total_cmp);
    let (median, others) = (worst[worst.len() / 2], others.percent());
    let alone = median * (1.0 - others / 100.0);
    let (p50, p99, max) = (all.quantile(0.5), all.quantile(0.99), all.worst());
    println!("all rounds: p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms; the last of a round: {median:.0} ms (median)");
    println!(
        "plain reads over as many connections, all at once: the last after {:.0} ms: ratio {:.2}",
        plain.0,
        median / plain.0
    );
    println!(
        "meanwhile other programs took {others:.0} % of all cores; without them the last of a round after about {alone:.0} ms"
    );
    println!("RSS afterwards {:.1} MiB", mib(&agent.process));
    drop(watches);
    fleet.iter_mut().for_each(|agent| agent.stop(Duration::from_secs(5)));
    assert_eq!(all.missed, 0, "watches without an answer");
    alone
}

fn path(idx: usize) -> String {
    format!("/v1/health/service/web{}", WAYS[idx % WAYS.len()])
}

/// As many clients that only ask, all at once: the median time of all rounds until the last has its answer, and the agent's
/// memory with those connections open.
fn plain(agent: &Daemon, n: usize) -> (f64, f64) {
    let address = agent.http;
    runtime().block_on(async {
        let mut clients = Vec::new();
        for idx in 0..n {
            clients.push((path(idx), Client::connect(address).await.expect("a connection")));
        }
        let (mut worst, mut memory) = (Vec::new(), 0.0);
        for round in 0..ROUNDS {
            let start = now();
            let mut tasks = JoinSet::new();
            for (path, mut client) in clients.drain(..) {
                tasks.spawn(async move {
                    let answer = client.ask("GET", &path, "").await.expect("an answer");
                    assert_eq!(answer.status, 200, "GET {path}");
                    (path, client)
                });
            }
            clients = tasks.join_all().await;
            worst.push(start.elapsed().as_secs_f64() * 1000.0);
            if round == 0 {
                memory = mib(&agent.process);
            }
        }
        worst.sort_by(f64::total_cmp);
        (worst[worst.len() / 2], memory)
    })
}

/// Changes of other services.
fn irrelevant(agent: &Daemon, watches: &Watches) {
    let (wakes, meter) = (metric(agent, "lobby_watch_wakes_total", &[]), CpuMeter::start(&agent.process));
    let puts = (0..100).map(|idx| registration(&instance("other", idx))).collect();
    put_all(agent, puts, CONNECTIONS);
    let seen = watches.gather(1, QUIET);
    let woken = metric(agent, "lobby_watch_wakes_total", &[]) - wakes;
    println!("100 changes of another service: {} answers, {woken} woken, CPU {:.0} %", seen.len(), meter.percent());
    assert!(seen.is_empty() && woken == 0, "an irrelevant change woke a watch: {:?}", seen.first());
}

/// One change of theirs: how long until each was answered.
fn relevant(agent: &Daemon, watches: &Watches, n: usize, round: usize) -> Times {
    let mut changed = instance("web", 0);
    changed["Meta"]["round"] = round.to_string().into();
    let start = now();
    put(agent, &registration(&changed));
    let seen = watches.gather(n, MOST);
    let is_answer = |seen: &&Seen| matches!(&seen.what, What::Answer { is_resumed: false, .. });
    let known: Vec<_> = seen.iter().filter(is_answer).map(|seen| seen.at - start).collect();
    assert!(known.len() <= n, "{} answers to {n} watches", known.len());
    let missed = n - known.len();
    Times::new(known, missed)
}

fn in_vain(agent: &Daemon) -> u64 {
    metric(agent, "lobby_watch_wakes_in_vain_total", &[])
}

/// As many open files as we may have.
fn raise_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Without it there are fewer sockets, which is an error of its own.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
