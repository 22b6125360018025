//! What an endurance run measures of each agent, and what it makes of that: means of quarters, greatest values, the slope
//! of memory, and what is beyond its bound.
//!
//! Only agents that are never restarted are judged for growth; the greatest values are those of all.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::agent::Agent;
use crate::host::{cpu_time, mib, now};

/// How much more memory, descriptors and threads the elders may have on average in the last quarter than in the second:
/// what the allocator keeps, and connections and threads that come and go.
const MORE_MIB: f64 = 2.0;
const MORE_DESCRIPTORS: f64 = 4.0;
const MORE_THREADS: f64 = 2.0;

/// MiB an hour, in runs that are long enough to tell.
const SLOPE: f64 = 2.0;
const LONG: Duration = Duration::from_secs(1800);

/// Bounds that count for a run of some length.
pub(super) struct Bounds {
    slope: Option<f64>,
}

impl Bounds {
    pub(super) fn of(length: Duration) -> Self {
        Self { slope: (length >= LONG).then_some(SLOPE) }
    }
}

/// What is measured, in the order of the table.
const MEASURES: [&str; 4] = ["RSS, MiB", "descriptors", "threads", "blocked requests"];

/// All agents at one time.
struct Sample {
    at: f64,
    /// Means over the elders, in the order of [`MEASURES`].
    elders: [f64; MEASURES.len()],
    greatest: [f64; MEASURES.len()],
}

/// What was seen so far.
pub(super) struct Sampler {
    begin: Instant,
    every: Duration,
    next: Instant,
    samples: Vec<Sample>,
    /// The deepest that each queue was seen, and its bound.
    queues: BTreeMap<String, (u64, u64)>,
    /// Processor time of the elders at the first sample and the last.
    cpu: Option<(Instant, Duration, Duration)>,
}

impl Sampler {
    pub(super) fn new(every: Duration) -> Self {
        Self { begin: now(), every, next: now(), samples: Vec::new(), queues: BTreeMap::new(), cpu: None }
    }

