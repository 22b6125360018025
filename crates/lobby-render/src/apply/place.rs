//! Where a file is put. Decides which file a destination means (links are followed), what the files beside it are called, and
//! the folder's part: making it, and making a rename in it last.
//!
//! ```text
//! NAME              the file
//! NAME.bak          the file before it (option backup)
//! .NAME.lobby-new   the next one, being written; locked by its writer, so that a later one knows what a crash left
//! .NAME.lobby-last  the last good one, until the new one has proved good
//! .NAME.lobby-none  in its place: there was none
//! .NAME.lobby-link  about to become .bak or -last
//! ```
//! They begin with a dot and end unlike configuration, so that `conf.d/*.conf` or a pattern of Prometheus does not take them.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, Metadata},
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use rustix::process::geteuid;

use super::{ApplyError, step::Step, step::at};

/// Most links that lead to a file: the kernel's own bound.
const MAX_LINKS: usize = 40;

/// A file and its folder.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    folder: PathBuf,
    name: OsString,
}

impl Place {
    /// The file that a destination means, without links on the way to it, and what is there.
    ///
    /// A link of ours or root's is followed, to keep links like those of `sites-enabled`; consul-template replaces the link.
    /// One of somebody else could lead a privileged process anywhere.
    pub(super) fn find(destination: &Path) -> Result<(Self, Option<Metadata>), ApplyError> {
        if destination.as_os_str().is_empty() || destination.as_os_str().as_bytes().ends_with(b"/") {
            return Err(ApplyError::IsFolder(destination.to_owned()));
        }
        let mut file = absolute(destination).map_err(ApplyError::io("find", destination))?;
        for _ in 0..=MAX_LINKS {
            let mut place = Self::at(&file)?;
            // What a folder of the path is made to be later on does not matter any more.
            place.folder = real_folder(&place.folder)?;
            file = place.folder.join(&place.name);
            place.file.clone_from(&file);
            let there = match fs::symlink_metadata(&file) {
                Ok(there) => there,
                Err(err) if err.kind() == ErrorKind::NotFound => return Ok((place, None)),
                Err(source) => return Err(ApplyError::io("look at", &file)(source)),
            };
            if there.is_file() {
                return Ok((place, Some(there)));
            }
            if there.is_dir() {
                return Err(ApplyError::IsFolder(file));
            }
            if !there.is_symlink() {
                return Err(ApplyError::NotAFile(file));
            }
            if there.uid() != 0 && there.uid() != geteuid().as_raw() {
                return Err(ApplyError::Link { path: file, reason: "of another user" });
            }
            let target = fs::read_link(&file).map_err(ApplyError::io("read the link", &file))?;
            file = place.folder.join(target);
        }
        Err(ApplyError::Link { path: destination.to_owned(), reason: "that leads nowhere" })
    }

    fn at(file: &Path) -> Result<Self, ApplyError> {
        match (file.parent(), file.file_name()) {
            (Some(folder), Some(name)) => Ok(Self { file: file.to_owned(), folder: folder.to_owned(), name: name.to_owned() }),
            _ => Err(ApplyError::IsFolder(file.to_owned())),
        }
    }

    /// A file of ours beside it.
    pub(super) fn beside(&self, what: &str) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".lobby-");
        name.push(what);
        self.folder.join(name)
    }

    /// The file before it.
    pub(super) fn backup(&self) -> PathBuf {
        let mut name = self.name.clone();
        name.push(".bak");
        self.folder.join(name)
    }

    /// Sees to it that there is a folder.
    pub(super) fn make_folder(&self, create: bool) -> Result<(), ApplyError> {
        let missing: Vec<_> = self.folder.ancestors().take_while(|folder| !folder.exists()).collect();
        let Some(folder) = missing.first() else { return Ok(()) };
        if !create {
            return Err(ApplyError::ParentMissing((*folder).to_owned()));
        }
        let made = DirBuilder::new().recursive(true).mode(0o755).create(folder);
        made.map_err(ApplyError::io("make the folder", folder))?;
        at(Step::FolderMade);
        missing.iter().filter_map(|folder| folder.parent()).for_each(sync);
        Ok(())
    }

    /// Makes what was renamed and removed in the folder outlast a crash of the machine.
    pub(super) fn sync_folder(&self) {
        sync(&self.folder);
    }

    /// Removes what a crash left; what a living process has is an error.
    #[expect(clippy::disallowed_methods, reason = "a lock tells nobody when it is free, and this is a thread that may wait")]
    pub(super) fn sweep(&self) -> Result<(), ApplyError> {
        let new = self.beside("new");
        if fs::symlink_metadata(&new).is_ok_and(|there| there.is_file()) {
            let left = File::open(&new).map_err(ApplyError::io("open", &new))?;
            let is_taken = || matches!(left.try_lock(), Err(fs::TryLockError::WouldBlock));
            // A process that is just being started has our files, too, until it becomes another program.
            let patience = std::iter::repeat_n(Duration::from_millis(10), 20);
            if is_taken() && patience.inspect(|pause| std::thread::sleep(*pause)).all(|_| is_taken()) {
                return Err(ApplyError::Taken(self.file.clone()));
            }
        }
        for left in [new, self.beside("link")] {
            remove(&left).map_err(ApplyError::io("remove what an earlier run left", &left))?;
        }
        Ok(())
    }
}

/// The folder that a path leads to. As the kernel does in sticky folders (`protected_symlinks`), and for the same reason, a
/// link on the way is followed only if it is ours, root's, or of whom the folder it is in belongs to.
fn real_folder(folder: &Path) -> Result<PathBuf, ApplyError> {
    let parts = |path: &Path| path.components().rev().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>();
    let (mut real, mut rest, mut n_links) = (PathBuf::from("/"), parts(folder), 0);
    while let Some(part) = rest.pop() {
        if part == ".." {
            real.pop();
            continue;
        }
        let path = real.join(&part);
        // What is missing is made or missed later on.
        let Some(link) = fs::symlink_metadata(&path).ok().filter(Metadata::is_symlink) else {
            real = if part == "." { real } else { path };
            continue;
        };
        let owner = fs::symlink_metadata(&real).map_err(ApplyError::io("look at", &real))?.uid();
        if ![0, geteuid().as_raw(), owner].contains(&link.uid()) {
            return Err(ApplyError::FolderLink { destination: folder.to_owned(), path });
        }
        n_links += 1;
        if n_links > MAX_LINKS {
            return Err(ApplyError::Link { path: folder.to_owned(), reason: "that leads nowhere" });
        }
        rest.extend(parts(&fs::read_link(&path).map_err(ApplyError::io("read the link", &path))?));
    }
    Ok(real)
}

/// Removes a file, if it is there; whether it was.
pub(super) fn remove(file: &Path) -> io::Result<bool> {
    match fs::remove_file(file) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(false),
        Err(err) => Err(err),
    }
}

/// Not all file systems can; the rename itself has happened.
fn sync(folder: &Path) {
    if let Err(err) = File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::warn!(?folder, "a change may be lost if the machine crashes now: cannot sync the folder: {err}");
    }
}
