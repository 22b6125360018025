//! How many registrations an agent acknowledges in a second, each on disk before, and that nothing piles up.
//!
//! Beside it, what the disk does alone: one append and one fdatasync after the other in the same folder. How many
//! acknowledgements share an fdatasync is what the agent counts of its journal.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::Duration,
};

use lobby_testkit::daemon::Daemon;

use crate::{
    agents::{self, deregistration, instance, registration},
    client::{Put, put_all},
    host::{CpuMeter, lobbyd, metric, mib, now},
    times::Times,
};

const CONNECTIONS: &[usize] = &[1, 16, 64];

/// Acknowledgements measured for one connection; more for more of them.
const ACKS: usize = 400;

/// The part of the pairs after which memory is first looked at.
const PARTS: usize = 5;

/// How much more memory there may be at the end than after the first part.
const SLACK: f64 = 1.25;

/// The file is compacted at twice its live size, but not below a megabyte or so.
const FILE_BYTES: u64 = 8 << 20;

pub(crate) fn run(pairs: u32) {
    let mut fleet = agents::start(&lobbyd(), 1, &[]);
    let agent = &fleet[0];
    println!("| connections | acks/s | of the disk alone | mean ms | p50 | p99 | max | acks a sync | CPU |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for connections in CONNECTIONS {
        let disk = disk_alone(&agent.folder().join("data"));
        let n = ACKS * (connections / 4).max(1);
        let (syncs, start, meter) = (syncs(agent), now(), CpuMeter::start(&agent.process));
        let times = Times::new(put_all(agent, self::pairs(n / 2, *connections), *connections), 0);
        let (rate, cpu) = (times.n() as f64 / start.elapsed().as_secs_f64(), meter.percent());
        let acks_a_sync = times.n() as f64 / (self::syncs(agent) - syncs) as f64;
        let (p50, p99, max) = (times.quantile(0.5), times.quantile(0.99), times.worst());
        println!(
            "| {connections} | {rate:.0} | {:.2} of {disk:.0} | {:.1} | {p50:.1} | {p99:.1} | {max:.1} | {acks_a_sync:.1} | {cpu:.0} % |",
            rate / disk,
            times.mean(),
        );
    }

    let (start, mut early) = (now(), 0.0);
    println!("\n| pairs | RSS MiB | journal KiB |\n|---|---|---|");
    println!("| 0 | {:.1} | {} |", mib(&agent.process), journal(agent) / 1024);
    for part in 1..=PARTS {
        put_all(agent, self::pairs(pairs as usize / PARTS, 64), 64);
        let (memory, bytes) = (mib(&agent.process), journal(agent));
        println!("| {} | {memory:.1} | {} |", pairs as usize / PARTS * part, bytes / 1024);
        if part == 1 {
            early = memory;
        }
        assert!(memory <= early * SLACK, "memory grows: {early:.1} MiB, then {memory:.1} MiB");
        assert!(bytes <= FILE_BYTES, "the journal grows: {bytes} bytes");
    }
    println!("{pairs} pairs in {:.1?}", start.elapsed());
    let left = agent.get("/v1/agent/services").text();
    fleet.iter_mut().for_each(|agent| agent.stop(Duration::from_secs(5)));
    assert_eq!(left.trim(), "{}", "services are left");
}

/// Registers and deregisters in turns; each connection has an instance of its own.
fn pairs(n: usize, connections: usize) -> Vec<Put> {
    // Shares are dealt in turns, so a connection's register comes before its deregister.
    let round = |_| {
        let register = (0..connections).map(|own| registration(&instance("web", own)));
        register.chain((0..connections).map(|own| deregistration(format_args!("web-{own}"))))
    };
    (0..n.div_ceil(connections)).flat_map(round).collect()
}

/// fdatasyncs in a second, one entry each.
fn disk_alone(folder: &Path) -> f64 {
    let path = folder.join("peer");
    let mut file = File::create(&path).expect("a file in the agent's folder");
    let (start, mut n) = (now(), 0.0);
    while start.elapsed() < Duration::from_secs(1) {
        file.write_all(&[7; 400]).and_then(|()| file.sync_data()).expect("the disk can be written");
        n += 1.0;
    }
    let rate = n / start.elapsed().as_secs_f64();
    fs::remove_file(path).expect("our file");
    rate
}

/// Syncs of the registry's journal since the agent's start.
fn syncs(agent: &Daemon) -> u64 {
    metric(agent, "lobby_journal_commits_total", &[])
}

/// Bytes of the registry's journal, a draft of a compaction included.
fn journal(agent: &Daemon) -> u64 {
    let files = fs::read_dir(agent.folder().join("data")).expect("the agent's folder").flatten();
    let ours = files.filter(|file| file.file_name().to_string_lossy().starts_with("registry"));
    ours.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}
