//! Streams: real frames in order, with the same latency as datagrams; a lost segment costs 200 ms, a lost first one 1 s.
//!
//! ```text
//! open ─► knock (host) ─► admit (process, handshake) ─► opened
//!                 │                    └─► waits among 64 for one of 8 slots ─► accepted
//!                 └─► refused: no process, or a firewall.   Silence ends after 3 s, a stream after 30 s.
//! ```
//! As in the shell (`lobby-exchange/src/gossip/stream.rs`): a kept stream and a watch have no deadline, and no slot.
//! What cannot get through a cut is sent again until it can. A dead host says nothing; once it is back, it resets.

use std::collections::BTreeSet;

use lobby_gossip::MAX_INBOUND;

use super::*;

/// IPv4 and TCP headers, length and tag of one Noise message.
const TCP_OVERHEAD: usize = 40 + 4 + 18;
/// Segments of a TCP and Noise handshake and of the end, all headers included, per side.
const CONNECT_SEGMENTS: u64 = 3;
const CONNECT_BYTES: u64 = 3 * 40 + 48;

/// The shell's timeouts and its bound of streams without a slot.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
const WHOLE_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_GREETED: usize = 64;

/// How often a host sends again what does not get through.
const RETRY_MICROS: u64 = 250_000;

/// The first byte of a frame that asks for a record.
const PULL: u8 = 9;

pub(super) enum Part {
    Frame(Vec<u8>),
    End,
}

struct End {
    node: usize,
    epoch: u32,
    /// Its id at this end; an accepted one has none before it has a slot.
    stream: Option<StreamId>,
    open: bool,
    slot: bool,
    forever: bool,
    /// The last part on its way to here arrives then: the next cannot overtake it.
    last: Moment,
    /// Parts wait until then.
    held_until: Moment,
    /// Parts that came before there was a slot.
    inbox: VecDeque<Part>,
}

/// A stream: its opener and its acceptor.
pub(super) struct Link {
    ends: [End; 2],
    opened: bool,
}

/// The streams of one node.
#[derive(Default)]
pub(super) struct Links {
    by_stream: HashMap<StreamId, (u64, usize)>,
    all: BTreeSet<(u64, usize)>,
    n_slots: usize,
    waiting: VecDeque<u64>,
}

impl Sim {
    pub(super) fn open(&mut self, idx: usize, stream: StreamId, to: SocketAddr, watch: bool) {
        if let Some(forming) = &mut self.forming {
            return forming.opened.push((idx, stream));
        }
        self.n_links += 1;
        let link = self.n_links;
        let node = &mut self.nodes[idx];
        node.n_watches += u64::from(watch);
        node.packets += CONNECT_SEGMENTS;
        node.bytes += CONNECT_BYTES;
        node.links.by_stream.insert(stream, (link, 0));
        node.links.all.insert((link, 0));
        let end = |node, epoch, stream| End {
            node,
            epoch,
            stream,
            open: false,
            slot: false,
            forever: false,
            last: Moment::ZERO,
            held_until: Moment::ZERO,
            inbox: VecDeque::new(),
        };
        let peer = self.index(to);
        let opener = End { open: true, forever: watch, ..end(idx, self.nodes[idx].epoch, Some(stream)) };
        self.streams.insert(link, Link { ends: [opener, end(peer.unwrap_or(idx), 0, None)], opened: false });
        if let Some(peer) = peer {
            let late = if self.chance(self.loss) { SEC } else { Duration::ZERO };
            let after = self.latency() + late;
            self.at(after, peer, Event::Knock(link));
        }
        self.at(OPEN_TIMEOUT, idx, Event::Expired { link, side: 0, unopened: true });
    }

    /// The first segment reaches the host.
    pub(super) fn knock(&mut self, link: u64) {
        let Some([opener, acceptor]) = self.streams.get(&link).map(|link| [link.ends[0].node, link.ends[1].node]) else {
            return;
        };
        if self.rejects(opener, acceptor) {
            let after = self.latency();
            return self.send_part(link, 0, Part::End, after);
        }
        let node = &self.nodes[acceptor];
        let runs = node.engine.is_some();
        // Nothing answers, or the answer does not get back, or whoever answers says nothing that we understand.
        if self.is_cut(opener, acceptor)
            || self.nodes[opener].reject.0
            || (!runs && (node.port == Port::Dark || (node.port == Port::Taken && !node.reject.0)))
        {
            return;
        }
        if node.reject.0 || !runs {
            let after = self.latency();
            return self.send_part(link, 0, Part::End, after);
        }
        let epoch = node.epoch;
        self.nodes[acceptor].links.all.insert((link, 1));
        if let Some(link) = self.streams.get_mut(&link) {
            (link.ends[1].open, link.ends[1].epoch) = (true, epoch);
        }
        let after = self.latency() + self.latency();
        self.at(after, acceptor, Event::Admit(link));
    }

