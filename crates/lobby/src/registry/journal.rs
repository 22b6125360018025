//! An append-only file of keys and values: what was acknowledged is there after a crash.
//!
//! ```text
//! append ─► queue (bounded, in bytes) ─► thread: write all that waits, one fdatasync ─► all acknowledged, in order
//! ```
//! Whoever appends decides the order by the order of its calls. A thread of its own does all IO, one fdatasync each
//! [`COMMIT_EVERY`] at most. An error is told to those whose entries it concerns, and the next ones are tried anew: nothing
//! is acknowledged that is not on disk, and what failed is cut off before anything else is written.
//! The file's form is `journal/entry.rs`; reading, writing and compacting it is `journal/log.rs`; the thread is
//! `journal/writer.rs`; what the disk must be able to do is `journal/disk.rs`. Not here: what keys and values mean.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, mpsc},
    task::{Context, Poll},
    thread,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use self::{
    disk::{Disk, Folder},
    log::{Change, Log},
    writer::{Message, Request, Writer},
};
use crate::store::StoreError;

mod disk;
mod entry;
#[cfg(test)]
mod fake;
mod log;
mod stats;
#[cfg(test)]
mod tests;
mod writer;

pub use self::{log::Replay, stats::JournalStats};

/// Shortest time between the starts of two fdatasyncs: what waits meanwhile shares the next one. Short enough that nobody
/// notices, long enough that a disk of 200 syncs a second keeps up.
pub const COMMIT_EVERY: Duration = Duration::from_millis(5);

/// Longest key in bytes: a kind and an id of eight times the longest name.
pub const KEY_BYTES: usize = 1024;

/// Longest value in bytes: a quarter of a record, which must carry the registration to the others.
pub const VALUE_BYTES: usize = 256 << 10;

/// What an entry costs of [`Limits::queue_bytes`] beside its bytes in the file: about what it takes in memory.
const ENTRY_COST: usize = 128;

/// Sizes of one journal, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A file that is not longer is never compacted. A longer one is in pieces of this size, between which appends go on; if
    /// it is less than `queue_bytes`, they can make a compaction last for as long as they come.
    pub least_bytes: u64,
    /// Most of all entries that count, as they are in the file: a put that would exceed it is refused. The file may grow to
    /// four times this and `least_bytes` while it cannot be compacted; then everything is refused.
    pub live_bytes: u64,
    /// Most that waits for the disk, each entry with its bytes in the file and 128 more. At least what the longest entry costs
    /// is taken.
    pub queue_bytes: usize,
}

impl Limits {
    /// 1 MiB is written in a blink, and few machines ever have more; 16 MiB are 16 full records; 1 MiB waiting is more than a
    /// usual disk writes in [`COMMIT_EVERY`].
    pub const DEFAULT: Self = Self { least_bytes: 1 << 20, live_bytes: 16 << 20, queue_bytes: 1 << 20 };

    /// Longest file that is read, and that is ever written.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.live_bytes.saturating_mul(4).saturating_add(self.least_bytes)
    }

    fn queue(&self) -> usize {
        let longest = entry::frame_len(KEY_BYTES, VALUE_BYTES) + ENTRY_COST;
        self.queue_bytes.clamp(longest, Semaphore::MAX_PERMITS.min(u32::MAX as usize))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// An open journal. Copies share it; when the last one is dropped, what waits is still written.
#[derive(Clone, Debug)]
pub struct Journal {
    sender: mpsc::Sender<Message>,
    /// One permit for each byte that may wait; an entry holds its own until it is answered.
    room: Arc<Semaphore>,
    queue: usize,
    /// Written by the thread after each group of entries.
    stats: Arc<Mutex<JournalStats>>,
}

/// A journal and what it held.
#[derive(Debug)]
pub struct Opened {
    /// To append to.
    pub journal: Journal,
    /// The last value of each key that was not deleted.
    pub entries: BTreeMap<Bytes, Bytes>,
    /// What was found in the file.
    pub replay: Replay,
}

/// Why an entry was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Too much waits for the disk. Nothing was changed; try again, or wait with [`Journal::append`].
    #[error("journal: {most} bytes wait for the disk, which is the most: try again")]
    Busy {
        /// Most bytes that may wait.
        most: usize,
    },
    /// Key or value is too long. Nothing was changed.
    #[error("journal: {what} of {len} bytes: {most} are the most")]
    TooLong {
        /// `key` or `value`.
        what: &'static str,
        /// Its bytes.
        len: usize,
        /// What is accepted.
        most: usize,
    },
    /// The journal would hold too much. Nothing was changed; delete something first.
    #[error("journal: full: {most} bytes are the most")]
    Full {
        /// Most bytes of all entries, or of the file if it is that which is full.
        most: u64,
    },
    /// The disk refused, with this entry or with one that was to be written together with it. It does not count; only when the
    /// machine dies before the next success may it be there afterwards all the same.
    #[error("journal: writing")]
    Io(#[source] Arc<io::Error>),
    /// The journal was closed, or its thread is gone. Whether the entry is on disk is not known.
    #[error("journal: closed")]
    Closed,
}

/// An entry on its way to the disk. Ready when it is durable, or is not going to be; dropping it takes nothing back.
#[derive(Debug)]
#[must_use = "an entry counts when this says so"]
pub struct Pending(oneshot::Receiver<Result<(), AppendError>>);

impl Future for Pending {
    type Output = Result<(), AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(AppendError::Closed)))
    }
}

