//! What would become of one file, with nothing written: for people who look before they let it be done. Not here: which files
//! there are (`nginx`, `file_output`), how it is shown.

use std::path::{Path, PathBuf};

/// A file that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it, as far as that is text. None: it is not there.
    pub old: Option<String>,
    /// What should be in it. None: it would be removed.
    pub new: Option<String>,
}

impl Change {
    /// None: it is as it should be.
    pub(crate) fn of(path: &Path, new: Option<&str>) -> Option<Self> {
        let old = std::fs::read(path).ok();
        let is_same = old.as_deref() == new.map(str::as_bytes);
        let old = old.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (!is_same).then(|| Self { path: path.to_owned(), old, new: new.map(str::to_owned) })
    }
}