    /// The handshake is over at the acceptor.
    pub(super) fn wait_for_slot(&mut self, link: u64) {
        let Some(ends) = self.streams.get(&link).map(|link| &link.ends).filter(|ends| ends[0].open && ends[1].open) else {
            return;
        };
        let (opener, acceptor) = (ends[0].node, ends[1].node);
        let node = &mut self.nodes[acceptor];
        if node.links.waiting.len() >= MAX_GREETED {
            return self.end_side(link, 1, false);
        }
        node.packets += CONNECT_SEGMENTS;
        node.bytes += CONNECT_BYTES;
        node.links.waiting.push_back(link);
        let after = self.latency();
        self.at(after, opener, Event::Opened(link));
        self.at(WHOLE_TIMEOUT, acceptor, Event::Expired { link, side: 1, unopened: true });
        self.fill_slots(acceptor);
    }

    fn fill_slots(&mut self, idx: usize) {
        while self.nodes[idx].links.n_slots < MAX_INBOUND
            && let Some(link) = self.nodes[idx].links.waiting.pop_front()
        {
            if !self.streams.get(&link).is_some_and(|link| link.ends[1].open) {
                continue;
            }
            let Some(stream) = self.nodes[idx].engine.as_mut().and_then(Engine::accept) else {
                self.end_side(link, 1, false);
                continue;
            };
            let links = &mut self.nodes[idx].links;
            links.n_slots += 1;
            links.by_stream.insert(stream, (link, 1));
            let inbox = self.streams.get_mut(&link).map(|link| {
                (link.ends[1].stream, link.ends[1].slot) = (Some(stream), true);
                std::mem::take(&mut link.ends[1].inbox)
            });
            self.at(WHOLE_TIMEOUT, idx, Event::Expired { link, side: 1, unopened: false });
            for part in inbox.into_iter().flatten() {
                self.arrive(link, 1, part);
            }
        }
    }

    pub(super) fn opened(&mut self, link: u64) {
        let Some(state) = self.streams.get_mut(&link).filter(|link| link.ends[0].open) else { return };
        state.opened = true;
        let (idx, stream) = (state.ends[0].node, state.ends[0].stream);
        self.at(WHOLE_TIMEOUT, idx, Event::Expired { link, side: 0, unopened: false });
        if let Some(stream) = stream {
            self.input(idx, Input::Opened(stream));
        }
    }

    pub(super) fn send_frame(&mut self, idx: usize, stream: StreamId, bytes: Vec<u8>) {
        if let Some(forming) = &mut self.forming {
            return forming.parts.push_back((idx, stream, Some(bytes)));
        }
        let Some(&(link, side)) = self.nodes[idx].links.by_stream.get(&stream) else { return };
        let n_segments = (bytes.len() / 1400 + 1) as u64;
        self.nodes[idx].packets += n_segments;
        self.nodes[idx].bytes += bytes.len() as u64 + n_segments * TCP_OVERHEAD as u64;
        if let Some(tap) = &mut self.tap {
            tap.frames.push(bytes.clone());
        }
        let other = &self.streams[&link].ends[1 - side];
        let peer = &self.nodes[other.node];
        if other.open {
            let mut after = self.latency();
            if self.chance(self.loss) {
                after += 200 * MS;
            }
            self.send_part(link, 1 - side, Part::Frame(bytes), after);
        } else if peer.engine.is_some() || peer.port != Port::Dark {
            let after = self.latency() + self.latency();
            self.send_part(link, side, Part::End, after);
        }
    }

    pub(super) fn close(&mut self, idx: usize, stream: StreamId) {
        if let Some(forming) = &mut self.forming {
            return forming.parts.push_back((idx, stream, None));
        }
        if let Some(&(link, side)) = self.nodes[idx].links.by_stream.get(&stream) {
            self.end_side(link, side, false);
        }
    }

    pub(super) fn keep(&mut self, idx: usize, stream: StreamId) {
        let Some(&(link, side)) = self.nodes[idx].links.by_stream.get(&stream) else { return };
        let Some(link) = self.streams.get_mut(&link) else { return };
        link.ends[side].forever = true;
        if std::mem::take(&mut link.ends[side].slot) {
            self.nodes[idx].links.n_slots -= 1;
            self.fill_slots(idx);
        }
    }

