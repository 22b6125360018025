//! One pass over the templates: those that are due are evaluated, what they ask is watched, what they made is put in place.
//! Decides which are due, and what an error of one means for the others.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::files;
use super::jobs::Job;
use super::state::{Made, chain};
use super::{MANY_QUESTIONS, RETRY, RunError, Runner, Shown};
use crate::apply::{Outcome, Target};
use crate::data::Questions;
use crate::functions::{EndWith, Programs};
use crate::unit::{Evaluation, Inputs, Rendered, Unit, UnitError};
use crate::{Query, Source};

impl<S: Source> Runner<S> {
    /// Renders what is due, in order. Files of templates that come later are put in place even if an earlier one fails.
    ///
    /// # Errors
    /// The first one, unless its template or the runner goes on.
    pub(super) async fn pass(&mut self) -> Result<(), RunError> {
        let now = self.now();
        if self.fleet_again.is_some_and(|at| at <= now) {
            self.watch_fleet();
        }
        // From here on these do not wait.
        self.quiescence.take_due(now);
        for state in &mut self.templates {
            state.retry.take_if(|at| *at <= now);
        }
        let was_held_up = self.not_before.take().is_some_and(|at| at > now);
        let (n_templates, first) = (self.templates.len(), std::mem::take(&mut self.held_up));
        let mut failed = None;
        for index in (0..n_templates).map(|place| (first + place) % n_templates) {
            if !self.templates[index].is_due() || self.quiescence.is_waiting(index) {
                continue;
            }
            // The first rendering is immediate.
            if self.templates[index].is_rendered
                && let Err(at) = self.rate.try_take(now)
            {
                if !was_held_up {
                    self.stats.delayed.add();
                }
                // The next pass goes on here: those in front must not keep the cap for themselves.
                (self.not_before, self.held_up) = (Some(at), index);
                break;
            }
            if let Err(error) = self.render(index).await {
                self.stats.failures.add();
                if let Some(error) = self.templates[index].complain(error, index, self.environment.keep_going)
                    && let Err(later) = hold(&mut failed, error)
                {
                    tracing::error!("{}", chain(&later));
                }
            }
        }
        self.forget_unused();
        self.stats.waiting.set(self.templates.iter().filter(|state| state.is_waiting).count());
        if self.templates.iter().all(|state| state.is_rendered) {
            self.quiescence.begin();
        }
        failed.map_or(Ok(()), Err)
    }

    /// Brings the files of one template up to date.
    async fn render(&mut self, index: usize) -> Result<(), RunError> {
        self.templates[index].is_dirty = false;
        let (questions, made) = self.evaluate(index).await;
        self.ask(index, questions.used.clone());
        self.templates[index].is_waiting = matches!(made, Ok(None));
        if self.environment.lookups_must_succeed
            && let Some(query) = questions.missing.iter().find(|query| self.data.get(query).is_some())
        {
            return Err(RunError::Source(format!("{query}: lookup error: there is no such thing (err_on_failed_lookup)")));
        }
        let Some((made, files)) = made? else { return Ok(()) };
        let state = &mut self.templates[index];
        // What its command did not take is not tried again until it differs.
        state.is_refused &= state.last.is_some_and(|last| last.hash == made.hash);
        if !state.is_refused
            && let Err(error) = self.put_in_place(index, &files).await
        {
            let again = self.now() + RETRY;
            let state = &mut self.templates[index];
            (state.is_dirty, state.retry) = (true, Some(again));
            return Err(error);
        }
        let state = &mut self.templates[index];
        (state.is_rendered, state.last, state.complaint) = (true, Some(made), None);
        if self.settings.once {
            // It is never rendered again.
            self.ask(index, BTreeSet::new());
        }
        Ok(())
    }

    /// Watches what a template asks.
    fn ask(&mut self, index: usize, used: BTreeSet<Query>) {
        for query in &used {
            self.watches.add(&self.source, query);
        }
        let known = &mut self.templates[index].used;
        if *known != used {
            *known = used;
            self.asks_otherwise = true;
        }
    }

    /// Evaluates a template for the time for which it was last evaluated; if it then says something else, for now. None: an
    /// answer is missing.
    async fn evaluate(&mut self, index: usize) -> (Questions, Result<Option<(Made, Vec<Rendered>)>, RunError>) {
        let (last, now) = (self.templates[index].last, (self.environment.clock)());
        let mut time = last.map_or(now, |last| last.time);
        let mut evaluation = self.evaluate_for(index, time).await;
        if let Ok(Some(files)) = &evaluation.files
            && evaluation.saw_time
            && time != now
            && last.is_none_or(|last| last.hash != hash(files))
        {
            time = now;
            evaluation = self.evaluate_for(index, now).await;
        }
        let made = match evaluation.files {
            Ok(files) => Ok(files.map(|files| (Made { time, hash: hash(&files) }, files))),
            // An error while answers are missing may be due to that alone.
            Err(_) if !evaluation.questions.missing.is_empty() => Ok(None),
            Err(error) => Err(error.into()),
        };
        (evaluation.questions, made)
    }

    async fn evaluate_for(&self, index: usize, now: SystemTime) -> Evaluation {
        self.stats.evaluations.add();
        let state = &self.templates[index];
        let env = self.environment.variables.clone();
        let around = self.environment.around.clone();
        let programs = Arc::<Programs>::default();
        // Whoever drops this does not wait for what functions run.
        let _end = EndWith(programs.clone());
        let inputs = Inputs { data: self.data.clone(), env, now, is_trial: self.settings.dry, around, programs };
        tracing::debug!(template = state.called(index), "rendering");
        let unit = state.unit.clone();
        // On a thread that may block: functions run programs and read links.
        let evaluation = tokio::task::spawn_blocking(move || unit.evaluate(&inputs)).await;
        evaluation.unwrap_or_else(|_| {
            let questions = Questions { used: state.used.clone(), missing: BTreeSet::new() };
            Evaluation { questions, files: Err(UnitError::Defect { name: state.unit.name() }), saw_time: false }
        })
    }

