//! What the service manager is told: ready, reloading, stopping, and that we are alive (`WatchdogSec=`).
//!
//! Alive means that the node task of an agent answers, not only that a timer runs: one that is stuck sends nothing, and the service
//! manager starts us anew. Without a service manager nobody is told, and nothing runs.
//! Not here: RestartKillSignal, which is a signal like others (`signal`).

use std::time::Duration;

use sd_notify::NotifyState;

/// Everything listens, or a reload is done.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again. The time tells `Type=notify-reload` which reload it is.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// We are on our way out.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that we are alive for as long as the agent is, twice in the time that the service manager waits.
/// What `beat` asks answers true if all is well, false at the end, and nothing while something is stuck.
pub(crate) async fn keep_alive<B: Future<Output = bool>>(beat: impl Fn() -> B) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    // A time of nothing would make it a busy loop.
    let mut turns = tokio::time::interval((patience / 2).max(Duration::from_millis(1)));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if !beat().await {
            return;
        }
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(err) = sd_notify::notify(what) {
        tracing::debug!("the service manager cannot be told: {err}");
    }
}
