//! Event handlers: commands that are run for single events, as Serf's event handlers are.
//!
//! ```text
//! snapshots ─► Watch ─┐
//! user events (log) ──┼─► inbox ─► one run at a time ─► cooldown ─► inbox …      (each handler a task of its own)
//! queries (queue) ────┘              └ at most so many of all handlers at once
//! ```
//! A handler sees the events that its [`Specs`] name, in order. While it runs, states wait as the latest state, not as
//! events: what came and went meanwhile is never told, how things are now always is. User events wait in the log of
//! gossip; those that leave it first are counted as dropped. Queries wait in a queue of [`QUERIES`].
//! States wait for the first complete picture, because a partial one would look like departures later.
//! Not here: what an event is (`lobby_core::change`), how a command is run and killed (`run`), hooks that get the whole list
//! (`hook`).

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lobby_core::{
    port::CatalogReader,
    port::gossip::{ANSWER_BYTES, EventLog},
    stats::AgentStats,
};
use lobby_exchange::clock::Clock;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::run::{End, Job, Runner};

mod applied;
mod desk;
mod inbox;
mod script;
mod spec;
#[cfg(test)]
mod tests;

pub(crate) use desk::{Asked, Desk};
use inbox::{Inbox, Work};
pub use spec::{ParseHandlerError, Specs};

/// Queries that wait for one handler. A query waits seconds at most, so more would only be late.
pub const QUERIES: usize = 16;

/// Runs of all handlers at the same time, unless set otherwise: enough that a slow handler holds up nobody else, few
/// enough that an event storm does not fill the machine with processes.
pub const CONCURRENCY: usize = 4;

/// A run may take so long, unless set otherwise: as long as CALLBACK's.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One command and the events it is run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Name in the log.
    pub name: String,
    /// For which events.
    pub specs: Specs,
    /// Program and arguments; no shell.
    pub command: Vec<String>,
    /// Least time from the end of one run to the start of the next.
    pub cooldown: Duration,
    /// Least time from the start of the agent to the first run.
    pub first_delay: Duration,
    /// A run that takes longer is killed with everything it started.
    pub timeout: Duration,
}

/// `SPECS=COMMAND`, as in `member-join,user:deploy=/usr/local/bin/on-event --verbose`. The command is split at blanks. Its
/// name is the program; it runs at once, without cooldown, for a minute at most.
impl FromStr for Handler {
    type Err = ParseHandlerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (specs, command) = text.split_once('=').ok_or_else(|| ParseHandlerError::NoCommand(text.into()))?;
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let name = command.first().cloned().ok_or_else(|| ParseHandlerError::NoCommand(text.into()))?;
        let (cooldown, first_delay) = (Duration::ZERO, Duration::ZERO);
        Ok(Self { name, specs: specs.parse()?, command, cooldown, first_delay, timeout: TIMEOUT })
    }
}

/// What every handler works with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) reader: CatalogReader,
    pub(crate) log: watch::Receiver<EventLog>,
    pub(crate) clock: Clock,
    pub(crate) stats: Arc<AgentStats>,
    /// One permit for each run that may go on at the same time.
    pub(crate) slots: Arc<Semaphore>,
}

impl Handler {
    /// Runs until `stop`.
    pub(crate) async fn follow(self, context: Context, queries: mpsc::Receiver<Arc<Asked>>, stop: CancellationToken) {
        let work = async {
            let mut inbox = Inbox::new(&self.specs, &context, queries);
            tokio::time::sleep(self.first_delay).await;
            while let Some(work) = inbox.next().await {
                // The semaphore is never closed. Waiting for it is in turn, so no handler starves.
                let permit = context.slots.acquire().await;
                if is_too_late(&work, &context) {
                    count(&context.stats.handlers_queries_dropped);
                    continue;
                }
                self.run(&work, &context).await;
                drop(permit);
                tokio::time::sleep(self.cooldown).await;
            }
        };
        // Dropping a run in progress kills its process group.
        stop.run_until_cancelled(work).await;
    }

    async fn run(&self, work: &Work, context: &Context) {
        let own = context.reader.snapshot().local.record.clone();
        let keep = matches!(work, Work::Query(_)).then_some(ANSWER_BYTES);
        let (env, input) = (script::env(work, &own), script::input(work));
        let job =
            Job { runner: Runner::Handler, name: &self.name, command: &self.command, timeout: self.timeout, env, input, keep };
        let (end, answer) = job.run().await;
        count(match end {
            End::Succeeded => &context.stats.handlers_succeeded,
            End::Failed => &context.stats.handlers_failed,
            End::TimedOut => &context.stats.handlers_timed_out,
        });
        // As in Serf: who fails or says nothing has not answered, and another handler may.
        if let (Work::Query(asked), End::Succeeded, Some(answer)) = (work, end, answer)
            && !answer.is_empty()
        {
            asked.answer(answer);
        }
    }
}

/// Nobody waits for the answer any more: the runs of others took too long.
fn is_too_late(work: &Work, context: &Context) -> bool {
    matches!(work, Work::Query(asked) if context.clock.moment() >= asked.until)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
