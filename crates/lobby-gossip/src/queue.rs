//! Changes of records that still have to be sent, and how often.
//!
//! One entry per origin: a newer version replaces the older one. The entry that was sent least goes first. At most as
//! many entries as a catalog has nodes, because only versions that the roster took in come here.

use bytes::Bytes;
use lobby_core::{id::NodeId, record::Stamp};

#[derive(Debug)]
struct Entry {
    origin: NodeId,
    stamp: Stamp,
    item: Bytes,
    n_sent: u8,
}

/// The queue of one member.
#[derive(Debug, Default)]
pub(crate) struct PushQueue {
    entries: Vec<Entry>,
}

impl PushQueue {
    pub(crate) fn push(&mut self, origin: NodeId, stamp: Stamp, item: Bytes) {
        match self.entries.iter_mut().find(|entry| entry.origin == origin) {
            Some(entry) if entry.stamp >= stamp => {}
            Some(entry) => *entry = Entry { origin, stamp, item, n_sent: 0 },
            None => self.entries.push(Entry { origin, stamp, item, n_sent: 0 }),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether some entry was sent fewer than `copies` times.
    pub(crate) fn has_fresh(&self, copies: usize) -> bool {
        self.entries.iter().any(|entry| usize::from(entry.n_sent) < copies)
    }

    /// Takes one copy of the least-sent entries that fit into `room` bytes; an entry ends after `copies`.
    pub(crate) fn fill(&mut self, mut room: usize, copies: u8, mut put: impl FnMut(&[u8])) {
        if self.entries.is_empty() {
            return;
        }
        self.entries.sort_by_key(|entry| entry.n_sent);
        for entry in &mut self.entries {
            if entry.item.len() <= room {
                room -= entry.item.len();
                put(&entry.item);
                entry.n_sent += 1;
            }
        }
        self.entries.retain(|entry| entry.n_sent < copies);
    }
}

#[cfg(test)]
mod tests {
    use lobby_core::id::{Generation, Version};

    use super::*;

    fn stamp(version: u64) -> Stamp {
        Stamp { generation: Generation(1), version: Version(version) }
    }

    #[test]
    fn newer_replaces_older_and_copies_are_counted() {
        let mut queue = PushQueue::default();
        let id = |byte| NodeId::from_bytes([byte; 16]);
        queue.push(id(1), stamp(2), Bytes::from_static(b"new"));
        queue.push(id(1), stamp(1), Bytes::from_static(b"old"));
        queue.push(id(2), stamp(1), Bytes::from_static(b"other"));
        let mut sent = Vec::new();
        queue.fill(5, 2, |item| sent.push(item.to_vec()));
        queue.fill(5, 2, |item| sent.push(item.to_vec()));
        queue.fill(9, 2, |item| sent.push(item.to_vec()));
        assert_eq!(sent, [&b"new"[..], b"other", b"other", b"new"]);
        assert!(queue.is_empty());
    }
}
