//! The beacon: a datagram to a multicast group that says where we are, and what hearing one leads to.
//!
//! ```text
//! beacon = a sealed datagram as any other, without foca, with one item: our identity
//! heard:   unknown, or not live here ─► wait 0-3 s, longer in large clusters ─► still so? ─► a stream, as to a seed
//! ```
//! Nobody answers a beacon, so it cannot be used to flood anybody; all that a repeated or old one leads to is one stream
//! to a member's address within 10 s, and of all of them together 4 in a second. In a large cluster the first who
//! contacts a newcomer tells the others, long before their wait is over.
//! Not here: the group, its port and the period (the shell).

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use lobby_core::{
    stats::{PacketKind, Verdict},
    time::Moment,
};
use rand::{RngExt, rngs::SmallRng};

use super::{Engine, Timer, talk::Purpose};
use crate::{
    identity::Identity,
    item::Item,
    keyring::SEAL_BYTES,
    packet::{Packet, PacketWriter},
    replay::Freshness,
};

/// Addresses heard of that are kept; the one heard longest ago gives way.
const MAX_HEARD: usize = 64;

/// How long an address is kept as a seed after its last beacon.
const KEEP: Duration = Duration::from_secs(600);

/// An address is not contacted again because of a beacon within this time.
const REST: Duration = Duration::from_secs(10);

/// Contacts because of beacons within a second.
const MOST_PER_SECOND: usize = 4;

/// The more members, the longer the wait, so that they do not all contact a newcomer at once.
const WAIT_PER_MEMBER: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// When a beacon from there last led, or was to lead, to a contact.
    addrs: BTreeMap<SocketAddr, Moment>,
    /// The last contacts, oldest first.
    contacted: VecDeque<Moment>,
}

impl Heard {
    /// Some of the places where somebody was heard of lately.
    pub(super) fn choose(&self, now: Moment, rng: &mut SmallRng) -> Vec<SocketAddr> {
        let lately = self.addrs.iter().filter(|(_, heard)| now.since(**heard) < KEEP);
        let mut addrs: Vec<_> = lately.map(|(addr, _)| *addr).collect();
        while addrs.len() > MOST_PER_SECOND {
            addrs.swap_remove(rng.random_range(0..addrs.len()));
        }
        addrs
    }

    /// Notes an address; false when it was noted just before.
    fn note(&mut self, addr: SocketAddr, now: Moment) -> bool {
        if self.addrs.get(&addr).is_some_and(|heard| now.since(*heard) < REST) {
            return false;
        }
        if self.addrs.len() >= MAX_HEARD
            && !self.addrs.contains_key(&addr)
            && let Some(oldest) = self.addrs.iter().min_by_key(|(_, heard)| **heard).map(|(addr, _)| *addr)
        {
            self.addrs.remove(&oldest);
        }
        self.addrs.insert(addr, now);
        true
    }

    fn may_contact(&mut self, now: Moment) -> bool {
        while self.contacted.front().is_some_and(|at| now.since(*at) >= Duration::from_secs(1)) {
            self.contacted.pop_front();
        }
        let may = self.contacted.len() < MOST_PER_SECOND;
        if may {
            self.contacted.push_back(now);
        }
        may
    }
}

impl Engine {
    /// See [`Engine::beacon`].
    pub(super) fn seal_beacon(&mut self) -> Vec<u8> {
        self.counter += 1;
        let most = self.config.datagram_bytes - SEAL_BYTES;
        let mut packet = PacketWriter::new(self.own, self.generation, self.counter, &[], most);
        packet.push(&Item::Beacon(self.identity()).encode());
        self.keyring.seal(packet.as_bytes(), &mut self.nonces)
    }

    pub(super) fn handle_beacon(&mut self, bytes: &[u8], now: Moment) {
        let verdict = match self.keyring.open(bytes) {
            Ok(plaintext) => self.hear_beacon(&plaintext, now),
            Err(err) => self.count_unopened(err, bytes),
        };
        self.stats.received(PacketKind::Datagram, verdict, bytes.len());
    }

    fn hear_beacon(&mut self, plaintext: &[u8], now: Moment) -> Verdict {
        let Some((packet, identity)) = read_beacon(plaintext) else { return Verdict::Garbage };
        if identity.id == self.own {
            return Verdict::Own;
        }
        match self.replay.check(packet.sender, packet.generation, packet.counter) {
            Freshness::Fresh => {}
            Freshness::Replayed => return Verdict::Replayed,
            Freshness::Full => return Verdict::Refused,
        }
        if self.is_live(identity) || self.leaving || !self.contact.heard.note(identity.addr, now) {
            return Verdict::Stale;
        }
        let most = LONGEST_WAIT.min(WAIT_PER_MEMBER * self.roster.n_live() as u32);
        let wait = self.rng.random_range(Duration::ZERO..=most);
        self.timers.arm(now, wait, Timer::Beacon(identity));
        Verdict::Ok
    }

    /// Somebody was heard on the beacon a while ago.
    pub(super) fn contact_heard(&mut self, identity: Identity, now: Moment) {
        let addr = identity.addr;
        if !self.is_live(identity) && !self.leaving && !self.is_contacting(addr) && self.contact.heard.may_contact(now) {
            self.open(addr, Purpose::Seed(addr));
        }
    }

    /// Whether this process, or a newer one of the same node, is a member that is up.
    fn is_live(&self, identity: Identity) -> bool {
        self.roster.live_member(identity.id).is_some_and(|known| known.age() >= identity.age())
    }
}

/// A beacon is nothing but an identity, that of its sender.
fn read_beacon(plaintext: &[u8]) -> Option<(Packet<'_>, Identity)> {
    let mut packet = Packet::decode(plaintext).ok()?;
    let (kind, body) = packet.next_item().ok()??;
    let Ok(Item::Beacon(identity)) = Item::decode(kind, body) else { return None };
    let honest = (identity.id, identity.generation) == (packet.sender, packet.generation);
    let alone = packet.foca.is_empty() && matches!(packet.next_item(), Ok(None));
    (honest && alone).then_some((packet, identity))
}
