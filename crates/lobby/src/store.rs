//! DATA_DIR: the node's identity, its generation and how far its revisions went.
//!
//! ```text
//! DATA_DIR/lock        held while a process uses the folder
//! DATA_DIR/node.key    secret of the Ed25519 key whose hash is the node id, 64 hexadecimal digits, mode 0600
//! DATA_DIR/catalog     the nodes we knew, see [`catalog`]
//! DATA_DIR/state       generation and highest revision, rewritten at each start
//! DATA_DIR/registry    what is registered here, a journal (`registry`)
//! DATA_DIR/externals   nodes without an agent, a journal (`external`)
//! ```
//! All but the journals are replaced by rename, so a crash leaves the old or the new one. A missing folder is made; a
//! damaged file is an error that names it, because a silent new identity would leave a ghost of the old one in the fleet.
//! Not here: runtime labels (`source::labels`), which live in LABELS_PATH when that is writable; keys and peers of gossip,
//! which it keeps in the same folder itself.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use lobby_core::id::{Generation, NodeId, Revision};
use lobby_exchange::{clock::unix_micros, file};

pub(crate) mod catalog;

/// Most numbered folders below one base: daemons on one machine.
const NUMBERED: u32 = 64;

/// Revisions kept in reserve by the state file: more than one process makes between two starts within a second.
const RESERVE: u64 = 1_000_000;

/// An open data folder. Dropping it gives the lock back.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// Who we are.
    pub id: NodeId,
    /// This process' generation.
    pub generation: Generation,
    /// The first revision this process may show.
    pub first_revision: Revision,
    _lock: Option<File>,
}

/// Why a data folder cannot be used. Nothing was changed but, at most, an empty folder made.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process uses the folder. Set DATA_DIR to another one.
    #[error("data folder {0:?} is used by another process: end that one, or set DATA_DIR to another folder")]
    Taken(PathBuf),
    /// The folder or a file in it cannot be read or written.
    #[error("data folder: {path:?}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not what this program wrote. Repair or remove it; without it the node gets a new identity.
    #[error("data folder: {0:?} is damaged: expected {1}")]
    Damaged(PathBuf, &'static str),
}

impl Store {
    /// Opens exactly this folder.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let path = folder.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(|source| StoreError::Io { path: path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Taken(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(StoreError::Io { path, source }),
        }
        let id = identity(&folder.join("node.key"))?;
        let (generation, first_revision) = next_state(&folder.join("state"))?;
        Ok(Self { folder: folder.to_owned(), id, generation, first_revision, _lock: Some(lock) })
    }

    /// Opens the first free of the folders `base/0`, `base/1`, …: several daemons on one machine share a base.
    pub fn open_numbered(base: &Path) -> Result<Self, StoreError> {
        for number in 0..NUMBERED {
            match Self::open(&base.join(number.to_string())) {
                Err(StoreError::Taken(_)) => {}
                result => return result,
            }
        }
        Err(StoreError::Taken(base.to_owned()))
    }

    /// An identity that nothing keeps: when no folder can be written.
    pub fn temporary() -> Self {
        let now = unix_micros();
        Self {
            folder: PathBuf::new(),
            id: id_of(&draw()),
            generation: Generation(now),
            first_revision: Revision(now),
            _lock: None,
        }
    }

    /// Draws a new key and saves it for the next start: somebody else lives under our id. This process keeps the old one.
    pub(crate) fn renew_identity(&self) -> Result<NodeId, StoreError> {
        let secret = draw();
        if let Some(folder) = self.folder() {
            save_key(&folder.join("node.key"), &secret)?;
        }
        Ok(id_of(&secret))
    }

    /// Where the catalog is kept, when there is a folder.
    pub(crate) fn catalog_path(&self) -> Option<PathBuf> {
        self.folder().map(|folder| folder.join("catalog"))
    }

    /// The folder, when there is one.
    pub fn folder(&self) -> Option<&Path> {
        (!self.folder.as_os_str().is_empty()).then_some(self.folder.as_path())
    }
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| StoreError::Io { path: folder.to_owned(), source })
}