    async fn put_in_place(&mut self, index: usize, files: &[Rendered]) -> Result<(), RunError> {
        let unit = self.templates[index].unit.clone();
        let refused = self.claims.claim(index, files).await;
        let shared = refused.first().map(|(owner, path)| self.shared(*owner, index, path));
        let may_have = |file: &&Rendered| !refused.iter().any(|(_, path)| *path == file.destination);
        let files: Vec<_> = files.iter().filter(may_have).cloned().collect();
        if self.settings.dry {
            self.show(index, &unit, &files)?;
            return shared.map_or(Ok(()), |error| Err(error.into()));
        }
        let mut job = Job { index, unit, changed: Vec::new(), gone: None };
        let mut done = self.apply(&mut job, &files).await;
        if let Some(error) = shared {
            done = done.and(Err(error.into()));
        }
        // Also if one of them failed.
        if !job.changed.is_empty() || job.gone.is_some() {
            self.jobs.add(job);
        }
        done
    }

    /// Another template has the file that this one makes.
    fn shared(&self, owner: usize, index: usize, path: &Path) -> UnitError {
        let name = |index: usize| self.templates[index].called(index);
        UnitError::Shared { one: name(owner), other: name(index), destination: path.to_owned() }
    }

    /// Files of templates that are no longer configured go when all others are there: what another one makes now stays.
    pub(super) async fn clear_abandoned(&mut self) {
        let Some(lists) = self.lists.take_if(|_| self.templates.iter().all(|state| state.is_rendered)) else { return };
        let others = self.claims.of_others(None);
        // It says itself what it did.
        let cleared = tokio::task::spawn_blocking(move || lists.clear(&others)).await;
        for _ in 0..cleared.unwrap_or_default() {
            self.stats.writes.add();
        }
    }

    /// Puts all files in place, and removes those that are gone; the first error.
    async fn apply(&self, job: &mut Job, files: &[Rendered]) -> Result<(), RunError> {
        let owner = &self.environment.lists.owner;
        let list = job.unit.list().map(|path| files::List { path: path.to_owned(), owner: owner.clone() });
        if let Some(list) = &list {
            files::list(list, files).await?;
        }
        let mut failed = None;
        for file in files {
            let target = Target::new(&job.unit.settings, file.destination.clone());
            match target.apply(file.bytes.clone(), &self.environment.around).await {
                Ok(Outcome::Unchanged) => {
                    tracing::debug!(file = %file.destination.display(), "not written: the file is as it should be")
                }
                Ok(Outcome::Changed(changed)) => {
                    let (template, path) = (job.unit.name(), changed.path());
                    if changed.is_again() {
                        tracing::warn!(template = %template, file = %path.display(), "an earlier run ended before the command of this file");
                    } else {
                        self.stats.writes.add();
                        tracing::info!(template = %template, file = %path.display(), "rendered");
                    }
                    job.changed.push(changed);
                }
                Err(error) => {
                    if let Err(later) = hold(&mut failed, error) {
                        tracing::error!("{}", chain(&later));
                    }
                }
            }
        }
        if let Some(list) = &list {
            job.gone = files::remove_gone(list, files, self.claims.of_others(Some(job.index)), &self.stats).await?;
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn show(&self, index: usize, unit: &Unit, files: &[Rendered]) -> Result<(), RunError> {
        let show = self.environment.show;
        for Rendered { destination, bytes } in files {
            if destination.as_os_str().is_empty() {
                show(Shown::Text(destination, bytes));
                continue;
            }
            let differs = Target::new(&unit.settings, destination.clone()).compare(bytes)?;
            if differs.text {
                show(Shown::Text(destination, bytes));
            }
            if let Some(owner) = differs.owner {
                show(Shown::Owner(destination, &owner));
            }
        }
        let gone = unit.list().map(|list| files::gone(list, files, &self.claims.of_others(Some(index)))).transpose()?;
        gone.iter().flatten().for_each(|file| show(Shown::Gone(file)));
        Ok(())
    }

    /// What no template asks any more is neither watched nor kept.
    fn forget_unused(&mut self) {
        if !std::mem::take(&mut self.asks_otherwise) {
            return;
        }
        let before = self.watches.len();
        let mut used: BTreeSet<&Query> = self.templates.iter().flat_map(|state| &state.used).collect();
        let fleet = self.settings.stagger.map(|_| fleet());
        used.extend(&fleet);
        self.watches.keep(|query| used.contains(query));
        self.data.keep(|query| used.contains(query));
        if self.watches.len() > MANY_QUESTIONS.max(before) {
            tracing::warn!(questions = self.watches.len(), "templates ask so many questions that watching them costs");
        }
    }

    /// Commands that are staggered need to know who else is there.
    pub(super) fn watch_fleet(&mut self) {
        self.fleet_again = None;
        if self.settings.stagger.is_some() {
            self.watches.add(&self.source, &fleet());
        }
    }
}

/// All nodes.
pub(super) fn fleet() -> Query {
    Query::Selected { selector: String::new() }
}

/// Keeps the first error; gives a later one back.
pub(super) fn hold<E>(first: &mut Option<E>, error: E) -> Result<(), E> {
    match first {
        Some(_) => Err(error),
        None => {
            *first = Some(error);
            Ok(())
        }
    }
}

/// Of all files; only to see whether they are the same as before in this process.
fn hash(files: &[Rendered]) -> u64 {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}
