//! Answers of DNS a second: dnsperf at an agent, at knot and at dnsmasq, which serve the same names, turn by turn.
//!
//! 1 000 services of ten instances, A and SRV with EDNS; knot and lobbyd have one worker each, as dnsmasq has. The agent has a
//! second table with 50 changes of its catalog a second meanwhile, which the others cannot have.
//! Not here: what the answers are (`lobby-dns`), the other protocols.

use std::{
    fmt::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use lobby_testkit::{
    TempDir,
    daemon::Daemon,
    http, port,
    process::{Process, find},
};
use serde_json::json;

use crate::{
    agents::{self, CONNECTIONS, registration},
    client::put_all,
    host::{lobbyd, mib, now, sleep_until},
};

const SERVICES: usize = 1_000;
const INSTANCES: usize = 10;
const SECONDS: u32 = 5;
const CHANGES_A_SECOND: u32 = 50;

/// Questions a second at which latency is looked at: far from the end of any of them but dnsmasq with SRV.
const STEADY: &str = "1000";

/// The goals: as many answers as dnsmasq, half as many as knot.
const GOALS: [f64; 2] = [1.0, 0.5];

pub(crate) fn run(rounds: u32) {
    let folder = TempDir::with_prefix("bench-dns-").expect("a temporary folder");
    let agents = agents::start(&lobbyd(), 1, &[("DNS_ADDR", "127.0.0.1:0")]);
    let agent = &agents[0];
    let at = agent.ready["dns"].as_str().and_then(|text| text.parse().ok()).expect("the agent has DNS");
    let all = (0..SERVICES).flat_map(|service| (0..INSTANCES).map(move |idx| (service, idx)));
    put_all(agent, all.map(|(service, idx)| offer(service, idx, 0)).collect(), CONNECTIONS);
    let (_knot, knot) = knot(folder.path());
    let (_dnsmasq, dnsmasq) = dnsmasq(folder.path());
    println!(
        "| type | lobbyd answers/s | p99 | with {CHANGES_A_SECOND} changes/s | p99 | dnsmasq | p99 | ratio | knot | p99 | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut worst = [f64::MAX; 2];
    for kind in ["A", "SRV"] {
        let questions = folder.path().join(kind);
        std::fs::write(&questions, questions_of(kind)).expect("a file of ours");
        // The best of each: what disturbs only slows.
        let mut best = [Measured::default(); 4];
        for _ in 0..rounds.max(1) {
            let quiet = measure(at, &questions);
            let busy = changing(agent, || measure(at, &questions));
            for (best, seen) in best.iter_mut().zip([quiet, busy, measure(dnsmasq, &questions), measure(knot, &questions)]) {
                *best = if seen.answers > best.answers { seen } else { *best };
            }
        }
        let [quiet, busy, dnsmasq, knot] = best;
        let ratios = [dnsmasq, knot].map(|peer| busy.answers / peer.answers);
        println!(
            "| {kind} | {:.0} | {:.2} ms | {:.0} | {:.2} ms | {:.0} | {:.2} ms | {:.2} | {:.0} | {:.2} ms | {:.2} |",
            quiet.answers,
            quiet.p99,
            busy.answers,
            busy.p99,
            dnsmasq.answers,
            dnsmasq.p99,
            ratios[0],
            knot.answers,
            knot.p99,
            ratios[1]
        );
        worst = [worst[0].min(ratios[0]), worst[1].min(ratios[1])];
    }
    println!("RSS of the agent: {:.1} MiB", mib(&agent.process));
    assert!(worst[0] >= GOALS[0] && worst[1] >= GOALS[1], "below the goals {GOALS:?}: {worst:?}");
}

/// What dnsperf says of one run.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    answers: f64,
    /// In milliseconds.
    p99: f64,
}

fn address(service: usize, idx: usize) -> String {
    format!("10.{idx}.{}.{}", service / 250, service % 250 + 1)
}

fn offer(service: usize, idx: usize, version: u32) -> (String, String) {
    let name = format!("svc{service}");
    registration(&json!({
        "Name": name, "ID": format!("{name}-{idx}"), "Address": address(service, idx), "Port": 80, "Meta": {"v": version.to_string()},
    }))
}

/// Runs something while instances of the agent change.
fn changing<T>(agent: &Daemon, run: impl FnOnce() -> T) -> T {
    let (stop, http) = (Arc::new(AtomicBool::new(false)), agent.http);
    let stopped = stop.clone();
    let changes = thread::spawn(move || {
        let start = now();
        let mut n = 0;
        while !stopped.load(Ordering::Relaxed) {
            let (path, body) = offer(n as usize % SERVICES, 0, n);
            http::request(http, "PUT", &path, &[], body.as_bytes()).expect("the agent takes changes");
            n += 1;
            let due = Duration::from_secs(1) * n / CHANGES_A_SECOND;
            sleep_until(start + due);
        }
        let wanted = 0.9 * f64::from(CHANGES_A_SECOND) * start.elapsed().as_secs_f64();
        assert!(f64::from(n) >= wanted, "{n} changes instead of {wanted:.0}");
    });
    let result = run();
    stop.store(true, Ordering::Relaxed);
    changes.join().expect("changes are made to the end");
    result
}

fn questions_of(kind: &str) -> String {
    // A step that has no divisor in common with the number of services visits all of them.
    let mut text = String::new();
    for n in 0..10 * SERVICES {
        writeln!(text, "svc{}.service.lobby {kind}", n * 387 % SERVICES).expect("a text takes all");
    }
    text
}

fn measure(at: SocketAddr, questions: &Path) -> Measured {
    let text = dnsperf(at, questions, &["-q", "100"]);
    let number = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_else(|| panic!("no {name}\n{text}"));
        line.trim().split([' ', '(']).next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    };
    let codes = text.lines().find_map(|line| line.trim().strip_prefix("Response codes:")).unwrap_or_default().trim();
    assert!(codes.starts_with("NOERROR ") && !codes.contains(','), "others than answers: {codes}");
    let lost = number("Queries lost:") / number("Queries sent:");
    assert!(lost < 0.001, "{text}");
    Measured { answers: number("Queries per second:"), p99: p99(at, questions) }
}

