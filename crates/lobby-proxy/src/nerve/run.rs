//! All services: a task for each, kept in step with the settings. Decides what a reload replaces, keeps, begins and ends.
//!
//! Not here: what a task does (`watch`), where settings come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{Payload, Report, ReportError, Settings, settings::Reporter, watch::Running};
use crate::fetch::Fetch;

/// Between two looks at the tasks: half of the ten seconds within which Nerve touches its file and begins anew what ended.
const TICK: Duration = Duration::from_secs(5);

/// Runs until `stop`, then takes back what was told. New settings count as soon as they are there; what has not changed in
/// them goes on undisturbed. Reports of services whose reporter is `lobby` go to `report`.
pub async fn run<F: Fetch, R: Report>(
    mut settings: watch::Receiver<Arc<Settings>>,
    fetch: F,
    report: R,
    stop: impl Future<Output = ()>,
) {
    let mut stop = pin!(stop);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut nerve = Nerve { fetch, report, running: BTreeMap::new() };
    let mut has_source = true;
    loop {
        let now = settings.borrow_and_update().clone();
        nerve.settle(&now).await;
        if let Some(path) = &now.heartbeat_path {
            beat(path.clone()).await;
        }
        tokio::select! {
            biased;
            () = &mut stop => break,
            // Whoever gave the settings may be gone; they hold on.
            changed = settings.changed(), if has_source => has_source = changed.is_ok(),
            _ = tick.tick() => {}
        }
    }
    end_all(nerve.running.into_values()).await;
}

struct Nerve<F, R> {
    fetch: F,
    report: R,
    running: BTreeMap<String, Running<Way<R>>>,
}

impl<F: Fetch, R: Report> Nerve<F, R> {
    /// Makes the tasks those of the settings. What is new comes before what is gone goes.
    async fn settle(&mut self, settings: &Settings) {
        for service in &settings.services {
            let old = match self.running.get(&service.name) {
                Some(old) if *old.service == *service && !old.is_dead() => continue,
                _ => self.running.remove(&service.name),
            };
            let report = match service.reporter {
                Reporter::Lobby => Way::Told(self.report.clone()),
                Reporter::Noop => Way::Noop,
            };
            let running = Running::start(Arc::new(service.clone()), self.fetch.clone(), report, old);
            self.running.insert(service.name.clone(), running);
        }
        let names: BTreeSet<_> = settings.services.iter().map(|service| &service.name).collect();
        let gone: Vec<_> = self.running.extract_if(.., |name, _| !names.contains(name)).map(|(_, gone)| gone).collect();
        end_all(gone).await;
    }
}

/// All at once: each of them may take its time.
async fn end_all<R: Report>(all: impl IntoIterator<Item = Running<R>>) {
    let mut ends: JoinSet<_> = all.into_iter().map(|running| running.end_for_good()).collect();
    while ends.join_next().await.is_some() {}
}

/// Touches the file.
async fn beat(path: PathBuf) {
    let shown = path.display().to_string();
    let touched = tokio::task::spawn_blocking(move || touch(&path)).await;
    if let Ok(Err(err)) = touched {
        tracing::warn!("heartbeat_path {shown} cannot be touched: {err}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the time of a file is for others, who compare it with their own clock")]
fn touch(path: &Path) -> std::io::Result<()> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.set_modified(std::time::SystemTime::now())
}

/// Where the reports of one service go.
#[derive(Debug, Clone)]
enum Way<R> {
    Told(R),
    Noop,
}

impl<R: Report> Report for Way<R> {
    async fn up(&self, payload: &Payload) -> Result<(), ReportError> {
        match self {
            Self::Told(report) => report.up(payload).await,
            Self::Noop => Ok(()),
        }
    }

    async fn down(&self, payload: &Payload) -> Result<(), ReportError> {
        match self {
            Self::Told(report) => report.down(payload).await,
            Self::Noop => Ok(()),
        }
    }

    async fn ping(&self, payload: &Payload, is_told_up: bool) -> bool {
        match self {
            Self::Told(report) => report.ping(payload, is_told_up).await,
            Self::Noop => true,
        }
    }
}
