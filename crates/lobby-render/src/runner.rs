//! Keeps files in step with the catalog: asks what templates ask, renders those whose answers changed, puts the files in place,
//! runs their commands and the program that uses them. Decides the order of all this and what an error ends.
//!
//! ```text
//! news ─► data ─► templates that asked for it ─► (quiet for a while) ─► pass: evaluate ─► apply ─► commands ─► program
//!                                                                        └─► new questions are watched, old ones are not
//! ```
//! Not here: where answers come from (`source`), how a file is replaced (`apply`), what a template says (`unit`).

mod error;
mod files;
mod jobs;
mod orders;
mod pass;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lobby_core::time::Moment;
use tokio::sync::{mpsc, watch as watch_channel};
use tokio::time::Instant;

use crate::child::Child;
use crate::command::{CommandError, Surroundings};
use crate::manifest::Lists;
use crate::quiescence::{Quiescence, When};
use crate::rate::Rate;
use crate::settings::TemplateSettings;
use crate::source::News;
use crate::unit::Unit;
use crate::{Data, Query, Settings, Source};
pub use error::RunError;
use files::Claims;
use jobs::Jobs;
use orders::obey;
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
    /// End when no template is evaluated and no command runs.
    Finish,
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

/// What a dry run has to show.
#[derive(Debug)]
pub enum Shown<'a> {
    /// A file would have this text; an empty path: it is not written anywhere.
    Text(&'a Path, &'a [u8]),
    /// A file would have another mode or owner: which now, and which then.
    Owner(&'a Path, &'a str),
    /// A file would be removed, as what it was for is gone.
    Gone(&'a Path),
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
    /// An answer that is not there is an error, where the template would wait for it.
    pub lookups_must_succeed: bool,
    /// The lists of files of this configuration, and of those before.
    pub lists: Lists,
    /// The time of day.
    pub clock: fn() -> SystemTime,
    /// Shows what a dry run would change.
    pub show: fn(Shown<'_>),
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
    /// Who has which file.
    claims: Claims,
    /// Those of them that are abandoned are still to be cleared.
    lists: Option<Lists>,
    /// The fleet is asked for again at this time.
    fleet_again: Option<Moment>,
    /// It is to end when nothing runs.
    finish: watch_channel::Receiver<bool>,
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
    /// It is to end, and nothing runs.
    Finish,
    /// The program ended.
    Ended(Result<i32, CommandError>),
}

impl<S: Source> Runner<S> {
    /// Reads and parses all templates.
    ///
    /// # Errors
    /// The first template that cannot be used, or two with one destination.
    pub fn new(settings: Settings, environment: Environment, source: S, orders: mpsc::Receiver<Order>) -> Result<Self, RunError> {
        let load = |(index, settings): (usize, &TemplateSettings)| {
            let failed = |error| RunError::from(error).of(settings.called(index));
            Unit::load(settings.clone()).map(State::new).map_err(failed)
        };
        let templates = settings.templates.iter().enumerate().map(load).collect::<Result<Vec<_>, _>>()?;
        refuse_shared(&templates)?;
        let waits = settings.templates.iter().map(|template| template.wait.or(settings.wait));
        let quiescence = Quiescence::new(waits);
        let (watches, news) = Watches::new();
        let rate = Rate::new(settings.rate);
        Ok(Self {
            lists: (!settings.dry).then(|| environment.lists.clone()),
            claims: Claims::default(),
            fleet_again: None,
            finish: watch_channel::channel(false).1,
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

    /// The lists of files that this runner and those before it had.
    pub fn lists(&self) -> BTreeSet<PathBuf> {
        let Lists { known, before, .. } = &self.environment.lists;
        known.union(before).cloned().collect()
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
        let (finish, asked) = watch_channel::channel(false);
        (self.signals, self.finish) = (heard, asked);
        // Dropped at any point, the work leaves whole files, and kills the command or check that runs.
        let end = tokio::select! {
            biased;
            () = obey(&mut orders, signals, finish) => Ok(End::Stopped),
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
            if *self.finish.borrow() {
                ran?;
                return Ok(End::Stopped);
            }
            if let Some(end) = self.tell_program(ran?).await? {
                return Ok(end);
            }
            self.clear_abandoned().await;
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
            Ok(_) = self.finish.wait_for(|finish| *finish) => Event::Finish,
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
            Event::Finish => return Ok(Some(End::Stopped)),
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
            News::Trouble { query, message, attempts } => tracing::warn!(%query, attempts, "no answer yet: {message}"),
            News::Failed { query, message } => {
                if !self.environment.keep_going {
                    return Err(RunError::Source(message));
                }
                tracing::error!(%query, "no answer: {message}");
                self.ask_again(&query);
            }
        }
        Ok(())
    }

    fn take_answer(&mut self, query: Query, answer: crate::Answer) {
        tracing::debug!(%query, "answered");
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
        // No template asks for it.
        if self.settings.stagger.is_some() && *query == pass::fleet() {
            self.fleet_again = Some(again);
        }
        for state in self.templates.iter_mut().filter(|state| state.used.contains(query) && !state.is_dirty) {
            (state.is_dirty, state.retry) = (true, Some(again));
        }
    }

    /// When something is to be done even if nothing comes.
    fn deadline(&self) -> Option<Moment> {
        let retry = self.templates.iter().filter_map(|state| state.retry).min();
        [self.quiescence.next_deadline(), self.not_before, self.jobs.not_before(), retry, self.fleet_again]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time since the runner began: what timers go by.
    fn now(&self) -> Moment {
        Moment::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}
