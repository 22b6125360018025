//! Keeps files in step with the catalog: asks what templates ask, renders those whose answers changed, puts the files in place,
//! runs their commands and the program that uses them. Decides the order of all this and what an error ends.
//!
//! ```text
//! news ─► data ─► templates that asked for it ─► (quiet for a while) ─► pass: evaluate ─► apply ─► commands ─► program
//!                                                                        └─► new questions are watched, old ones are not
//! ```
//! Not here: where answers come from (`source`), how a file is replaced (`apply`), what a template says (`unit`).

mod files;
mod jobs;
mod pass;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lobby_core::time::Moment;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::apply::ApplyError;
use crate::child::Child;
use crate::command::{CommandError, Surroundings};
use crate::manifest::ManifestError;
use crate::quiescence::{Quiescence, When};
use crate::rate::Rate;
use crate::source::News;
use crate::unit::{Unit, UnitError};
use crate::{Data, Query, Settings, Source};
use jobs::Jobs;
use state::{State, chain, refuse_shared};
pub use stats::Stats;
use watch::Watches;

/// More questions at a time than this are worth a warning: each is a request that waits.
const MANY_QUESTIONS: usize = 128;

/// Signals that wait for the program while a command runs; more are dropped, as the system itself drops equal ones.
const SIGNALS: usize = 16;

/// What failed for a reason that may pass (a full disk, a source that gave up) is tried again after this, or when something
/// changes.
const RETRY: Duration = Duration::from_secs(30);

/// What others tell a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// End now.
    Stop,
    /// Send the program this signal.
    Signal(i32),
}

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// Everything was rendered once, as it was asked to.
    Done,
    /// It was told to stop.
    Stopped,
    /// The program ended, with this code.
    Program(i32),
}

