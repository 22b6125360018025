//! Puts one file in place so that whoever reads it finds the old one or the new one, whole, whatever happens meanwhile.
//!
//! ```text
//! same bytes, mode and owner? ─ yes ─► unchanged, nothing is touched
//!  └ no ─► write .NAME.lobby-new ─► owner, mode ─► check command ─► fsync ─► NAME.bak ─► keep the last good one
//!          ─► rename over NAME ─► fsync of the folder ─► (caller's command) ─► settle, or roll back
//! ```
//! An error at any step before the rename leaves the old file and nothing else. A process killed between two steps leaves
//! the old or the new file; the next apply removes the rest, and tells of a file that was never settled as of a change, so
//! that its command is not lost.
//! Not here: when a file is rendered, and the command after it (the runner); many files of one template (`manifest`).

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    command::{Surroundings, path::with_path, run_captured},
    settings::{CommandSettings, TemplateSettings},
};

mod error;
mod keep;
mod owner;
mod place;
mod step;
#[cfg(test)]
mod tests;

pub use error::ApplyError;
use owner::Owner;
use place::Place;
use step::{Step, at};

/// A file that is to be put in place, again and again.
#[derive(Debug, Clone)]
pub struct Target {
    destination: PathBuf,
    create_dest_dirs: bool,
    perms: Option<u32>,
    user: Option<String>,
    group: Option<String>,
    backup: bool,
    check: Option<CommandSettings>,
    keep_last: bool,
}

/// How a file differs from what it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// It has other bytes, or is not there.
    pub text: bool,
    /// Mode and owner that are not as configured: `mode 0644 -> 0600`.
    pub owner: Option<String>,
}

/// What an apply did.
#[derive(Debug)]
#[must_use]
pub enum Outcome {
    /// The file had these bytes, this mode and this owner.
    Unchanged,
    /// The file is new; its command is to be run.
    Changed(Changed),
}

/// A file that was put in place. With a last good copy it must be settled or rolled back: until then a later process takes
/// it for one whose command was not run.
#[derive(Debug)]
#[must_use]
pub struct Changed {
    place: Place,
    created: bool,
    again: bool,
}

/// What a roll back did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolledBack {
    /// The last good file is back.
    Restored(PathBuf),
    /// There was no file before, and there is none now.
    Removed(PathBuf),
    /// No last good one was kept; the new file stays.
    NoneKept,
}

impl std::fmt::Display for RolledBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Restored(path) => write!(f, "rolled back: the last good {path:?} is in place again"),
            Self::Removed(path) => write!(f, "rolled back: {path:?} is removed, as it was not there before"),
            Self::NoneKept => write!(f, "not rolled back: no last good file was kept"),
        }
    }
}

impl Target {
    /// The file of a template, or one of its files. A last good copy is kept if a command follows.
    pub fn new(settings: &TemplateSettings, destination: PathBuf) -> Self {
        Self {
            destination,
            create_dest_dirs: settings.create_dest_dirs,
            perms: settings.perms,
            user: settings.user.clone(),
            group: settings.group.clone(),
            backup: settings.backup,
            check: settings.check.clone(),
            keep_last: settings.command.is_some(),
        }
    }

    /// A file that is no template's; its folder is made if it is missing. `perms` None: as the file has them, else 0644.
    pub fn plain(destination: PathBuf, check: Option<CommandSettings>, perms: Option<u32>) -> Self {
        Self { check, perms, ..Self::private(destination) }
    }

    /// A file of our own that nobody else reads.
    pub(crate) fn private(destination: PathBuf) -> Self {
        let (create_dest_dirs, perms, backup, keep_last) = (true, Some(0o600), false, false);
        Self { destination, create_dest_dirs, perms, user: None, group: None, backup, check: None, keep_last }
    }

    /// Where it is put.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Keep the last good file whether or not a command follows; without it, nothing can be rolled back.
    pub fn keep_last(&mut self, keep_last: bool) {
        self.keep_last = keep_last;
    }

    /// What an apply of these bytes would change. For a run that only shows what it would do.
    pub fn compare(&self, text: &[u8]) -> Result<Difference, ApplyError> {
        let (place, there) = Place::find(&self.destination)?;
        let owner = Owner::wanted(self.perms, self.user.as_deref(), self.group.as_deref(), there.as_ref())?;
        Ok(Difference {
            text: there.as_ref().is_none_or(|there| !is_equal(&place.file, there.len(), text)),
            owner: there.as_ref().and_then(|there| owner.change_of(there)),
        })
    }

    /// Puts these bytes in place. Dropped, it leaves the old file or puts the new one in place.
    pub async fn apply(&self, text: Arc<[u8]>, around: &Surroundings) -> Result<Outcome, ApplyError> {
        let target = self.clone();
        let staged = match self.blocking(move || target.stage(&text)).await? {
            Stage::Staged(staged) => staged,
            Stage::Done(outcome) => return Ok(outcome),
        };
        if let Some(check) = &self.check {
            let failed = |source| ApplyError::Check { path: self.destination.clone(), source };
            let check = with_path(check, &staged.new).map_err(failed)?;
            run_captured(&check, around).await.map_err(failed)?;
            at(Step::Checked);
        }
        self.blocking(move || staged.commit()).await.map(Outcome::Changed)
    }

    /// As [`Self::apply`], on a thread that may wait for a disk; a check command is not run.
    pub(crate) fn apply_unchecked(&self, text: &[u8]) -> Result<Outcome, ApplyError> {
        match self.stage(text)? {
            Stage::Staged(staged) => staged.commit().map(Outcome::Changed),
            Stage::Done(outcome) => Ok(outcome),
        }
    }

