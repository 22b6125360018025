//! Which files a template with `for_each` has made. Decides which of them are removed when their item is gone: those that are
//! listed, and no others.
//!
//! ```text
//! lobby files 1                    a file is listed before it is made, and removed before it is struck off:
//! /etc/nginx/conf.d/web.conf       a crash leaves no file that nobody remembers
//! ```
//! One absolute path a line; `\\` is a backslash, `\n` a line's end. The list is replaced as a whole, as every file is.
//! Not here: whether an item is gone for good, which holds and a cold start make doubtful (the runner).

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf, absolute},
};

use crate::apply::{ApplyError, Target};

#[cfg(test)]
mod tests;

/// Most files of one template: a file for each service or node of the largest fleets that lobbyd is built for (10 000).
pub const MAX_FILES: usize = 20_000;

/// Most bytes of the list: names of 800 bytes on average.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

const HEAD: &[u8] = b"lobby files 1";

/// The list of one template.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    files: BTreeSet<PathBuf>,
}

/// Why a list cannot be used. No file was removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is not what this program wrote.
    #[error("list of files {path:?} is damaged at line {line}: look at the files it names, then remove it")]
    Damaged {
        /// The list.
        path: PathBuf,
        /// From 1 on.
        line: usize,
    },
    /// Others may write it, and could have any file removed.
    #[error("list of files {0:?} is not a file that only this user or root may write: remove it, or put that right")]
    Unsafe(PathBuf),
    /// More than a template may make. The list is as before.
    #[error("list of files {path:?}: {n_files} files are more than {MAX_FILES}, or their names are too long")]
    TooMany {
        /// The list.
        path: PathBuf,
        /// Asked for.
        n_files: usize,
    },
    /// It cannot be read.
    #[error("cannot read the list of files {path:?}")]
    Read {
        /// The list.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It cannot be written. The list is as before.
    #[error("cannot write the list of files")]
    Write(#[source] ApplyError),
}

/// What became of files whose items are gone.
#[derive(Debug, Default)]
pub struct Removed {
    /// Removed now.
    pub files: Vec<PathBuf>,
    /// Still there, and still listed: they are tried again next time.
    pub failed: Vec<(PathBuf, io::Error)>,
}

impl Manifest {
    /// Reads the list; none is an empty one.
    pub fn open(path: &Path) -> Result<Self, ManifestError> {
        let mut files = BTreeSet::new();
        let text = match read(path) {
            Ok(text) => text,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Self { path: path.to_owned(), files }),
            Err(err) if err.kind() == ErrorKind::PermissionDenied && err.raw_os_error().is_none() => {
                return Err(ManifestError::Unsafe(path.to_owned()));
            }
            Err(source) => return Err(ManifestError::Read { path: path.to_owned(), source }),
        };
        let damaged = |line| ManifestError::Damaged { path: path.to_owned(), line };
        let body = text.strip_prefix(HEAD).and_then(|body| body.strip_prefix(b"\n")).ok_or_else(|| damaged(1))?;
        for (idx, line) in body.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let file = line.strip_suffix(b"\n").and_then(unescape).filter(|file| file.is_absolute());
            let file = file.ok_or_else(|| damaged(idx + 2))?;
            files.insert(file);
            if files.len() > MAX_FILES {
                return Err(damaged(idx + 2));
            }
        }
        Ok(Self { path: path.to_owned(), files })
    }

    /// The files, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// Lists files that are about to be made; it is on the disk when this returns.
    pub fn list(&mut self, files: impl IntoIterator<Item = PathBuf>) -> Result<(), ManifestError> {
        let too_many = |n_files| ManifestError::TooMany { path: self.path.clone(), n_files };
        let mut listed = self.files.clone();
        for file in files {
            // Paths that a later process may find from any working directory.
            let file = absolute(&file).map_err(|source| ManifestError::Read { path: file, source })?;
            listed.insert(file);
            if listed.len() > MAX_FILES {
                return Err(too_many(listed.len()));
            }
        }
        self.write(listed)
    }

    /// Removes all listed files but those that are still wanted, with what an apply had left beside them, and strikes them off.
    /// A file that is gone already counts as removed; what is no file (any more) is left alone and struck off.
    pub fn remove_all_but(&mut self, wanted: &BTreeSet<PathBuf>) -> Result<Removed, ManifestError> {
        let wanted: BTreeSet<_> = wanted.iter().filter_map(|file| absolute(file).ok()).collect();
        let (mut removed, mut listed) = (Removed::default(), self.files.clone());
        for file in self.files.difference(&wanted) {
            match remove(file) {
                Ok(was_there) => {
                    listed.remove(file);
                    removed.files.extend(was_there.then(|| file.clone()));
                }
                Err(err) => removed.failed.push((file.clone(), err)),
            }
        }
        if listed != self.files {
            self.write(listed)?;
        }
        Ok(removed)
    }

    fn write(&mut self, files: BTreeSet<PathBuf>) -> Result<(), ManifestError> {
        let mut text = HEAD.to_vec();
        for file in &files {
            text.push(b'\n');
            escape(file, &mut text);
        }
        text.push(b'\n');
        if text.len() as u64 > MAX_BYTES {
            return Err(ManifestError::TooMany { path: self.path.clone(), n_files: files.len() });
        }
        let _ = Target::private(self.path.clone()).apply_unchecked(&text).map_err(ManifestError::Write)?;
        self.files = files;
        Ok(())
    }
}

/// At most [`MAX_BYTES`] of a file that nobody else may write; `PermissionDenied` of our own if somebody may.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let there = file.metadata()?;
    let is_ours = there.uid() == 0 || there.uid() == rustix::process::geteuid().as_raw();
    if !there.is_file() || !is_ours || there.permissions().mode() & 0o022 != 0 {
        return Err(ErrorKind::PermissionDenied.into());
    }
    let mut text = Vec::new();
    if file.take(MAX_BYTES + 1).read_to_end(&mut text)? as u64 > MAX_BYTES {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// Whether there was such a file. A link stays: an apply follows links, it never made one.
fn remove(file: &Path) -> io::Result<bool> {
    let was_there = match fs::symlink_metadata(file) {
        Ok(there) if there.is_file() => fs::remove_file(file).map(|()| true)?,
        Ok(_) => false,
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => false,
        Err(err) => return Err(err),
    };
    Target::private(file.to_owned()).remove_leftovers();
    Ok(was_there)
}

fn escape(file: &Path, text: &mut Vec<u8>) {
    for byte in file.as_os_str().as_bytes() {
        match byte {
            b'\\' => text.extend(b"\\\\"),
            b'\n' => text.extend(b"\\n"),
            byte => text.push(*byte),
        }
    }
}

fn unescape(line: &[u8]) -> Option<PathBuf> {
    let (mut bytes, mut path) = (line.iter(), Vec::with_capacity(line.len()));
    while let Some(byte) = bytes.next() {
        path.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                _ => return None,
            },
            0 => return None,
            byte => *byte,
        });
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}