/// The latency below which 99 of 100 answers come while [`STEADY`] are asked for a second, in milliseconds.
fn p99(at: SocketAddr, questions: &Path) -> f64 {
    // Each answer is a line that ends with its latency: `> NOERROR svc1.service.lobby A 0.000123`.
    let text = dnsperf(at, questions, &["-v", "-Q", STEADY]);
    let answers = text.lines().filter(|line| line.starts_with("> NOERROR "));
    let mut latencies: Vec<f64> = answers.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    latencies.sort_by(f64::total_cmp);
    assert!(latencies.len() > 1000, "{text}");
    latencies[latencies.len() * 99 / 100] * 1000.0
}

fn dnsperf(at: SocketAddr, questions: &Path, more: &[&str]) -> String {
    let mut command = Command::new(find("dnsperf"));
    command.args(["-s", &at.ip().to_string(), "-p", &at.port().to_string(), "-e", "-c", "4", "-T", "1"]);
    command.args(["-l", &SECONDS.to_string(), "-d"]).arg(questions).args(more).stderr(Stdio::null());
    String::from_utf8(command.output().expect("dnsperf runs").stdout).expect("dnsperf writes text")
}

fn hex(service: usize, idx: usize) -> String {
    address(service, idx).split('.').map(|part| format!("{:02x}", part.parse::<u8>().expect("a byte"))).collect()
}

fn knot(folder: &Path) -> (Process, SocketAddr) {
    let at = port::free_address();
    let mut zone = "$ORIGIN service.lobby.\n$TTL 0\n@ SOA ns.lobby. h.lobby. 1 3600 600 86400 1\n@ NS ns.lobby.\n".to_owned();
    for (service, idx) in (0..SERVICES).flat_map(|service| (0..INSTANCES).map(move |idx| (service, idx))) {
        let (ip, hex) = (address(service, idx), hex(service, idx));
        writeln!(zone, "svc{service} A {ip}\nsvc{service} SRV 1 1 80 {hex}.addr\n{hex}.addr A {ip}").expect("a text takes all");
    }
    let path = folder.join("zone");
    std::fs::write(&path, zone).expect("a file of ours");
    let (dir, zone) = (folder.display(), path.display());
    let config = format!(
        "server:\n  rundir: {dir}\n  listen: {}@{}\n  udp-workers: 1\n  tcp-workers: 1\ndatabase:\n  storage: {dir}\n\
         zone:\n  - domain: service.lobby\n    file: {zone}\n",
        at.ip(),
        at.port()
    );
    let path = folder.join("knot.conf");
    std::fs::write(&path, config).expect("a file of ours");
    let mut command = Command::new(find("knotd"));
    command.arg("-c").arg(path);
    (answering("knotd", command, at), at)
}

fn dnsmasq(folder: &Path) -> (Process, SocketAddr) {
    let at = port::free_address();
    let (mut hosts, mut lines) = (String::new(), String::new());
    for (service, idx) in (0..SERVICES).flat_map(|service| (0..INSTANCES).map(move |idx| (service, idx))) {
        let (ip, hex) = (address(service, idx), hex(service, idx));
        writeln!(hosts, "{ip} svc{service}.service.lobby\n{ip} {hex}.addr.service.lobby").expect("a text takes all");
        writeln!(lines, "srv-host=svc{service}.service.lobby,{hex}.addr.service.lobby,80,1,1").expect("a text takes all");
    }
    let (hosts_path, path) = (folder.join("hosts"), folder.join("dnsmasq.conf"));
    std::fs::write(&hosts_path, hosts).expect("a file of ours");
    std::fs::write(&path, lines).expect("a file of ours");
    let mut command = Command::new(find("dnsmasq"));
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    command.args(["-k", "--no-resolv", "--no-hosts", "--bind-interfaces", "--local=/lobby/", "--pid-file=", "--log-facility=-"]);
    command.args([format!("--conf-file={}", path.display()), format!("--addn-hosts={}", hosts_path.display())]);
    command.args([format!("--user={user}"), format!("--listen-address={}", at.ip()), format!("--port={}", at.port())]);
    (answering("dnsmasq", command, at), at)
}

/// Starts a server and waits until it listens.
fn answering(name: &str, command: Command, at: SocketAddr) -> Process {
    let process = Process::start(name, command);
    lobby_testkit::eventually(agents::SOON, || lobby_testkit::expect(port::is_open(at), process.log()));
    process
}
