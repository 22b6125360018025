//! The task that keeps one nginx in step. Decides when there is enough knowledge to act, and what makes a reload due.
//!
//! ```text
//! picture │ tick │ due reload │ stop
//!    └─► all services of nginx answered? ─► layout ─► files, if they differ ─► check ─► reload, at most one an interval
//! ```
//! The first change is told at once; those that come within the interval after a reload are one reload. Files are in place
//! at once in any case. A reload that fails, or whose check fails, is due until it succeeds. With a `start_command`, the
//! first turn asks for a reload as well, which tells whether nginx runs: if it fails, nginx is started, once.
//! A service whose source does not answer is waited for, but not for ever: then the others go on, and its file stays as it
//! is. The whole file knows no such thing, so that it waits.
//! Not here: what the files are (`text`), how they come into place (`files`), when reloads may be (`haproxy::reload`).

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use lobby_render::command::{Surroundings, run_captured};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Layout, Stats,
    files::{self, Files, PutError},
    text,
};
use crate::{Picture, Settings, backend::Known, haproxy::reload::Policy, settings::Nginx};

#[cfg(test)]
mod tests;

/// Files that somebody changed are mended within this: nothing reads them before the next reload.
const REPAIR: Duration = Duration::from_secs(5);

/// Changes come in bursts (a deploy, a node that leaves): what comes within this is one change.
const GATHER: Duration = Duration::from_millis(20);

/// Files that were not taken are tried again after this, as a check may fail for a passing reason (names, a
/// configuration around them that is being edited). While they are tried they are in place for a moment.
const AGAIN: Duration = Duration::from_secs(30);

/// A source that has not answered by then is not waited for: as long as HAProxy's task waits.
const WARM_MAX: Duration = Duration::from_secs(60);

/// A reload is a whole new set of workers, while old ones finish: never more often than this.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

struct Task {
    settings: Arc<Settings>,
    nginx: Nginx,
    /// None: nothing is to be written.
    files: Option<Files>,
    around: Surroundings,
    stats: Arc<Stats>,
    picture: watch::Receiver<Picture>,
    /// Nobody changes it any more.
    is_closed: bool,
    began: Instant,
    policy: Policy,
    /// Not taken, and when.
    refused: Option<(Layout, Instant)>,
    warnings: Vec<String>,
    /// nginx was reloaded or started by this task.
    is_known_to_run: bool,
    has_started: bool,
}

/// Keeps the nginx of `settings` in step until `stop` is there. nginx goes on.
pub async fn run(
    settings: Arc<Settings>,
    picture: watch::Receiver<Picture>,
    around: Surroundings,
    stats: Arc<Stats>,
    stop: impl Future<Output = ()> + Send,
) {
    let Some(mut task) = Task::new(settings, picture, around, stats) else { return };
    tokio::pin!(stop);
    loop {
        // A turn is not cut: the commands in it have their own ends.
        Box::pin(task.turn()).await;
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = task.woken() => {}
        }
    }
}

impl Task {
    fn new(settings: Arc<Settings>, picture: watch::Receiver<Picture>, around: Surroundings, stats: Arc<Stats>) -> Option<Self> {
        let nginx = settings.nginx.clone()?;
        Some(Self {
            files: Files::new(&nginx).filter(|_| nginx.do_writes),
            policy: Policy::new(nginx.restart_interval.max(LEAST_INTERVAL), nginx.restart_jitter),
            settings,
            nginx,
            around,
            stats,
            picture,
            is_closed: false,
            began: Instant::now(),
            refused: None,
            warnings: Vec::new(),
            is_known_to_run: false,
            has_started: false,
        })
    }

    /// Waits for a reason to look again.
    async fn woken(&mut self) {
        let now = Instant::now();
        let wake = self.policy.due(now).map_or(now + REPAIR, |due| due.min(now + REPAIR));
        tokio::select! {
            changed = self.picture.changed(), if !self.is_closed => match changed {
                Ok(()) => sleep(GATHER).await,
                Err(_) => self.is_closed = true,
            },
            () = sleep_until(wake) => {}
        }
    }

    /// Compares and mends everything once.
    async fn turn(&mut self) {
        let Some(picture) = self.answered() else { return };
        let layout = text::layout(&self.settings, &picture);
        if layout.warnings != self.warnings {
            layout.warnings.iter().for_each(|warning| tracing::warn!("nginx: {warning}"));
            self.warnings.clone_from(&layout.warnings);
        }
        let is_checked = self.put(layout).await;
        self.reload(is_checked).await;
    }

