//! Why a file was not put in place. Decides what people are told: the path, what failed and what helps.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::command::CommandError;

/// Why a file was not put in place. Unless a variant says otherwise, nothing was changed and nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// There is no folder for it, and none may be made.
    #[error("parent directory is missing: {0:?}: make it, or set create_dest_dirs")]
    ParentMissing(PathBuf),
    /// A folder is where the file should be, or the path ends like one's.
    #[error("destination {0:?} is a directory: give the path of a file")]
    IsFolder(PathBuf),
    /// A device, socket or pipe is where the file should be.
    #[error("destination {0:?} is not a regular file: give another path, or remove it")]
    NotAFile(PathBuf),
    /// The destination is a symbolic link that is not followed.
    #[error("destination {path:?} is a symbolic link {reason}: remove it, or give the path of the file itself")]
    Link {
        /// The link.
        path: PathBuf,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// A folder on the way is a symbolic link that is not followed.
    #[error(
        "{path:?} on the way to {destination:?} is a symbolic link of another user: remove it, or give the path that it leads to"
    )]
    FolderLink {
        /// The folder of the file, as configured.
        destination: PathBuf,
        /// The link.
        path: PathBuf,
    },
    /// Another process is writing the file at this moment.
    #[error("destination {0:?} is being written by another process: let only one have it")]
    Taken(PathBuf),
    /// No such user or group on this machine.
    #[error("{kind} {name:?} is not in {file}: give a name from there, or a number")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// As configured.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// The check command did not take the new text. The old file is in place.
    #[error("check of the new {path:?} failed, the file was not changed")]
    Check {
        /// The destination.
        path: PathBuf,
        /// How the command ended, with what it printed.
        #[source]
        source: CommandError,
    },
    /// The system refused a step.
    #[error("cannot {doing} {path:?}{}", hint(.source, .path))]
    Io {
        /// What was to be done.
        doing: &'static str,
        /// To this file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ApplyError {
    /// For `map_err`: what was to be done, and to what.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

/// What people can do about it.
fn hint(source: &io::Error, path: &Path) -> String {
    let folder = path.parent().unwrap_or(path).display();
    match source.kind() {
        ErrorKind::StorageFull => format!(": the disk is full: make room in {folder}"),
        ErrorKind::QuotaExceeded => format!(": the quota is used up: make room in {folder}"),
        ErrorKind::ReadOnlyFilesystem => {
            format!(": the file system is read-only: choose a destination elsewhere, or make {folder} writable")
        }
        ErrorKind::PermissionDenied => {
            format!(": this user may not: it needs the right to write in the folder {folder}, as files are replaced as a whole")
        }
        ErrorKind::ResourceBusy => format!(": it is a mount point: mount the folder {folder} instead of the file"),
        ErrorKind::InvalidFilename => ": the name is too long: 243 bytes at most".to_owned(),
        ErrorKind::NotADirectory => format!(": part of {folder} is a file, not a folder"),
        _ => String::new(),
    }
}
