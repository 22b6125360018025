//! Which sealed packets are news: counters of each sender, and proof that a packet was made since we started.
//!
//! Every packet names some that its sender had heard before it. We take a packet for *proven* if it names one of which
//! we know that it was made while we run: one of ours, or one that is proven. So whoever has just started believes no
//! recording, and no clock is asked. What a sender makes after a proven packet of its own is proven too: its counter
//! is higher, or its generation.
//! Not here: seals (`seal`), what is done with what is not proven (`broker`).

use std::collections::{HashMap, VecDeque};

use lobby_core::{
    id::{Generation, NodeId},
    limits,
};

use super::{N_PLACES, OpenError, Tag};

/// Tags that we know to be younger than our start: a second of the packets of 10 000 nodes.
const FRESH: usize = 2048;

/// Tags of packets heard that are not proven to us: their senders wait to find theirs in a packet of somebody.
const HEARD: usize = 3;

/// Most packets that one names: one that it answers, the last one proven, and those of [`HEARD`].
pub(super) const MAX_REFS: usize = 2 + HEARD;

/// What was heard of one sender.
#[derive(Debug)]
struct Sender {
    generation: Generation,
    /// The newest counter at each place; places are read in no order among each other.
    newest: [u64; N_PLACES],
    /// The earliest packet that was proven.
    proven: Option<(Generation, u64)>,
    /// How many tags there had been when it was last heard of.
    heard_at: u64,
}

/// What was heard of everybody.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    senders: HashMap<NodeId, Sender>,
    fresh: VecDeque<Tag>,
    /// How many have left `fresh`.
    forgotten: u64,
    last_proven: Option<Tag>,
    heard: VecDeque<Tag>,
}

/// Where and when a packet was sealed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) sender: NodeId,
    pub(super) generation: Generation,
    pub(super) counter: u64,
    pub(super) place: usize,
}

impl Freshness {
    /// Notes a packet and says whether it is proven.
    pub(super) fn note(&mut self, stamp: Stamp, tag: Tag, refs: &[Tag]) -> Result<bool, OpenError> {
        let heard_at = self.forgotten + self.fresh.len() as u64;
        if !self.senders.contains_key(&stamp.sender) && self.senders.len() >= limits::NODES {
            // What those could replay names nothing that is fresh any more, or never did: recordings must not fill the table.
            let forgotten = self.forgotten;
            self.senders.retain(|_, sender| sender.proven.is_some() && sender.heard_at > forgotten);
            if self.senders.len() >= limits::NODES {
                return Err(OpenError::Full);
            }
        }
        let first = Sender { generation: stamp.generation, newest: [0; N_PLACES], proven: None, heard_at };
        let sender = self.senders.entry(stamp.sender).or_insert(first);
        if stamp.generation > sender.generation {
            (sender.generation, sender.newest) = (stamp.generation, [0; N_PLACES]);
        }
        let newest = &mut sender.newest[stamp.place];
        if stamp.generation < sender.generation || stamp.counter <= *newest {
            return Err(OpenError::Replayed);
        }
        (*newest, sender.heard_at) = (stamp.counter, heard_at);
        let at = (stamp.generation, stamp.counter);
        let is_proven = sender.proven.is_some_and(|proven| at > proven) || refs.iter().any(|tag| self.fresh.contains(tag));
        if is_proven {
            sender.proven = Some(sender.proven.map_or(at, |proven| proven.min(at)));
            self.last_proven = Some(tag);
            self.keep(tag);
        } else {
            self.heard.push_front(tag);
            self.heard.truncate(HEARD);
        }
        Ok(is_proven)
    }

    #[cfg(test)]
    pub(super) fn n_senders(&self) -> usize {
        self.senders.len()
    }

    /// This packet was made while we run.
    pub(super) fn keep(&mut self, tag: Tag) {
        if self.fresh.len() >= FRESH {
            self.fresh.pop_front();
            self.forgotten += 1;
        }
        self.fresh.push_back(tag);
    }

    /// What our next packet names, beside one that it answers.
    pub(super) fn refs(&self, answered: Option<Tag>) -> Vec<Tag> {
        let mut refs: Vec<_> = answered.into_iter().chain(self.last_proven).chain(self.heard.iter().copied()).collect();
        refs.truncate(MAX_REFS);
        refs
    }
}