/// What ends a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A template cannot be used, or failed.
    #[error(transparent)]
    Template(#[from] UnitError),
    /// A file cannot be put in place.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The files of a template with `for_each` cannot be kept account of.
    #[error(transparent)]
    List(#[from] ManifestError),
    /// A command or the program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// There will be no answer.
    #[error("{0}")]
    Source(String),
}

/// What a runner finds around it.
#[derive(Debug, Clone)]
pub struct Environment {
    /// What commands are given.
    pub around: Surroundings,
    /// The variables that templates see.
    pub variables: Arc<BTreeMap<String, String>>,
    /// Our own node's id, among those of the fleet.
    pub node: String,
    /// Nothing but an order ends the run: what fails is told and tried again when something changes.
    pub keep_going: bool,
    /// The time of day.
    pub clock: fn() -> SystemTime,
    /// Shows a file of a dry run: its path, and the new text.
    pub show: fn(&std::path::Path, &[u8]),
}

/// Files that are kept in step.
#[derive(Debug)]
pub struct Runner<S> {
    settings: Settings,
    environment: Environment,
    source: Arc<S>,
    templates: Vec<State>,
    data: Data,
    watches: Watches,
    news: mpsc::Receiver<News>,
    orders: mpsc::Receiver<Order>,
    /// Signals for the program.
    signals: mpsc::Receiver<i32>,
    quiescence: Quiescence,
    rate: Rate,
    /// A rendering waits for this because of the cap.
    not_before: Option<Moment>,
    /// The template that it was held up at: the first one of the next pass.
    held_up: usize,
    /// Templates ask something else than when this was last looked at.
    asks_otherwise: bool,
    jobs: Jobs,
    child: Option<Child>,
    stats: Arc<Stats>,
    began: Instant,
}

/// Everything that can wake a runner.
enum Event {
    News(News),
    Signal(i32),
    /// A time that something waits for has come.
    Due,
    /// The program ended.
    Ended(Result<i32, CommandError>),
}

impl<S: Source> Runner<S> {
    /// Reads and parses all templates.
    ///
    /// # Errors
    /// The first template that cannot be used, or two with one destination.
    pub fn new(settings: Settings, environment: Environment, source: S, orders: mpsc::Receiver<Order>) -> Result<Self, RunError> {
        let load = |settings| Unit::load(settings).map(State::new);
        let templates = settings.templates.iter().cloned().map(load).collect::<Result<Vec<_>, _>>()?;
        refuse_shared(&templates)?;
        let waits = settings.templates.iter().map(|template| template.wait.or(settings.wait));
        let quiescence = Quiescence::new(waits);
        let (watches, news) = Watches::new();
        let rate = Rate::new(settings.rate);
        Ok(Self {
            environment,
            source: Arc::new(source),
            templates,
            data: Data::default(),
            watches,
            news,
            orders,
            signals: mpsc::channel(1).1,
            quiescence,
            rate,
            not_before: None,
            held_up: 0,
            asks_otherwise: false,
            jobs: Jobs::default(),
            child: None,
            stats: Arc::default(),
            began: Instant::now(),
            settings,
        })
    }

    /// What it counts.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// Runs until everything is done, an order comes, the program ends, or something fails. The end of whoever gives orders is
    /// an order to stop.
    ///
    /// # Errors
    /// The first failure that ends the run; others are logged. Files that are in place stay; commands that could not be run
    /// are run when a runner next renders those files.
    pub async fn run(mut self) -> Result<End, RunError> {
        let mut orders = std::mem::replace(&mut self.orders, mpsc::channel(1).1);
        let (signals, heard) = mpsc::channel(SIGNALS);
        self.signals = heard;
        // Dropped at any point, the work leaves whole files, and kills the command or check that runs.
        let end = tokio::select! {
            biased;
            () = obey(&mut orders, signals) => Ok(End::Stopped),
            end = self.work() => end,
        };
        if let Some(child) = &mut self.child
            && let Err(err) = child.stop().await
        {
            tracing::error!("cannot end the program: {err}");
        }
        end
    }

    async fn work(&mut self) -> Result<End, RunError> {
        self.watch_fleet();
        loop {
            let rendered = self.pass().await;
            // Files that are in place need their commands even if another one failed.
            let ran = self.run_jobs().await;
            if let (Err(_), Err(error)) = (&rendered, &ran) {
                tracing::error!("{}", chain(error));
            }
            rendered?;
            if let Some(end) = self.tell_program(ran?).await? {
                return Ok(end);
            }
            if self.is_done() {
                return Ok(End::Done);
            }
            if let Some(end) = self.wait().await? {
                return Ok(end);
            }
        }
    }

    /// Everything was rendered once, as was asked, and no program goes on.
    fn is_done(&self) -> bool {
        let all = self.templates.iter().all(|state| state.is_rendered);
        self.settings.once && all && self.jobs.is_empty() && self.child.is_none()
    }

    /// Waits until there is something to do, and takes in what has come by then.
    async fn wait(&mut self) -> Result<Option<End>, RunError> {
        let event = self.next().await;
        if let Some(end) = self.handle(event)? {
            return Ok(Some(end));
        }
        // Not more than there was room for: a source that never rests does not hold up what is due.
        for _ in 0..watch::QUEUE {
            let Ok(news) = self.news.try_recv() else { break };
            self.take_news(news)?;
        }
        Ok(None)
    }

    async fn next(&mut self) -> Event {
        let due = self.deadline().map(|at| self.began + Duration::from_micros(at.as_micros()));
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let ended = async {
            match &mut self.child {
                Some(child) => child.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(signal) = self.signals.recv() => Event::Signal(signal),
            ended = ended => Event::Ended(ended),
            // We hold a sender ourselves: there is always one.
            Some(news) = self.news.recv() => Event::News(news),
            () = sleep => Event::Due,
        }
    }

    fn handle(&mut self, event: Event) -> Result<Option<End>, RunError> {
        match event {
            Event::News(news) => self.take_news(news)?,
            Event::Due => {}
            Event::Signal(number) => {
                if let Some(child) = &self.child
                    && let Err(err) = child.signal(number)
                {
                    tracing::warn!(number, "cannot send the program a signal: {err}");
                }
            }
            Event::Ended(code) => {
                self.child = None;
                return Ok(Some(End::Program(code?)));
            }
        }
        Ok(None)
    }

    fn take_news(&mut self, news: News) -> Result<(), RunError> {
        match news {
            News::Answer(query, answer) => self.take_answer(query, answer),
            News::Trouble { query, message, attempts } => tracing::warn!(?query, attempts, "no answer yet: {message}"),
            News::Failed { query, message } => {
                if !self.environment.keep_going {
                    return Err(RunError::Source(message));
                }
                tracing::error!(?query, "no answer: {message}");
                self.ask_again(&query);
            }
        }
        Ok(())
    }

    fn take_answer(&mut self, query: Query, answer: crate::Answer) {
        // An answer that nobody waits for any more was on its way when its question was given up.
        if !self.watches.has(&query) || !self.data.put(query.clone(), answer) {
            return;
        }
        let now = self.now();
        for (index, state) in self.templates.iter_mut().enumerate().filter(|(_, state)| state.used.contains(&query)) {
            // One that is due stays due, even if the cap holds it up.
            let is_due = state.is_dirty && state.retry.is_none() && !self.quiescence.is_waiting(index);
            (state.is_dirty, state.retry) = (true, None);
            if !is_due {
                // A template that waits is rendered when its time has come.
                let _: When = self.quiescence.handle_change(index, now);
            }
        }
    }

    /// A source has given up: templates that need its answer ask again after a while.
    fn ask_again(&mut self, query: &Query) {
        self.watches.keep(|watched| watched != query);
        let again = self.now() + RETRY;
        for state in self.templates.iter_mut().filter(|state| state.used.contains(query) && !state.is_dirty) {
            (state.is_dirty, state.retry) = (true, Some(again));
        }
    }

    /// When something is to be done even if nothing comes.
    fn deadline(&self) -> Option<Moment> {
        let retry = self.templates.iter().filter_map(|state| state.retry).min();
        [self.quiescence.next_deadline(), self.not_before, self.jobs.not_before(), retry].into_iter().flatten().min()
    }

    /// Time since the runner began: what timers go by.
    fn now(&self) -> Moment {
        Moment::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// Takes orders until one is to stop; passes signals on.
async fn obey(orders: &mut mpsc::Receiver<Order>, signals: mpsc::Sender<i32>) {
    while let Some(Order::Signal(number)) = orders.recv().await {
        if signals.try_send(number).is_err() {
            tracing::warn!(number, "a signal for the program is dropped: others wait already");
        }
    }
}
