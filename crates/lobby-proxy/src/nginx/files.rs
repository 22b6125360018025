//! Puts nginx's files in place as one change. Decides when a change counts, what is removed, and that a change which nginx
//! does not take leaves everything as it was.
//!
//! ```text
//! same bytes, nothing gone ─► nothing
//!  └ else ─► mark: a reload is due ─► list ─► each file by a rename ─► remove those listed that are gone ─► check
//!                              taken ─► settled                 not taken, or not written ─► all old files are back
//! ```
//! The mark is a file, so that a reload that is due is known to the lobbyd after this one as well. The check is nginx's own
//! of its whole configuration, so files have to be in place for it. Only files of the list, which are those that were made
//! here, are ever removed.
//! Not here: when nginx is told (`output`).

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf, absolute},
    sync::Arc,
    time::Duration,
};

use lobby_render::{
    apply::{ApplyError, Changed, Outcome, Target},
    command::{CommandError, Surroundings, run_captured},
    manifest::{Manifest, ManifestError},
    settings::{CommandSettings, Env},
};

use super::Layout;
use crate::{change::Change, settings::Nginx};

#[cfg(test)]
mod tests;

/// For a check, a reload or a start: consul-template's for commands. A check resolves host names, so it may take seconds.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// In the folder of upstream files: they begin with a dot, so that `*.conf` does not take them.
const LIST: &str = ".lobby-nginx.files";
const MARK: &str = ".lobby-nginx.reload";

/// All files of one nginx.
#[derive(Debug)]
pub struct Files {
    /// None: the one file is never removed.
    list: Option<PathBuf>,
    mark: PathBuf,
    check: CommandSettings,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Put {
    /// Files put in place.
    pub n_written: usize,
    /// Files removed.
    pub n_removed: usize,
}

/// Why the old files stay.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The check did not take the new ones.
    #[error("the check refuses the new files, {n_restored} old ones are back: {source}")]
    Check {
        /// Files that are as before.
        n_restored: usize,
        /// What it said.
        source: CommandError,
    },
    /// The list of our files.
    #[error(transparent)]
    List(#[from] ManifestError),
    /// A new file. Those before it are as they were.
    #[error(transparent)]
    Write(#[from] ApplyError),
    /// A file that is gone cannot be removed, or the mark not be made. All files are as they were.
    #[error("cannot write or remove {path:?}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Old files are not back: what is in place is mixed, and nginx may refuse it at its next start.
    #[error("{why}; and not all old files are back: {what}")]
    Mixed {
        /// Why the new ones went.
        why: Box<PutError>,
        /// What is not as it was.
        what: String,
    },
}

/// What is undone if the change is not taken.
#[derive(Default)]
struct Undo {
    changed: Vec<Changed>,
    removed: Vec<(PathBuf, Arc<[u8]>)>,
}

impl Files {
    /// None: no place is configured.
    pub fn new(nginx: &Nginx) -> Option<Self> {
        let (list, mark) = match (&nginx.upstreams, &nginx.config_file_path) {
            (Some(folder), _) => (Some(folder.join(LIST)), folder.join(MARK)),
            (None, Some(file)) => (None, beside(file)),
            (None, None) => return None,
        };
        Some(Self { list, mark, check: check_command(nginx) })
    }

    /// Whether nginx has not been told of files that were put in place, by this process or one before it.
    pub fn is_reload_due(&self) -> bool {
        self.mark.exists()
    }

    /// nginx was told.
    pub fn reloaded(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.mark) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }

    /// Whether nginx takes what is there.
    pub async fn check(&self, around: &Surroundings) -> Result<(), CommandError> {
        run_captured(&self.check, around).await.map(drop)
    }

    /// What [`Self::put`] would change, without the check.
    pub fn changes(&self, layout: &Layout) -> Result<Vec<Change>, ManifestError> {
        let list = self.list.as_deref().map(Manifest::open).transpose()?;
        let files = layout.files.iter().filter_map(|file| Change::of(&file.path, Some(&file.text)));
        let wanted = wanted(layout);
        let gone = list.iter().flat_map(Manifest::files).filter(|file| !wanted.contains(*file));
        Ok(files.chain(gone.filter_map(|file| Change::of(file, None))).collect())
    }

    /// Makes the files what they should be, or leaves them as they are.
    pub async fn put(&self, layout: &Layout, around: &Surroundings) -> Result<Put, PutError> {
        let mut list = self.list.as_deref().map(Manifest::open).transpose()?;
        let wanted = wanted(layout);
        let gone: Vec<PathBuf> =
            list.iter().flat_map(Manifest::files).filter(|file| !wanted.contains(*file)).map(Path::to_owned).collect();
        let was_due = self.is_reload_due();
        let mut undo = Undo::default();
        let done = self.change(layout, &mut list, &wanted, &gone, &mut undo, around).await;
        let put = Put { n_written: undo.changed.len(), n_removed: undo.removed.len() };
        if done.is_ok() && put == Put::default() {
            return Ok(put);
        }
        let done = match done {
            Ok(()) => {
                self.check(around).await.map_err(|source| PutError::Check { n_restored: put.n_written + put.n_removed, source })
            }
            Err(err) => Err(err),
        };
        match done {
            Ok(()) => {
                // They are in place and taken. A copy that stays beside one costs its next start a reload, nothing else.
                for changed in undo.changed {
                    if let Err(err) = changed.settle() {
                        tracing::warn!("nginx: {err}");
                    }
                }
                Ok(put)
            }
            Err(why) => {
                let lost = undo.undo(list.as_mut(), around).await;
                if !was_due {
                    // What nginx has is what is there; a mark that stays costs one reload.
                    let _ = self.reloaded();
                }
                Err(if lost.is_empty() { why } else { PutError::Mixed { why: Box::new(why), what: lost.join(", ") } })
            }
        }
    }

    /// Everything up to the check.
    async fn change(
        &self,
        layout: &Layout,
        list: &mut Option<Manifest>,
        wanted: &BTreeSet<PathBuf>,
        gone: &[PathBuf],
        undo: &mut Undo,
        around: &Surroundings,
    ) -> Result<(), PutError> {
        if let Some(list) = list {
            // Not what is kept: it may be somebody else's.
            list.list(layout.files.iter().map(|file| (file.path.clone(), file.text.as_bytes())))?;
        }
        for file in &layout.files {
            let mut target = Target::plain(file.path.clone(), None, None);
            target.keep_last(true);
            if target.compare(file.text.as_bytes())?.text {
                self.mark()?;
            }
            if let Outcome::Changed(changed) = target.apply(file.text.as_bytes().into(), around).await? {
                undo.changed.push(changed);
                // One that a process before this one put in place, and did not settle.
                self.mark()?;
            }
        }
        let Some(list) = list.as_mut().filter(|_| !gone.is_empty()) else { return Ok(()) };
        self.mark()?;
        // What is no file any more is left alone by the list.
        let old = gone.iter().filter_map(|file| Some((file.clone(), std::fs::read(file).ok()?.into())));
        let old: Vec<(PathBuf, Arc<[u8]>)> = old.collect();
        let removed = list.remove_all_but(wanted, &BTreeSet::new())?;
        undo.removed = old.into_iter().filter(|(file, _)| removed.files.contains(file)).collect();
        match removed.failed.into_iter().next() {
            Some((path, source)) => Err(PutError::Io { path, source }),
            None => Ok(()),
        }
    }

    fn mark(&self) -> Result<(), PutError> {
        if self.mark.exists() {
            return Ok(());
        }
        let folder = self.mark.parent().unwrap_or(Path::new("."));
        let made = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&self.mark, ""));
        made.map_err(|source| PutError::Io { path: self.mark.clone(), source })
    }
}

