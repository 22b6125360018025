//! One service: rounds of checks, and a report when its status changes. Decides when something is told, and when what was told
//! before (`told`) counts no longer.
//!
//! ```text
//! ping ─ no ─► what was told is unknown, checks are skipped
//!   └ yes ─► checks ─ judge ─► up or down ─ changed, and a token is there ─► report ─ failed too often ─► end (begun anew)
//! ```
//! After a reload a task begins beside the one that it replaces, and ends it when it has told something itself: at no moment
//! a service that is well is not told. Checks can be interrupted; a report that has begun is not.
//! Not here: which tasks there are (`run`).

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lobby_core::time::Moment;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    Report, ReportError,
    check::look,
    judge::Judge,
    rate::Bucket,
    settings::{Reporter, Service},
};
use crate::fetch::Fetch;

/// How long a replacement may take for its first report before the one before it is ended all the same: that of Nerve.
const FIRST_REPORT: Duration = Duration::from_secs(30);
/// How long a task may take to end: that of Nerve.
const END: Duration = Duration::from_secs(10);
/// Of one report: two of them (one that has begun, and that of the end) fit into [`END`].
const REPORT: Duration = Duration::from_secs(4);

/// Which instance the newest task of a service tells, if any: older ones do not take that back when they end. Locked for a
/// moment only.
type Owned = Arc<Mutex<Option<String>>>;

/// The task of a service. Dropping it ends it, and what it told stays.
#[derive(Debug)]
pub(super) struct Running<R> {
    pub(super) service: Arc<Service>,
    report: R,
    owned: Owned,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl<R: Report> Running<R> {
    /// Begins, beside the one that it replaces.
    pub(super) fn start(service: Arc<Service>, fetch: impl Fetch, report: R, old: Option<Self>) -> Self {
        let owned = old.as_ref().map_or_else(Owned::default, |old| old.owned.clone());
        *lock(&owned) = (service.reporter == Reporter::Lobby).then(|| service.payload.id.clone());
        let (end, ended) = oneshot::channel();
        let watch = Watch::new(service.clone(), fetch, report.clone());
        // Ends with the sender at the latest.
        Self { service, report, owned, end, task: tokio::spawn(watch.run(ended, old)) }
    }

    /// It gave up, or panicked.
    pub(super) fn is_dead(&self) -> bool {
        self.task.is_finished()
    }

    /// The same as [`Self::end`], and nothing comes after it.
    pub(super) async fn end_for_good(self) {
        *lock(&self.owned) = None;
        self.end().await;
    }

    /// Ends it and waits for that, but not for ever. What it told is taken back, unless a newer task tells it.
    async fn end(mut self) {
        let _ = self.end.send(());
        let name = &self.service.name;
        if timeout(END, &mut self.task).await.is_err() {
            tracing::warn!(service = name, "does not end within {END:?} and is given up");
            self.task.abort();
        }
        // Here, not in the task: one that is dead has told something too.
        let is_told_on = lock(&self.owned).as_ref() == Some(&self.service.payload.id);
        if !is_told_on {
            match in_time(self.report.down(&self.service.payload)).await {
                Ok(()) => tracing::info!(service = name, "not reported any more"),
                Err(err) => tracing::warn!(service = name, "cannot be taken back: {err}"),
            }
        }
    }
}

fn lock(owned: &Owned) -> MutexGuard<'_, Option<String>> {
    owned.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Watch<F, R> {
    service: Arc<Service>,
    fetch: F,
    report: R,
    judges: Vec<Judge>,
    bucket: Bucket,
    begun: Instant,
    /// None: nothing yet, or nobody knows whether it still counts.
    told: Option<bool>,
    /// It told something at least once.
    has_told: bool,
    /// Reports in a row.
    n_failures: u32,
    /// What was said of the last one: the next says no more if it is the same.
    failure: Option<String>,
    is_throttled: bool,
}

impl<F: Fetch, R: Report> Watch<F, R> {
    fn new(service: Arc<Service>, fetch: F, report: R) -> Self {
        let judges = service.checks.iter().map(|check| Judge::new(check.rise, check.fall)).collect();
        let bucket = Bucket::new(service.rate, Moment::ZERO);
        let begun = Instant::now();
        Self {
            service,
            fetch,
            report,
            judges,
            bucket,
            begun,
            told: None,
            has_told: false,
            n_failures: 0,
            failure: None,
            is_throttled: false,
        }
    }

