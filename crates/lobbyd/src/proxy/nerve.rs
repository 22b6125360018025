//! Checks of this machine's services and their reports, as Nerve's file wants them, for as long as anybody does.
//!
//! New settings reach the one task that there is, so that what has not changed in them goes on without a gap.
//! Not here: checks and reports (`lobby_proxy::nerve`).

use std::sync::Arc;

use lobby_proxy::nerve::{self, Report, Settings};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Http, STOP};

/// Checks, from the first settings on.
pub(crate) struct Nerve<R> {
    report: R,
    running: Option<Running>,
}

struct Running {
    wanted: watch::Sender<Arc<Settings>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl<R: Report> Nerve<R> {
    /// Nothing is checked yet.
    pub(crate) fn new(report: R) -> Self {
        Self { report, running: None }
    }

    /// Does what these settings want; None: nothing.
    pub(crate) fn set(&mut self, settings: Option<Arc<Settings>>) {
        match (&self.running, settings) {
            (Some(running), settings) => {
                running.wanted.send_if_modified(|now| {
                    let next = settings.unwrap_or_default();
                    let is_other = *now != next;
                    *now = next;
                    is_other
                });
            }
            (None, Some(settings)) => {
                let (wanted, seen) = watch::channel(settings);
                let stop = CancellationToken::new();
                let task = tokio::spawn(nerve::run(seen, Http, self.report.clone(), stop.clone().cancelled_owned()));
                self.running = Some(Running { wanted, stop, task });
            }
            (None, None) => {}
        }
    }

    /// Returns when what was reported has been taken back, or should have been long ago.
    pub(crate) async fn stop(self) {
        let Some(Running { stop, mut task, .. }) = self.running else { return };
        stop.cancel();
        match timeout(STOP, &mut task).await {
            Ok(Ok(())) => {}
            Ok(Err(err)) => tracing::error!("checks of services ended badly: {err}"),
            // What is held is let go with it.
            Err(_) => task.abort(),
        }
    }
}
