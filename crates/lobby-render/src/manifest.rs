//! Which files a template with `for_each` has made. Decides which of them are removed when their item is gone: those that are
//! listed, and no others.
//!
//! ```text
//! lobby files 2 85944171f73967e8                 a file is listed before it is made, and removed before it is struck off:
//! af63dc4c8601ec8c /etc/nginx/conf.d/web.conf    a crash leaves no file that nobody remembers
//! ```
//! The first line tells whose list it is, the others what a file holds, both as hashes, and one absolute path; `\\` is a
//! backslash, `\n` a line's end. The list is replaced as a whole, as every file is.
//! Not here: lists of templates that are no longer configured (`abandoned`); whether an item is gone for good, which holds and a
//! cold start make doubtful (the runner).

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf, absolute},
};

use crate::apply::{self, ApplyError, Target};

mod abandoned;
#[cfg(test)]
mod tests;

pub use abandoned::{Lists, lists};

/// Most files of one template: a file for each service or node of the largest fleets that lobbyd is built for (10 000).
pub const MAX_FILES: usize = 20_000;

/// Most bytes of the list: names of 800 bytes on average.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

const HEAD: &str = "lobby files 2 ";

/// The list of one template.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    owner: u64,
    /// Whose the list on the disk is; None: there is none.
    was_of: Option<u64>,
    /// With the hash of what each is to hold.
    files: BTreeMap<PathBuf, u64>,
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
    /// Reads the list; none is an empty one, of nobody.
    pub fn open(path: &Path) -> Result<Self, ManifestError> {
        let mut list = Self { path: path.to_owned(), owner: hash(b""), was_of: None, files: BTreeMap::new() };
        let text = match read(path) {
            Ok(text) => text,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(list),
            Err(err) if err.kind() == ErrorKind::PermissionDenied && err.raw_os_error().is_none() => {
                return Err(ManifestError::Unsafe(path.to_owned()));
            }
            Err(source) => return Err(ManifestError::Read { path: path.to_owned(), source }),
        };
        for (idx, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            list.read_line(idx, line).ok_or_else(|| ManifestError::Damaged { path: path.to_owned(), line: idx + 1 })?;
        }
        if text.is_empty() {
            return Err(ManifestError::Damaged { path: path.to_owned(), line: 1 });
        }
        Ok(list)
    }

    fn read_line(&mut self, idx: usize, line: &[u8]) -> Option<()> {
        let line = line.strip_suffix(b"\n")?;
        if idx == 0 {
            let (owner, rest) = read_hash(line.strip_prefix(HEAD.as_bytes())?)?;
            (self.owner, self.was_of) = (owner, Some(owner));
            return rest.is_empty().then_some(());
        }
        let (hash, rest) = read_hash(line)?;
        let file = unescape(rest.strip_prefix(b" ")?).filter(|file| file.is_absolute())?;
        self.files.insert(file, hash);
        (self.files.len() <= MAX_FILES).then_some(())
    }

    /// The same list, from now on that of this configuration.
    #[must_use]
    pub fn of(mut self, owner: &str) -> Self {
        self.owner = hash(owner.as_bytes());
        self
    }

    /// The files, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Lists files that are about to be made, with what they are to hold; it is on the disk when this returns.
    pub fn list<'a>(&mut self, files: impl IntoIterator<Item = (PathBuf, &'a [u8])>) -> Result<(), ManifestError> {
        let too_many = |n_files| ManifestError::TooMany { path: self.path.clone(), n_files };
        let mut listed = self.files.clone();
        for (file, text) in files {
            // Paths that a later process may find from any working directory.
            let file = absolute(&file).map_err(|source| ManifestError::Read { path: file, source })?;
            listed.insert(file, hash(text));
            if listed.len() > MAX_FILES {
                return Err(too_many(listed.len()));
            }
        }
        let is_there = self.was_of.map_or(listed.is_empty(), |was_of| was_of == self.owner);
        if listed == self.files && is_there { Ok(()) } else { self.write(listed) }
    }

    /// Removes all listed files but those that are still wanted, with what an apply had left beside them, and strikes them off.
    /// A file that is gone already counts as removed; what is no file (any more), or one of `others` without links, is left
    /// alone and struck off.
    pub fn remove_all_but(&mut self, wanted: &BTreeSet<PathBuf>, others: &BTreeSet<PathBuf>) -> Result<Removed, ManifestError> {
        let wanted: BTreeSet<_> = wanted.iter().filter_map(|file| absolute(file).ok()).collect();
        let (mut removed, mut listed) = (Removed::default(), self.files.clone());
        for file in self.files.keys().filter(|file| !wanted.contains(*file)) {
            match remove(file, others) {
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

    fn write(&mut self, files: BTreeMap<PathBuf, u64>) -> Result<(), ManifestError> {
        let mut text = format!("{HEAD}{:016x}", self.owner).into_bytes();
        for (file, hash) in &files {
            text.extend(format!("\n{hash:016x} ").into_bytes());
            escape(file, &mut text);
        }
        text.push(b'\n');
        if text.len() as u64 > MAX_BYTES {
            return Err(ManifestError::TooMany { path: self.path.clone(), n_files: files.len() });
        }
        let _ = Target::private(self.path.clone()).apply_unchecked(&text).map_err(ManifestError::Write)?;
        (self.files, self.was_of) = (files, Some(self.owner));
        Ok(())
    }
}

/// FNV-1a: equal in all versions.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One of 16 digits, and what follows.
fn read_hash(text: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(16)?;
    let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    Some((u64::from_str_radix(digits, 16).ok()?, rest))
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

/// Whether there was such a file. A link stays: an apply follows links, it never made one. So does what is behind the link of
/// a stranger.
fn remove(file: &Path, others: &BTreeSet<PathBuf>) -> io::Result<bool> {
    let was_there = match fs::symlink_metadata(file) {
        Ok(there) if there.is_file() => {
            let real = apply::real(file).map_err(io::Error::other)?;
            if others.contains(&real) {
                return Ok(false);
            }
            fs::remove_file(real).map(|()| true)?
        }
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
