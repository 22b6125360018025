//! How outputs of one engine become inputs of others. Datagrams take 1 to 5 ms.
//!
//! Not here: streams (`streams`), who cannot reach whom (`faults`).

use lobby_core::port::{Gone, PeerEvent};
use lobby_gossip::CONNECT_TIMEOUT;

use super::*;

/// IPv4 and UDP headers.
const UDP_OVERHEAD: usize = 28;
/// Segments of a TCP connection that is opened and closed at once, per side, with headers.
const PROBE_SEGMENTS: u64 = 2;
const PROBE_BYTES: u64 = 2 * 40;

impl Sim {
    pub(crate) fn drain(&mut self, idx: usize) {
        while let Some(output) = self.nodes[idx].engine.as_mut().and_then(Engine::poll_output) {
            match output {
                Output::Datagram(to, bytes) => self.send(idx, to, bytes),
                Output::Event(event) => self.note(idx, event),
                Output::Resolve if self.forming.is_some() => {}
                Output::Resolve => self.at(MS, idx, Event::Seeds),
                Output::Open(stream, to) => self.open(idx, stream, to, false),
                Output::Watch(stream, to) => self.open(idx, stream, to, true),
                Output::Keep(stream) => self.keep(idx, stream),
                Output::Connect(id, to) => self.reach(idx, id, to),
                Output::Frame(stream, bytes) => self.send_frame(idx, stream, bytes),
                Output::Close(stream) => self.close(idx, stream),
                Output::Left => return self.left(idx),
                other => self.hear(idx, other),
            }
        }
        let node = &mut self.nodes[idx];
        let Some(deadline) = node.engine.as_ref().and_then(Engine::next_deadline) else { return };
        let at = (node.clock.real(deadline) - node.skew).max(self.now);
        if node.wake_at.is_none_or(|wake| at < wake) {
            let late = Duration::from_micros(self.rng.random_range(0..1000));
            node.wake_at = Some(at + late);
            let after = (at + late).since(self.now);
            self.at(after, idx, Event::Wake);
        }
    }

    fn send(&mut self, idx: usize, to: SocketAddr, bytes: Vec<u8>) {
        assert!(bytes.len() <= 1400, "a datagram of {} bytes", bytes.len());
        // A liar's own numbers may be longer.
        let bytes = self.liars.get_mut(&idx).map_or_else(|| bytes.clone(), |liar| liar.renumber(&bytes));
        self.nodes[idx].packets += 1;
        self.nodes[idx].bytes += (bytes.len() + UDP_OVERHEAD) as u64;
        if let Some(tap) = &mut self.tap {
            tap.datagrams.push(bytes.clone());
        }
        let Some(peer) = self.index(to).filter(|peer| self.forming.is_none() || *peer == 0) else { return };
        let lost = self.blocks(idx, peer) || self.chance(self.loss);
        let mut after = self.latency();
        if lost {
            return;
        }
        if self.chance(self.faults.duplicate) {
            let again = self.latency();
            self.at(again, peer, Event::Datagram { from: addr(idx), bytes: bytes.clone() });
        }
        if self.chance(self.faults.reorder) {
            after += 50 * MS.mul_f64(self.rng.random_range(0.0..1.0));
        }
        self.at(after, peer, Event::Datagram { from: addr(idx), bytes });
    }

    /// A TCP connection that is closed at once. The kernel answers, whatever the process does.
    fn reach(&mut self, idx: usize, id: NodeId, to: SocketAddr) {
        self.nodes[idx].n_connects += 1;
        self.nodes[idx].packets += PROBE_SEGMENTS;
        self.nodes[idx].bytes += PROBE_BYTES;
        let round_trip = self.latency() + self.latency();
        // A lost first segment is sent again after a second, and that is too late.
        let lost = self.chance(self.loss) || self.chance(self.loss);
        let rejected = self.index(to).is_some_and(|peer| self.rejects(idx, peer));
        let (after, reach) = match self.index(to).filter(|peer| !lost && !self.is_cut(idx, *peer)) {
            _ if rejected => (round_trip, Reach::Refused),
            None => (CONNECT_TIMEOUT, Reach::Silent),
            Some(peer) => match &self.nodes[peer] {
                node if node.engine.is_none() && node.port == Port::Dark => (CONNECT_TIMEOUT, Reach::Silent),
                node if node.reject.0 || (node.engine.is_none() && node.port == Port::Free) => (round_trip, Reach::Refused),
                _ => (round_trip, Reach::Open),
            },
        };
        self.at(after, idx, Event::Reached(id, reach));
    }

    fn note(&mut self, idx: usize, event: PeerEvent) {
        let of = |origin: Origin| origin.node_id().and_then(|id| self.ids.get(&id).copied());
        let note = match event {
            PeerEvent::Seen(origin, _) => of(origin).map(Note::Seen),
            PeerEvent::Suspect(origin) => of(origin).map(Note::Suspect),
            PeerEvent::Gone(origin, Gone::Failed) => of(origin).map(Note::Gone),
            PeerEvent::Gone(origin, Gone::Unattended) => of(origin).map(Note::Unattended),
            PeerEvent::Gone(origin, Gone::Left) => of(origin).map(Note::Forced),
            PeerEvent::Record(record) => of(record.origin.clone()).map(|of| Note::Record(of, record.stamp, record.is_last())),
            PeerEvent::Warm => Some(Note::Warm),
            PeerEvent::Cloned => Some(Note::Cloned),
            PeerEvent::Link(_) => None,
        };
        self.log.extend(note.map(|note| (self.now, idx, note)));
    }

    /// Which node listens there; forged packets name addresses that nobody has.
    pub(super) fn index(&self, to: SocketAddr) -> Option<usize> {
        let IpAddr::V4(ip) = to.ip() else { return None };
        let idx = usize::from(ip.octets()[2]) * 256 + usize::from(ip.octets()[3]);
        (idx < self.nodes.len() && addr(idx) == to).then_some(idx)
    }

    pub(super) fn latency(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(1000..5000))
    }
}
