//! The journal's file and what its entries add up to: replay, groups of entries, compaction. No thread and no clock.
//!
//! ```text
//! stage* ─► commit: write behind the last good byte, sync, then count       (an error: cut back, nothing counts)
//! compact: draft ◄─ live entries in order of key, one piece a call; commits go to both; sync, rename, sync the folder
//! ```
//! The file's first `len` bytes are good and durable; what may stand behind them is cut before anything is written. A piece
//! of a compaction takes about as long as a commit, so that appends go on. Not here: when each is called (`writer.rs`).

use std::{
    collections::BTreeMap,
    io,
    ops::Bound::{Excluded, Unbounded},
};

use bytes::Bytes;

use super::{
    AppendError, JournalStats, Limits,
    disk::{Disk, DiskFile},
    entry::{self, End, MAGIC},
};

/// Commits between a compaction that failed and the next attempt: a third of a second at least, and a full disk is not
/// kept busy with it.
const PAUSE_COMMITS: u32 = 64;

/// What remains reserved for the bytes of a group after it was written.
const KEPT_BYTES: usize = 64 << 10;

/// A key and its new value; `None` deletes.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) key: Bytes,
    pub(super) value: Option<Bytes>,
}

/// What was found in the file when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Good entries, deletions and overwritten ones included.
    pub entries: u64,
    /// Bytes of an unfinished write at the end: cut off.
    pub torn_bytes: u64,
    /// Bytes from the first damage to the end: cut off and kept as `FILE.damaged`.
    pub damaged_bytes: u64,
}

/// The file and its entries.
pub(super) struct Log<D: Disk> {
    disk: D,
    limits: Limits,
    file: D::File,
    /// Good and durable bytes.
    len: u64,
    /// Whether something may stand behind them.
    is_dirty: bool,
    /// Whether the file's name may not be durable yet.
    is_renamed: bool,
    live: BTreeMap<Bytes, Bytes>,
    staged: Vec<Change>,
    /// The staged entries as they will stand in the file.
    bytes: Vec<u8>,
    /// By how much `live` grows at most.
    growth: u64,
    draft: Option<Draft<D::File>>,
    /// Commits until a compaction may be tried again.
    pause: u32,
    stats: JournalStats,
}

/// A compaction under way.
struct Draft<F> {
    file: F,
    len: u64,
    /// All entries up to this key are in it, and stay up to date.
    passed: Option<Bytes>,
}

impl<D: Disk> Log<D> {
    /// Replays and repairs the file. When that fails, it is as it was, or a part of the repair is done.
    pub(super) fn open(mut disk: D, limits: Limits) -> io::Result<(Self, Replay)> {
        disk.discard_draft();
        let content = disk.read()?.unwrap_or_default();
        let (mut live, mut replay) = (BTreeMap::new(), Replay::default());
        let (good, end) = entry::scan(&content, |entry| {
            replay.entries += 1;
            let key = Bytes::copy_from_slice(entry.key);
            match entry.value {
                Some(value) => live.insert(key, Bytes::copy_from_slice(value)),
                None => live.remove(&key),
            };
        });
        let rest = &content[good..];
        match end {
            End::Clean => {}
            End::Torn => replay.torn_bytes = rest.len() as u64,
            End::Damaged => {
                replay.damaged_bytes = rest.len() as u64;
                disk.set_aside(rest)?;
            }
        }
        let mut file = disk.open()?;
        if !rest.is_empty() {
            file.truncate(good as u64)?;
        }
        if good == 0 {
            file.write_at(MAGIC, 0)?;
        }
        // What was read counts from now on, and a process that was killed may have left it in memory only.
        file.sync()?;
        disk.sync_folder()?;
        let len = good.max(MAGIC.len()) as u64;
        let live_bytes = MAGIC.len() as u64 + live.iter().map(|(key, value)| frame_len(key, value)).sum::<u64>();
        let stats = JournalStats { entries: live.len() as u64, live_bytes, file_bytes: len, ..JournalStats::default() };
        let log = Self {
            disk,
            limits,
            file,
            len,
            is_dirty: false,
            is_renamed: false,
            live,
            staged: Vec::new(),
            bytes: Vec::new(),
            growth: 0,
            draft: None,
            pause: 0,
            stats,
        };
        Ok((log, replay))
    }

    /// What is durable.
    pub(super) fn entries(&self) -> &BTreeMap<Bytes, Bytes> {
        &self.live
    }

    /// Counters, and sizes after the last commit.
    pub(super) fn stats(&self) -> &JournalStats {
        &self.stats
    }

    /// Adds a change to the next commit, if there is room in the journal.
    pub(super) fn stage(&mut self, change: Change) -> Result<(), AppendError> {
        let Change { key, value } = &change;
        let frame = entry::frame_len(key.len(), value.as_ref().map_or(0, Bytes::len)) as u64;
        // An entry that this commit replaces or deletes still counts: only a full journal notices.
        let before = self.live.get(key).map_or(0, |value| frame_len(key, value));
        let growth = if value.is_some() { frame.saturating_sub(before) } else { 0 };
        let full = if growth > 0 && self.stats.live_bytes + self.growth + growth > self.limits.live_bytes {
            Some(self.limits.live_bytes)
        } else {
            let most = self.limits.file_bytes();
            (self.len + self.bytes.len() as u64 + frame > most).then_some(most)
        };
        if let Some(most) = full {
            self.stats.refused += 1;
            return Err(AppendError::Full { most });
        }
        self.growth += growth;
        entry::put(&mut self.bytes, key, value.as_deref());
        self.staged.push(change);
        Ok(())
    }

