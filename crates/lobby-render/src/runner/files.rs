//! The files of a template with `for_each`: listed before they are made, removed when their item is gone. Decides that a removal
//! is a change whose command survives a crash, too: a mark beside the list stays until it was run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf, absolute};

use super::Stats;
use crate::manifest::{Manifest, ManifestError, Removed};
use crate::unit::Rendered;

/// Files were removed, and the command that follows was not yet run.
#[derive(Debug)]
pub(super) struct Gone(PathBuf);

impl Gone {
    /// The command was run, or will not be.
    pub(super) fn settle(self) {
        if let Err(err) = fs::remove_file(&self.0) {
            tracing::warn!(file = %self.0.display(), "cannot remove it, the command will be run again: {err}");
        }
    }
}

/// Takes account of files that are about to be made.
pub(super) async fn list(list: &Path, files: &[Rendered]) -> Result<(), ManifestError> {
    let (path, paths) = (list.to_owned(), paths(files));
    blocking(list, move || {
        let mut manifest = Manifest::open(&path)?;
        let known: BTreeSet<_> = manifest.files().map(Path::to_owned).collect();
        if paths.is_subset(&known) { Ok(()) } else { manifest.list(paths) }
    })
    .await
}

/// Removes the others; whether there were any since a command was last run.
pub(super) async fn remove_gone(list: &Path, files: &[Rendered], stats: &Stats) -> Result<Option<Gone>, ManifestError> {
    let (path, paths, mark) = (list.to_owned(), paths(files), list.with_extension("lobby-gone"));
    let (removed, gone) = blocking(list, move || {
        let mut manifest = Manifest::open(&path)?;
        let was_marked = mark.exists();
        let is_any = manifest.files().any(|file| !paths.contains(file));
        if is_any && !was_marked {
            let marked = File::create_new(&mark).and_then(|mark| mark.sync_all());
            marked.map_err(|source| ManifestError::Read { path: mark.clone(), source })?;
        }
        let removed = if is_any { manifest.remove_all_but(&paths)? } else { Removed::default() };
        let gone = Gone(mark);
        if was_marked || !removed.files.is_empty() {
            return Ok((removed, Some(gone)));
        }
        if is_any {
            gone.settle();
        }
        Ok((removed, None))
    })
    .await?;
    for file in removed.files {
        stats.writes.add();
        tracing::info!(file = %file.display(), "removed: what it was for is gone");
    }
    for (file, err) in removed.failed {
        tracing::error!(file = %file.display(), "cannot remove the file of something that is gone: {err}");
    }
    Ok(gone)
}

fn paths(files: &[Rendered]) -> BTreeSet<PathBuf> {
    files.iter().filter_map(|file| absolute(&file.destination).ok()).collect()
}

async fn blocking<T: Send + 'static>(
    list: &Path,
    job: impl FnOnce() -> Result<T, ManifestError> + Send + 'static,
) -> Result<T, ManifestError> {
    let job = tokio::task::spawn_blocking(job).await;
    job.unwrap_or_else(|err| Err(ManifestError::Read { path: list.to_owned(), source: std::io::Error::other(err) }))
}
