//! User events and queries that still have to be sent, and how often.
//!
//! The same discipline as for records (`queue`): what was sent least goes first and ends after its copies. Each entry is
//! an encoded item whose last bytes are a time that goes on while it waits: the age of an event, what is left of a query.
//! Bound: [`MOST`]; the entry that was sent most gives way, for it has reached most members.
//! Not here: to whom and when (`engine/user`).

use std::time::Duration;

use bytes::Bytes;
use lobby_core::{port::gossip::EventId, time::Moment};

use crate::post::{AGE_BYTES, LEFT_BYTES, age_tail, left_tail};

/// Entries at a time: more than the queue can send in the time an entry stays.
pub(crate) const MOST: usize = 256;

/// The time at the end of an item.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tail {
    /// An event: when it came here, and how old it was then.
    Age(Moment, Duration),
    /// A query: when its time is over.
    Until(Moment),
}

#[derive(Debug)]
struct Entry {
    id: EventId,
    item: Bytes,
    tail: Tail,
    ends: Moment,
    n_sent: u8,
}

/// The queue of one member.
#[derive(Debug, Default)]
pub(crate) struct SpreadQueue {
    entries: Vec<Entry>,
}

impl SpreadQueue {
    /// Adds an item that is sent until `ends` at most; false when another one had to give way.
    pub(crate) fn push(&mut self, id: EventId, item: Bytes, tail: Tail, ends: Moment) -> bool {
        let is_full = self.entries.len() >= MOST;
        if is_full && let Some(idx) = (0..self.entries.len()).max_by_key(|idx| self.entries[*idx].n_sent) {
            self.entries.swap_remove(idx);
        }
        self.entries.push(Entry { id, item, tail, ends, n_sent: 0 });
        !is_full
    }

    pub(crate) fn remove(&mut self, id: EventId) {
        self.entries.retain(|entry| entry.id != id);
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

    /// Drops what is not sent any more.
    pub(crate) fn expire(&mut self, now: Moment) {
        self.entries.retain(|entry| entry.ends > now);
    }

    /// Takes one copy of the least-sent entries that fit into `room` bytes; an entry ends after `copies`.
    pub(crate) fn fill(&mut self, mut room: usize, copies: u8, now: Moment, mut put: impl FnMut(&[u8])) {
        if self.entries.is_empty() {
            return;
        }
        self.expire(now);
        self.entries.sort_by_key(|entry| entry.n_sent);
        for entry in &mut self.entries {
            if entry.item.len() <= room {
                room -= entry.item.len();
                put(&entry.at(now));
                entry.n_sent += 1;
            }
        }
        self.entries.retain(|entry| entry.n_sent < copies);
    }
}

impl Entry {
    /// The item as it reads now.
    fn at(&self, now: Moment) -> Vec<u8> {
        let mut item = self.item.to_vec();
        match self.tail {
            Tail::Age(came, age) => {
                item.truncate(item.len().saturating_sub(AGE_BYTES));
                item.extend(age_tail(age + now.since(came)));
            }
            Tail::Until(until) => {
                item.truncate(item.len().saturating_sub(LEFT_BYTES));
                item.extend(left_tail(until.since(now)));
            }
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_micros(ms * 1000)
    }

    fn push(queue: &mut SpreadQueue, n: u8) -> bool {
        queue.push(EventId([n; 16]), vec![n; 10].into(), Tail::Age(at(0), Duration::ZERO), at(1000))
    }

    fn fill(queue: &mut SpreadQueue, room: usize, copies: u8, now: Moment) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        queue.fill(room, copies, now, |item| sent.push(item.to_vec()));
        sent
    }

    #[test]
    fn the_least_sent_goes_first_and_ends_after_its_copies_or_its_time() {
        let mut queue = SpreadQueue::default();
        push(&mut queue, 1);
        push(&mut queue, 2);
        let first: Vec<_> = (0..4).map(|_| fill(&mut queue, 10, 2, at(1))[0][0]).collect();
        assert_eq!(first, [1, 2, 2, 1]);
        assert!(queue.is_empty());
        push(&mut queue, 3);
        assert_eq!(fill(&mut queue, 10, 2, at(1000)), Vec::<Vec<u8>>::new());
        assert!(queue.is_empty());
    }

    #[test]
    fn ages_grow_and_deadlines_come_nearer_while_an_item_waits() {
        let mut queue = SpreadQueue::default();
        queue.push(EventId([1; 16]), vec![0; 10].into(), Tail::Age(at(0), Duration::from_secs(3)), at(10_000));
        queue.push(EventId([2; 16]), vec![0; 10].into(), Tail::Until(at(5000)), at(10_000));
        let sent = fill(&mut queue, 20, 9, at(1500));
        assert_eq!(sent[0][8..], age_tail(Duration::from_millis(4500)));
        assert_eq!(sent[1][6..], left_tail(Duration::from_millis(3500)));
    }

    #[test]
    fn a_full_queue_drops_what_was_sent_most() {
        let mut queue = SpreadQueue::default();
        push(&mut queue, 0);
        fill(&mut queue, 10, 9, at(1));
        for n in 1..MOST {
            assert!(push(&mut queue, n as u8));
        }
        assert!(!push(&mut queue, 7));
        assert_eq!(queue.len(), MOST);
        assert!(!queue.entries.iter().any(|entry| entry.id == EventId([0; 16])));
    }
}
