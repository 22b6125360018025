//! Small fleets of whole engines in memory: each with a shell that does what shells must.
//!
//! Datagrams and frames take a millisecond, or what [`Fleet::latency`] says; [`Fleet::lose`] decides what gets lost. A
//! stream opens only if the acceptor's keyring has the secret of whoever opens it, as Noise would have it.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use lobby_core::{
    id::Generation,
    label::Label,
    local::LocalRecord,
    port::{
        Announcement,
        gossip::{Filter, KeyOutcome, NewQuery, QueryNews, UserEvent},
    },
    record::Stamp,
};

use super::*;
use crate::{
    KEYS_META,
    config::Profile,
    engine::{Asked, Input, Output, Setup, StreamId},
    keyring::{Key, Keyring},
};

mod event;
mod keys;
mod locate;
mod query;
mod recorded;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SEC: Duration = Duration::from_secs(1);

enum Packet {
    Datagram { from: usize, bytes: Vec<u8> },
    Connect { from: usize, stream: StreamId },
    Opened(StreamId),
    Frame(StreamId, Vec<u8>),
    Closed(StreamId),
    Seeds,
}

pub(super) struct Node {
    pub(super) engine: Option<Engine>,
    pub(super) local: LocalRecord,
    pub(super) keyring: Arc<Keyring>,
    pub(super) stats: Arc<lobby_core::stats::Stats>,
    wires: HashMap<StreamId, (usize, StreamId)>,
    /// What the shell was told, with the moment.
    pub(super) told: Vec<(Moment, Output)>,
}

/// Decides by sender, receiver and bytes whether a datagram is lost.
type Lose = Box<dyn FnMut(usize, usize) -> bool>;

pub(super) struct Fleet {
    pub(super) now: Moment,
    pub(super) nodes: Vec<Node>,
    pub(super) lose: Lose,
    pub(super) latency: fn(usize, usize) -> Duration,
    packets: BTreeMap<(Moment, u64), (usize, Packet)>,
    n_packets: u64,
}

fn addr(idx: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, idx as u8 + 1], 1314))
}

pub(super) fn id(idx: usize) -> NodeId {
    NodeId::from_bytes([idx as u8 + 1; 16])
}

pub(super) fn key(n: u8) -> Key {
    Key::from_bytes([n; 32])
}

pub(super) fn event(name: &str, payload: &[u8]) -> NewEvent {
    NewEvent { name: name.to_owned(), payload: Bytes::copy_from_slice(payload), filter: Filter::default() }
}

pub(super) fn query(name: &str, timeout: Duration, ack: bool) -> NewQuery {
    NewQuery { event: event(name, b"?"), timeout, ack, relays: 0 }
}

impl Fleet {
    /// `n` nodes that are off.
    pub(super) fn new(n: usize) -> Self {
        let node = |idx| {
            let mut local = LocalRecord::new(id(idx), Generation(5), format!("node-{idx}").parse().unwrap());
            local.commit(Moment::ZERO);
            let keyring = Arc::new(Keyring::new("test", &[]).unwrap());
            Node { engine: None, local, keyring, stats: Arc::default(), wires: HashMap::new(), told: Vec::new() }
        };
        let nodes = (0..n).map(node).collect();
        Self {
            now: Moment::ZERO,
            nodes,
            lose: Box::new(|_, _| false),
            latency: |_, _| MS,
            packets: BTreeMap::new(),
            n_packets: 0,
        }
    }

    /// `n` nodes that all know each other.
    pub(super) fn formed(n: usize, keys: &[Key]) -> Self {
        let mut fleet = Self::new(n);
        (0..n).for_each(|idx| fleet.boot(idx, keys));
        fleet.run(5 * SEC);
        assert!(fleet.nodes.iter().all(|node| node.engine.as_ref().unwrap().n_members() == n - 1));
        fleet
    }

    pub(super) fn boot(&mut self, idx: usize, keys: &[Key]) {
        self.boot_as(idx, keys, Profile::Lan);
    }