fn id_of(secret: &[u8; 32]) -> NodeId {
    NodeId::from_public_key(SigningKey::from_bytes(secret).verifying_key().as_bytes())
}

/// Reads the node's key, or makes one.
fn identity(path: &Path) -> Result<NodeId, StoreError> {
    if let Some(text) = read(path)? {
        let damaged = || StoreError::Damaged(path.to_owned(), "64 hexadecimal digits");
        let digits = text.trim();
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(damaged());
        }
        let mut secret = [0; 32];
        for (idx, byte) in secret.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * idx..2 * idx + 2], 16).map_err(|_| damaged())?;
        }
        return Ok(id_of(&secret));
    }
    let secret = draw();
    save_key(path, &secret)?;
    Ok(id_of(&secret))
}

fn draw() -> [u8; 32] {
    let mut secret = [0; 32];
    // Without a random source there is no identity at all; the system promises one.
    getrandom::fill(&mut secret).expect("the system has a random source");
    secret
}

fn save_key(path: &Path, secret: &[u8; 32]) -> Result<(), StoreError> {
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    file::replace(path, 0o600, digits.as_bytes()).map_err(|source| StoreError::Io { path: path.to_owned(), source })
}

/// The next generation and first revision: the wall clock, but never at or below what was used before.
fn next_state(path: &Path) -> Result<(Generation, Revision), StoreError> {
    let mut last = (0, 0);
    if let Some(text) = read(path)? {
        let damaged = || StoreError::Damaged(path.to_owned(), "two numbers");
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next().and_then(Result::ok).ok_or_else(damaged);
        last = (next()?, next()?);
    }
    let now = unix_micros();
    let generation = now.max(last.0.saturating_add(1));
    let revision = now.max(last.1.saturating_add(1));
    let text = format!("{generation} {}\n", revision.saturating_add(RESERVE));
    file::replace(path, 0o600, text.as_bytes()).map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
    Ok((Generation(generation), Revision(revision)))
}

fn read(path: &Path) -> Result<Option<String>, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn identity_stays_and_generation_and_revision_rise() {
        let folder = tempfile::tempdir().unwrap();
        let first = Store::open(folder.path()).unwrap();
        let (id, generation, revision) = (first.id, first.generation, first.first_revision);
        drop(first);
        let second = Store::open(folder.path()).unwrap();
        assert_eq!(second.id, id);
        assert!(second.generation > generation);
        assert!(second.first_revision.0 > revision.0 + RESERVE);
    }

    #[test]
    fn a_renewed_identity_is_the_next_start_s() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let old = store.id;
        let new = store.renew_identity().unwrap();
        assert!(new != old && store.id == old);
        drop(store);
        assert_eq!(Store::open(folder.path()).unwrap().id, new);
        let temporary = Store::temporary();
        assert_ne!(temporary.renew_identity().unwrap(), temporary.id);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_set_the_generation_back() {
        let folder = tempfile::tempdir().unwrap();
        let far = u64::MAX / 2;
        fs::write(folder.path().join("state"), format!("{far} {far}")).unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!((store.generation, store.first_revision), (Generation(far + 1), Revision(far + 1)));
    }

    #[test]
    fn a_taken_folder_is_refused_and_a_base_gives_the_next_number() {
        let folder = tempfile::tempdir().unwrap();
        let first = Store::open_numbered(folder.path()).unwrap();
        let second = Store::open_numbered(folder.path()).unwrap();
        assert_eq!(first.folder(), Some(folder.path().join("0").as_path()));
        assert_eq!(second.folder(), Some(folder.path().join("1").as_path()));
        assert!(matches!(Store::open(first.folder().unwrap()), Err(StoreError::Taken(_))));
    }

    #[test]
    fn damaged_files_are_named() {
        for (file, content) in [("node.key", "xyz"), ("state", "1"), ("state", "a b")] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(file), content).unwrap();
            let err = Store::open(folder.path()).unwrap_err();
            assert!(matches!(&err, StoreError::Damaged(path, _) if path.ends_with(file)), "{err}");
        }
    }

    #[test]
    fn the_key_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        let mode = fs::metadata(folder.path().join("node.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
