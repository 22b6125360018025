//! The file that holds the process' number while it runs. Decides that it is removed only by whom it names, and that two of this
//! program do not have the same.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// What the system calls a process of this program, by its own name or through the link: no other one is kept from a pid file that
/// an earlier process left behind, and whose number it has by chance.
const NAMES: [&str; 2] = ["lobbyctl", "consul-template"];

/// A file with our number; removed when dropped.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it; one that an earlier process left behind is replaced, one of a process that runs is an error.
    pub(crate) fn write(path: &Path) -> io::Result<Self> {
        if let Some(other) = holder(path).filter(|other| *other != process::id() && is_one_of_us(*other)) {
            let what = format!("process {other} has it and runs: stop that one, or give each a file of its own");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        fs::write(path, process::id().to_string())?;
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// Whose number a file has.
fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether a process runs that could have written such a file; one that has ended and was not waited for does not.
fn is_one_of_us(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let name_and_state = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") "));
    name_and_state.is_some_and(|(name, rest)| NAMES.contains(&name) && !rest.starts_with(['Z', 'X']))
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another process may have written its own meanwhile.
        if holder(&self.0) == Some(process::id())
            && let Err(err) = fs::remove_file(&self.0)
        {
            tracing::warn!("cannot remove the pid file {}: {err}", self.0.display());
        }
    }
}
