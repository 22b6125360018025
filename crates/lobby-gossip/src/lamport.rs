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

/// How far ahead of our clock a post may be. Two halves of a cluster count on their own: at 10 posts a second, what one
/// origin may fire, this is more than a day, and at the 100 that all may fire together three hours. A larger lead comes
/// down step by step, one in each exchange. Whoever forges times needs 2^42 posts to bring the clock to its end.
const MOST_AHEAD: u64 = 1 << 20;

/// The highest clock that is adopted: no cluster gets there by counting.
const MOST_ADOPTED: u64 = 1 << 62;

/// What a post is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Not seen before.
    New,
    /// Seen before.
    Seen,
    /// Too old to tell.
    OutOfTime,
    /// So far ahead that it is a forgery, which would make all honest posts too old.
    TooFar,
    /// Too many others have the same time.
    Crowded,
}

/// One clock and what was seen by it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lamport {
    newest: u64,
    /// No clock is taken as it is any more.
    settled: bool,
    /// What the clock of the others was when we began; `None` until we know.
    start: Option<u64>,
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

    /// Somebody's clock stands there, in an exchange. While we are new, those that we `asked` for are taken as they are.
    /// Others move ours at most so far; false when that is not all the way.
    pub(crate) fn hear_clock(&mut self, time: u64, asked: bool) -> bool {
        let is_free = asked && !self.settled;
        let most = if is_free { MOST_ADOPTED } else { self.newest.saturating_add(MOST_AHEAD) };
        self.newest = self.newest.max(time.min(most));
        if is_free && time > 0 {
            self.start = Some(self.start.unwrap_or(0).max(time.min(most)));
        }
        time <= most
    }

    /// An exchange that we asked for is over; `was_warm` before it. Whoever brought us our first picture may be as new
    /// as we are, and its clock stand at zero although that of the cluster does not. So zero is believed only from the
    /// next one, and clocks are taken as they are until one above zero was heard and we were warm before.
    pub(crate) fn end_exchange(&mut self, was_warm: bool) {
        if was_warm {
            self.settled = *self.start.get_or_insert(0) > 0;
        }
    }

    /// Whether a post is surely later than our start.
    pub(crate) fn is_since_start(&self, time: u64) -> bool {
        self.start.is_some_and(|start| time > start)
    }

    /// What a post would be; nothing changes.
    pub(crate) fn look(&self, time: u64, id: EventId) -> Sight {
        if time.saturating_add(WINDOW) <= self.newest {
            return Sight::OutOfTime;
        }
        if time > self.newest.saturating_add(MOST_AHEAD) {
            return Sight::TooFar;
        }
        match self.seen.get(&time) {
            Some(ids) if ids.contains(&id) => Sight::Seen,
            Some(ids) if ids.len() >= MOST_AT_ONCE => Sight::Crowded,
            _ => Sight::New,
        }
    }

    /// Remembers a post that is [`Sight::New`].
    pub(crate) fn note(&mut self, time: u64, id: EventId) {
        self.newest = self.newest.max(time);
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
        assert_eq!(lamport.look(u64::MAX, id(1)), Sight::TooFar);
        assert_eq!(lamport.look(7 + MOST_AHEAD + 1, id(1)), Sight::TooFar);
        assert_eq!(lamport.look(7 + MOST_AHEAD, id(1)), Sight::New);
    }

    #[test]
    fn a_newcomer_adopts_the_clocks_it_asks_for_until_it_is_settled_and_later_ones_step_by_step() {
        let mut lamport = Lamport::default();
        assert!(!lamport.is_since_start(1));
        // Whoever comes to us is not believed as much as whom we ask.
        assert!(!lamport.hear_clock(1 << 50, false));
        assert_eq!(lamport.now(), MOST_AHEAD);
        assert!(lamport.hear_clock(1 << 50, true));
        assert_eq!((lamport.now(), lamport.is_since_start(1 << 50)), (1 << 50, false));
        assert!(lamport.is_since_start((1 << 50) + 1));
        lamport.end_exchange(false);
        assert!(lamport.hear_clock(1 << 51, true), "who brought our first picture may have been behind");
        assert!(!lamport.is_since_start(1 << 51));
        lamport.end_exchange(true);
        assert!(!lamport.hear_clock(u64::MAX, true));
        assert_eq!(lamport.now(), (1 << 51) + MOST_AHEAD);
        assert!(lamport.hear_clock(3, true), "an old one moves nothing");
        lamport.end_exchange(true);
        assert!(!lamport.is_since_start(1 << 51) && lamport.is_since_start((1 << 51) + 1));
        // A first clock at the end of all time is cut down, so that there is room above.
        assert!(!Lamport::default().hear_clock(u64::MAX, true));
    }

    #[test]
    fn clocks_at_zero_use_up_nothing() {
        let mut lamport = Lamport::default();
        // Another newcomer.
        lamport.end_exchange(false);
        assert!(!lamport.is_since_start(u64::MAX), "nobody who can know has spoken");
        lamport.hear_clock(0, true);
        lamport.end_exchange(true);
        assert!(lamport.is_since_start(1));
        assert!(lamport.hear_clock(1 << 50, true));
        assert!(!lamport.is_since_start(1 << 50));
        lamport.end_exchange(true);
        assert!(!lamport.hear_clock(1 << 51, true));
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
