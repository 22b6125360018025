//! The files of a template with `for_each`: listed before they are made, removed when their item is gone. Decides that a removal
//! is a change whose command survives a crash, too: a mark beside the list stays until it was run. Also which template has a
//! file that two of them make.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf, absolute};

use super::Stats;
use crate::apply;
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

/// Which template has which file. A file has one: two would overwrite each other's for ever.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<PathBuf, usize>);

impl Claims {
    /// The files that a template wants, without links on the way to them, become its own; those that it had before and does
    /// not want any more are free. Gives those that it cannot have, each with whose it is.
    pub(super) async fn claim(&mut self, index: usize, files: &[Rendered]) -> Vec<(usize, PathBuf)> {
        let paths: Vec<_> = files.iter().map(|file| file.destination.clone()).collect();
        let real = |path: &PathBuf| apply::real(path).ok();
        let find = move || paths.into_iter().map(|path| (real(&path), path)).collect::<Vec<_>>();
        // What cannot be found is told when it is to be put in place.
        let found = tokio::task::spawn_blocking(find).await.unwrap_or_default();
        self.0.retain(|_, owner| *owner != index);
        let mut refused = Vec::new();
        for (real, path) in found {
            match real.map(|real| self.0.entry(real)) {
                Some(Entry::Occupied(entry)) => refused.push((*entry.get(), path)),
                Some(Entry::Vacant(entry)) => _ = entry.insert(index),
                None => {}
            }
        }
        refused
    }

    /// The files of all other templates.
    pub(super) fn of_others(&self, index: Option<usize>) -> BTreeSet<PathBuf> {
        self.0.iter().filter(|(_, owner)| Some(**owner) != index).map(|(path, _)| path.clone()).collect()
    }
}

/// The list of a template, and whose it is.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) path: PathBuf,
    pub(super) owner: String,
}

impl List {
    fn open(&self) -> Result<Manifest, ManifestError> {
        Manifest::open(&self.path).map(|manifest| manifest.of(&self.owner))
    }
}

/// Takes account of files that are about to be made.
pub(super) async fn list(list: &List, files: &[Rendered]) -> Result<(), ManifestError> {
    let (list, files) = (list.clone(), files.to_vec());
    blocking(&list.path.clone(), move || list.open()?.list(files.iter().map(|file| (file.destination.clone(), &*file.bytes))))
        .await
}

/// Removes the others, unless another template has them; whether there were any since a command was last run.
pub(super) async fn remove_gone(
    list: &List,
    files: &[Rendered],
    others: BTreeSet<PathBuf>,
    stats: &Stats,
) -> Result<Option<Gone>, ManifestError> {
    let (list, paths, mark) = (list.clone(), paths(files), list.path.with_extension("lobby-gone"));
    let (removed, gone) = blocking(&list.path.clone(), move || {
        let mut manifest = list.open()?;
        let was_marked = mark.exists();
        let is_any = manifest.files().any(|file| !paths.contains(file));
        if is_any && !was_marked {
            let marked = File::create_new(&mark).and_then(|mark| mark.sync_all());
            marked.map_err(|source| ManifestError::Read { path: mark.clone(), source })?;
        }
        let removed = if is_any { manifest.remove_all_but(&paths, &others)? } else { Removed::default() };
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

/// Those that would be removed: a trial run shows them.
pub(super) fn gone(list: &Path, files: &[Rendered], others: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>, ManifestError> {
    let (manifest, wanted) = (Manifest::open(list)?, paths(files));
    let is_gone = |file: &&Path| !wanted.contains(*file) && !others.contains(*file) && file.is_file();
    Ok(manifest.files().filter(is_gone).map(Path::to_owned).collect())
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
