//! Datagrams: opened, checked and handed to their parts; built and sealed with whatever changes have room.

use std::net::SocketAddr;

use bytes::Bytes;
use lobby_core::{
    id::NodeId,
    stats::{PacketKind, Verdict},
    time::Moment,
};

use super::{Engine, Output, user::Count};
use crate::{
    item::Item,
    keyring::{OpenError, SEAL_BYTES},
    packet::{Packet, PacketWriter, put_item},
    replay::Freshness,
};

impl Engine {
    pub(super) fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Moment) {
        let verdict = match self.keyring.open(bytes) {
            Ok(plaintext) => self.handle_plaintext(from, &plaintext, now),
            Err(err) => self.count_unopened(err, bytes),
        };
        self.stats.received(PacketKind::Datagram, verdict, bytes.len());
    }

    /// Why a datagram did not open.
    pub(super) fn count_unopened(&mut self, err: OpenError, bytes: &[u8]) -> Verdict {
        let mark = match (err, bytes) {
            (OpenError::WrongKey, [_, mark, ..]) => *mark,
            (OpenError::WrongKey, _) => return Verdict::WrongKey,
            // Of our version, so it is too short to be anything.
            (OpenError::Garbage, [version, ..]) if *version == self.keyring.preamble()[0] => return Verdict::Truncated,
            (OpenError::Garbage, _) => return Verdict::Garbage,
            (OpenError::Foreign, _) => return Verdict::Foreign,
        };
        let (count, verdict) = match mark {
            0 => (Count::Unsealed, Verdict::NoKey),
            mark if self.keyring.keys().any(|key| key.mark() == mark) => (Count::Damaged, Verdict::WrongKey),
            mark if self.user.keys.memory.has_removed_mark(mark) => (Count::OldKey, Verdict::OldKey),
            _ => (Count::UnknownKey, Verdict::WrongKey),
        };
        self.user.count(count);
        verdict
    }

    fn handle_plaintext(&mut self, from: SocketAddr, plaintext: &[u8], now: Moment) -> Verdict {
        let Ok(mut packet) = Packet::decode(plaintext) else { return Verdict::Garbage };
        if packet.sender == self.own {
            self.handle_own_id(from, &mut packet, now);
            return Verdict::Own;
        }
        match self.replay.check(packet.sender, packet.generation, packet.counter) {
            Freshness::Fresh => {}
            Freshness::Replayed => {
                self.hint_at_twin(packet.sender, packet.generation, from, now);
                return Verdict::Replayed;
            }
            Freshness::Full => return Verdict::Refused,
        }
        self.forgeries.speaker = Some(packet.sender);
        self.user.packet = (packet.generation, packet.counter);
        self.note_sender(packet.sender, packet.generation, now);
        let mut verdict = Verdict::Ok;
        if !packet.foca.is_empty() {
            let foca = std::mem::take(&mut packet.foca);
            if crate::codec::probe(&foca).is_some() {
                self.note_sign_of(packet.sender, packet.generation);
            }
            self.note_probe_in(packet.sender, &foca, now);
            self.prove_by(packet.sender, &foca);
            self.with_membership(now, |membership, effects| {
                if membership.handle_data(&foca, now, effects).is_err() {
                    verdict = Verdict::Garbage;
                }
            });
            self.note_datagram(packet.sender);
        }
        loop {
            match packet.next_item() {
                Ok(Some((kind, body))) => self.handle_item(from, packet.sender, kind, body, now),
                Ok(None) => {
                    self.learn_round_trip(packet.sender);
                    return verdict;
                }
                Err(_) => return Verdict::Garbage,
            }
        }
    }

    fn handle_item(&mut self, from: SocketAddr, sender: NodeId, kind: u8, body: &[u8], now: Moment) {
        // Whoever sent it listens where its identity says, or else where it sent from.
        let source = self.roster.member(sender).map_or(from, |member| member.id().addr);
        let verdict = match Item::decode(kind, body) {
            // Each would cost us a stream.
            Ok(Item::Hint(..) | Item::Root(_)) if self.is_distrusted(sender, now) => Verdict::Refused,
            Ok(Item::Delta(_) | Item::Full(_)) if self.forgeries.is_resting(now) && self.is_distrusted(sender, now) => {
                Verdict::Refused
            }
            Ok(Item::Delta(delta)) if self.forgeries.is_resting(now) => self.take_hint(delta.origin, delta.stamp, source, now),
            Ok(Item::Full(record)) if self.forgeries.is_resting(now) => match record.origin.node_id() {
                Some(origin) => self.take_hint(origin, record.stamp, source, now),
                None => Verdict::Garbage,
            },
            Ok(Item::Delta(delta)) => self.take_delta(&delta, raw(kind, body), source, now),
            Ok(Item::Full(record)) => self.take_pushed(record, raw(kind, body), now),
            Ok(Item::Hint(origin, stamp)) => self.take_hint(origin, stamp, source, now),
            Ok(Item::Root(root)) => return self.handle_root(root, source, now),
            Ok(Item::Question(number)) if !self.leaving => {
                let answer = [Item::Answer(number).encode(), self.coordinate_item()];
                return self.send(source, &[], &[&answer[..], &self.told_keys(sender)].concat());
            }
            Ok(Item::Answer(number)) => return self.handle_answer(sender, number, now),
            Ok(Item::Notice(notice)) => self.take_notice(&notice, now),
            Ok(Item::User(item)) => return self.handle_user_item(sender, (kind, body), item, now),
            // A beacon has its own way in, and proofs are for those of our own id.
            Ok(Item::Question(_) | Item::Proven(..) | Item::Beacon(_) | Item::Unknown) => return,
            Err(_) => Verdict::Garbage,
        };
        self.stats.received(PacketKind::Record, verdict, 0);
    }

    /// Sends one datagram: a foca packet (or none), these items, and changes from the queue; nothing when there is nothing.
    pub(super) fn send(&mut self, to: SocketAddr, foca: &[u8], items: &[Bytes]) {
        self.send_with(to, foca, items, true);
    }

    /// Sends one datagram with this item alone. All of a cluster that answers one node at once would otherwise spend the
    /// copies of what is to be spread on that node.
    pub(super) fn send_alone(&mut self, to: SocketAddr, item: &Bytes) {
        self.send_with(to, &[], std::slice::from_ref(item), false);
    }

    fn send_with(&mut self, to: SocketAddr, foca: &[u8], items: &[Bytes], takes_more: bool) {
        self.counter += 1;
        let most = self.config.datagram_bytes - SEAL_BYTES;
        let mut packet = PacketWriter::new(self.own, self.generation, self.counter, foca, most);
        for item in items {
            packet.push(item);
        }
        let copies = self.config.transmissions(self.roster.n_live() + 1);
        let mut says_something = !foca.is_empty() || !items.is_empty();
        // Notices, posts and records take turns in going first, so that none starves another.
        for turn in (0..3).filter(|_| takes_more) {
            let room = packet.room();
            let put = |item: &[u8]| {
                packet.push(item);
                says_something = true;
            };
            match (self.counter + turn) % 3 {
                0 => self.deaths.notices.fill(room, copies, put),
                1 => {
                    // Four copies for each member are enough where there are few.
                    let copies = copies.min(u8::try_from(4 * self.roster.n_live()).unwrap_or(copies));
                    self.user.spread.fill(room, copies, self.user.now, put);
                }
                _ => self.push.queue.fill(room, copies, self.user.now, put),
            }
        }
        if !says_something {
            return;
        }
        let datagram = self.keyring.seal_with(self.key_for(to), packet.as_bytes(), &mut self.nonces);
        self.stats.sent(PacketKind::Datagram, Verdict::Ok, datagram.len());
        self.outputs.push_back(Output::Datagram(to, datagram));
    }
}

fn raw(kind: u8, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(body.len() + 4);
    put_item(kind, body, &mut out);
    out.into()
}
