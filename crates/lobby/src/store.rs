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
//! damaged key is an error that names it, because a silent new identity would leave a ghost of the old one in the fleet. A
//! damaged `state` is set aside as `state.damaged`. On a full disk a folder that is complete is used as it is.
//! Not here: runtime labels (`source::labels`), which live in LABELS_PATH when that is writable; keys and peers of gossip,
//! which it keeps in the same folder itself.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use lobby_core::{
    id::{Generation, NodeId, Revision},
    proof::{self, Signer},
};
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
    secret: Secret,
    _lock: Option<File>,
}

/// The secret of the node's key. Is not shown.
struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
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
    #[error("data folder: {0:?} is damaged: expected {1}; restore it, or remove it: the machine is then a new node")]
    Damaged(PathBuf, &'static str),
}

impl Store {
    /// Opens exactly this folder.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let path = folder.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        // A lock needs no writing: one that is there is enough on a disk that takes nothing.
        let lock = lock.or_else(|err| File::open(&path).map_err(|_| err));
        let lock = lock.map_err(|source| StoreError::Io { path: path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Taken(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(StoreError::Io { path, source }),
        }
        let secret = identity(&folder.join("node.key"))?;
        let id = proof::id_of(&secret);
        let (generation, first_revision) = next_state(&folder.join("state"), write_state)?;
        Ok(Self { folder: folder.to_owned(), id, generation, first_revision, secret: Secret(secret), _lock: Some(lock) })
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
        let (now, secret) = (unix_micros(), draw());
        Self {
            folder: PathBuf::new(),
            id: proof::id_of(&secret),
            generation: Generation(now),
            first_revision: Revision(now),
            secret: Secret(secret),
            _lock: None,
        }
    }

    /// Draws a new key and saves it for the next start: somebody else lives under our id. This process keeps the old one.
    pub(crate) fn renew_identity(&self) -> Result<NodeId, StoreError> {
        let secret = draw();
        if let Some(folder) = self.folder() {
            save_key(&folder.join("node.key"), &secret)?;
        }
        Ok(proof::id_of(&secret))
    }

    /// Signs our records for this cluster.
    pub(crate) fn signer(&self, cluster: &str) -> Signer {
        Signer::new(&self.secret.0, cluster)
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

/// Reads the secret of the node's key, or makes one.
fn identity(path: &Path) -> Result<[u8; 32], StoreError> {
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
        hide(path);
        return Ok(secret);
    }
    let secret = draw();
    save_key(path, &secret)?;
    Ok(secret)
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

/// The next generation and first revision: the wall clock, but never at or below what was used before. A disk that has no
/// room is no reason not to start: with the old numbers known and a clock that goes on, the next start is above them too.
fn next_state(path: &Path, write: impl FnOnce(&Path, &[u8]) -> io::Result<()>) -> Result<(Generation, Revision), StoreError> {
    let io_error = |source| StoreError::Io { path: path.to_owned(), source };
    let last = last_state(path).map_err(io_error)?;
    let (last_generation, last_revision) = last.unwrap_or_default();
    let now = unix_micros();
    let generation = now.max(last_generation.saturating_add(1));
    let revision = now.max(last_revision.saturating_add(1));
    let text = format!("{generation} {}\n", revision.saturating_add(RESERVE));
    match write(path, text.as_bytes()) {
        Ok(()) => {}
        Err(err) if last.is_some() && takes_nothing(&err) => {
            tracing::warn!(path = %path.display(), "not saved, going on with what was there: {err}");
        }
        Err(source) => return Err(io_error(source)),
    }
    Ok((Generation(generation), Revision(revision)))
}

fn write_state(path: &Path, text: &[u8]) -> io::Result<()> {
    file::replace(path, 0o600, text)
}

/// Whether the disk is full or may only be read.
fn takes_nothing(err: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(err.kind(), StorageFull | ReadOnlyFilesystem | QuotaExceeded)
}

/// Generation and highest revision of the last start. What cannot be understood, as after a crash of a file system that
/// forgets, is set aside: the wall clock alone nearly always is above it.
fn last_state(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err),
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut numbers = text.split_whitespace().map_while(|number| number.parse::<u64>().ok());
    let last = numbers.next().zip(numbers.next());
    if last.is_none() {
        let aside = path.with_extension("damaged");
        tracing::warn!(path = %path.display(), "damaged, expected two numbers: kept as {}", aside.display());
        if let Err(err) = fs::rename(path, &aside) {
            tracing::warn!(path = %path.display(), "not kept: {err}");
        }
    }
    Ok(last)
}

/// Takes the key from everybody else's eyes, if it was copied here so that others can read it.
fn hide(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |file| file.permissions().mode() & 0o777);
    if mode & 0o077 == 0 {
        return;
    }
    // On a disk that takes nothing it stays as it is.
    match fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
        Ok(()) => tracing::warn!("{path:?} is who we are and had the mode {mode:o}: it is now 600"),
        Err(err) => tracing::warn!("{path:?} is who we are and has the mode {mode:o}: others can use it ({err})"),
    }
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
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("node.key"), "xyz").unwrap();
        let err = Store::open(folder.path()).unwrap_err();
        assert!(matches!(&err, StoreError::Damaged(path, _) if path.ends_with("node.key")), "{err}");
    }

    #[test]
    fn a_damaged_state_is_set_aside_and_the_clock_counts() {
        for content in [&b""[..], b"1", b"a b", b"\xff 1"] {
            let (folder, before) = (tempfile::tempdir().unwrap(), unix_micros());
            fs::write(folder.path().join("state"), content).unwrap();
            let store = Store::open(folder.path()).unwrap();
            assert!(store.generation.0 >= before && store.first_revision.0 >= before);
            assert_eq!(fs::read(folder.path().join("state.damaged")).unwrap(), content);
            let generation = store.generation;
            drop(store);
            assert!(Store::open(folder.path()).unwrap().generation > generation, "a whole one is there again");
        }
    }

    #[test]
    fn a_disk_that_takes_nothing_keeps_nobody_from_starting_who_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let next = |kind: io::ErrorKind| next_state(&path, |_, _| Err(kind.into()));
        assert!(matches!(next(io::ErrorKind::StorageFull), Err(StoreError::Io { .. })), "nothing is known of before");
        let far = u64::MAX / 2;
        fs::write(&path, format!("{far} {far}")).unwrap();
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::QuotaExceeded] {
            assert_eq!(next(kind).unwrap(), (Generation(far + 1), Revision(far + 1)));
        }
        assert!(next(io::ErrorKind::PermissionDenied).is_err());
    }

    #[test]
    fn a_lock_that_cannot_be_written_is_held_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        // Nobody, not even root, opens a folder for writing.
        fs::create_dir(folder.path().join("lock")).unwrap();
        let _first = Store::open(folder.path()).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Taken(_))));
    }

    #[test]
    fn the_key_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        let path = folder.path().join("node.key");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        drop(Store::open(folder.path()).unwrap());
        assert_eq!(mode(), 0o600, "also one that was copied without care");
    }
}
