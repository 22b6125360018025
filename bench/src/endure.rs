//! Hours of trouble: ten agents over gossip, NATS and Redis, each on a host of its own, under changes, blocked requests and
//! a template, while agents are killed, stopped and restarted, brokers die, and networks are cut, lose packets or fall
//! silent. Memory, descriptors, threads and queues are sampled; after each trouble all views must become equal to what
//! was acknowledged.
//!
//! One round is trouble with changes, then quiet until all views are equal. The run ends after its time, at the first
//! round whose views do not become equal, or at a signal; the table is printed in each case. Needs root (network namespaces).
//! Not here: the agents (`agent`), what is wanted of them (`truth`), what is measured (`sample`), the trouble (`trouble`).

mod agent;
mod load;
mod sample;
mod stop;
mod trouble;
mod truth;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use lobby_testkit::{TempDir, bridge::Bridge};

use self::{
    agent::{Agent, Brokers},
    load::Load,
    sample::{Bounds, Sampler},
    stop::Stop,
    trouble::{Restart, Trouble},
    truth::Truth,
};
use crate::{
    host::{lobbyd, now, sleep_until},
    random::Random,
    times::Times,
};

/// Agents; the host after theirs is that of the brokers.
const AGENTS: usize = 10;

/// The first ones are never restarted: what they hold shows whether anything piles up.
const ELDERS: usize = 5;

/// Ten changes a second.
const CHANGE: Duration = Duration::from_millis(100);

/// How long the views may take to become equal from the end of the trouble, when nothing changes any more.
const CALM: Duration = Duration::from_secs(60);

/// What was unequal for longer is told.
const TELL: Duration = Duration::from_secs(2);

/// Between two looks at all views.
const LOOK: Duration = Duration::from_millis(200);

/// Everything that runs.
struct Stage {
    bridge: Bridge,
    brokers: Brokers,
    agents: Vec<Agent>,
    truth: Truth,
    sampler: Sampler,
    random: Random,
    rounds: usize,
    n_changes: u32,
    // Deleted last: the agents write into it.
    _folder: TempDir,
}

pub(crate) fn run(seconds: u32) {
    let stop = Stop::at_signals();
    let whole = Duration::from_secs(u64::from(seconds.max(10)));
    // The trouble of one round lasts half of it: a minute is enough for every death to be believed.
    let round = Duration::from_secs(if seconds >= 600 {
        60
    } else if seconds >= 120 {
        30
    } else {
        10
    });
    let mut stage = Stage::set(round / 6);
    let load = Load::start(&stage.agents);
    let begin = now();
    let (mut calm, mut by_trouble, mut failures) = (Times::default(), BTreeMap::new(), Vec::new());
    while begin.elapsed() < whole && failures.is_empty() && !stop.is_asked() {
        let trouble = Trouble::ALL[stage.rounds % Trouble::ALL.len()];
        match stage.round(trouble, round, &stop) {
            Ok((settled, late)) => {
                calm.extend(Times::new(vec![settled], 0));
                let worst: &mut Duration = by_trouble.entry(trouble.title()).or_default();
                *worst = (*worst).max(settled);
                let at = begin.elapsed().as_secs();
                println!(
                    "{at:5} s  {}: equal {} ms after it; {}",
                    trouble.title(),
                    settled.as_millis(),
                    stage.sampler.now_line()
                );
                if settled > TELL {
                    println!("         until then {late}");
                }
            }
            Err(why) => failures.push(format!("after {}: {why}", trouble.title())),
        }
    }
    let loaded = load.stop();
    println!(
        "\n{} changes, {} restarts, {} rounds in {} s; {loaded}",
        stage.n_changes,
        stage.restarts(),
        stage.rounds,
        begin.elapsed().as_secs()
    );
    print_calm(&calm, &by_trouble);
    stage.sampler.print();
    failures.extend(stage.sampler.failures(&Bounds::of(begin.elapsed())));
    let (errors, examples) = stage.errors();
    println!("\n{errors} lines of errors in the logs");
    examples.iter().for_each(|line| println!("  {line}"));
    assert!(failures.is_empty(), "what does not hold:\n{}", failures.join("\n"));
}

