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
    ask().parse()
}

fn ask() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// What a look tells, each new text once: the new name, or why it is none.
fn news(seen: &mut String, now: String) -> Option<Result<Name, ParseNameError>> {
    (*seen != now).then(|| {
        *seen = now;
        seen.parse()
    })
}

/// Tells the node task when the host name changes. A name that is no valid name is skipped with one warning.
pub(crate) async fn follow(known: Name, updates: mpsc::Sender<Update>, stop: CancellationToken) {
    let mut seen = known.to_string();
    let mut ticks = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let name = match news(&mut seen, ask()) {
            None => continue,
            Some(Ok(name)) => name,
            Some(Err(err)) => {
                tracing::warn!("the machine's new host name is not used: {err}");
                continue;
            }
        };
        if updates.send(Update::Name(name)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_new_host_name_is_told_once_good_or_bad() {
        let mut seen = "a".to_owned();
        let mut look = |now: &str| news(&mut seen, now.into()).map(|name| name.map(|name| name.to_string()).ok());
        let told = ["a", "b", "b", "not good", "not good", "", "b", "b"].map(&mut look);
        let good = |name: &str| Some(Some(name.to_owned()));
        assert_eq!(told, [None, good("b"), None, Some(None), None, Some(None), good("b"), None]);
    }
}
