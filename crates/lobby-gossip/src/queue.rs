//! Changes of records that still have to be sent, and how often.
//!
//! One entry per origin: a newer version replaces the older one. The entry that was sent least goes first; of those sent
//! equally often the one that is here longest. At most as many entries as a catalog has nodes, because only versions that
//! the roster took in come here. Taking `k` copies costs `k` steps of a balanced tree, however long the queue is.
//! Not here: to whom and when (`engine/push`).

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use lobby_core::{id::NodeId, record::Stamp, time::Moment};

/// In large clusters an entry ends when this many others were heard to have it (engine study, §4; checked by
/// `tests/it/plane.rs`).
const ENOUGH_DUPLICATES: u8 = 3;

/// Entries that do not fit into the rest of a datagram and are passed over, before it goes out as it is.
const MAX_MISFITS: usize = 32;

#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    item: Bytes,
    n_sent: u8,
    n_heard: u8,
    number: u64,
    /// After so many copies it rests until then.
    rest: Option<(u8, Moment)>,
}

impl Entry {
    fn is_resting(&self, now: Moment) -> bool {
        self.rest.is_some_and(|(copies, until)| self.n_sent >= copies && now < until)
    }
}

/// The queue of one member.
#[derive(Debug, Default)]
pub(crate) struct PushQueue {
    entries: HashMap<NodeId, Entry>,
    /// By copies sent, then by age.
    order: BTreeMap<(u8, u64), NodeId>,
    n_pushed: u64,
}

impl PushQueue {
    pub(crate) fn push(&mut self, origin: NodeId, stamp: Stamp, item: Bytes) {
        self.put(origin, stamp, item, None);
    }

    /// The same for what rests until then after so many copies.
    pub(crate) fn push_resting(&mut self, origin: NodeId, stamp: Stamp, item: Bytes, copies: u8, until: Moment) {
        self.put(origin, stamp, item, Some((copies, until)));
    }

    fn put(&mut self, origin: NodeId, stamp: Stamp, item: Bytes, rest: Option<(u8, Moment)>) {
        if let Some(old) = self.entries.get(&origin) {
            if old.stamp >= stamp {
                return;
            }
            self.order.remove(&(old.n_sent, old.number));
        }
        self.n_pushed += 1;
        let number = self.n_pushed;
        self.order.insert((0, number), origin);
        self.entries.insert(origin, Entry { stamp, item, n_sent: 0, n_heard: 0, number, rest });
    }

