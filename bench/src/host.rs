//! The machine: the lobbyd to measure, time, processor time and memory of processes, metrics of a daemon.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use lobby_testkit::{daemon::Daemon, process::Process};

/// Clock ticks in a second, as /proc counts them; the same on every Linux of today.
const TICKS: f64 = 100.0;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench/ is below the root")
}

/// The program to measure.
pub(crate) fn lobbyd() -> String {
    if let Some(path) = env::var_os("LOBBYD") {
        return path.into_string().expect("$LOBBYD is text");
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--release", "-p", "lobbyd", "-p", "lobbyctl"])
        .current_dir(root())
        .status();
    assert!(built.expect("cargo can be started").success(), "lobbyd cannot be built");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("release/lobbyd").display().to_string()
}

#[expect(clippy::disallowed_methods, reason = "benchmarks measure real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "load is offered at a pace")]
pub(crate) fn sleep_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(now()));
}

/// Processor time that a process has used so far.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may contain anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / TICKS)
}

/// Processor time used in a while, as a percentage of one core.
pub(crate) struct CpuMeter {
    pid: u32,
    since: Instant,
    used: Duration,
}

impl CpuMeter {
    pub(crate) fn start(process: &Process) -> Self {
        Self { pid: process.pid(), since: now(), used: cpu_time(process.pid()) }
    }

    pub(crate) fn percent(&self) -> f64 {
        (cpu_time(self.pid) - self.used).as_secs_f64() / self.since.elapsed().as_secs_f64() * 100.0
    }
}

/// Processor time that all the machine's processes together have used so far.
fn machine_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // The fourth and fifth are those of idle cores; those from the ninth on are counted before already.
    let used = fields.iter().take(8).sum::<u64>() - fields.iter().skip(3).take(2).sum::<u64>();
    Duration::from_secs_f64(used as f64 / TICKS)
}

/// Processor time that others than these processes and this program take in a while.
pub(crate) struct OthersMeter {
    pids: Vec<u32>,
    since: Instant,
    used: Duration,
}

impl OthersMeter {
    pub(crate) fn start<'a>(ours: impl IntoIterator<Item = &'a Process>) -> Self {
        let mut pids: Vec<_> = ours.into_iter().map(Process::pid).collect();
        pids.push(std::process::id());
        let used = Self::used(&pids);
        Self { pids, since: now(), used }
    }

    fn used(pids: &[u32]) -> Duration {
        machine_time().saturating_sub(pids.iter().map(|pid| cpu_time(*pid)).sum())
    }

    /// As a percentage of all cores.
    pub(crate) fn percent(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let used = Self::used(&self.pids).saturating_sub(self.used);
        used.as_secs_f64() / self.since.elapsed().as_secs_f64() / cores as f64 * 100.0
    }
}

/// Connections that the machine's kernel has dropped because a listener's backlog was full.
pub(crate) fn backlog_drops() -> u64 {
    let text = std::fs::read_to_string("/proc/net/netstat").unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut fields = names.split_whitespace().zip(values.split_whitespace());
    fields.find(|(name, _)| *name == "ListenOverflows").and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

pub(crate) fn mib(process: &Process) -> f64 {
    process.memory() as f64 / f64::from(1 << 20)
}

/// What a daemon's metrics said at one time.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn of(daemon: &Daemon) -> Self {
        Self(daemon.get("/metrics").text())
    }

    /// The sum of all samples of `name` whose line contains all of `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let samples = self.0.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let wanted = samples.filter(|line| labels.iter().all(|label| line.contains(label)));
        wanted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

/// The sum of all samples of `name` now whose line contains all of `labels`.
pub(crate) fn metric(daemon: &Daemon, name: &str, labels: &[&str]) -> u64 {
    Metrics::of(daemon).sum(name, labels)
}
