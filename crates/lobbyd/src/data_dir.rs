//! Which data folder this process uses.
//!
//! ```text
//! --dev            a temporary folder, removed at the end
//! DATA_DIR set     exactly that folder, or an error
//! otherwise        a numbered folder below /var/lib/lobby, $XDG_STATE_HOME/lobby or ~/.local/state/lobby, the first
//!                  that can be written; none: a temporary identity, said once
//! ```

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lobby::store::{Store, StoreError};
use tempfile::TempDir;

/// An open store and, with `--dev`, the folder that goes away with it.
pub(crate) struct DataDir {
    pub(crate) store: Store,
    pub(crate) temporary: Option<TempDir>,
}

/// A predecessor that has said goodbye takes half a second to end; a slow one is waited for this long.
const PREDECESSOR: Duration = Duration::from_secs(3);

/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Opens the data folder.
pub(crate) async fn open(configured: Option<&Path>, dev: bool) -> anyhow::Result<DataDir> {
    if let Some(folder) = configured {
        return Ok(DataDir { store: when_free(folder).await?, temporary: None });
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

/// Opens this folder, as soon as the process that uses it has ended.
async fn when_free(folder: &Path) -> Result<Store, StoreError> {
    let wait = async {
        loop {
            match Store::open(folder) {
                Err(StoreError::Taken(_)) => tokio::time::sleep(LOOK).await,
                result => return result,
            }
        }
    };
    match tokio::time::timeout(PREDECESSOR, wait).await {
        Ok(result) => result,
        Err(_) => Store::open(folder),
    }
}

fn bases() -> Vec<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
    let user = state.filter(|folder| folder.is_absolute()).map(|folder| folder.join("lobby"));
    std::iter::once(PathBuf::from("/var/lib/lobby")).chain(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_predecessor_that_ends_is_waited_for_and_one_that_stays_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let predecessor = Store::open(folder.path()).unwrap();
        let err = open(Some(folder.path()), false).await.err().unwrap();
        assert!(err.to_string().contains("used by another process"), "{err}");
        tokio::spawn(async move {
            tokio::time::sleep(PREDECESSOR / 2).await;
            drop(predecessor);
        });
        assert!(open(Some(folder.path()), false).await.is_ok());
    }
}
