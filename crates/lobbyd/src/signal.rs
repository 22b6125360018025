//! What the outside world can ask of the process: stop, restart, read again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGTERM, SIGINT: say goodbye and end.
    Leave,
    /// SIGUSR2: tell everybody that we are back in a moment, and end.
    Restart,
    /// SIGHUP: read labels, templates, tokens and certificates again.
    Reload,
}

/// The signals we listen to.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user2: Signal,
}

impl Signals {
    /// Starts to listen; from now on none of them ends the process by itself.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Leave,
            _ = self.interrupt.recv() => Asked::Leave,
            _ = self.user2.recv() => Asked::Restart,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
