//! The file that holds the process' number while it runs. Decides that it is removed only by whom it names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// A file with our number; removed when dropped.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it; one that an earlier process left behind is replaced.
    pub(crate) fn write(path: &Path) -> io::Result<Self> {
        fs::write(path, process::id().to_string())?;
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another process may have written its own meanwhile.
        if fs::read_to_string(&self.0).is_ok_and(|text| text == process::id().to_string())
            && let Err(err) = fs::remove_file(&self.0)
        {
            tracing::warn!("cannot remove the pid file {}: {err}", self.0.display());
        }
    }
}