    /// What to act on; None: it is too early.
    fn answered(&mut self) -> Option<Vec<Known>> {
        let mut known = self.picture.borrow_and_update().to_vec();
        known.resize(self.settings.services.len(), Known::default());
        let services = self.settings.services.iter().zip(&known).filter(|(service, _)| service.nginx.is_some());
        let missing = services.filter(|(_, known)| known.backends.is_none());
        let names: Vec<_> = missing.map(|(service, _)| service.name.clone()).collect();
        let is_answered = names.is_empty();
        self.stats.update(|status| status.unanswered = names);
        let may_keep = self.nginx.upstreams.is_some() && self.began.elapsed() >= WARM_MAX;
        (is_answered || may_keep).then_some(known)
    }

    /// Whether the check has just taken the files.
    async fn put(&mut self, layout: Layout) -> bool {
        let Some(files) = &self.files else { return false };
        if self.refused.as_ref().is_some_and(|(refused, at)| *refused == layout && at.elapsed() < AGAIN) {
            return false;
        }
        self.refused = None;
        match files.put(&layout, &self.around).await {
            Ok(put) if put == files::Put::default() => false,
            Ok(put) => {
                tracing::info!(written = put.n_written, removed = put.n_removed, "nginx: files are in place");
                self.stats.update(|status| {
                    status.writes += put.n_written as u64;
                    status.removed += put.n_removed as u64;
                });
                true
            }
            Err(err) => {
                let is_check = matches!(&err, PutError::Check { .. });
                self.stats.update(|status| *(if is_check { &mut status.checks_failed } else { &mut status.writes_failed }) += 1);
                self.stats.fail(err.to_string());
                self.refused = Some((layout, Instant::now()));
                false
            }
        }
    }

    /// Reloads if it is due.
    async fn reload(&mut self, is_checked: bool) {
        let Some(files) = &self.files else { return self.told(Vec::new()) };
        let mut reasons = Vec::new();
        if files.is_reload_due() {
            reasons.push(("files".to_owned(), "files have changed".to_owned()));
        }
        if self.nginx.start_command.is_some() && !self.is_known_to_run {
            reasons.push(("start".to_owned(), "whether nginx runs is not known".to_owned()));
        }
        if !self.nginx.do_reloads {
            reasons.clear();
        }
        self.policy.want(reasons.clone());
        let now = Instant::now();
        if self.policy.due(now) == Some(now) {
            let done = self.reload_now(is_checked).await;
            let (now, chance) = (Instant::now(), RandomState::new().hash_one(()));
            match done {
                Ok(()) => {
                    self.policy.done(now, chance);
                    self.policy.in_step();
                    self.is_known_to_run = true;
                    reasons.clear();
                }
                Err(error) => {
                    self.stats.update(|status| status.reloads_failed += 1);
                    self.stats.fail(error);
                    self.policy.failed(now, chance);
                }
            }
        }
        self.told(reasons.into_iter().map(|(_, text)| text).collect());
    }

    fn told(&self, due: Vec<String>) {
        let is_refused = self.refused.is_some();
        self.stats.update(|status| {
            status.is_in_step = due.is_empty() && !is_refused;
            if status.is_in_step {
                status.last_error = None;
            }
            status.reload_due = due;
        });
    }

    async fn reload_now(&mut self, is_checked: bool) -> Result<(), String> {
        let Some(files) = &self.files else { return Ok(()) };
        if !is_checked {
            // It was written a while ago; and what is around it may have changed.
            files.check(&self.around).await.map_err(|err| format!("no reload, as the check refuses what is there: {err}"))?;
        }
        let reloaded = run_captured(&files::reload_command(&self.nginx), &self.around).await;
        match (reloaded, &self.nginx.start_command) {
            (Ok(_), _) => {
                tracing::info!("nginx: reloaded");
                self.stats.update(|status| status.reloads += 1);
            }
            // It does not run, most likely; if it does, a second one finds its ports taken and ends.
            (Err(err), Some(start)) if !self.has_started => {
                let started = run_captured(&files::shell(start), &self.around).await;
                started.map_err(|start| format!("the reload failed: {err}; so did the start: {start}"))?;
                tracing::info!("nginx: started");
                self.has_started = true;
                self.stats.update(|status| status.starts += 1);
            }
            (Err(err), _) => return Err(format!("the reload failed: {err}")),
        }
        files.reloaded().map_err(|err| format!("nginx was reloaded, and will be once more, as the mark of it stays: {err}"))
    }
}