    async fn run(mut self, mut ended: oneshot::Receiver<()>, mut old: Option<Running<R>>) {
        loop {
            if self.ping().await {
                let found = tokio::select! {
                    biased;
                    _ = &mut ended => break,
                    found = self.round() => found,
                };
                self.tell(found).await;
            }
            if old.is_some() && (self.has_told || self.begun.elapsed() >= FIRST_REPORT) {
                end_old(&mut old).await;
                self.repeat().await;
            }
            if self.n_failures >= self.service.max_repeated_report_failures {
                tracing::error!(service = self.service.name, "{} reports in a row failed: beginning anew", self.n_failures);
                break;
            }
            tokio::select! {
                biased;
                _ = &mut ended => break,
                () = sleep(self.service.check_interval) => {}
            }
        }
        // Before anybody takes back what this task told: it may tell the same instance.
        end_old(&mut old).await;
    }

    fn now(&self) -> Moment {
        Moment::from_micros(u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Whether reports arrive, and what was told still stands.
    async fn ping(&mut self) -> bool {
        let ping = self.report.ping(&self.service.payload, self.told == Some(true));
        let is_well = timeout(REPORT, ping).await.unwrap_or(false);
        if !is_well {
            if self.told.is_some() {
                tracing::warn!(service = self.service.name, "what was reported is not known any more: reporting again");
            }
            self.told = None;
            self.n_failures += 1;
        }
        is_well
    }

    /// All checks, one after the other; an error says which does not pass.
    async fn round(&mut self) -> Result<(), String> {
        if self.service.is_mocked {
            return Ok(());
        }
        let service = self.service.clone();
        let mut found = Ok(());
        for (at, check) in service.checks.iter().enumerate() {
            let result = look(check, &self.fetch).await;
            let now = self.now();
            if !self.judges[at].result(result.is_ok(), now) && found.is_ok() {
                let why = result.err().map_or_else(|| "passes, but not often enough yet".to_owned(), |err| err.to_string());
                found = Err(format!("check {}: {why}", check.name));
            }
        }
        found
    }

    async fn tell(&mut self, found: Result<(), String>) {
        let is_up = found.is_ok();
        if self.told == Some(is_up) {
            self.is_throttled = false;
            return;
        }
        if !self.may_tell() {
            return;
        }
        let payload = &self.service.payload;
        let answer = if is_up { in_time(self.report.up(payload)).await } else { in_time(self.report.down(payload)).await };
        let name = &self.service.name;
        match (answer, found) {
            (Ok(()), Ok(())) => tracing::info!(service = name, "up: reported {}", payload.json()),
            (Ok(()), Err(why)) => tracing::warn!(service = name, "down, so it is not in the catalog, as with Nerve: {why}"),
            (Err(err), _) => {
                let failure = format!("cannot be reported {}: {err}", if is_up { "up" } else { "down" });
                if self.failure.as_ref() != Some(&failure) {
                    tracing::warn!(service = name, "{failure}");
                }
                self.failure = Some(failure);
                self.told = None;
                self.n_failures += 1;
                return;
            }
        }
        (self.told, self.has_told, self.n_failures, self.failure) = (Some(is_up), true, 0, None);
    }

    /// The one before it may have been about to tell that it is up when this one told that it is down. (The other way round
    /// the next ping shows it.) It is no change, so it takes no token.
    async fn repeat(&mut self) {
        if self.told == Some(false) && in_time(self.report.down(&self.service.payload)).await.is_err() {
            self.told = None;
        }
    }

    /// Takes a token. Without one it has to wait, unless the limit is only a trial.
    fn may_tell(&mut self) -> bool {
        let is_free = self.bucket.take(self.now());
        if !is_free && !self.is_throttled {
            let instead = if self.service.rate.is_shadow { "would wait, but shadow_mode is on" } else { "waits" };
            tracing::warn!(service = self.service.name, "reported too often: {instead}");
        }
        self.is_throttled = !is_free;
        is_free || self.service.rate.is_shadow
    }
}

async fn end_old<R: Report>(old: &mut Option<Running<R>>) {
    if let Some(old) = old.take() {
        old.end().await;
    }
}

async fn in_time(report: impl Future<Output = Result<(), ReportError>>) -> Result<(), ReportError> {
    timeout(REPORT, report).await.unwrap_or(Err(ReportError::Late(REPORT)))
}
