//! When to look at a folder: inotify tells of changes at once, and a look each second catches what it cannot see (a folder
//! made later, the target of a symbolic link, a file system without inotify).
//!
//! Not here: how it looks (`scan`).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecursiveMode, Watcher};
use tokio::{sync::mpsc, time::Interval};

/// How often a folder is looked at, whatever inotify says.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is known of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Something has changed.
    Changed,
    /// It is time to look.
    Look,
}

/// inotify on one folder, renewed when the folder is replaced.
pub(crate) struct Watch {
    watcher: Option<notify::RecommendedWatcher>,
    watched: Option<(PathBuf, u64)>,
    nudged: mpsc::Receiver<()>,
    ticks: Interval,
}

impl Watch {
    /// Starts without a folder. `what` is in it, for the log.
    pub(crate) fn start(what: &str) -> Self {
        // One pending nudge is enough: it means "look again".
        let (nudge, nudged) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an access; only a finished write is news.
            let reading = notify::EventKind::is_access;
            if event.is_ok_and(|event| !reading(&event.kind) || is_finished_write(&event.kind)) {
                // A full queue already says "look again".
                let _ = nudge.try_send(());
            }
        });
        if let Err(err) = &watcher {
            tracing::warn!("{what} are looked at once a second only: {err}");
        }
        Self { watcher: watcher.ok(), watched: None, nudged, ticks: tokio::time::interval(LOOK_EVERY) }
    }

    /// Waits for a reason to look at the folder; the first comes at once. Loses nothing when it is cancelled.
    pub(crate) async fn hint(&mut self, folder: Option<&Path>) -> Hint {
        tokio::select! {
            Some(()) = self.nudged.recv() => Hint::Changed,
            _ = self.ticks.tick() => {
                if let Some(folder) = folder {
                    self.follow(folder);
                }
                Hint::Look
            }
        }
    }

    fn follow(&mut self, folder: &Path) {
        use std::os::unix::fs::MetadataExt;
        let Some(watcher) = &mut self.watcher else { return };
        let now = std::fs::metadata(folder).ok().map(|metadata| (folder.to_owned(), metadata.ino()));
        if now == self.watched {
            return;
        }
        if self.watched.is_some() {
            // The old folder is gone; so may be its watch.
            let _ = watcher.unwatch(folder);
        }
        self.watched = now.filter(|_| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok());
    }
}

fn is_finished_write(kind: &notify::EventKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    matches!(kind, notify::EventKind::Access(AccessKind::Close(AccessMode::Write)))
}
