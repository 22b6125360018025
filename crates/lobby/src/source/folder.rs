//! The label folder: every file in it, one label a line.
//!
//! Pure reading: [`scan()`] says whether anything looks different from last time, [`read`] reads it all.
//! Not here: which files count (`scan`), when to look (`labels`).

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use lobby_core::{label::Label, limits};

use super::scan::{self, Scan};

/// Most bytes read of one file: more than all labels a node may have.
const FILE_BYTES: u64 = (limits::LABELS * (limits::LABEL_BYTES + 1)) as u64;

/// Most bytes read of all files together, the runtime labels first.
const TOTAL_BYTES: u64 = 8 << 20;

/// Most files looked at, in sorted order.
const FILES: usize = 4096;

/// Most problems of one reading that are told in words.
const PROBLEMS: usize = 10;

/// The labels of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Labels of the runtime file.
    pub(crate) runtime: Vec<Label>,
    /// Labels of all other files.
    pub(crate) files: Vec<Label>,
    /// What could not be used.
    pub(crate) problems: Problems,
}

/// Lines that are no label and files that could not be read: all counted, the first [`PROBLEMS`] in words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems {
    pub(crate) count: usize,
    first: Vec<String>,
}

impl Problems {
    fn add(&mut self, path: &Path, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < PROBLEMS {
            self.first.push(format!("label file {}: {}", path.display(), what()));
        }
    }

    pub(crate) fn log(&self) {
        for problem in &self.first {
            tracing::warn!("{problem}");
        }
        if self.count > self.first.len() {
            tracing::warn!("label files: {} more lines or files are skipped", self.count - self.first.len());
        }
    }
}

/// Looks at the folder. One that is missing or cannot be read has no files.
pub(crate) fn scan(folder: &Path) -> Scan {
    scan::scan(folder, FILES, |_| true).unwrap_or_default()
}

/// Reads every file of a scan. Where there is a `fallback`, it holds the runtime labels instead of the runtime file.
pub(crate) fn read(scan: &Scan, runtime_filename: &str, fallback: Option<&Path>) -> Contents {
    let is_runtime = |path: &&PathBuf| path.file_name().is_some_and(|name| name == runtime_filename);
    let (runtime, others): (Vec<_>, Vec<_>) = scan.paths().partition(is_runtime);
    let (mut problems, mut left) = (Problems::default(), TOTAL_BYTES);
    let mut read = |path: &Path| read_labels(path, &mut left, &mut problems);
    let fallback = fallback.and_then(&mut read);
    let runtime = runtime.first().and_then(|path| read(path));
    let files = others.into_iter().filter_map(|path| read(path)).flatten().collect();
    if scan.left_out > 0 {
        problems.count += scan.left_out - 1;
        problems.add(Path::new("…"), || format!("only the first {FILES} files in sorted order are read"));
    }
    Contents { runtime: fallback.or(runtime).unwrap_or_default(), files, problems }
}

/// The labels of one file, taken from the bytes that are `left`; `None` when it cannot be read.
fn read_labels(path: &Path, left: &mut u64, problems: &mut Problems) -> Option<Vec<Label>> {
    let most = FILE_BYTES.min(*left);
    let (text, is_cut) = match read_file(path, most) {
        Ok(read) => read,
        // Gone since the scan: the next scan will say so.
        Err(err) if err.kind() == io::ErrorKind::NotFound => return None,
        Err(err) => {
            problems.add(path, || err.to_string());
            return None;
        }
    };
    *left -= most.min(text.len() as u64);
    if is_cut {
        problems.add(path, || format!("too large, lines beyond {most} bytes are skipped"));
    }
    let mut labels = Vec::new();
    for label in Label::split_lines(&text) {
        match label {
            Ok(label) => labels.push(label),
            Err((line, err)) => problems.add(path, || {
                let line: String = line.chars().take(64).collect();
                format!("line {line:?} is skipped: {err}")
            }),
        }
    }
    Some(labels)
}

/// The whole lines within the first `most` bytes, and whether there are more.
fn read_file(path: &Path, most: u64) -> io::Result<(String, bool)> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    let is_cut = bytes.len() as u64 > most;
    if is_cut {
        let whole_lines = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(whole_lines);
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), is_cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(labels: &[Label]) -> Vec<&str> {
        labels.iter().map(Label::as_str).collect()
    }

    #[test]
    fn a_missing_folder_has_no_labels() {
        assert_eq!(read(&scan(Path::new("/nonexistent/labels")), "_runtime", None), Contents::default());
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
        let contents = read(&scan(folder.path()), "_runtime", None);
        assert_eq!(texts(&contents.files), ["service:web", "rack:1"]);
        assert_eq!(texts(&contents.runtime), ["added:1"]);
        assert_eq!(contents.problems, Problems::default());
    }

    #[test]
    fn bad_lines_are_named_and_the_rest_stands() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), b"ok\nb\x01d\n\xff\xfe\n").unwrap();
        let contents = read(&scan(folder.path()), "_runtime", None);
        assert_eq!(contents.problems.count, 1, "{contents:?}");
        assert!(contents.problems.first[0].contains("b\\u{1}d"), "{contents:?}");
        assert!(texts(&contents.files).contains(&"ok"));
    }

    #[test]
    fn many_problems_are_all_counted_and_ten_are_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "b\x01d\n".repeat(25)).unwrap();
        let problems = read(&scan(folder.path()), "_runtime", None).problems;
        assert_eq!((problems.count, problems.first.len()), (25, 10));
        let log = crate::captured::Log::start();
        problems.log();
        assert_eq!(log.text().lines().count(), 11);
        assert!(log.text().contains("15 more"), "{}", log.text());
    }

    #[test]
    fn all_files_together_have_a_bound_and_runtime_labels_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let blanks = "\n".repeat(4 << 20);
        for name in ["A", "B", "C"] {
            fs::write(folder.path().join(name), format!("{blanks}{name}:1\n")).unwrap();
        }
        fs::write(folder.path().join("_runtime"), "added:1\n").unwrap();
        let contents = read(&scan(folder.path()), "_runtime", None);
        assert_eq!(texts(&contents.runtime), ["added:1"]);
        assert_eq!(texts(&contents.files), ["A:1"], "the second is cut within its blanks, nothing is left for the third");
        assert_eq!(contents.problems.count, 2);
    }

    #[test]
    fn a_cut_file_ends_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        let read = |most| read_file(&path, most).unwrap();
        assert_eq!(read(14), ("one\ntwo\nthree\n".into(), false));
        assert_eq!(read(13), ("one\ntwo\n".into(), true));
        assert_eq!(read(8), ("one\ntwo\n".into(), true));
        assert_eq!(read(2), (String::new(), true));
    }
}
