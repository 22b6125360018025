//! Five daemons over gossip while labels change ten times a second and one of them restarts every five seconds, by kill
//! and by a clean stop in turns. At the end all views are equal, and every acknowledged label is there.

use std::{collections::BTreeSet, time::Duration};

use lobby_testkit::{daemon::Daemon, eventually, expect, port::free_address};
use serde_json::Value;

use crate::{
    host::{CpuMeter, lobbyd, metric, mib, now, sleep_until},
    random::Random,
};

const DAEMONS: usize = 5;
const CHANGE: Duration = Duration::from_millis(100);
const CHANGES_PER_RESTART: u32 = 50;

/// Different labels that come and go on each daemon.
const LABELS: usize = 40;

/// How long the views may take to become equal after the last change.
const CALM: Duration = Duration::from_secs(30);

pub(crate) fn run(seconds: u32) {
    let program = lobbyd();
    let addresses: Vec<_> = (0..DAEMONS).map(|_| free_address()).collect();
    let join = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let start = |(idx, address)| {
        let builder = Daemon::build(&program, &format!("soak-{idx}")).env("DRIVER", "gossip");
        builder.env("GOSSIP_ADDR", address).env("GOSSIP_JOIN", &join).start()
    };
    let mut daemons: Vec<Daemon> = addresses.iter().enumerate().map(start).collect();
    let mut wanted = vec![BTreeSet::new(); DAEMONS];
    let mut random = Random(3);
    let (begin, n_changes) = (now(), seconds.max(1) * 10);
    let (mut restarts, mut slowest) = (0, Duration::ZERO);
    for change in 0..n_changes {
        sleep_until(begin + CHANGE * change);
        if change % CHANGES_PER_RESTART == CHANGES_PER_RESTART - 1 {
            restart(&mut daemons, restarts);
            restarts += 1;
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
    println!("{n_changes} label changes, {restarts} restarts; all views equal {settled:.1?} after the last change");
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
}

/// Kills or stops the next daemon in turn and starts it again.
fn restart(daemons: &mut Vec<Daemon>, restarts: usize) {
    let mut daemon = daemons.remove(restarts % DAEMONS);
    if restarts % 2 == 1 {
        daemon.stop(Duration::from_secs(5));
    }
    daemons.insert(restarts % DAEMONS, daemon.start_again());
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
