//! Hooks: commands run when the list of hosts changes. CALLBACK is the first of them.
//!
//! Level-triggered: a hook that was busy or cooling down runs once more for the latest state, never for each change.
//! ```text
//! start ─ first_delay ─► run ─► cooldown (from the end of the run) ─► changed since? ─► run …
//! ```
//! The start itself counts as a change. Nothing runs before the catalog is warm, because a hook would take a partial
//! list for the truth. Each hook is a task of its own: a hanging one holds up nobody.
//! Not here: how a command is run and killed (`run`), events about single members (`handler`).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use lobby_core::{
    catalog::{Host, Snapshot},
    label::Label,
    name::Name,
    port::CatalogReader,
    select::Selector,
    stats::AgentStats,
    wire::rest,
};
use lobby_exchange::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::run::{End, Job, Runner};

/// One command and when to run it.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Name in the log.
    pub name: String,
    /// Program and arguments; no shell.
    pub command: Vec<String>,
    /// Least time from the end of one run to the start of the next.
    pub cooldown: Duration,
    /// Least time from the start of the agent to the first run.
    pub first_delay: Duration,
    /// A run that takes longer is killed with everything it started.
    pub timeout: Duration,
    /// Which hosts the hook is about. It runs when these change and gets these on stdin.
    pub selector: Selector,
}

/// What a hook last acted on: enough to tell whether it must act again.
type Seen = Vec<(Name, Vec<Label>)>;

impl Hook {
    /// Runs until `stop`.
    pub(crate) async fn follow(self, mut reader: CatalogReader, clock: Clock, stats: Arc<AgentStats>, stop: CancellationToken) {
        let mut last: Option<Seen> = None;
        let mut compared = None;
        let work = async {
            tokio::time::sleep(self.first_delay).await;
            let mut snapshot = reader.snapshot();
            loop {
                // Within one revision the hosts are the same.
                if snapshot.warm && compared.replace(snapshot.revision) != Some(snapshot.revision) {
                    let seen = self.seen(&snapshot);
                    if last.as_ref() != Some(&seen) {
                        last = Some(seen);
                        let hosts = snapshot.hosts.values().map(Arc::as_ref).filter(|host| self.selector.takes(host));
                        let input = rest::compact_list(hosts, clock.now());
                        self.run(input, &stats).await;
                        tokio::time::sleep(self.cooldown).await;
                        snapshot = reader.snapshot();
                        continue;
                    }
                }
                let Ok(next) = reader.changed().await else { return };
                snapshot = next;
            }
        };
        // Dropping a run in progress kills its process group.
        stop.run_until_cancelled(work).await;
    }

    async fn run(&self, input: Vec<u8>, stats: &AgentStats) {
        let job = Job {
            runner: Runner::Hook,
            name: &self.name,
            command: &self.command,
            timeout: self.timeout,
            env: Vec::new(),
            input,
            keep: None,
        };
        let counter = match job.run().await.0 {
            End::Succeeded => &stats.hooks_succeeded,
            End::Failed => &stats.hooks_failed,
            End::TimedOut => &stats.hooks_timed_out,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn seen(&self, snapshot: &Snapshot) -> Seen {
        let hosts = snapshot.hosts.values().filter(|host| self.selector.takes(host));
        hosts.map(|host: &Arc<Host>| (host.name.clone(), host.labels.clone())).collect()
    }
}