    /// The file is gone for good: so is what an apply left beside it, as far as it can be removed.
    pub(crate) fn remove_leftovers(&self) {
        if let Ok((place, None)) = Place::find(&self.destination) {
            let _ = place.sweep();
            let _ = keep::settle(&place);
        }
    }

    /// Disks may be slow: others of this runtime go on meanwhile.
    async fn blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, ApplyError> + Send + 'static,
    ) -> Result<T, ApplyError> {
        let job = tokio::task::spawn_blocking(job).await;
        job.unwrap_or_else(|err| Err(ApplyError::io("write", &self.destination)(io::Error::other(err))))
    }

    /// Everything up to the check.
    fn stage(&self, text: &[u8]) -> Result<Stage, ApplyError> {
        let (place, old) = Place::find(&self.destination)?;
        let owner = Owner::wanted(self.perms, self.user.as_deref(), self.group.as_deref(), old.as_ref())?;
        if let Some(old) = &old
            && owner.is_that_of(old)
            && is_equal(&place.file, old.len(), text)
        {
            return Ok(Stage::Done(self.as_it_is(place)));
        }
        place.make_folder(self.create_dest_dirs)?;
        place.sweep()?;
        let new = place.beside("new");
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        let mut file = made.map_err(ApplyError::io("make", &new))?;
        at(Step::TempMade);
        // Read-only: a check may run the file itself, which must not be open for writing.
        let lock = File::open(&new).map_err(|source| {
            // The next apply would, too.
            let _ = place::remove(&new);
            ApplyError::io("open", &new)(source)
        })?;
        let (is_there, backup, keep_last) = (old.is_some(), self.backup, self.keep_last);
        let staged = Staged { place, is_there, backup, keep_last, new, lock, committed: false };
        // Where files cannot be locked, what a crash left is not told from what lives.
        let _ = staged.lock.try_lock();
        let write = |file: &mut File| {
            let (first, rest) = text.split_at(text.len() / 2);
            file.write_all(first)?;
            at(Step::HalfWritten);
            file.write_all(rest)
        };
        write(&mut file).map_err(ApplyError::io("write", &staged.new))?;
        at(Step::Written);
        owner.give(&file, &staged.new, &self.destination)?;
        at(Step::Owned);
        Ok(Stage::Staged(staged))
    }

    /// The file is what it should be: has its command been run?
    fn as_it_is(&self, place: Place) -> Outcome {
        // Best effort: nothing is to be written here, perhaps nothing can be.
        let _ = place.sweep();
        if !keep::is_unsettled(&place) {
            return Outcome::Unchanged;
        }
        if self.keep_last {
            return Outcome::Changed(Changed { place, created: false, again: true });
        }
        let _ = keep::settle(&place);
        Outcome::Unchanged
    }
}

enum Stage {
    Done(Outcome),
    Staged(Staged),
}

/// A new file that is not in place yet; dropped, it is removed.
#[derive(Debug)]
struct Staged {
    place: Place,
    is_there: bool,
    backup: bool,
    keep_last: bool,
    new: PathBuf,
    lock: File,
    committed: bool,
}

impl Staged {
    fn commit(mut self) -> Result<Changed, ApplyError> {
        self.lock.sync_all().map_err(ApplyError::io("write", &self.new))?;
        at(Step::Synced);
        if self.backup && self.is_there {
            keep::back_up(&self.place)?;
        }
        let kept = self.keep_last && keep::keep_last(&self.place, self.is_there)?;
        if let Err(source) = std::fs::rename(&self.new, &self.place.file) {
            if kept {
                // The old file is in place, and settled.
                let _ = keep::settle(&self.place);
            }
            return Err(ApplyError::io("replace", &self.place.file)(source));
        }
        self.committed = true;
        at(Step::Renamed);
        self.place.sync_folder();
        at(Step::FolderSynced);
        Ok(Changed { place: self.place.clone(), created: !self.is_there, again: false })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.committed
            && let Err(err) = place::remove(&self.new)
        {
            tracing::warn!(file = ?self.new, "cannot remove it, the next apply will: {err}");
        }
    }
}

impl Changed {
    /// The file itself, where links lead to.
    pub fn path(&self) -> &Path {
        &self.place.file
    }

    /// Whether there was no file before.
    pub fn is_created(&self) -> bool {
        self.created
    }

    /// Whether nothing was written now: an earlier process put the file in place and ended before it was settled.
    pub fn is_again(&self) -> bool {
        self.again
    }

    /// The file has proved good (or nothing is to be rolled back): its last good copy is removed.
    pub fn settle(self) -> Result<(), ApplyError> {
        keep::settle(&self.place)
    }

    /// Puts the last good file back, or removes the file if there was none; says which.
    pub fn roll_back(self) -> Result<RolledBack, ApplyError> {
        keep::roll_back(&self.place)
    }
}

/// The user or group of a template that this machine has not.
pub(crate) fn unknown_owner(settings: &TemplateSettings) -> Option<ApplyError> {
    Owner::wanted(None, settings.user.as_deref(), settings.group.as_deref(), None).err()
}

/// The file that a destination means: equal for two that are one file.
pub(crate) fn real(destination: &Path) -> Result<PathBuf, ApplyError> {
    Place::find(destination).map(|(place, _)| place.file)
}

/// A file that cannot be read is another one.
fn is_equal(file: &Path, length: u64, text: &[u8]) -> bool {
    let mut rest = text;
    let mut buffer = [0; 16 * 1024];
    let Ok(mut file) = File::open(file) else { return false };
    if length != text.len() as u64 {
        return false;
    }
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return rest.is_empty(),
            Ok(n_bytes) => match rest.split_at_checked(n_bytes) {
                Some((part, after)) if part == &buffer[..n_bytes] => rest = after,
                _ => return false,
            },
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}
