//! The label folder: every file in it, one label a line.
//!
//! Pure reading: [`scan`] says whether anything looks different from last time, [`read`] reads it all. Names that start
//! with `.` or end in `~` are skipped, so are folders, pipes and sockets. Symbolic links are followed, because that is
//! how configuration volumes are mounted.
//! Not here: when to look (`labels`).

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

use lobby_core::{label::Label, limits};

/// Most bytes read of one file: more than all labels a node may have.
const FILE_BYTES: u64 = (limits::LABELS * (limits::LABEL_BYTES + 1)) as u64;

/// Most files looked at, in sorted order.
const FILES: usize = 4096;

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

/// How the folder looks: equal looks mean equal labels, but for a file rewritten in place within one clock tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    files: BTreeMap<PathBuf, Look>,
}

/// The labels of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Labels of the runtime file.
    pub(crate) runtime: Vec<Label>,
    /// Labels of all other files.
    pub(crate) files: Vec<Label>,
    /// Lines that are no label and files that could not be read, for the log.
    pub(crate) problems: Vec<String>,
}

/// Looks at the folder. A missing folder has no files.
pub(crate) fn scan(folder: &Path) -> Scan {
    use std::os::unix::fs::MetadataExt;
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let path = entry.path();
        // `metadata` follows links; a dangling one is as good as no file.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() {
            let look = Look { modified: metadata.modified().ok(), bytes: metadata.len(), inode: metadata.ino() };
            files.insert(path, look);
        }
    }
    while files.len() > FILES {
        files.pop_last();
    }
    Scan { files }
}

/// Reads every file of a scan.
pub(crate) fn read(scan: &Scan, runtime_filename: &str) -> Contents {
    let mut contents = Contents::default();
    for path in scan.files.keys() {
        let text = match read_file(path) {
            Ok(text) => text,
            // Gone since the scan: the next scan will say so.
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            Err(err) => {
                contents.problems.push(format!("label file {}: {err}", path.display()));
                continue;
            }
        };
        let is_runtime = path.file_name().is_some_and(|name| name == runtime_filename);
        let labels = if is_runtime { &mut contents.runtime } else { &mut contents.files };
        for label in Label::split_lines(&text) {
            match label {
                Ok(label) => labels.push(label),
                Err((line, err)) => {
                    let line: String = line.chars().take(64).collect();
                    contents.problems.push(format!("label file {}: line {line:?} is skipped: {err}", path.display()));
                }
            }
        }
    }
    contents
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(labels: &[Label]) -> Vec<&str> {
        labels.iter().map(Label::as_str).collect()
    }

    #[test]
    fn a_missing_folder_has_no_labels() {
        assert_eq!(read(&scan(Path::new("/nonexistent/labels")), "_runtime"), Contents::default());
    }

    #[test]
    fn hidden_and_backup_files_folders_and_dangling_links_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("a", "service:web\r\n\n  rack:1  \n");
        write("_runtime", "added:1\n");
        write(".hidden", "no:1");
        write("old~", "no:2");
        fs::create_dir(folder.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("/nonexistent", folder.path().join("dangling")).unwrap();
        let contents = read(&scan(folder.path()), "_runtime");
        assert_eq!(texts(&contents.files), ["service:web", "rack:1"]);
        assert_eq!(texts(&contents.runtime), ["added:1"]);
        assert_eq!(contents.problems, Vec::<String>::new());
    }

    #[test]
    fn bad_lines_are_named_and_the_rest_stands() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), b"ok\nb\x01d\n\xff\xfe\n").unwrap();
        let contents = read(&scan(folder.path()), "_runtime");
        assert_eq!(contents.problems.len(), 1, "{contents:?}");
        assert!(contents.problems[0].contains("b\\u{1}d"), "{contents:?}");
        assert!(texts(&contents.files).contains(&"ok"));
    }

    #[test]
    fn a_scan_sees_replaced_changed_and_linked_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "x").unwrap();
        let before = scan(folder.path());
        let other = folder.path().join(".new");
        fs::write(&other, "y").unwrap();
        fs::rename(&other, &path).unwrap();
        let replaced = scan(folder.path());
        assert_ne!(before, replaced);
        fs::write(&path, "yy").unwrap();
        assert_ne!(replaced, scan(folder.path()));
        fs::remove_file(&path).unwrap();
        assert_eq!(scan(folder.path()), Scan::default());
    }
}
