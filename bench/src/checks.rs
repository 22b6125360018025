//! Thousands of checks of one agent, each every ten seconds, against a server in this program: what they cost the agent, and
//! whether they are on time by the server's own clock.
//!
//! A run comes up to a twentieth of the interval (half a second) after its point, at random, by design; so the time between two
//! runs of one check may differ from the interval by that much when nothing is late. TCP checks have no name the server could
//! know them by: of them only the cost and the number are measured.

use std::{
    collections::HashMap,
    sync::mpsc,
    time::{Duration, Instant},
};

use lobby_testkit::daemon::Daemon;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    agents,
    client::{Put, put_all, runtime},
    host::{CpuMeter, lobbyd, mib, now, sleep_until},
    times::Times,
};

/// Ports of the server: one alone would run out of client ports, each of which rests for a minute after use.
const PORTS: usize = 8;
const INTERVAL: Duration = Duration::from_secs(10);
const JITTER: Duration = Duration::from_millis(500);

/// Until every check is on its own grid: the first run is early.
const SETTLED: Duration = Duration::from_secs(12);
const MEASURED: Duration = Duration::from_secs(32);
const CONNECTIONS: usize = 64;

/// A run at the server: which check, and when.
type Run = (Option<usize>, Instant);

pub(crate) fn run(n: u32) {
    let program = lobbyd();
    println!("| checks | RSS MiB | CPU of a core | runs/s | off the interval: mean ms | p50 | p99 | max | left out |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let reached: Vec<_> = ["HTTP", "TCP"].iter().map(|kind| measure(&program, kind, n.max(1) as usize)).collect();
    assert!(reached.iter().all(|reached| *reached), "a goal was missed: one core, half a second (99 %), none left out");
}

fn measure(program: &str, kind: &str, n: usize) -> bool {
    let (ports, runs) = serve();
    let mut fleet = agents::start(program, 1, &[]);
    let agent = &fleet[0];
    put_all(agent, (0..n).map(|idx| check(kind, idx, ports[idx % PORTS])).collect(), CONNECTIONS);
    sleep_until(now() + SETTLED);
    let (start, _) = (now(), runs.try_iter().count());
    let meter = CpuMeter::start(&agent.process);
    sleep_until(start + MEASURED);
    let (cpu, runs) = (meter.percent(), runs.try_iter().collect::<Vec<_>>());
    let rate = runs.len() as f64 / start.elapsed().as_secs_f64();
    all_passing(agent, n);

    let mut at: HashMap<usize, Vec<Instant>> = HashMap::new();
    runs.iter()
        .filter_map(|(check, when)| Some((check.as_ref()?, when)))
        .for_each(|(check, when)| at.entry(*check).or_default().push(*when));
    let gaps = || at.values().flat_map(|times| times.windows(2).map(|two| two[1] - two[0]));
    // A run that was put off to its next point leaves one out.
    let left_out = gaps().filter(|gap| *gap > INTERVAL + 2 * JITTER + INTERVAL / 5).count();
    let off = Times::new(gaps().map(|gap| gap.abs_diff(INTERVAL)).collect(), 0);
    let memory = mib(&agent.process);
    let times = if off.n() == 0 {
        "– | – | – | –".to_owned()
    } else {
        format!("{:.0} | {:.0} | {:.0} | {:.0}", off.mean(), off.quantile(0.5), off.quantile(0.99), off.worst())
    };
    println!("| {n} {kind} | {memory:.1} | {cpu:.0} % | {rate:.0} | {times} | {left_out} |");
    fleet.iter_mut().for_each(|agent| agent.stop(Duration::from_secs(5)));
    let is_punctual = off.n() == 0 || off.quantile(0.99) <= JITTER.as_secs_f64() * 1000.0;
    cpu < 100.0 && is_punctual && left_out == 0 && rate > 0.95 * n as f64 / INTERVAL.as_secs_f64()
}

/// A check of the node. All of them must fit into one record of 1 MiB, with what they last said: some hundred bytes each, so
/// the id is short and the name shorter.
fn check(kind: &str, idx: usize, port: u16) -> Put {
    let target = if kind == "HTTP" { format!("http://127.0.0.1:{port}/{idx}") } else { format!("127.0.0.1:{port}") };
    let body = json!({"ID": format!("{idx:x}"), "Name": "c", kind: target, "Interval": "10s", "Timeout": "5s"});
    ("/v1/agent/check/register".to_owned(), body.to_string())
}

fn all_passing(agent: &Daemon, n: usize) {
    let checks = agent.get("/v1/agent/checks").json();
    let checks = checks.as_object().expect("an object by id");
    let bad = checks.values().find(|check| check["Status"] != "passing");
    assert!(checks.len() == n && bad.is_none(), "{} checks; {bad:?}", checks.len());
}

/// A server whose thread ends with the program.
fn serve() -> (Vec<u16>, mpsc::Receiver<Run>) {
    let (sender, runs) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async move {
            let mut tasks = Vec::new();
            for _ in 0..PORTS {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                let _ = tell.send(listener.local_addr().expect("a bound socket has an address").port());
                tasks.push(tokio::spawn(accept(listener, sender.clone())));
            }
            for task in tasks {
                let _ = task.await;
            }
        });
    });
    ((0..PORTS).map(|_| told.recv().expect("the server tells its ports")).collect(), runs)
}

async fn accept(listener: TcpListener, runs: mpsc::Sender<Run>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, now(), runs.clone()));
    }
}

/// Notes a request, or a connection without one, and ends after it.
async fn answer(mut stream: TcpStream, at: Instant, runs: mpsc::Sender<Run>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(n) if n > 0 => {}
            _ => break,
        }
    }
    let path = head.split(|byte| *byte == b' ').nth(1).and_then(|path| std::str::from_utf8(path).ok());
    let check = path.and_then(|path| path.trim_start_matches('/').parse().ok());
    let _ = runs.send((check, at));
    if check.is_some() {
        // A client that is gone is seen by its agent.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    }
}
