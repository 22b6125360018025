//! How a folder of files looks, so that nobody reads what has not changed.
//!
//! Names that start with `.` or end in `~` are skipped, so are folders, pipes and sockets. Symbolic links are followed,
//! because that is how configuration volumes are mounted.
//! Not here: when to look (`watch`), what the files mean (`folder`, `registry::files`).

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lobby_exchange::clock::unix_micros;

/// Two changes of a file within this time may show one time of change: file systems keep up to two seconds as one.
const COARSE: Duration = Duration::from_secs(2);

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Look {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { modified: metadata.modified().ok(), bytes: metadata.len(), inode: metadata.ino() }
    }
}

/// How the folder looks: equal looks mean equal contents, unless `fresh`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    files: BTreeMap<PathBuf, Look>,
    /// How many files there are beyond the most that are looked at.
    pub(crate) left_out: usize,
    /// Some file was changed so shortly before that one more change in place might look the same.
    pub(crate) fresh: bool,
}

impl Scan {
    /// Every file, sorted.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }

    /// Whether nothing looks different, `fresh` or not.
    pub(crate) fn looks_like(&self, other: &Self) -> bool {
        (&self.files, self.left_out) == (&other.files, other.left_out)
    }

    /// Whether this file looks now as it did then. What was read of it in between is what it was then.
    pub(crate) fn still_shows(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| self.files.get(path) == Some(&Look::of(&metadata)))
    }
}

/// Looks at the folder: of the files whose names are wanted, the first `most` in sorted order. A missing folder has none.
pub(crate) fn scan(folder: &Path, most: usize, is_wanted: impl Fn(&str) -> bool) -> io::Result<Scan> {
    let now = UNIX_EPOCH + Duration::from_micros(unix_micros());
    let is_fresh = |modified: SystemTime| now.duration_since(modified).unwrap_or_else(|err| err.duration()) < COARSE;
    let mut scan = Scan::default();
    let entries = match fs::read_dir(folder) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(scan),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || name.ends_with('~') || !is_wanted(&name) {
            continue;
        }
        let path = entry.path();
        // `metadata` follows links; a dangling one is as good as no file.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() {
            let look = Look::of(&metadata);
            scan.fresh |= look.modified.is_some_and(is_fresh);
            scan.files.insert(path, look);
        }
        if scan.files.len() > most {
            scan.files.pop_last();
            scan.left_out += 1;
        }
    }
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_sees_replaced_changed_and_linked_files() {
        let folder = tempfile::tempdir().unwrap();
        let scan = || scan(folder.path(), 10, |_| true).unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "x").unwrap();
        let before = scan();
        assert!(before.still_shows(&path) && !before.still_shows(folder.path()));
        let other = folder.path().join(".new");
        fs::write(&other, "y").unwrap();
        fs::rename(&other, &path).unwrap();
        let replaced = scan();
        assert!(!before.looks_like(&replaced) && !before.still_shows(&path) && replaced.still_shows(&path));
        fs::write(&path, "yy").unwrap();
        assert!(!replaced.looks_like(&scan()));
        fs::remove_file(&path).unwrap();
        assert!(!replaced.still_shows(&path));
        assert_eq!(scan(), Scan::default());
    }

    #[test]
    fn the_first_in_sorted_order_and_only_what_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["d", "a", "not", "c", "b"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        for (most, left_out) in [(4, 0), (3, 1), (0, 4)] {
            let scan = scan(folder.path(), most, |name| name != "not").unwrap();
            let names: Vec<_> = scan.paths().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
            assert_eq!((names, scan.left_out), (["a", "b", "c", "d"][..most].to_vec(), left_out));
        }
    }

    #[test]
    fn a_missing_folder_is_empty_and_what_is_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(scan(&folder.path().join("none"), 10, |_| true).unwrap(), Scan::default());
        fs::write(folder.path().join("file"), "x").unwrap();
        assert!(scan(&folder.path().join("file"), 10, |_| true).is_err());
    }
}