impl Journal {
    /// Opens a file, or makes it, and replays it. Blocks. The folder must be nobody else's ([`crate::store::Store`]).
    ///
    /// A torn tail is cut and counted in [`Replay`]. After damage in the middle, all from there on is kept as `FILE.damaged`,
    /// instead of an earlier one of that name, with a warning.
    ///
    /// # Errors
    /// When the file cannot be read, made or repaired, or is longer than the limits allow.
    pub fn open(path: &Path, limits: Limits) -> Result<Opened, StoreError> {
        let opened = Self::start(Folder::new(path, limits.file_bytes()), limits);
        let opened = opened.map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
        let Replay { torn_bytes, damaged_bytes, .. } = opened.replay;
        if torn_bytes > 0 {
            tracing::warn!(path = %path.display(), torn_bytes, "the journal ended in an entry that was never acknowledged: cut");
        }
        if damaged_bytes > 0 {
            tracing::warn!(path = %path.display(), damaged_bytes, "the journal is damaged: what follows is kept as .damaged");
        }
        Ok(opened)
    }

    fn start(disk: impl Disk, limits: Limits) -> io::Result<Opened> {
        let (log, replay) = Log::open(disk, limits)?;
        let entries = log.entries().clone();
        let (sender, receiver) = mpsc::channel();
        let stats = Arc::new(Mutex::new(*log.stats()));
        let shown = stats.clone();
        // Ends when the journal is closed or all its copies are dropped.
        thread::Builder::new().name("lobby-journal".into()).spawn(move || Writer::new(log, receiver, shown).run())?;
        let queue = limits.queue();
        let journal = Self { sender, room: Arc::new(Semaphore::new(queue)), queue, stats };
        Ok(Opened { journal, entries, replay })
    }

    /// Puts a key, or deletes it (`None`), after everything that was appended before. The result is awaited; this does not wait.
    /// Key and value are kept as they are given: a slice of something large keeps all of it.
    ///
    /// # Errors
    /// [`AppendError::Busy`] when there is no room in the queue, and when the key or value is too long or the journal closed.
    pub fn submit(&self, key: Bytes, value: Option<Bytes>) -> Result<Pending, AppendError> {
        let cost = self.cost(&key, value.as_deref())?;
        match self.room.clone().try_acquire_many_owned(cost) {
            Ok(room) => self.send(Change { key, value }, room),
            Err(TryAcquireError::NoPermits) => Err(AppendError::Busy { most: self.queue }),
            Err(TryAcquireError::Closed) => Err(AppendError::Closed),
        }
    }

    /// Like [`Journal::submit`], but waits for room in the queue, in turn, and then until the entry is durable.
    ///
    /// # Errors
    /// When the entry is too long, the journal full or closed, or the disk refuses.
    pub async fn append(&self, key: Bytes, value: Option<Bytes>) -> Result<(), AppendError> {
        let cost = self.cost(&key, value.as_deref())?;
        let room = self.room.clone().acquire_many_owned(cost).await.map_err(|_| AppendError::Closed)?;
        self.send(Change { key, value }, room)?.await
    }

    /// Writes what waits and ends: later calls get [`AppendError::Closed`]. The file may be opened anew afterwards.
    pub async fn close(self) {
        let (done, is_done) = oneshot::channel();
        if self.sender.send(Message::Close(done)).is_ok() {
            // An error is a thread that ended without us.
            _ = is_done.await;
        }
        self.room.close();
    }

    /// Counters since the start, and sizes.
    pub fn stats(&self) -> JournalStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, change: Change, room: OwnedSemaphorePermit) -> Result<Pending, AppendError> {
        let (answer, pending) = oneshot::channel();
        let request = Request { change, answer, _room: room };
        self.sender.send(Message::Append(request)).map_err(|_| AppendError::Closed)?;
        Ok(Pending(pending))
    }

    /// Bytes of room, when key and value may be written at all.
    fn cost(&self, key: &[u8], value: Option<&[u8]>) -> Result<u32, AppendError> {
        let value_len = value.map_or(0, <[u8]>::len);
        for (what, len, most) in [("key", key.len(), KEY_BYTES), ("value", value_len, VALUE_BYTES)] {
            if len > most {
                return Err(AppendError::TooLong { what, len, most });
            }
        }
        let cost = entry::frame_len(key.len(), value_len) + ENTRY_COST;
        Ok(u32::try_from(cost).expect("key and value were just found to be short"))
    }
}
