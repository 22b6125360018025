//! Thirty daemons over gossip while labels change ten times a second and one of them restarts every two seconds, by kill,
//! by a clean stop and by an announced restart in turns. At the end all views are equal, and every acknowledged label is
//! there; the memory of those that were never restarted is flat, and no queue was ever above its bound.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lobby_testkit::{daemon::Daemon, eventually, expect, port::free_address, process::Signal};
use serde_json::Value;

use crate::{
    host::{CpuMeter, lobbyd, metric, mib, now, sleep_until},
    random::Random,
};

const DAEMONS: usize = 30;

/// The first ones are never restarted: their memory shows whether anything piles up.
const ELDERS: usize = 5;
const CHANGE: Duration = Duration::from_millis(100);
const CHANGES_PER_RESTART: u32 = 20;

/// How much more memory an elder may have at the end than after a third of the time: pages that the allocator keeps.
const SLACK: f64 = 1.25;

/// Different labels that come and go on each daemon.
const LABELS: usize = 40;

/// How long the views may take to become equal after the last change.
const CALM: Duration = Duration::from_secs(30);

pub(crate) fn run(seconds: u32) {
    let program = lobbyd();
    let addresses: Vec<_> = (0..DAEMONS).map(|_| free_address()).collect();
    let join = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    // Two digits: lists are sorted by name, and views are compared in the order of daemons.
    let start = |(idx, address)| {
        let builder = Daemon::build(&program, &format!("soak-{idx:02}")).env("DRIVER", "gossip");
        builder.env("GOSSIP_ADDR", address).env("GOSSIP_JOIN", &join).start()
    };
    let mut daemons: Vec<Daemon> = addresses.iter().enumerate().map(start).collect();
    let mut wanted = vec![BTreeSet::new(); DAEMONS];
    let mut random = Random(3);
    let (begin, n_changes) = (now(), seconds.max(1) * 10);
    let (mut restarts, mut slowest) = (0, Duration::ZERO);
    let (mut early, mut queues) = (0.0, Queues::default());
    for change in 0..n_changes {
        sleep_until(begin + CHANGE * change);
        if change % CHANGES_PER_RESTART == CHANGES_PER_RESTART - 1 {
            restart(&mut daemons, restarts);
            restarts += 1;
        }
        if change % 10 == 0 {
            queues.look_at(&daemons[change as usize / 10 % ELDERS]);
        }
        if change == n_changes / 3 {
            early = elders_mib(&daemons);
        }
        let (idx, label) = (random.below(DAEMONS), format!("soak:{}", random.below(LABELS)));
        let asked = now();
        toggle(&daemons[idx], &mut wanted[idx], label);
        slowest = slowest.max(asked.elapsed());
    }

    let quiet = now();
    eventually(CALM, || {
        let views: Vec<_> = daemons.iter().map(view).collect();
        expect(views.iter().all(|view| *view == wanted), format!("wanted {wanted:?}\nseen {views:?}"))
    });
    let settled = quiet.elapsed();
    let late = elders_mib(&daemons);
    println!("{n_changes} label changes, {restarts} restarts; all views equal {settled:.1?} after the last change");
    println!("memory of the {ELDERS} never restarted: {early:.1} MiB each after a third of the time, {late:.1} MiB at the end");
    queues.print();
    println!(
        "slowest acknowledged change {slowest:.1?}\n\n| daemon | RSS MiB | CPU at rest | gossip MiB sent since its last start |\n|---|---|---|---|"
    );
    let meters: Vec<_> = daemons.iter().map(|daemon| CpuMeter::start(&daemon.process)).collect();
    sleep_until(now() + Duration::from_secs(5));
    for (idx, daemon) in daemons.iter().enumerate() {
        let sent = metric(daemon, "lobby_sent_bytes_total", &[]) as f64 / f64::from(1 << 20);
        println!("| {idx} | {:.1} | {:.1} % | {sent:.2} |", mib(&daemon.process), meters[idx].percent());
    }
    daemons.iter_mut().for_each(|daemon| daemon.stop(Duration::from_secs(5)));
    assert!(late <= early * SLACK, "memory grows: {early:.1} MiB, then {late:.1} MiB");
}

/// Kills or stops the next daemon in turn and starts it again.
fn restart(daemons: &mut Vec<Daemon>, restarts: usize) {
    let idx = ELDERS + restarts % (DAEMONS - ELDERS);
    let mut daemon = daemons.remove(idx);
    match restarts % 3 {
        0 => {}
        1 => daemon.stop(Duration::from_secs(5)),
        _ => {
            daemon.process.signal(Signal::USR2);
            daemon.process.wait(Duration::from_secs(5));
        }
    }
    daemons.insert(idx, daemon.start_again());
}

fn elders_mib(daemons: &[Daemon]) -> f64 {
    daemons[..ELDERS].iter().map(|daemon| mib(&daemon.process)).sum::<f64>() / ELDERS as f64
}

/// The deepest that each queue was seen, and its bound.
#[derive(Default)]
struct Queues(BTreeMap<String, (u64, u64)>);

impl Queues {
    fn look_at(&mut self, daemon: &Daemon) {
        let metrics = daemon.get("/metrics").text();
        let value = |line: &str| line.rsplit(' ').next().and_then(|text| text.parse::<u64>().ok());
        for (place, name) in [(0, "lobby_queue_depth"), (1, "lobby_queue_bound")] {
            for line in metrics.lines().filter(|line| line.starts_with(name)) {
                let labels = line.split(['{', '}']).nth(1).unwrap_or_default();
                let (deepest, bound) = self.0.entry(labels.to_owned()).or_default();
                let seen = if place == 0 { deepest } else { bound };
                *seen = (*seen).max(value(line).unwrap_or_default());
            }
        }
    }

    fn print(&self) {
        for (queue, (deepest, bound)) in &self.0 {
            println!("queue {queue}: {deepest} of {bound} at most");
            assert!(deepest <= bound, "a queue above its bound");
        }
    }
}

/// Adds the label, or takes it away when it is there.
fn toggle(daemon: &Daemon, wanted: &mut BTreeSet<String>, label: String) {
    let method = if wanted.contains(&label) { "DELETE" } else { "POST" };
    let answer = daemon.request(method, "/v1/labels", &[], &label);
    assert_eq!(answer.status, 200, "{method} of a label: {}", answer.text());
    if !wanted.remove(&label) {
        wanted.insert(label);
    }
}

/// The labels of each daemon as this one lists them; fewer when somebody is not listed.
fn view(daemon: &Daemon) -> Vec<BTreeSet<String>> {
    let list = daemon.get("/").json();
    let labels =
        |packet: &Value| packet["labels"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    list.as_array().into_iter().flatten().map(labels).collect()
}
