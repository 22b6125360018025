//! Which data folder this process uses.
//!
//! ```text
//! --dev            a temporary folder, removed at the end
//! DATA_DIR set     exactly that folder, or an error
//! otherwise        a numbered folder below /var/lib/lobby, $XDG_STATE_HOME/lobby or ~/.local/state/lobby, the first
//!                  that can be written; none: a temporary identity, said once
//! ```

use std::path::{Path, PathBuf};

use lobby::store::{Store, StoreError};
use tempfile::TempDir;

/// An open store and, with `--dev`, the folder that goes away with it.
pub(crate) struct DataDir {
    pub(crate) store: Store,
    pub(crate) temporary: Option<TempDir>,
}

/// Opens the data folder.
pub(crate) fn open(configured: Option<&Path>, dev: bool) -> anyhow::Result<DataDir> {
    if let Some(folder) = configured {
        return Ok(DataDir { store: Store::open(folder)?, temporary: None });
    }
    if dev {
        let temporary = tempfile::Builder::new().prefix("lobbyd-dev-").tempdir()?;
        return Ok(DataDir { store: Store::open(temporary.path())?, temporary: Some(temporary) });
    }
    for base in bases() {
        match Store::open_numbered(&base) {
            Ok(store) => return Ok(DataDir { store, temporary: None }),
            Err(StoreError::Io { path, source }) => tracing::debug!("data folder {} cannot be used: {source}", path.display()),
            Err(err) => return Err(err.into()),
        }
    }
    tracing::warn!("no data folder can be written: this node has a new identity at each start (set DATA_DIR)");
    Ok(DataDir { store: Store::temporary(), temporary: None })
}

fn bases() -> Vec<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
    let user = state.filter(|folder| folder.is_absolute()).map(|folder| folder.join("lobby"));
    std::iter::once(PathBuf::from("/var/lib/lobby")).chain(user).collect()
}
