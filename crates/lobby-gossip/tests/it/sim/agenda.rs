//! What happens when: a heap of small keys beside the events themselves, equal moments in the order of their making.

use std::{cmp::Reverse, collections::BinaryHeap, net::SocketAddr};

use lobby_core::{id::NodeId, time::Moment};
use lobby_gossip::Reach;

use super::streams::Part;

pub(super) enum Event {
    Datagram {
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    Wake,
    Boot,
    Seeds,
    Reached(NodeId, Reach),
    /// An attempt to open this stream reaches the host.
    Knock(u64),
    /// The process has it after the handshake.
    Admit(u64),
    /// The handshake is over, for the opener.
    Opened(u64),
    /// Something arrives on this side of a stream.
    Part {
        link: u64,
        side: usize,
        part: Part,
    },
    /// This side's patience is over.
    Expired {
        link: u64,
        side: usize,
        unopened: bool,
    },
}

/// An event for one process of a node.
pub(super) struct Item {
    pub(super) node: usize,
    pub(super) epoch: u32,
    pub(super) event: Event,
}

#[derive(Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<(Moment, u64, u32)>>,
    items: Vec<Option<Item>>,
    free: Vec<u32>,
    n_pushed: u64,
}

impl Agenda {
    pub(super) fn push(&mut self, at: Moment, item: Item) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.items.push(None);
            self.items.len() as u32 - 1
        });
        self.items[slot as usize] = Some(item);
        self.n_pushed += 1;
        self.heap.push(Reverse((at, self.n_pushed, slot)));
    }

    /// The next event, unless it comes after `end`.
    pub(super) fn pop(&mut self, end: Moment) -> Option<(Moment, Item)> {
        if self.heap.peek()?.0.0 > end {
            return None;
        }
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        Some((at, self.items[slot as usize].take()?))
    }
}
