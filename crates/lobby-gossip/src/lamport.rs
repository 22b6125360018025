//! Lamport time of user events or of queries, and which of them were here before.
//!
//! Serf's scheme: each post carries a time that is above all its origin had seen; whoever sees it moves its own clock
//! there. The last [`WINDOW`] times are remembered with the ids seen at each. What is older cannot be told from something
//! seen before and is dropped, so memory is bounded whatever comes.
//! Not here: what a post says (`post`), how often an origin may speak (`bucket`).

use std::collections::BTreeMap;

use lobby_core::port::gossip::EventId;

/// How far behind the newest time a post may come (Serf's event buffer).
pub(crate) const WINDOW: u64 = 512;

/// Posts that may share one time: as many origins can have spoken without having heard of each other.
const MOST_AT_ONCE: usize = 16;

/// How far ahead of our clock a post may be. A newcomer's clock is zero, a cluster's is the number of its posts; beyond
/// that it is a forgery that would make all honest posts too old.
const MOST_AHEAD: u64 = 1 << 40;

/// What a post is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Not seen before.
    New,
    /// Seen before.
    Seen,
    /// Too old to tell, or absurdly far ahead.
    OutOfTime,
    /// Too many others have the same time.
    Crowded,
}

/// One clock and what was seen by it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lamport {
    newest: u64,
    seen: BTreeMap<u64, Vec<EventId>>,
}

impl Lamport {
    /// The highest time seen.
    pub(crate) const fn now(&self) -> u64 {
        self.newest
    }

    /// The time of a post of our own.
    pub(crate) fn next(&mut self) -> u64 {
        self.newest = self.newest.saturating_add(1);
        self.newest
    }

    /// Somebody's clock stands there.
    pub(crate) fn witness(&mut self, time: u64) {
        if time <= self.newest.saturating_add(MOST_AHEAD) {
            self.newest = self.newest.max(time);
        }
    }

    /// What a post would be; nothing changes.
    pub(crate) fn look(&self, time: u64, id: EventId) -> Sight {
        if time.saturating_add(WINDOW) <= self.newest || time > self.newest.saturating_add(MOST_AHEAD) {
            return Sight::OutOfTime;
        }
        match self.seen.get(&time) {
            Some(ids) if ids.contains(&id) => Sight::Seen,
            Some(ids) if ids.len() >= MOST_AT_ONCE => Sight::Crowded,
            _ => Sight::New,
        }
    }

    /// Remembers a post that is [`Sight::New`].
    pub(crate) fn note(&mut self, time: u64, id: EventId) {
        self.witness(time);
        self.seen.entry(time).or_default().push(id);
        self.seen = self.seen.split_off(&(self.newest.saturating_add(1).saturating_sub(WINDOW)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> EventId {
        EventId([n; 16])
    }

    #[test]
    fn each_post_is_new_once_within_the_window() {
        let mut lamport = Lamport::default();
        assert_eq!(lamport.next(), 1);
        lamport.note(1, id(1));
        assert_eq!(lamport.look(1, id(1)), Sight::Seen);
        lamport.note(40, id(2));
        assert_eq!(lamport.next(), 41);
        assert_eq!(lamport.look(1, id(1)), Sight::Seen);
        lamport.note(512, id(3));
        assert_eq!((lamport.look(1, id(1)), lamport.look(1, id(9))), (Sight::Seen, Sight::New));
        lamport.note(513, id(4));
        assert_eq!((lamport.look(1, id(1)), lamport.look(2, id(9))), (Sight::OutOfTime, Sight::New));
        assert!(lamport.seen.len() <= WINDOW as usize);
    }

    #[test]
    fn sixteen_share_a_time_and_nobody_moves_the_clock_out_of_reach() {
        let mut lamport = Lamport::default();
        (0..16).for_each(|n| lamport.note(7, id(n)));
        assert_eq!((lamport.look(7, id(99)), lamport.look(7, id(3))), (Sight::Crowded, Sight::Seen));
        assert_eq!(lamport.look(u64::MAX, id(1)), Sight::OutOfTime);
        lamport.witness(u64::MAX);
        assert_eq!(lamport.now(), 7);
        lamport.witness(1 << 40);
        assert_eq!(lamport.now(), 1 << 40);
    }

    #[test]
    fn the_window_never_holds_more_than_its_size() {
        let mut lamport = Lamport::default();
        for time in 1..5000 {
            for n in 0..20 {
                if lamport.look(time, id(n)) == Sight::New {
                    lamport.note(time, id(n));
                }
            }
        }
        assert_eq!(lamport.seen.values().map(Vec::len).sum::<usize>(), 512 * 16);
    }
}