impl Undo {
    /// What could not be undone.
    async fn undo(self, list: Option<&mut Manifest>, around: &Surroundings) -> Vec<String> {
        let mut lost = Vec::new();
        for changed in self.changed {
            let path = changed.path().to_owned();
            if let Err(err) = changed.roll_back() {
                lost.push(format!("{path:?}: {err}"));
            }
        }
        if let (Some(list), false) = (list, self.removed.is_empty())
            && let Err(err) = list.list(self.removed.iter().map(|(file, text)| (file.clone(), &**text)))
        {
            lost.push(err.to_string());
            return lost;
        }
        for (file, text) in self.removed {
            let target = Target::plain(file.clone(), None, None);
            if let Err(err) = target.apply(text, around).await {
                lost.push(format!("{file:?}: {err}"));
            }
        }
        lost
    }
}

/// All paths that stay.
fn wanted(layout: &Layout) -> BTreeSet<PathBuf> {
    let paths = layout.files.iter().map(|file| &file.path);
    paths.chain(&layout.kept).filter_map(|path| absolute(path).ok()).collect()
}

/// `nginx -t` if nothing else is said.
fn check_command(nginx: &Nginx) -> CommandSettings {
    command(nginx.check_command.as_deref(), &["-t"], nginx)
}

/// `nginx -s reload` if nothing else is said.
pub(super) fn reload_command(nginx: &Nginx) -> CommandSettings {
    command(nginx.reload_command.as_deref(), &["-s", "reload"], nginx)
}

/// What was configured, for the shell.
pub(super) fn shell(text: &str) -> CommandSettings {
    CommandSettings { argv: vec!["sh".into(), "-c".into(), text.into()], timeout: COMMAND_TIMEOUT, env: Env::default() }
}

fn command(given: Option<&str>, arguments: &[&str], nginx: &Nginx) -> CommandSettings {
    if let Some(text) = given {
        return shell(text);
    }
    let mut argv = vec!["nginx".to_owned()];
    argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    if let (None, Some(file)) = (&nginx.upstreams, &nginx.config_file_path) {
        // nginx takes a relative one from its own folder.
        let file = absolute(file).unwrap_or_else(|_| file.clone());
        argv.extend(["-c".into(), file.display().to_string()]);
    }
    CommandSettings { argv, timeout: COMMAND_TIMEOUT, env: Env::default() }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".lobby-reload");
    file.with_file_name(name)
}
