//! The node's name: the machine's host name, followed while the daemon runs.

use std::time::Duration;

use lobby_core::name::{Name, ParseNameError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::node::Update;

/// How often the machine is asked. Nothing tells of a change, and the call costs less than a microsecond.
const EVERY: Duration = Duration::from_secs(2);

/// The machine's host name.
///
/// # Errors
/// When the host name is no valid node name.
pub fn current() -> Result<Name, ParseNameError> {
    gethostname::gethostname().to_string_lossy().parse()
}

/// Tells the node task when the host name changes. A name that is no valid name is skipped with a warning.
pub(crate) async fn follow(mut known: Name, updates: mpsc::Sender<Update>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match current() {
            Ok(name) if name != known => {
                known = name.clone();
                if updates.send(Update::Name(name)).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(err) => tracing::warn!("the machine's new host name is not used: {err}"),
        }
    }
}
