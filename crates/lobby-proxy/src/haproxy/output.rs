//! The task that keeps one HAProxy in step. Decides when there is enough knowledge to act, in which order file, socket and
//! reload come, and whether a reload is needed at all.
//!
//! ```text
//! picture │ tick │ due reload │ stop
//!    └─► all answered? ─► layout ─┬─► file, if its bytes differ          ─┐
//!                                 └─► socket: read, plan, act            ─┴─► reload, only if that was not enough
//! ```
//! Each turn compares everything with what is there, so that nothing depends on what an earlier turn, or an earlier lobbyd,
//! did. File and socket go side by side: a server that is dead gets nothing more before a disk is done.
//! With `do_socket = false` no socket is opened: a change is one rename and one reload.
//! Not here: text, commands of the socket (behind [`Parts`]); when reloads may be (`reload`).

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use lobby_render::command::Surroundings;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Layout, manage,
    manage::Managed,
    reload::{Pace, Policy, way::Way},
    statefile::{self, Saved},
    stats::Stats,
    text::backend_names,
    version::Version,
    write::{WriteError, Writer, Written},
};
use crate::{Backend, Picture, Settings, backend::Known, settings::Haproxy};

mod asked;
mod filed;
mod joined;
mod judge;
mod memory;
mod parts;
mod preview;
mod reloads;
mod taken;
#[cfg(test)]
mod tests;
mod warm;

use asked::Asked;
use filed::Filed;
pub use joined::{run, run_after};
use memory::Memory;
pub use parts::{Parts, Process, Reconciled};
pub use preview::{Preview, preview};

/// Drift is mended within a second: half of it, and what a turn takes.
const REPAIR: Duration = Duration::from_millis(500);

/// Changes come in bursts (a deploy, a node that leaves): what comes within this is one change. With the socket the first of
/// a burst is not kept waiting: a backend that has just died gets nothing more.
const GATHER: Duration = Duration::from_millis(20);

/// A source that has not answered by then is not waited for: other services need their changes. Long for the start of any
/// source (its first retries come within seconds), short for people who wait for a deploy.
const WARM_MAX: Duration = Duration::from_secs(60);

/// As Synapse's 60 ticks of a second.
const SAVE: Duration = Duration::from_secs(60);

/// A file that was not taken is tried again after this, as its check may have failed for a passing reason (names).
const AGAIN: Duration = Duration::from_secs(10);

/// What one turn found out.
#[derive(Debug)]
struct Turn {
    /// When file and socket were begun with.
    began: Instant,
    /// The text changed in this turn.
    is_new: bool,
    /// The file is as it should be.
    is_in_place: bool,
    /// From the socket, if it is used.
    mended: Option<Result<Reconciled, String>>,
}

struct Task<P> {
    settings: Arc<Settings>,
    haproxy: Haproxy,
    parts: P,
    around: Surroundings,
    stats: Arc<Stats>,
    picture: watch::Receiver<Picture>,
    /// Nobody changes it any more.
    is_closed: bool,
    began: Instant,
    is_warm: bool,
    /// For services that have not answered in time.
    instead: BTreeMap<String, Arc<[Backend]>>,
    writer: Option<Writer>,
    way: Option<Way>,
    policy: Policy,
    managed: Option<Managed>,
    filed: Filed,
    memory: Memory,
    version: Option<Version>,
    asked: Asked,
    /// The last one, with what it was made from.
    layout: Option<(Vec<Known>, Option<Version>, Arc<Layout>)>,
    laid_out: Instant,
    /// The last turn's end.
    turned: Instant,
    /// Put in place last, or found there.
    put: Option<String>,
    /// Not taken, and when.
    refused: Option<(String, Instant)>,
    unreachable: Option<Instant>,
    /// The text that was there when an unreachable process was reloaded last.
    unreachable_text: Option<String>,
    /// The managed process that answered last.
    answered: Option<u32>,
    /// The text that was there when a managed process was replaced last.
    replaced_text: Option<String>,
    /// The last turn had nothing to do.
    is_settled: bool,
    /// Something is open on the socket.
    again: Option<Duration>,
    saved: Option<Instant>,
}

