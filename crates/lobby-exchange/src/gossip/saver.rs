//! Writes one file off the loop: the newest content, one write at a time, in order.
//!
//! What is given while a write is under way replaces what was given before it: only the newest matters.

use std::{io, path::PathBuf, sync::Arc};

use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};

use crate::file;

/// One file and the task that writes it.
#[derive(Debug)]
pub(super) struct Saver {
    newest: watch::Sender<Arc<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Saver {
    /// Begins with nothing to write.
    pub(super) fn start(path: PathBuf, mode: u32) -> Self {
        let (newest, contents) = watch::channel(Arc::default());
        Self { newest, task: tokio::spawn(write(path, mode, contents)) }
    }

    /// Writes this soon.
    pub(super) fn save(&self, content: Vec<u8>) {
        self.newest.send_replace(Arc::new(content));
    }

    /// Waits until the last content is written, or could not be.
    pub(super) async fn finish(self) {
        drop(self.newest);
        // The task neither panics nor is aborted.
        let _ = self.task.await;
    }
}

async fn write(path: PathBuf, mode: u32, mut contents: watch::Receiver<Arc<Vec<u8>>>) {
    // The last content is still seen after the sender is gone.
    while contents.changed().await.is_ok() {
        let (file, content) = (path.clone(), contents.borrow_and_update().clone());
        let written = spawn_blocking(move || file::replace(&file, mode, &content)).await;
        if let Err(err) = written.map_err(io::Error::other).flatten() {
            tracing::warn!("{path:?} cannot be saved: {err}");
        }
    }
}

#[cfg(test)]
mod tests {
    use lobby_testkit::TempDir;

    use super::*;

    #[tokio::test]
    async fn the_last_content_is_written_before_the_end() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        let saver = Saver::start(path.clone(), 0o600);
        for number in 0..100 {
            saver.save(vec![number]);
        }
        saver.finish().await;
        assert_eq!(file::read(&path, 9).unwrap(), Some(vec![99]));
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_ends_nothing() {
        let saver = Saver::start("/no/such/folder/file".into(), 0o600);
        saver.save(vec![1]);
        saver.finish().await;
    }
}