    /// Sends a part towards one side.
    fn send_part(&mut self, link: u64, side: usize, part: Part, after: Duration) {
        let Some(end) = self.streams.get_mut(&link).map(|link| &mut link.ends[side]) else { return };
        end.last = end.last.max(self.now + after);
        let item = Item { node: end.node, epoch: end.epoch, event: Event::Part { link, side, part } };
        self.agenda.push(end.last, item);
    }

    pub(super) fn arrive(&mut self, link: u64, side: usize, part: Part) {
        let Some(state) = self.streams.get(&link).filter(|link| link.ends[side].open) else { return };
        let (idx, from) = (state.ends[side].node, state.ends[1 - side].node);
        let held_until = state.ends[side].held_until;
        let sender = &self.nodes[from];
        if self.blocks(from, idx) || held_until > self.now {
            if sender.engine.is_none() && sender.port == Port::Dark {
                return;
            }
            let retry = Moment::from_micros((self.now.as_micros() / RETRY_MICROS + 1) * RETRY_MICROS);
            let after = held_until.max(retry).since(self.now);
            if let Some(state) = self.streams.get_mut(&link) {
                state.ends[side].held_until = self.now + after;
            }
            return self.send_again(link, side, part, after);
        }
        let Some(stream) = state.ends[side].stream else {
            if let Some(state) = self.streams.get_mut(&link) {
                state.ends[side].inbox.push_back(part);
            }
            return;
        };
        match part {
            Part::Frame(bytes) => {
                self.nodes[idx].pulls_served += u64::from(bytes.first() == Some(&PULL));
                self.input(idx, Input::Frame(stream, &bytes));
            }
            Part::End => self.end_side(link, side, true),
        }
    }

    /// Sends a part once more, in its turn: before those that were sent after it.
    fn send_again(&mut self, link: u64, side: usize, part: Part, after: Duration) {
        let Some(end) = self.streams.get_mut(&link).map(|link| &mut link.ends[side]) else { return };
        end.last = end.last.max(self.now + after);
        let item = Item { node: end.node, epoch: end.epoch, event: Event::Part { link, side, part } };
        self.agenda.push(self.now + after, item);
    }

    pub(super) fn expire(&mut self, link: u64, side: usize, unopened: bool) {
        let Some(state) = self.streams.get(&link).filter(|link| link.ends[side].open) else { return };
        let waits = if side == 0 { !state.opened } else { state.ends[1].stream.is_none() };
        if if unopened { waits } else { !state.ends[side].forever } {
            self.end_side(link, side, true);
        }
    }

    /// One side is over, and the other hears of it. `tell` also tells the engine.
    fn end_side(&mut self, link: u64, side: usize, tell: bool) {
        let Some(state) = self.streams.get_mut(&link) else { return };
        let end = &mut state.ends[side];
        let (idx, stream) = (end.node, end.stream);
        let slot = std::mem::take(&mut end.slot);
        end.open = false;
        let links = &mut self.nodes[idx].links;
        links.all.remove(&(link, side));
        if let Some(stream) = stream {
            links.by_stream.remove(&stream);
        }
        links.n_slots -= usize::from(slot);
        if state.ends[1 - side].open {
            let after = self.latency();
            self.send_part(link, 1 - side, Part::End, after);
        } else {
            self.streams.remove(&link);
        }
        if let Some(stream) = stream.filter(|_| tell) {
            self.input(idx, Input::Closed(stream));
        }
        if slot {
            self.fill_slots(idx);
        }
    }

    /// All streams of a node end at both ends.
    pub(super) fn break_streams(&mut self, idx: usize, tell: bool) {
        for (link, side) in self.nodes[idx].links.all.clone() {
            self.end_side(link, side, tell);
        }
    }

    /// All streams between two nodes end at both ends.
    pub(super) fn break_streams_between(&mut self, one: usize, other: usize) {
        for (link, side) in self.nodes[one].links.all.clone() {
            if self.streams.get(&link).is_some_and(|link| link.ends[1 - side].node == other) {
                self.end_side(link, side, true);
                self.end_side(link, 1 - side, true);
            }
        }
    }

    /// All streams of a node end at its end, and nobody hears of it.
    pub(super) fn forget_streams(&mut self, idx: usize) {
        for (link, side) in std::mem::take(&mut self.nodes[idx].links).all {
            let Some(state) = self.streams.get_mut(&link) else { continue };
            state.ends[side].open = false;
            if !state.ends[1 - side].open {
                self.streams.remove(&link);
            }
        }
    }
}