    pub(super) fn boot_as(&mut self, idx: usize, keys: &[Key], profile: Profile) {
        let node = &mut self.nodes[idx];
        node.keyring = Arc::new(Keyring::new("test", keys).unwrap());
        if let Some(summary) = node.keyring.summary() {
            node.local.set_meta(KEYS_META, &summary);
            node.local.commit(self.now);
        }
        let mut nonce = idx as u64;
        let setup = Setup {
            config: profile.config(),
            keyring: node.keyring.clone(),
            advertise: addr(idx),
            announcement: Announcement::new(node.local.record().clone(), true),
            seeded: true,
            peers: Vec::new(),
            nonces: Box::new(move || {
                nonce += 1000;
                std::array::from_fn(|i| nonce.to_le_bytes()[i % 8])
            }),
            seed: idx as u64 + 1,
            check: lobby_core::proof::unchecked(),
            signer: super::super::testnet::signer(id(idx)),
            stats: node.stats.clone(),
        };
        node.engine = Some(Engine::new(setup, self.now));
        self.drain(idx);
    }

    pub(super) fn kill(&mut self, idx: usize) {
        self.nodes[idx].engine = None;
        self.nodes[idx].wires.clear();
    }

    /// The same node in its next process, all state lost.
    pub(super) fn restart(&mut self, idx: usize, keys: &[Key]) {
        self.kill(idx);
        let generation = Generation(self.nodes[idx].local.record().stamp.generation.0 + 1);
        self.nodes[idx].local = LocalRecord::new(id(idx), generation, format!("node-{idx}").parse().unwrap());
        self.nodes[idx].local.commit(self.now);
        self.boot(idx, keys);
    }

    /// Calls an engine and carries out what it wants.
    pub(super) fn with<T>(&mut self, idx: usize, call: impl FnOnce(&mut Engine, Moment) -> T) -> T {
        let result = call(self.nodes[idx].engine.as_mut().expect("it runs"), self.now);
        self.drain(idx);
        result
    }

    pub(super) fn engine(&self, idx: usize) -> &Engine {
        self.nodes[idx].engine.as_ref().expect("it runs")
    }

    pub(super) fn number(&self, idx: usize, name: &str) -> u64 {
        let numbers = self.engine(idx).user_numbers();
        numbers.into_iter().find(|(other, _)| *other == name).unwrap_or_else(|| panic!("no number {name}")).1
    }

    pub(super) fn relabel(&mut self, idx: usize, label: &str) -> Stamp {
        self.nodes[idx].local.set_labels([label.parse::<Label>().unwrap()]);
        self.publish(idx)
    }