/// Keeps the HAProxy of `settings` in step until `stop` is there. HAProxy goes on.
pub async fn run_with<P: Parts>(
    parts: P,
    settings: Arc<Settings>,
    picture: watch::Receiver<Picture>,
    around: Surroundings,
    stats: Arc<Stats>,
    pace: Pace,
    stop: impl Future<Output = ()> + Send,
) {
    let Some(mut task) = Task::new(parts, settings, picture, around, stats, pace).await else { return };
    tokio::pin!(stop);
    loop {
        // A turn is not cut: the commands in it have their own ends.
        Box::pin(task.turn()).await;
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = task.woken() => {}
        }
    }
    if let Some(managed) = task.managed.take() {
        managed.end().await;
    }
    task.save(true).await;
}

impl<P: Parts> Task<P> {
    async fn new(
        mut parts: P,
        settings: Arc<Settings>,
        picture: watch::Receiver<Picture>,
        around: Surroundings,
        stats: Arc<Stats>,
        pace: Pace,
    ) -> Option<Self> {
        let haproxy = settings.haproxy.clone()?;
        parts.restore(saved(&settings, &haproxy).await);
        let managed = if haproxy.manage {
            manage::supervise(&haproxy, &around, Arc::clone(&stats))
        } else {
            manage::release(&haproxy, &around).await;
            None
        };
        let now = Instant::now();
        let file = haproxy.config_file_path.clone().filter(|_| haproxy.do_writes);
        stats.update(|status| status.config_file = file);
        let (way, file) = (Way::of(&haproxy), haproxy.config_file_path.clone());
        let policy = Policy::after(haproxy.restart_interval, haproxy.restart_jitter, pace, file, way.clone());
        Some(Self {
            parts,
            picture,
            is_closed: false,
            began: now,
            is_warm: false,
            instead: BTreeMap::new(),
            writer: Writer::new(&haproxy),
            way,
            policy,
            managed,
            filed: Filed::default(),
            memory: Memory::read(memory::path(&haproxy)).await,
            version: haproxy.version,
            asked: Asked::default(),
            layout: None,
            laid_out: now,
            turned: now,
            put: None,
            refused: None,
            unreachable: None,
            unreachable_text: None,
            answered: None,
            replaced_text: None,
            is_settled: false,
            again: None,
            saved: None,
            settings,
            haproxy,
            around,
            stats,
        })
    }