fn print_calm(calm: &Times, by_trouble: &BTreeMap<&str, Duration>) {
    println!("all views equal after the trouble, ms (rounds | mean | p99 | worst): {} | {}\n", calm.n(), calm.cells());
    println!("| trouble | all views equal after its end, worst, ms |\n|---|---|");
    by_trouble.iter().for_each(|(title, worst)| println!("| {title} | {} |", worst.as_millis()));
    println!();
}

impl Stage {
    /// Starts all, and waits until each agent knows each other.
    fn set(sample: Duration) -> Self {
        let program = lobbyd();
        let folder = TempDir::with_prefix("endure-").expect("a temporary folder");
        let bridge = Bridge::new(AGENTS + 1);
        let brokers = Brokers::start(&bridge.hosts()[AGENTS]);
        let agents: Vec<_> =
            (0..AGENTS).map(|idx| Agent::start(&program, &bridge.hosts()[..=AGENTS], idx, folder.path())).collect();
        let sampler = Sampler::new(sample.clamp(Duration::from_secs(1), Duration::from_secs(10)));
        let truth = Truth::new(&agents, folder.path());
        let mut stage =
            Self { bridge, brokers, agents, truth, sampler, random: Random(5), rounds: 0, n_changes: 0, _folder: folder };
        stage.equal().unwrap_or_else(|why| panic!("the fleet does not come together: {why}"));
        stage
    }

    /// One round: how long after the end of its trouble the views were equal, and what was not until then.
    fn round(&mut self, trouble: Trouble, length: Duration, stop: &Stop) -> Result<(Duration, String), String> {
        let begin = now();
        let at = |percent: u32| begin + length * percent / 100;
        self.rounds += 1;
        // Who is restarted, how, and when in the round: two of those that are no elders.
        let victim = |n: usize| ELDERS + (self.rounds * 2 + n) % (AGENTS - ELDERS);
        let restarts = [(30, victim(0), Restart::nth(self.rounds)), (50, victim(1), Restart::nth(self.rounds + 1))];
        // A status is on disk within a second: who will be killed is told no new one, so that what was acknowledged holds.
        restarts.iter().for_each(|(_, idx, how)| self.agents[*idx].is_spared = matches!(how, Restart::Killed));
        self.change_until(at(10), stop)?;
        trouble.begin(&self.bridge, &mut self.brokers, &mut self.agents);
        for (percent, idx, how) in restarts {
            self.change_until(at(percent), stop)?;
            // Nobody can stop politely who is stopped already.
            if trouble.pauses() != Some(idx) {
                how.begin(&mut self.agents[idx]);
                self.change_until(at(percent + 10), stop)?;
                self.agents[idx].start_again();
            }
            self.agents[idx].is_spared = false;
        }
        trouble.end(&self.bridge, &mut self.brokers, &mut self.agents);
        let ended = now();
        let late = self.equal()?;
        let settled = ended.elapsed();
        self.change_until(at(80), stop)?;
        self.equal()?;
        while now() < at(100) && !stop.is_asked() {
            sleep_until(now() + LOOK);
            self.sampler.tick(&self.agents);
        }
        Ok((settled, late))
    }

    fn change_until(&mut self, end: Instant, stop: &Stop) -> Result<(), String> {
        while now() < end && !stop.is_asked() {
            let next = now() + CHANGE;
            self.truth.change(&self.agents, &mut self.random)?;
            self.n_changes += 1;
            self.sampler.tick(&self.agents);
            sleep_until(next);
        }
        Ok(())
    }

    /// Waits until every view is equal to what was acknowledged; returns what was not, as it was seen last.
    fn equal(&mut self) -> Result<String, String> {
        let (start, mut late) = (now(), String::new());
        loop {
            match self.truth.compare(&self.agents) {
                Ok(()) => return Ok(late),
                Err(why) if start.elapsed() > CALM => return Err(format!("views unequal for {CALM:?}: {why}")),
                Err(why) => late = why,
            }
            self.sampler.tick(&self.agents);
            sleep_until(now() + LOOK);
        }
    }

    fn restarts(&self) -> usize {
        self.agents.iter().map(|agent| agent.restarts).sum()
    }

    /// How many lines of errors all agents have written, and some of them.
    fn errors(&self) -> (usize, Vec<String>) {
        let lines: Vec<_> = self.agents.iter().flat_map(Agent::errors).collect();
        (lines.len(), lines.into_iter().take(5).collect())
    }
}