    /// Makes all staged changes durable, or none: then what was written of them is cut off, now or before the next commit.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        self.pause = self.pause.saturating_sub(1);
        if self.staged.is_empty() {
            return Ok(());
        }
        let result = self.write();
        let n_staged = self.staged.len() as u64;
        match result {
            Ok(()) => {
                self.len += self.bytes.len() as u64;
                self.stats.commits += 1;
                self.stats.appended += n_staged;
                self.pass_on();
                self.apply();
            }
            Err(_) => {
                self.stats.commits_failed += 1;
                self.stats.refused += n_staged;
                self.staged.clear();
                // The error that counts is the first one; the next commit tries again.
                _ = self.repair();
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.growth = 0;
        self.measure();
        result
    }

    fn write(&mut self) -> io::Result<()> {
        self.repair()?;
        self.is_dirty = true;
        self.file.write_at(&self.bytes, self.len)?;
        self.file.sync()?;
        self.is_dirty = false;
        Ok(())
    }

    /// Cuts what failed off, durably, so that neither a later entry nor a replay meets it; and makes the file's name durable.
    fn repair(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.file.truncate(self.len)?;
            self.file.sync()?;
            self.is_dirty = false;
        }
        if self.is_renamed {
            self.disk.sync_folder()?;
            self.is_renamed = false;
        }
        Ok(())
    }

    /// Writes the staged changes to the draft too, as far as it will not come across them.
    fn pass_on(&mut self) {
        let Some(Draft { file, len, passed: Some(passed) }) = &mut self.draft else { return };
        let mut bytes = Vec::new();
        for Change { key, value } in self.staged.iter().filter(|change| change.key <= *passed) {
            entry::put(&mut bytes, key, value.as_deref());
        }
        match file.write_at(&bytes, *len) {
            Ok(()) => *len += bytes.len() as u64,
            Err(err) => self.give_up(&err),
        }
    }

    fn apply(&mut self) {
        for Change { key, value } in self.staged.drain(..) {
            let key_len = key.len();
            let before = match value {
                Some(value) => {
                    self.stats.live_bytes += frame_len(&key, &value);
                    self.live.insert(key, value)
                }
                None => self.live.remove(&key),
            };
            self.stats.live_bytes -= before.map_or(0, |value| entry::frame_len(key_len, value.len()) as u64);
        }
    }

    /// Whether [`Log::compact`] has something to do.
    pub(super) fn is_compacting(&self) -> bool {
        let most = self.limits.least_bytes.max(2 * self.stats.live_bytes);
        self.draft.is_some() || (self.pause == 0 && self.len > most)
    }

    /// Takes the next step of a compaction that is due or under way. One that fails leaves the file as it is.
    pub(super) fn compact(&mut self) {
        if !self.is_compacting() {
            return;
        }
        match self.piece() {
            Ok(()) => {}
            Err(err) => self.give_up(&err),
        }
        self.measure();
    }

    fn piece(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        let draft = match &mut self.draft {
            Some(draft) => draft,
            none => {
                bytes.extend(MAGIC);
                none.insert(Draft { file: self.disk.make_draft()?, len: 0, passed: None })
            }
        };
        let from = draft.passed.as_ref().map_or(Unbounded, Excluded);
        let mut rest = self.live.range::<Bytes, _>((from, Unbounded));
        let mut last = None;
        while last.is_none() || (bytes.len() as u64) < self.limits.least_bytes {
            let Some((key, value)) = rest.next() else { break };
            entry::put(&mut bytes, key, Some(value));
            last = Some(key.clone());
        }
        let is_last = rest.next().is_none();
        draft.file.write_at(&bytes, draft.len)?;
        // Piece by piece, so that the last sync does not have to wait for all of it.
        draft.file.sync()?;
        draft.len += bytes.len() as u64;
        draft.passed = last;
        if is_last { self.publish() } else { Ok(()) }
    }

    /// Puts the finished, durable draft in the file's place.
    fn publish(&mut self) -> io::Result<()> {
        self.disk.publish_draft()?;
        if let Some(draft) = self.draft.take() {
            (self.file, self.len) = (draft.file, draft.len);
            self.is_dirty = false;
            // Until the folder is synced, a crash can bring the old file back, and nothing more may be acknowledged.
            self.is_renamed = true;
            self.stats.compactions += 1;
        }
        // The new file counts; the next commit tries again.
        _ = self.repair();
        Ok(())
    }

    fn give_up(&mut self, err: &io::Error) {
        tracing::warn!("the journal could not be compacted: {err}");
        self.draft = None;
        self.disk.discard_draft();
        self.pause = PAUSE_COMMITS;
        self.stats.compactions_failed += 1;
    }

    fn measure(&mut self) {
        self.stats.entries = self.live.len() as u64;
        self.stats.file_bytes = self.len;
    }
}

impl<D: Disk> Drop for Log<D> {
    fn drop(&mut self) {
        if self.draft.take().is_some() {
            self.disk.discard_draft();
        }
    }
}

fn frame_len(key: &[u8], value: &[u8]) -> u64 {
    entry::frame_len(key.len(), value.len()) as u64
}

#[cfg(test)]
mod tests;
