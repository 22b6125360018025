//! How outputs of one engine become inputs of others: latency, loss, cuts, streams.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lobby_core::{
    id::Origin,
    port::{Gone, PeerEvent},
};
use lobby_gossip::{Engine, StreamId};
use rand::RngExt;

use super::*;

impl Sim {
    /// Nobody is there any more: whoever connects waits for its timeout.
    pub(super) fn unreachable(&mut self, item: Item) {
        if let Event::Connect { from, epoch, stream, .. } = item.event {
            self.at_moment(self.now + 3 * SEC, from, epoch, Event::Closed(stream));
        }
    }

    pub(super) fn connect(&mut self, idx: usize, from: usize, epoch: u32, stream: StreamId, tries: u32) {
        if self.is_cut(idx, from) {
            return self.at_moment(self.now + 3 * SEC, from, epoch, Event::Closed(stream));
        }
        let accepted = self.nodes[idx].engine.as_mut().and_then(Engine::accept);
        match accepted {
            Some(ours) => {
                let here = self.nodes[idx].epoch;
                self.nodes[idx].wires.insert(ours, Wire { peer: from, peer_epoch: epoch, peer_stream: stream, last: self.now });
                self.nodes[idx].packets += CONNECT_SEGMENTS;
                self.nodes[idx].bytes += CONNECT_BYTES;
                if self.nodes[from].epoch == epoch {
                    let wire = Wire { peer: idx, peer_epoch: here, peer_stream: ours, last: self.now };
                    self.nodes[from].wires.insert(stream, wire);
                }
                let after = self.latency();
                self.at_moment(self.now + after, from, epoch, Event::Opened(stream));
            }
            // The listener's queue: it waits there until there is room.
            None if tries < 1000 => self.at(5 * MS, idx, Event::Connect { from, epoch, stream, tries: tries + 1 }),
            None => self.at_moment(self.now, from, epoch, Event::Closed(stream)),
        }
    }

    pub(crate) fn drain(&mut self, idx: usize) {
        while let Some(output) = self.nodes[idx].engine.as_mut().and_then(Engine::poll_output) {
            match output {
                Output::Datagram(to, bytes) => self.send(idx, to, bytes),
                Output::Event(event) => self.note(idx, event),
                Output::Resolve => self.at(MS, idx, Event::Seeds),
                Output::Open(stream, to) | Output::Watch(stream, to) => {
                    self.nodes[idx].packets += CONNECT_SEGMENTS;
                    self.nodes[idx].bytes += CONNECT_BYTES;
                    let epoch = self.nodes[idx].epoch;
                    // TCP and Noise take a round trip each; the last half is in `connect`.
                    let after = self.latency() + self.latency() + self.latency();
                    match self.index(to) {
                        Some(peer) => self.at(after, peer, Event::Connect { from: idx, epoch, stream, tries: 0 }),
                        None => self.at(3 * SEC, idx, Event::Closed(stream)),
                    }
                }
                Output::Frame(stream, bytes) => self.send_frame(idx, stream, Some(bytes)),
                Output::Close(stream) => self.send_frame(idx, stream, None),
                Output::Keep(_) | Output::Connect(..) | Output::Joined(..) => {}
                Output::Heard(_)
                | Output::Asked(_)
                | Output::News(..)
                | Output::QueryOver(_)
                | Output::Keyring(_)
                | Output::KeysChanged(..)
                | Output::Located(..) => self.hear(idx, output),
                Output::Left => {
                    self.log.push((self.now, idx, Note::Left));
                    self.kill(idx);
                    return;
                }
            }
        }
        let node = &mut self.nodes[idx];
        let Some(deadline) = node.engine.as_ref().and_then(Engine::next_deadline) else { return };
        let at = node.clock.real(deadline).max(self.now);
        if node.wake_at.is_none_or(|wake| at < wake) {
            let late = Duration::from_micros(self.rng.random_range(0..1000));
            node.wake_at = Some(at + late);
            let epoch = node.epoch;
            self.at_moment(at + late, idx, epoch, Event::Wake);
        }
    }

    pub(super) fn send(&mut self, idx: usize, to: SocketAddr, bytes: Vec<u8>) {
        assert!(bytes.len() <= 1400, "a datagram of {} bytes", bytes.len());
        self.nodes[idx].packets += 1;
        self.nodes[idx].bytes += (bytes.len() + UDP_OVERHEAD) as u64;
        if let Some(tap) = &mut self.tap {
            tap.datagrams.push(bytes.clone());
        }
        let Some(peer) = self.index(to) else { return };
        let lost = self.is_cut(idx, peer) || (self.loss > 0.0 && self.rng.random_bool(self.loss));
        let after = self.latency();
        if !lost {
            self.at(after, peer, Event::Datagram { from: addr(idx), bytes });
        }
    }

    pub(super) fn send_frame(&mut self, idx: usize, stream: StreamId, bytes: Option<Vec<u8>>) {
        let mut after = self.latency();
        if self.loss > 0.0 && self.rng.random_bool(self.loss) {
            after += 200 * MS;
        }
        let (now, split) = (self.now, self.split);
        let node = &mut self.nodes[idx];
        let Some(wire) = node.wires.get_mut(&stream) else { return };
        wire.last = wire.last.max(now + after);
        let (at, peer, epoch, peer_stream) = (wire.last, wire.peer, wire.peer_epoch, wire.peer_stream);
        let is_cut = split > 0 && (idx < split) != (peer < split);
        let event = match bytes {
            Some(bytes) => {
                let n_segments = (bytes.len() / 1400 + 1) as u64;
                node.packets += n_segments;
                node.bytes += bytes.len() as u64 + n_segments * TCP_OVERHEAD as u64;
                if let Some(tap) = &mut self.tap {
                    tap.frames.push(bytes.clone());
                }
                if is_cut {
                    return;
                }
                Event::Frame(peer_stream, bytes)
            }
            None => {
                node.wires.remove(&stream);
                Event::Closed(peer_stream)
            }
        };
        self.at_moment(at, peer, epoch, event);
    }

    pub(super) fn note(&mut self, idx: usize, event: PeerEvent) {
        let of = |origin: Origin| origin.node_id().and_then(|id| self.ids.get(&id).copied());
        let note = match event {
            PeerEvent::Seen(origin, _) => of(origin).map(Note::Seen),
            PeerEvent::Suspect(origin) => of(origin).map(Note::Suspect),
            PeerEvent::Gone(origin, Gone::Failed) => of(origin).map(Note::Gone),
            PeerEvent::Record(record) => of(record.origin.clone()).map(|of| Note::Record(of, record.stamp, record.has_left())),
            PeerEvent::Warm => Some(Note::Warm),
            PeerEvent::Cloned | PeerEvent::Gone(_, Gone::Unattended) | PeerEvent::Link(_) | PeerEvent::Gone(_, Gone::Left) => {
                None
            }
        };
        self.log.extend(note.map(|note| (self.now, idx, note)));
    }

    /// Which node listens there; forged packets name addresses that nobody has.
    pub(super) fn index(&self, to: SocketAddr) -> Option<usize> {
        let IpAddr::V4(ip) = to.ip() else { return None };
        let idx = usize::from(ip.octets()[2]) * 256 + usize::from(ip.octets()[3]);
        (idx < self.nodes.len() && addr(idx) == to).then_some(idx)
    }

    pub(super) fn is_cut(&self, one: usize, other: usize) -> bool {
        self.split > 0 && (one < self.split) != (other < self.split)
    }

    pub(super) fn latency(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(1000..5000))
    }
}