    /// Takes a sample if it is time.
    pub(super) fn tick(&mut self, agents: &[Agent]) {
        if now() < self.next {
            return;
        }
        self.next = now() + self.every;
        let mut sample = Sample { at: self.begin.elapsed().as_secs_f64(), elders: [0.0; 4], greatest: [0.0; 4] };
        let n_elders = agents.iter().filter(|agent| agent.is_elder).count().max(1) as f64;
        for agent in agents.iter().filter(|agent| agent.is_up) {
            let pid = agent.process.pid();
            let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, |entries| entries.count()) as f64;
            let values = [mib(&agent.process), count("fd"), count("task"), self.queues(agent)];
            for (idx, value) in values.into_iter().enumerate() {
                sample.greatest[idx] = sample.greatest[idx].max(value);
                if agent.is_elder {
                    sample.elders[idx] += value / n_elders;
                }
            }
        }
        let used = agents.iter().filter(|agent| agent.is_elder).map(|agent| cpu_time(agent.process.pid())).sum::<Duration>();
        let (since, first, _) = self.cpu.unwrap_or((now(), used, used));
        self.cpu = Some((since, first, used));
        self.samples.push(sample);
    }

    /// Reads the depths of its queues; returns how many requests are blocked there.
    fn queues(&mut self, agent: &Agent) -> f64 {
        // An agent that is about to end may not answer.
        let metrics = agent.request("GET", "/metrics", "").map_or_else(|_| String::new(), |answer| answer.text());
        let mut waits = 0.0;
        for line in metrics.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let labels = name.split(['{', '}']).nth(1).unwrap_or_default().to_owned();
            match name.split('{').next().unwrap_or_default() {
                "lobby_http_waits" => waits = value.parse().unwrap_or(0.0),
                "lobby_queue_depth" => deepen(&mut self.queues.entry(labels).or_default().0, value),
                "lobby_queue_bound" => deepen(&mut self.queues.entry(labels).or_default().1, value),
                _ => {}
            }
        }
        waits
    }

    /// The last sample, for the line of a round.
    pub(super) fn now_line(&self) -> String {
        self.samples.last().map_or_else(String::new, |sample| {
            let [memory, descriptors, threads, _] = sample.elders;
            format!("elders {memory:.1} MiB, {descriptors:.0} descriptors, {threads:.0} threads")
        })
    }

    /// The mean of the elders in a quarter of the run, from 0 to 3.
    fn quarter(&self, measure: usize, quarter: usize) -> f64 {
        let length = self.samples.last().map_or(0.0, |sample| sample.at) + f64::EPSILON;
        let inside = |sample: &&Sample| (sample.at / length * 4.0).min(3.9) as usize == quarter;
        let values: Vec<_> = self.samples.iter().filter(inside).map(|sample| sample.elders[measure]).collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    }

    /// MiB an hour of the elders' mean, by least squares over all but the first quarter.
    fn slope(&self) -> f64 {
        let begin = self.samples.last().map_or(0.0, |sample| sample.at) / 4.0;
        let points: Vec<_> = self
            .samples
            .iter()
            .filter(|sample| sample.at >= begin)
            .map(|sample| (sample.at / 3600.0, sample.elders[0]))
            .collect();
        let n = points.len().max(1) as f64;
        let (mean_x, mean_y) =
            (points.iter().map(|point| point.0).sum::<f64>() / n, points.iter().map(|point| point.1).sum::<f64>() / n);
        let above = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>();
        let below = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
        if below > 0.0 { above / below } else { 0.0 }
    }

    pub(super) fn print(&self) {
        println!(
            "| of the {} never restarted | first quarter | second | last | greatest of all agents |\n|---|---|---|---|---|",
            super::ELDERS
        );
        for (idx, measure) in MEASURES.iter().enumerate() {
            let greatest = self.samples.iter().map(|sample| sample.greatest[idx]).fold(0.0, f64::max);
            let [first, second, last] = [0, 1, 3].map(|quarter| self.quarter(idx, quarter));
            println!("| {measure} | {first:.1} | {second:.1} | {last:.1} | {greatest:.1} |");
        }
        println!("\nmemory grows by {:+.2} MiB an hour after the first quarter; {} samples", self.slope(), self.samples.len());
        if let Some((since, first, last)) = self.cpu {
            let percent = (last - first).as_secs_f64() / since.elapsed().as_secs_f64() / super::ELDERS as f64 * 100.0;
            println!("processor of each: {percent:.1} % of a core");
        }
        println!("\n| queue | deepest seen | bound |\n|---|---|---|");
        self.queues.iter().for_each(|(queue, (deepest, bound))| println!("| `{queue}` | {deepest} | {bound} |"));
    }

    /// What is beyond its bound.
    pub(super) fn failures(&self, bounds: &Bounds) -> Vec<String> {
        let mut found = Vec::new();
        for (idx, more) in [MORE_MIB, MORE_DESCRIPTORS, MORE_THREADS].into_iter().enumerate() {
            let (second, last) = (self.quarter(idx, 1), self.quarter(idx, 3));
            if last > second + more {
                found.push(format!("{} grew from {second:.1} in the second quarter to {last:.1} in the last", MEASURES[idx]));
            }
        }
        if bounds.slope.is_some_and(|most| self.slope() > most) {
            found.push(format!("memory grows by {:.2} MiB an hour, {SLOPE} are the most", self.slope()));
        }
        let above = self.queues.iter().filter(|(_, (deepest, bound))| deepest > bound);
        found.extend(above.map(|(queue, (deepest, bound))| format!("queue {queue}: {deepest} of {bound}")));
        found
    }
}

fn deepen(deepest: &mut u64, value: &str) {
    *deepest = (*deepest).max(value.parse().unwrap_or(0));
}
