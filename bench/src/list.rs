//! How many lists a daemon serves in a second, beside nginx that serves the very same bytes from a file.
//!
//! Both run at the same time, wrk asks them in turns, and each figure is the median of its rounds. The client takes a
//! core of its own, so processor time is shown too.

use std::{net::SocketAddr, process::Command, time::Duration};

use lobby_testkit::{
    daemon::Daemon,
    eventually, expect, http,
    process::{Process, find},
    server::{Server, nats, nginx},
};

use crate::{
    host::{CpuMeter, lobbyd, metric, mib},
    nats::{Publisher, packet},
};

const COUNTS: &[usize] = &[1_000, 10_000];
const PATHS: &[&str] = &["/", "/v1/prometheus/x"];

/// What the goal says: half of nginx.
pub(crate) const GOAL: f64 = 0.5;

/// What one run of wrk said.
#[derive(Clone, Copy)]
struct Speed {
    requests: f64,
    cpu: f64,
}

pub(crate) fn run(rounds: u32) {
    let program = lobbyd();
    println!("| servers | path | bytes | lobbyd req/s | CPU | nginx req/s | CPU | ratio | of rounds |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut worst = f64::MAX;
    for count in COUNTS {
        let (broker, mut daemon) = filled(&program, *count);
        for path in PATHS {
            worst = worst.min(compare(&daemon, *count, path, rounds.max(1)));
        }
        eprintln!("{count} servers: lobbyd uses {:.1} MiB", mib(&daemon.process));
        daemon.stop(Duration::from_secs(5));
        drop(broker);
    }
    println!("worst ratio {worst:.2}, goal {GOAL}");
    assert!(worst >= GOAL, "below the goal");
}

/// A daemon that knows `count` servers of the old kind and lists nobody else.
fn filled(program: &str, count: usize) -> (Server, Daemon) {
    let broker = nats::start("");
    let builder = Daemon::build(program, "bench").env("DRIVER", "nats").env("NATS_URL", nats::url(&broker));
    let daemon = builder.env("REGISTER", "false").env("TTL", 3600).start();
    eventually(Duration::from_secs(20), || {
        let up = metric(&daemon, "lobby_exchange_link", &["state=\"up\""]);
        expect(up == 1, "the link is not up")
    });
    let mut publisher = Publisher::connect(broker.address);
    let numbers: Vec<_> = (0..count).collect();
    // Old daemons speak one after the other; a burst above the daemon's queue would be cut.
    for burst in numbers.chunks(500) {
        burst.iter().for_each(|number| publisher.publish(&packet(*number)));
        let listed = burst.last().map_or(0, |number| number + 1);
        eventually(Duration::from_secs(30), || {
            let hosts = metric(&daemon, "lobby_hosts", &[]);
            expect(hosts == listed as u64, hosts)
        });
    }
    eventually(Duration::from_secs(30), || expect(metric(&daemon, "lobby_warm", &[]) == 1, "not warm"));
    (broker, daemon)
}

/// Prints one line of the table; returns the ratio.
pub(crate) fn compare(daemon: &Daemon, count: usize, path: &str, rounds: u32) -> f64 {
    let body = daemon.get(path).body;
    let mut nginx = nginx::start(|address, folder| {
        format!(
            "sendfile on; tcp_nopush on; open_file_cache max=10; keepalive_requests 100000000; default_type application/json;\n\
             server {{ listen {address}; root {}; }}",
            folder.join("www").display()
        )
    });
    let www = nginx.folder().join("www");
    std::fs::create_dir(&www).and_then(|()| std::fs::write(www.join("list.json"), &body)).expect("a file in a fresh folder");
    let served = http::get(nginx.address, "/list.json").expect("nginx answers");
    assert_eq!((served.status, served.body.len()), (200, body.len()), "nginx does not serve the file");

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let address = nginx.address;
    for _ in 0..rounds {
        ours.push(measure(&daemon.process, daemon.http, path));
        theirs.push(measure(nginx.process(), address, "/list.json"));
    }
    // Of neighbouring runs, so that what else the machine does meanwhile weighs on both.
    let mut ratios: Vec<_> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours.requests / theirs.requests).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "| {count} | `{path}` | {} | {:.0} | {:.0} % | {:.0} | {:.0} % | {ratio:.2} | {:.2} to {:.2} |",
        body.len(),
        ours.requests,
        ours.cpu,
        theirs.requests,
        theirs.cpu,
        ratios[0],
        ratios[ratios.len() - 1]
    );
    ratio
}

/// One run of wrk.
fn measure(server: &Process, address: SocketAddr, path: &str) -> Speed {
    let meter = CpuMeter::start(server);
    let output = Command::new(find("wrk")).args(["-t1", "-c16", "-d5s"]).arg(format!("http://{address}{path}")).output();
    let cpu = meter.percent();
    let text = String::from_utf8(output.expect("wrk can be started").stdout).expect("wrk writes text");
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "wrk saw errors:\n{text}");
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    let requests = line.and_then(|text| text.trim().parse().ok());
    Speed { requests: requests.unwrap_or_else(|| panic!("wrk said\n{text}")), cpu }
}

fn median(mut speeds: Vec<Speed>) -> Speed {
    speeds.sort_by(|a, b| a.requests.total_cmp(&b.requests));
    speeds[speeds.len() / 2]
}
