//! What the journal counts, for metrics and tests.
//!
//! Not here: what was found when the file was opened ([`super::Replay`]).

/// Counters of a journal since it was opened, and its sizes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStats {
    /// Entries acknowledged.
    pub appended: u64,
    /// Entries refused: by a full journal or by the disk.
    pub refused: u64,
    /// Groups of entries made durable, each by one fdatasync.
    pub commits: u64,
    /// Groups of entries the disk refused.
    pub commits_failed: u64,
    /// How often the file was replaced by a shorter one.
    pub compactions: u64,
    /// How often that failed. It is tried again.
    pub compactions_failed: u64,
    /// Keys that have a value.
    pub entries: u64,
    /// Bytes the file would have with these alone.
    pub live_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}