    /// Somebody sent us the very version that is in the queue: whoever is left to tell hears it from others too.
    pub(crate) fn note_duplicate(&mut self, origin: NodeId, stamp: Stamp) {
        let Some(entry) = self.entries.get_mut(&origin).filter(|entry| entry.stamp == stamp) else { return };
        entry.n_heard += 1;
        if entry.n_heard >= ENOUGH_DUPLICATES {
            self.order.remove(&(entry.n_sent, entry.number));
            self.entries.remove(&origin);
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
        self.order.first_key_value().is_some_and(|((n_sent, _), _)| usize::from(*n_sent) < copies)
    }

    /// Takes one copy of the least-sent entries that fit into `room` bytes; an entry ends after `copies`.
    pub(crate) fn fill(&mut self, mut room: usize, copies: u8, now: Moment, mut put: impl FnMut(&[u8])) {
        let (mut taken, mut n_misfits) = (Vec::new(), 0);
        for (place, origin) in &self.order {
            let Some(entry) = self.entries.get(origin).filter(|entry| !entry.is_resting(now)) else { continue };
            if entry.item.len() <= room {
                room -= entry.item.len();
                put(&entry.item);
                taken.push((*place, *origin));
            } else {
                n_misfits += 1;
            }
            if n_misfits >= MAX_MISFITS {
                break;
            }
        }
        for (place, origin) in taken {
            self.order.remove(&place);
            let Some(entry) = self.entries.get_mut(&origin) else { continue };
            entry.n_sent += 1;
            if entry.n_sent < copies {
                self.order.insert((entry.n_sent, entry.number), origin);
            } else {
                self.entries.remove(&origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lobby_core::id::{Generation, Version};

    use super::*;

    fn stamp(version: u64) -> Stamp {
        Stamp { generation: Generation(1), version: Version(version) }
    }

    fn id(number: u64) -> NodeId {
        NodeId::from_bytes(std::array::from_fn(|i| number.to_le_bytes()[i % 8]))
    }

    #[test]
    fn newer_replaces_older_and_copies_are_counted() {
        let mut queue = PushQueue::default();
        queue.push(id(1), stamp(2), Bytes::from_static(b"new"));
        queue.push(id(1), stamp(1), Bytes::from_static(b"old"));
        queue.push(id(2), stamp(1), Bytes::from_static(b"other"));
        let mut sent = Vec::new();
        queue.fill(5, 2, Moment::ZERO, |item| sent.push(item.to_vec()));
        queue.fill(5, 2, Moment::ZERO, |item| sent.push(item.to_vec()));
        queue.fill(9, 2, Moment::ZERO, |item| sent.push(item.to_vec()));
        assert_eq!(sent, [&b"new"[..], b"other", b"new", b"other"]);
        assert!(queue.is_empty() && queue.order.is_empty());
    }

    #[test]
    fn three_duplicates_of_the_same_version_end_an_entry() {
        let mut queue = PushQueue::default();
        queue.push(id(1), stamp(2), Bytes::from_static(b"new"));
        for version in [1, 2, 3, 2, 1] {
            queue.note_duplicate(id(1), stamp(version));
        }
        assert_eq!(queue.len(), 1, "two of them were of this version");
        queue.note_duplicate(id(1), stamp(2));
        assert!(queue.is_empty() && queue.order.is_empty());
        queue.push(id(1), stamp(2), Bytes::from_static(b"new"));
        queue.note_duplicate(id(1), stamp(2));
        queue.note_duplicate(id(1), stamp(2));
        queue.push(id(1), stamp(3), Bytes::from_static(b"newer"));
        queue.note_duplicate(id(1), stamp(3));
        assert_eq!(queue.len(), 1, "a newer version starts anew");
    }

    #[test]
    fn thousands_of_entries_all_go_out_the_same_number_of_times() {
        let mut queue = PushQueue::default();
        let mut n_sent = HashMap::new();
        for n in 0..5_000_u64 {
            // Some are large: they wait for a datagram of their own and go out as often as the others.
            let len = if n % 50 == 0 { 1100 } else { 60 };
            let mut item = vec![0; len];
            item[..8].copy_from_slice(&n.to_le_bytes());
            queue.push(id(n), stamp(1), item.into());
        }
        for datagram in 0.. {
            if queue.is_empty() {
                break;
            }
            assert!(datagram < 100_000, "{} are stuck", queue.len());
            let room = if datagram % 2 == 0 { 400 } else { 1300 };
            queue.fill(room, 20, Moment::ZERO, |item| *n_sent.entry(item[..8].to_vec()).or_insert(0) += 1);
        }
        assert_eq!(n_sent.len(), 5_000);
        assert!(n_sent.values().all(|copies| *copies == 20));
    }

    #[test]
    fn what_does_not_fit_is_passed_over_for_what_does_within_a_bound() {
        let mut queue = PushQueue::default();
        for n in 0..MAX_MISFITS as u64 - 1 {
            queue.push(id(n), stamp(1), vec![0; 100].into());
        }
        queue.push(id(1000), stamp(1), vec![1; 10].into());
        let mut sent = 0;
        queue.fill(50, 2, Moment::ZERO, |_| sent += 1);
        assert_eq!(sent, 1);
        queue.push(id(2000), stamp(1), vec![0; 100].into());
        queue.fill(50, 2, Moment::ZERO, |_| sent += 1);
        assert_eq!(sent, 1, "more misfits than are passed over");
    }

    #[test]
    fn what_must_be_fetched_rests_after_its_first_copies_and_keeps_nothing_else_back() {
        let at = |ms: u64| Moment::from_micros(ms * 1000);
        let mut queue = PushQueue::default();
        queue.push_resting(id(1), stamp(1), Bytes::from_static(b"hint"), 2, at(200));
        queue.push(id(2), stamp(1), Bytes::from_static(b"other"));
        let mut fill = |ms: u64| {
            let mut sent = Vec::new();
            queue.fill(9, 4, at(ms), |item| sent.push(item.to_vec()));
            sent
        };
        assert_eq!(fill(0), [&b"hint"[..], b"other"]);
        assert_eq!(fill(1), [&b"hint"[..], b"other"]);
        assert_eq!(fill(199), [b"other"]);
        assert_eq!(fill(200), [&b"hint"[..], b"other"]);
        assert_eq!(fill(201), [b"hint"]);
        assert!(queue.is_empty() && queue.order.is_empty());
    }
}