    fn publish(&mut self, idx: usize) -> Stamp {
        self.nodes[idx].local.commit(self.now);
        let record = self.nodes[idx].local.record().clone();
        let stamp = record.stamp;
        self.with(idx, |engine, now| engine.handle(Input::Announce(Announcement::new(record, true)), now));
        stamp
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = |node: &Node| node.engine.as_ref().and_then(Engine::next_deadline);
            let timer = (0..self.nodes.len()).filter_map(|idx| due(&self.nodes[idx]).map(|at| (at, idx))).min();
            let packet = self.packets.keys().next().copied();
            match (timer, packet) {
                (timer, Some(key)) if key.0 <= end && timer.is_none_or(|(at, _)| key.0 <= at) => {
                    let (to, packet) = self.packets.remove(&key).expect("it is the first");
                    self.now = self.now.max(key.0);
                    self.deliver(to, packet);
                }
                (Some((at, idx)), _) if at <= end => {
                    self.now = self.now.max(at);
                    self.with(idx, |engine, now| engine.handle_deadline(now));
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// Runs until `done`; panics when that takes longer than `most`.
    #[track_caller]
    pub(super) fn until(&mut self, most: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now.since(start) < most, "not within {most:?}");
            self.run(5 * MS);
        }
        self.now.since(start)
    }

    fn deliver(&mut self, idx: usize, packet: Packet) {
        let Some(engine) = &mut self.nodes[idx].engine else { return };
        let now = self.now;
        match packet {
            Packet::Datagram { from, bytes } => engine.handle(Input::Datagram(addr(from), &bytes), now),
            Packet::Opened(stream) => engine.handle(Input::Opened(stream), now),
            Packet::Frame(stream, bytes) => engine.handle(Input::Frame(stream, &bytes), now),
            Packet::Closed(stream) => {
                self.nodes[idx].wires.remove(&stream);
                self.with(idx, |engine, now| engine.handle(Input::Closed(stream), now));
            }
            Packet::Connect { from, stream } => return self.connect(idx, from, stream),
            Packet::Seeds => {
                let seeds = Input::Seeds { addrs: vec![addr(0), addr(1)], all_resolved: true };
                engine.handle(seeds, now);
            }
        }
        self.drain(idx);
    }

    fn connect(&mut self, idx: usize, from: usize, stream: StreamId) {
        let Some(opener) = &self.nodes[from].engine else { return };
        let theirs = opener.keyring_for(addr(idx));
        let secret = theirs.stream_secret();
        let candidates = self.nodes[idx].keyring.stream_secrets(&theirs.preamble()).ok();
        let fits = candidates.is_some_and(|all| secret.map_or(all.is_empty(), |secret| all.contains(&secret)));
        let accepted = if fits { self.with(idx, |engine, _| engine.accept()) } else { None };
        let Some(ours) = accepted else { return self.send(idx, from, Packet::Closed(stream)) };
        self.nodes[idx].wires.insert(ours, (from, stream));
        self.nodes[from].wires.insert(stream, (idx, ours));
        self.send(idx, from, Packet::Opened(stream));
    }

    fn send(&mut self, from: usize, to: usize, packet: Packet) {
        self.n_packets += 1;
        self.packets.insert((self.now + (self.latency)(from, to), self.n_packets), (to, packet));
    }

    fn drain(&mut self, idx: usize) {
        while let Some(output) = self.nodes[idx].engine.as_mut().and_then(Engine::poll_output) {
            let peer = |to: SocketAddr| (0..self.nodes.len()).find(|idx| addr(*idx) == to);
            match output {
                Output::Datagram(to, bytes) => {
                    assert!(bytes.len() <= 1400);
                    if let Some(to) = peer(to).filter(|to| !(self.lose)(idx, *to)) {
                        self.send(idx, to, Packet::Datagram { from: idx, bytes });
                    }
                }
                Output::Resolve => self.send(idx, idx, Packet::Seeds),
                Output::Open(stream, to) | Output::Watch(stream, to) => {
                    let reached = peer(to).filter(|to| self.nodes[*to].engine.is_some() && !(self.lose)(idx, *to));
                    match reached {
                        Some(to) => self.send(idx, to, Packet::Connect { from: idx, stream }),
                        None => self.send(idx, idx, Packet::Closed(stream)),
                    }
                }
                Output::Frame(stream, bytes) => {
                    if let Some((to, theirs)) = self.nodes[idx].wires.get(&stream).copied() {
                        self.send(idx, to, Packet::Frame(theirs, bytes));
                    }
                }
                Output::Close(stream) => {
                    if let Some((to, theirs)) = self.nodes[idx].wires.remove(&stream) {
                        self.send(idx, to, Packet::Closed(theirs));
                    }
                }
                Output::Keyring(keyring) => {
                    let node = &mut self.nodes[idx];
                    node.local.set_meta(KEYS_META, &keyring.summary().unwrap());
                    node.keyring = keyring;
                    self.publish(idx);
                }
                other => self.nodes[idx].told.push((self.now, other)),
            }
        }
    }

    pub(super) fn heard(&self, idx: usize) -> Vec<UserEvent> {
        let heard = |(_, output): &(Moment, Output)| if let Output::Heard(event) = output { Some(event.clone()) } else { None };
        self.nodes[idx].told.iter().filter_map(heard).collect()
    }

    pub(super) fn asked(&self, idx: usize) -> Vec<Asked> {
        let asked = |(_, output): &(Moment, Output)| if let Output::Asked(asked) = output { Some(asked.clone()) } else { None };
        self.nodes[idx].told.iter().filter_map(asked).collect()
    }

    pub(super) fn news(&self, idx: usize, query: EventId) -> Vec<QueryNews> {
        let news = |(_, output): &(Moment, Output)| match output {
            Output::News(id, news) if *id == query => Some(news.clone()),
            _ => None,
        };
        self.nodes[idx].told.iter().filter_map(news).collect()
    }

    pub(super) fn is_over(&self, idx: usize, query: EventId) -> bool {
        self.nodes[idx].told.iter().any(|(_, output)| matches!(output, Output::QueryOver(id) if *id == query))
    }

    pub(super) fn outcome(&self, idx: usize, number: u64) -> Option<KeyOutcome> {
        self.nodes[idx].told.iter().find_map(|(_, output)| match output {
            Output::KeysChanged(other, outcome) if *other == number => Some(outcome.clone()),
            _ => None,
        })
    }
}
