//! Which datagrams were here before: a window of counters per sender.
//!
//! A process that has just started has seen nothing: what may be a recording from before is told from what was surely
//! made since (`engine/proof` says what proves that).
//! Checked after the seal, so only members can fill the table. A newer generation of a sender starts a new window; an
//! older one is over and counts as a replay, until the sender is forgotten.

use std::collections::HashMap;

use lobby_core::{
    id::{Generation, NodeId},
    limits,
};

/// How far behind the newest counter a datagram may come: far more than any network reorders.
const WINDOW: u64 = 1024;

const WORDS: usize = (WINDOW / 64) as usize;

/// What became of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Not seen before.
    Fresh,
    /// Seen before, or too old to tell.
    Replayed,
    /// There are more senders than nodes a catalog may have.
    Full,
}

#[derive(Clone, Debug)]
struct Window {
    generation: Generation,
    newest: u64,
    /// This generation is over although it was not followed by a newer one.
    barred: Option<Generation>,
    /// The counter of a datagram that was surely made while we run. Of those before it nobody knows: they are not in the
    /// window if they were sent before we started.
    proven: Option<u64>,
    /// One bit per counter modulo [`WINDOW`]. `None`: of those within the window only the newest. Among thousands of
    /// members each is heard so seldom that most have none.
    seen: Option<Box<[u64; WORDS]>>,
}

/// The windows of all senders.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    windows: HashMap<NodeId, Window>,
}

impl Replay {
    /// Notes a counter and says whether it is new.
    pub(crate) fn check(&mut self, sender: NodeId, generation: Generation, counter: u64) -> Freshness {
        if self.windows.len() >= limits::NODES && !self.windows.contains_key(&sender) {
            return Freshness::Full;
        }
        let first = Window { generation, newest: counter, barred: None, proven: None, seen: None };
        let Some(window) = self.windows.get_mut(&sender) else {
            self.windows.insert(sender, first);
            return Freshness::Fresh;
        };
        if window.barred == Some(generation) {
            return Freshness::Replayed;
        }
        if generation > window.generation {
            *window = Window { barred: window.barred, ..first };
            return Freshness::Fresh;
        }
        if generation < window.generation || !window.note(counter) { Freshness::Replayed } else { Freshness::Fresh }
    }

    /// This datagram of the sender was made while we run.
    pub(crate) fn prove(&mut self, sender: NodeId, generation: Generation, counter: u64) {
        if let Some(window) = self.windows.get_mut(&sender).filter(|window| window.generation == generation) {
            window.proven.get_or_insert(counter);
        }
    }

    /// Whether a datagram that passed [`Self::check`] was made while we run.
    pub(crate) fn is_proven(&self, sender: NodeId, generation: Generation, counter: u64) -> bool {
        let window = self.windows.get(&sender).filter(|window| window.generation == generation);
        window.and_then(|window| window.proven).is_some_and(|proven| counter >= proven)
    }

    /// Forgets a sender, so that an older process of it counts again. The `barred` one does not.
    pub(crate) fn forget(&mut self, sender: NodeId, barred: Option<Generation>) {
        if self.windows.remove(&sender).is_some() && barred.is_some() {
            self.windows.insert(sender, Window { generation: Generation(0), newest: 0, barred, proven: None, seen: None });
        }
    }

    /// Forgets all senders but those that somebody knows.
    pub(crate) fn retain(&mut self, is_known: impl Fn(NodeId) -> bool) {
        self.windows.retain(|sender, _| is_known(*sender));
    }
}

