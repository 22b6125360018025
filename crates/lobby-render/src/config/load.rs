//! The files of a configuration: which are read, in which order, and how much of them. Blocks; a program does it at its start.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::{Partial, hcl};

/// Files that are read below one folder: a fleet's configuration has dozens.
pub const FILES: usize = 1000;
/// Bytes of a file that are read, as much as a text may have.
pub const FILE_BYTES: usize = hcl::TEXT_BYTES;
/// Folders in each other that are looked into.
pub const FOLDERS: usize = 32;

/// Everything that was written, merged from left to right: the text of `CT_LOCAL_CONFIG`, files and folders, flags.
///
/// A folder is every file below it in lexical order; links below it are not followed. A file is TOML if its name ends in
/// `.toml`, else HCL or JSON.
pub fn load(local: Option<&str>, paths: &[PathBuf], flags: Partial) -> Result<Partial, ConfigError> {
    let mut whole = Partial::from_hcl(local.unwrap_or_default()).map_err(|error| error.within("CT_LOCAL_CONFIG"))?;
    for path in paths {
        let mut files = Vec::new();
        // A link that was named is followed, even to something that is no regular file.
        match fs::metadata(path).map_err(unreadable(path))?.is_dir() {
            true => collect(path, FOLDERS, &mut files)?,
            false => files.push(path.clone()),
        }
        for file in files {
            whole = whole.merge(read(&file)?);
        }
    }
    Ok(whole.merge(flags))
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ConfigError {
    let path = path.to_owned();
    move |cause| ConfigError::Unreadable { path, cause }
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), ConfigError> {
    let too_much = |limit, what| ConfigError::TooMuch { path: folder.to_owned(), limit, what };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        entries.push((entry.path(), entry.file_type().map_err(unreadable(folder))?));
        if entries.len() > FILES {
            return Err(too_much(FILES, "files"));
        }
    }
    entries.sort_by(|(left, _), (right, _)| left.cmp(right));
    for (path, kind) in entries {
        if kind.is_dir() {
            let below = depth.checked_sub(1).ok_or_else(|| too_much(FOLDERS, "folders in each other"))?;
            collect(&path, below, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
        if files.len() > FILES {
            return Err(too_much(FILES, "files"));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Partial, ConfigError> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable(path))?;
    if bytes.len() > FILE_BYTES {
        return Err(ConfigError::TooMuch { path: path.to_owned(), limit: FILE_BYTES, what: "bytes" });
    }
    let no_text = |_| unreadable(path)(io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"));
    let text = String::from_utf8(bytes).map_err(no_text)?;
    let is_toml = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
    let part = if is_toml { Partial::from_toml(&text) } else { Partial::from_hcl(&text) };
    part.map_err(|error| error.within(path.display().to_string()))
}
