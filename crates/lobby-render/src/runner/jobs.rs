//! Commands after files changed, and the program that uses them. Decides that equal commands run once, one after the other, all
//! of them even if one fails; that the files of one that fails are put back; and when a staggered one has its turn.

use std::sync::Arc;
use std::time::SystemTime;

use lobby_core::time::Moment;

use super::files::Gone;
use super::pass::{fleet, hold};
use super::state::chain;
use super::{End, RunError, Runner};
use crate::apply::{Changed, RolledBack};
use crate::child::{Child, Told};
use crate::command::{self, CommandError};
use crate::settings::CommandSettings;
use crate::stagger::{Turn, turn};
use crate::unit::Unit;
use crate::{Answer, Source};

/// Files of one template that changed: its command is to be run.
#[derive(Debug)]
pub(super) struct Job {
    /// Of the template.
    pub(super) index: usize,
    pub(super) unit: Arc<Unit>,
    pub(super) changed: Vec<Changed>,
    /// Others were removed.
    pub(super) gone: Option<Gone>,
}

/// What waits to be done.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: Vec<Job>,
    not_before: Option<Moment>,
}

impl Jobs {
    /// A template changed again before its command was run: its newest files count, and those of before that did not change
    /// again.
    pub(super) fn add(&mut self, job: Job) {
        let Some(known) = self.jobs.iter_mut().find(|known| known.index == job.index) else {
            return self.jobs.push(job);
        };
        known.changed.retain(|old| !job.changed.iter().any(|new| new.path() == old.path()));
        known.changed.extend(job.changed);
        known.gone = job.gone.or(known.gone.take());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn not_before(&self) -> Option<Moment> {
        self.not_before
    }
}

impl<S: Source> Runner<S> {
    /// Runs the commands, in the order of their templates, when it is our turn. Whether the program is to be told.
    ///
    /// # Errors
    /// The first command that failed, unless its template or the runner goes on.
    pub(super) async fn run_jobs(&mut self) -> Result<bool, RunError> {
        if self.jobs.is_empty() || !self.is_our_turn() {
            return Ok(false);
        }
        // Dropped while a command runs, they stay unsettled on the disk: whoever renders these files next runs it.
        let mut jobs = std::mem::take(&mut self.jobs.jobs);
        jobs.sort_by_key(|job| job.index);
        let (mut has_changed, mut failed) = (false, None);
        for (command, jobs) in by_command(jobs) {
            let Err(error) = self.run_command(command.as_ref()).await else {
                jobs.into_iter().for_each(Job::settle);
                has_changed = true;
                continue;
            };
            self.stats.failures.add();
            let is_fatal = jobs.iter().any(|job| job.unit.settings.error_fatal) && !self.environment.keep_going;
            let mut templates: Vec<_> = jobs.iter().map(|job| self.templates[job.index].called(job.index)).collect();
            templates.dedup();
            let error = RunError::from(error).of(templates.join(", "));
            let told = if is_fatal { hold(&mut failed, error) } else { Err(error) };
            if let Err(error) = told {
                tracing::error!("{}", chain(&error));
            }
            has_changed |= self.put_back(command.as_ref(), jobs).await;
        }
        failed.map_or(Ok(has_changed), Err)
    }

    /// Whether so few others run their commands now that we may.
    fn is_our_turn(&mut self) -> bool {
        self.jobs.not_before = None;
        let has_command = self.jobs.jobs.iter().any(|job| job.unit.settings.command.is_some());
        let Some(stagger) = self.settings.stagger.filter(|_| has_command || self.child.is_some()) else { return true };
        let wait = match self.data.get(&fleet()) {
            Some(Answer::Selected(nodes)) => {
                let live = nodes.iter().filter(|node| node.state == "alive").map(|node| node.id.as_str());
                let now = (self.environment.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                turn(stagger, "commands", &self.environment.node, live, now)
            }
            // Whoever is there is told in a moment.
            _ => return false,
        };
        match wait {
            Turn::Now => true,
            Turn::In(wait) => {
                self.jobs.not_before = Some(self.now() + wait);
                false
            }
        }
    }

    async fn run_command(&self, command: Option<&CommandSettings>) -> Result<(), CommandError> {
        let Some(command) = command else { return Ok(()) };
        self.stats.commands.add();
        tracing::info!(command = command.argv.join(" "), "running the command");
        command::run(command, &self.environment.around).await
    }

    /// Puts the last good files back after a command failed, where that is wanted, and runs it again. Whether other files of
    /// the command stay.
    async fn put_back(&mut self, command: Option<&CommandSettings>, jobs: Vec<Job>) -> bool {
        let (back, stay): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.unit.settings.roll_back);
        let any_stays = !stay.is_empty();
        stay.into_iter().for_each(Job::settle);
        if back.is_empty() {
            return any_stays;
        }
        for job in back {
            self.templates[job.index].is_refused = true;
            for changed in job.changed {
                match changed.roll_back() {
                    Ok(RolledBack::NoneKept) => tracing::warn!("{}", RolledBack::NoneKept),
                    Ok(said) => {
                        self.stats.roll_backs.add();
                        tracing::warn!("{said}");
                    }
                    Err(err) => tracing::error!("cannot roll back: {}", chain(&err)),
                }
            }
            job.gone.into_iter().for_each(Gone::settle);
        }
        if let Err(error) = self.run_command(command).await {
            tracing::error!("with the last good file back: {}", chain(&error));
        }
        any_stays
    }

    /// Starts the program once all files are there and their commands were run, and tells it of changes from then on.
    pub(super) async fn tell_program(&mut self, has_changed: bool) -> Result<Option<End>, RunError> {
        let Some(exec) = self.settings.exec.clone().filter(|_| !self.settings.dry) else { return Ok(None) };
        if self.child.is_none() {
            if self.jobs.is_empty() && self.templates.iter().all(|state| state.is_rendered) {
                self.child = Some(Child::start(exec, self.environment.around.clone())?);
            }
            return Ok(None);
        }
        let Some(child) = self.child.as_mut().filter(|_| has_changed) else { return Ok(None) };
        let chance = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        Ok(match child.reload(chance).await? {
            Told::Ended(code) => Some(End::Program(code)),
            Told::Signalled | Told::Restarted => None,
        })
    }
}

impl Job {
    /// Its files have proved good.
    fn settle(self) {
        for changed in self.changed {
            if let Err(err) = changed.settle() {
                tracing::warn!("cannot remove the last good copy: {err}");
            }
        }
        self.gone.into_iter().for_each(Gone::settle);
    }
}

/// Jobs by their command, each command once, in the order in which it first comes.
fn by_command(jobs: Vec<Job>) -> Vec<(Option<CommandSettings>, Vec<Job>)> {
    let mut groups: Vec<(Option<CommandSettings>, Vec<Job>)> = Vec::new();
    for job in jobs {
        let command = job.unit.settings.command.clone();
        match groups.iter_mut().find(|(known, _)| command.is_some() && *known == command) {
            Some((_, jobs)) => jobs.push(job),
            None => groups.push((command, vec![job])),
        }
    }
    groups
}