impl Window {
    fn note(&mut self, counter: u64) -> bool {
        if counter == self.newest || self.newest.saturating_sub(counter) >= WINDOW {
            return false;
        }
        if counter > self.newest && counter - self.newest >= WINDOW {
            (self.newest, self.seen) = (counter, None);
            return true;
        }
        let newest = self.newest;
        let seen = self.seen.get_or_insert_with(|| {
            let mut seen = Box::new([0; WORDS]);
            *word(&mut seen, newest) |= bit(newest);
            seen
        });
        if counter > newest {
            (newest + 1..=counter).for_each(|skipped| *word(seen, skipped) &= !bit(skipped));
            self.newest = counter;
        }
        let fresh = *word(seen, counter) & bit(counter) == 0;
        *word(seen, counter) |= bit(counter);
        fresh
    }
}

const fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

fn word(seen: &mut [u64; WORDS], counter: u64) -> &mut u64 {
    &mut seen[(counter % WINDOW / 64) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: NodeId = NodeId::from_bytes([1; 16]);

    #[test]
    fn each_counter_passes_once_and_late_ones_do_too() {
        let mut replay = Replay::default();
        let mut check = |counter| replay.check(ID, Generation(1), counter) == Freshness::Fresh;
        assert!(check(1) && check(3) && check(2));
        assert!(!check(3) && !check(1));
        assert!(check(5000) && !check(5000));
        assert!(check(5000 - 1023) && !check(5000 - 1024));
        assert!(check(5500) && check(5499) && !check(5500) && !check(5000));
        assert!(check(u64::MAX) && !check(u64::MAX) && !check(5501) && check(u64::MAX - 1) && !check(u64::MAX - 1));
    }

    #[test]
    fn unknown_senders_are_forgotten_and_known_ones_are_not() {
        let mut replay = Replay::default();
        let stranger = NodeId::from_bytes([2; 16]);
        replay.check(ID, Generation(1), 1);
        replay.check(stranger, Generation(1), 1);
        replay.retain(|id| id == ID);
        assert_eq!(replay.check(ID, Generation(1), 1), Freshness::Replayed);
        assert_eq!(replay.windows.len(), 1);
    }

    #[test]
    fn a_forgotten_sender_may_come_with_an_older_generation_and_not_with_the_barred_one() {
        let mut replay = Replay::default();
        assert_eq!(replay.check(ID, Generation(2), 9), Freshness::Fresh);
        replay.forget(ID, Some(Generation(2)));
        assert_eq!(replay.check(ID, Generation(2), 10), Freshness::Replayed);
        assert_eq!(replay.check(ID, Generation(1), 7), Freshness::Fresh);
        assert_eq!(replay.check(ID, Generation(2), 11), Freshness::Replayed);
        assert_eq!(replay.check(ID, Generation(3), 1), Freshness::Fresh);
        assert_eq!(replay.check(ID, Generation(2), 12), Freshness::Replayed);
    }

    #[test]
    fn what_comes_after_a_proof_is_proven_and_a_new_process_proves_itself_anew() {
        let mut replay = Replay::default();
        replay.check(ID, Generation(1), 100);
        assert!(!replay.is_proven(ID, Generation(1), 100));
        replay.check(ID, Generation(1), 120);
        replay.prove(ID, Generation(1), 120);
        assert!(replay.is_proven(ID, Generation(1), 120) && replay.is_proven(ID, Generation(1), 121));
        // Recorded before we started, and within the window of counters.
        assert_eq!(replay.check(ID, Generation(1), 90), Freshness::Fresh);
        assert!(!replay.is_proven(ID, Generation(1), 90));
        replay.prove(ID, Generation(1), 90);
        assert!(replay.is_proven(ID, Generation(1), 120));
        replay.check(ID, Generation(2), 130);
        assert!(!replay.is_proven(ID, Generation(2), 130) && !replay.is_proven(ID, Generation(1), 130));
    }

    #[test]
    fn an_older_generation_is_over() {
        let mut replay = Replay::default();
        assert_eq!(replay.check(ID, Generation(2), 9), Freshness::Fresh);
        assert_eq!(replay.check(ID, Generation(1), 10), Freshness::Replayed);
        assert_eq!(replay.check(ID, Generation(3), 9), Freshness::Fresh);
    }
}