    /// Waits for a reason to look again.
    async fn woken(&mut self) {
        let now = Instant::now();
        let tick = now + self.again.map_or(REPAIR, |again| again.min(REPAIR));
        let wake = self.policy.due(now).map_or(tick, |due| due.min(tick));
        let managed = async {
            match &mut self.managed {
                Some(managed) => managed.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.picture.changed(), if !self.is_closed => match changed {
                Ok(()) if self.haproxy.do_socket && self.turned.elapsed() >= GATHER => {}
                Ok(()) => sleep(GATHER).await,
                Err(_) => self.is_closed = true,
            },
            () = managed => {}
            () = sleep_until(wake) => {}
        }
    }

    /// Compares and mends everything once.
    async fn turn(&mut self) {
        self.learn_version().await;
        let Some(picture) = self.answered().await else { return };
        let (layout, is_new) = self.lay_out(picture);
        let turn = self.apply(&layout, is_new).await;
        let reasons = self.judge(&layout, &turn);
        self.reload(&layout, reasons, &turn).await;
        self.remember().await;
        self.save(false).await;
        self.turned = Instant::now();
    }

    /// What it should be like, and whether the text is another one than before.
    fn lay_out(&mut self, picture: Vec<Known>) -> (Arc<Layout>, bool) {
        let is_old = self.laid_out.elapsed() >= SAVE;
        if let Some((of, version, layout)) = &self.layout
            && (of, version) == (&picture, &self.version)
            && !is_old
        {
            return (Arc::clone(layout), false);
        }
        let layout = Arc::new(self.parts.layout(&self.settings, &picture, self.version, unix_now()));
        let before = self.layout.as_ref().map(|(_, _, layout)| layout);
        let is_new = before.is_none_or(|before| before.text != layout.text);
        if before.is_none_or(|before| before.warnings != layout.warnings) {
            layout.warnings.iter().for_each(|warning| tracing::warn!("haproxy: {warning}"));
        }
        self.stats.update(|status| {
            let names = backend_names(&self.settings).into_iter().zip(&picture);
            names.filter_map(|(name, known)| Some((name?, known))).for_each(|(name, known)| {
                status.backends.entry(name).or_default().held = known.n_held as u64;
            })
        });
        if is_new {
            self.stats.update(|status| status.is_in_step = false);
        }
        self.laid_out = Instant::now();
        self.layout = Some((picture, self.version, Arc::clone(&layout)));
        (layout, is_new)
    }

    /// File and socket, side by side.
    async fn apply(&mut self, layout: &Layout, is_new: bool) -> Turn {
        let began = Instant::now();
        let before = self.writer.as_ref().and_then(|writer| changed(writer.path()));
        let is_down = self.managed.as_ref().is_some_and(|managed| managed.pid().is_none());
        let is_refused = self.refused.as_ref().is_some_and(|(text, at)| *text == layout.text && at.elapsed() < AGAIN);
        // What is there already may have been put there before somebody came in its way; a reload looks again.
        let looks =
            self.put.as_ref() != Some(&layout.text) && taken::is_here(&self.haproxy, self.managed.as_ref(), self.memory.pid());
        let (writer, parts, around) = (&mut self.writer, &mut self.parts, &self.around);
        let (settings, loaded) = (&self.settings, self.memory.text());
        let put = async {
            let writer = writer.as_mut().filter(|_| !is_refused)?;
            if looks && let Some(taken) = taken::first(settings, layout, loaded, Some(writer.path())).await {
                return Some(Err(WriteError::Taken(taken)));
            }
            Some(writer.put(&layout.text, around).await)
        };
        let do_socket = self.haproxy.do_socket && !is_down;
        let mend = async { if do_socket { Some(parts.reconcile(layout).await) } else { None } };
        let (put, mended) = tokio::join!(put, mend);
        let is_in_place = put.map_or(!is_refused, |put| self.note_file(layout, put));
        let now = self.writer.as_ref().filter(|_| is_in_place).and_then(|writer| changed(writer.path()));
        self.filed.note(&layout.skeleton, before, now);
        Turn { began, is_new, is_in_place, mended }
    }

    /// Whether the file is as it should be.
    fn note_file(&mut self, layout: &Layout, put: Result<Written, WriteError>) -> bool {
        self.refused = None;
        if put.is_ok() && self.put.as_ref() != Some(&layout.text) {
            self.put = Some(layout.text.clone());
        }
        match put {
            Ok(Written::Unchanged) => true,
            Ok(written) => {
                let file = self.haproxy.config_file_path.as_deref().unwrap_or(std::path::Path::new("")).display();
                tracing::info!(%file, "haproxy: file written");
                self.stats.update(|status| {
                    status.writes += 1;
                    status.writes_in_place += u64::from(written == Written::InPlace);
                });
                if let Some(managed) = &self.managed {
                    managed.new_file();
                }
                true
            }
            Err(err) => {
                let is_check = matches!(err, WriteError::Check { .. } | WriteError::Taken(_));
                self.stats.update(|status| *(if is_check { &mut status.checks_failed } else { &mut status.writes_failed }) += 1);
                self.stats.fail(err.to_string());
                self.refused = Some((layout.text.clone(), Instant::now()));
                false
            }
        }
    }

    /// The state file, at first and then each minute.
    async fn save(&mut self, is_last: bool) {
        let Some(path) = self.haproxy.state_file_path.clone() else { return };
        // Before a first layout nothing is known that is not in it.
        if self.layout.is_none() || self.saved.is_some_and(|saved| saved.elapsed() < SAVE && !is_last) {
            return;
        }
        self.saved = Some(Instant::now());
        if let Err(err) = statefile::write(&path, &self.parts.saved(), &self.around).await {
            self.stats.fail(format!("state file: {err}"));
        }
    }
}

/// What is remembered of servers: in the state file, else what HAProxy's own file tells.
async fn saved(settings: &Settings, haproxy: &Haproxy) -> Saved {
    let now = unix_now();
    let saved = match &haproxy.state_file_path {
        Some(path) => statefile::read(path, haproxy.state_file_ttl, now).await,
        None => Saved::default(),
    };
    match &haproxy.config_file_path {
        Some(file) if saved.services.is_empty() => warm::of_file(&tokio::fs::read(file).await.unwrap_or_default(), settings, now),
        _ => saved,
    }
}

/// When a file was changed last.
pub(super) fn changed(path: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|there| there.modified()).ok()
}

#[expect(clippy::disallowed_methods, reason = "time stamps of files and of other programs; nothing waits for it")]
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
