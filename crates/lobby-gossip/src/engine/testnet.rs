//! Several engines wired together in memory, with connections that are refused. For unit tests of `death` and its neighbours.
//!
//! Everything takes 1 to 5 ms one way. A killed process leaves its host alive: its streams end and connecting to it is
//! refused. Not here: loss, stalls of the clock, statistics (the simulator in `tests/it`).

use lobby_core::port::Announcement;
use lobby_core::port::PeerEvent;
use std::net::SocketAddr;

use std::collections::{BTreeMap, HashSet};

use lobby_core::{label::Label, local::LocalRecord, port::Gone, proof::Signer};

use super::*;
use crate::config::Profile;

/// What one of them told its catalog about another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Seen,
    Suspect,
    Failed,
    Unattended,
    Left,
    Record(Generation, lobby_core::record::Phase),
    Cloned,
}

enum Event {
    Datagram(SocketAddr, Vec<u8>),
    Connected(SocketAddr, usize, StreamId),
    Opened(StreamId),
    Frame(StreamId, Vec<u8>),
    Closed(StreamId),
    Reached(NodeId, Reach),
}

pub(super) struct Host {
    pub(super) engine: Option<Engine>,
    pub(super) addr: SocketAddr,
    pub(super) local: LocalRecord,
    /// Refuses all connections although its process lives, as a firewall that rejects.
    pub(super) rejects: bool,
    /// Datagrams to it are dropped.
    pub(super) deaf: bool,
    /// The process is stopped: connections are accepted by its kernel, and nothing else happens.
    pub(super) stopped: bool,
    /// Another program listens at its address.
    pub(super) taken: bool,
    wires: BTreeMap<StreamId, (usize, StreamId, Moment)>,
    backlog: Vec<Event>,
}

pub(super) struct Net {
    pub(super) now: Moment,
    pub(super) hosts: Vec<Host>,
    pub(super) log: Vec<(Moment, usize, NodeId, Told)>,
    /// Who connected to whom without a stream, and how it ended.
    pub(super) connects: Vec<(usize, NodeId, Reach)>,
    pub(super) most_connecting: usize,
    n_connecting: BTreeMap<usize, usize>,
    queue: BTreeMap<(Moment, u64), (usize, Event)>,
    n_events: u64,
    rng: SmallRng,
}

pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn addr(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (n / 250) as u8, (n % 250 + 1) as u8], 1314))
}

/// A key for this id, though the id is not made of it: twins have the same.
pub(super) fn signer(id: NodeId) -> Arc<Signer> {
    let secret = [*id.as_bytes(), *id.as_bytes()].concat();
    Arc::new(Signer::new(&secret.try_into().unwrap(), "test"))
}

fn local(id: NodeId, generation: u64) -> LocalRecord {
    let mut local = LocalRecord::new(id, Generation(generation), "node".parse().unwrap());
    local.set_labels(["a:b"].map(|label| label.parse::<Label>().unwrap()));
    local.commit(Moment::ZERO);
    local
}

impl Net {
    /// So many engines that know each other, with their watch streams open.
    pub(super) fn formed(n: usize, seed: u64) -> Self {
        let mut net = Self {
            now: Moment::from_micros(1_000_000),
            hosts: Vec::new(),
            log: Vec::new(),
            connects: Vec::new(),
            most_connecting: 0,
            n_connecting: BTreeMap::new(),
            queue: BTreeMap::new(),
            n_events: 0,
            rng: SmallRng::seed_from_u64(seed),
        };
        for n in 0..n {
            let id = NodeId::from_bytes(net.rng.random());
            net.add(id, 100, addr(n));
        }
        net.run(8000 * MS);
        assert!((0..n).all(|idx| net.engine(idx).n_members() == n - 1), "not formed");
        let watching: usize = (0..n).map(|idx| net.engine(idx).deaths.watches.n_open()).sum();
        assert_eq!(watching, n * 3.min(n - 1), "watch streams");
        net.log.clear();
        net
    }

    /// Starts one more process, which finds the others through the first.
    pub(super) fn add(&mut self, id: NodeId, generation: u64, addr: SocketAddr) -> usize {
        let host = Host {
            engine: None,
            addr,
            local: local(id, generation),
            rejects: false,
            deaf: false,
            stopped: false,
            taken: false,
            wires: BTreeMap::new(),
            backlog: Vec::new(),
        };
        self.hosts.push(host);
        self.start(self.hosts.len() - 1);
        self.hosts.len() - 1
    }

    /// Starts the process of a host that has none.
    pub(super) fn start(&mut self, idx: usize) {
        let host = &mut self.hosts[idx];
        let setup = Setup {
            config: Profile::Lan.config(),
            keyring: Arc::new(Keyring::new("test", &[]).unwrap()),
            advertise: host.addr,
            announcement: Announcement::new(host.local.record().clone(), true),
            peers: Vec::new(),
            seeded: true,
            nonces: Box::new(|| [0; 24]),
            seed: self.rng.random(),
            check: lobby_core::proof::unchecked(),
            signer: signer(host.local.record().origin.node_id().unwrap()),
            stats: Arc::default(),
        };
        host.engine = Some(Engine::new(setup, self.now));
        self.drain(idx);
    }

    /// Starts it again with another generation, all state lost.
    pub(super) fn restart(&mut self, idx: usize, generation: u64) {
        self.hosts[idx].local = local(self.id(idx), generation);
        self.start(idx);
    }

    pub(super) fn id(&self, idx: usize) -> NodeId {
        self.hosts[idx].local.record().origin.node_id().unwrap()
    }

    pub(super) fn engine(&self, idx: usize) -> &Engine {
        self.hosts[idx].engine.as_ref().unwrap()
    }

    /// The process is gone at once; its kernel closes its streams.
    pub(super) fn kill(&mut self, idx: usize) {
        self.hosts[idx].engine = None;
        for (_, (peer, stream, _)) in std::mem::take(&mut self.hosts[idx].wires) {
            self.later(peer, Event::Closed(stream));
        }
    }

    pub(super) fn input(&mut self, idx: usize, input: Input<'_>) {
        let now = self.now;
        if let Some(engine) = &mut self.hosts[idx].engine {
            engine.handle(input, now);
            self.drain(idx);
        }
    }

    /// Says goodbye with this phase's record.
    pub(super) fn leave(&mut self, idx: usize, restarting: bool) {
        let now = self.now;
        let local = &mut self.hosts[idx].local;
        if restarting {
            local.restart()
        } else {
            local.leave()
        }
        let record = local.commit(now).unwrap();
        self.input(idx, Input::Announce(Announcement::new(record, true)));
        self.input(idx, Input::Leave);
    }

    /// Calls an engine and carries out what it wants.
    pub(super) fn with<T>(&mut self, idx: usize, call: impl FnOnce(&mut Engine, Moment) -> T) -> T {
        let now = self.now;
        let result = call(self.hosts[idx].engine.as_mut().unwrap(), now);
        self.drain(idx);
        result
    }

    pub(super) fn resume(&mut self, idx: usize) {
        self.hosts[idx].stopped = false;
        for event in std::mem::take(&mut self.hosts[idx].backlog) {
            self.happen(idx, event);
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let event = self.queue.keys().next().map(|(at, _)| *at);
            let timers = self
                .hosts
                .iter()
                .enumerate()
                .filter(|(_, host)| !host.stopped)
                .filter_map(|(idx, host)| Some((host.engine.as_ref()?.next_deadline()?, idx)));
            let timer = timers.min();
            let due = event.into_iter().chain(timer.map(|(at, _)| at)).min().filter(|at| *at <= end);
            let Some(due) = due else { break };
            self.now = self.now.max(due);
            if event == Some(due) {
                let (idx, event) = self.queue.pop_first().unwrap().1;
                if self.hosts[idx].stopped { self.hosts[idx].backlog.push(event) } else { self.happen(idx, event) }
            } else if let Some((_, idx)) = timer {
                let now = self.now;
                self.hosts[idx].engine.as_mut().unwrap().handle_deadline(now);
                self.drain(idx);
            }
        }
        self.now = end;
    }

    /// What each of the others was told about it, the last first, with the times since `start`.
    pub(super) fn told_about(&self, id: NodeId, what: Told, start: Moment) -> Vec<Duration> {
        let is_it = |(_, _, about, told): &&(Moment, usize, NodeId, Told)| (*about, *told) == (id, what);
        let mut who = HashSet::new();
        self.log.iter().filter(is_it).filter(|(_, idx, ..)| who.insert(*idx)).map(|(at, ..)| at.since(start)).collect()
    }

    pub(super) fn n_told(&self, what: Told) -> usize {
        self.log.iter().filter(|(.., told)| *told == what).count()
    }

    fn happen(&mut self, idx: usize, event: Event) {
        match event {
            Event::Datagram(from, bytes) => self.input(idx, Input::Datagram(from, &bytes)),
            Event::Connected(to, peer, stream) => {
                let host = &mut self.hosts[idx];
                let listens = !host.rejects && host.addr == to;
                let Some(ours) = host.engine.as_mut().filter(|_| listens).and_then(Engine::accept) else {
                    return self.later(peer, Event::Closed(stream));
                };
                self.hosts[idx].wires.insert(ours, (peer, stream, self.now));
                self.hosts[peer].wires.insert(stream, (idx, ours, self.now));
                self.later(peer, Event::Opened(stream));
            }
            Event::Opened(stream) => self.input(idx, Input::Opened(stream)),
            Event::Frame(stream, bytes) => self.input(idx, Input::Frame(stream, &bytes)),
            Event::Closed(stream) => {
                self.hosts[idx].wires.remove(&stream);
                self.input(idx, Input::Closed(stream));
            }
            Event::Reached(id, reach) => {
                *self.n_connecting.entry(idx).or_default() -= 1;
                self.connects.push((idx, id, reach));
                self.input(idx, Input::Reached(id, reach));
            }
        }
    }

    fn later(&mut self, idx: usize, event: Event) {
        let at = self.now + Duration::from_micros(self.rng.random_range(1000..5000));
        self.n_events += 1;
        self.queue.insert((at, self.n_events), (idx, event));
    }

    fn in_order(&mut self, idx: usize, stream: StreamId, event: impl FnOnce(StreamId) -> Event) {
        let after = Duration::from_micros(self.rng.random_range(1000..5000));
        if let Some((peer, theirs, last)) = self.hosts[idx].wires.get_mut(&stream) {
            *last = (*last).max(self.now + after);
            self.n_events += 1;
            self.queue.insert((*last, self.n_events), (*peer, event(*theirs)));
        }
    }

    fn at(&self, to: SocketAddr) -> Option<usize> {
        (0..self.hosts.len()).find(|idx| self.hosts[*idx].addr == to)
    }

    fn drain(&mut self, idx: usize) {
        while let Some(output) = self.hosts[idx].engine.as_mut().and_then(Engine::poll_output) {
            match output {
                Output::Datagram(to, bytes) => {
                    let peer = self.at(to).filter(|peer| !self.hosts[*peer].deaf);
                    let from = self.hosts[idx].addr;
                    if let Some(peer) = peer {
                        self.later(peer, Event::Datagram(from, bytes));
                    }
                }
                Output::Event(event) => self.note(idx, event),
                Output::Resolve => self.input(idx, Input::Seeds { addrs: vec![addr(0), addr(1)], all_resolved: true }),
                Output::Open(stream, to) | Output::Watch(stream, to) => match self.at(to) {
                    Some(peer) => self.later(peer, Event::Connected(to, idx, stream)),
                    None => self.later(idx, Event::Closed(stream)),
                },
                Output::Connect(id, to) => {
                    let n_connecting = self.n_connecting.entry(idx).or_default();
                    *n_connecting += 1;
                    self.most_connecting = self.most_connecting.max(*n_connecting);
                    let there = self.at(to).map(|peer| &self.hosts[peer]);
                    let listens = there.is_some_and(|host| (host.engine.is_some() && !host.rejects) || host.taken);
                    self.later(idx, Event::Reached(id, if listens { Reach::Open } else { Reach::Refused }));
                }
                Output::Frame(stream, bytes) => self.in_order(idx, stream, |theirs| Event::Frame(theirs, bytes)),
                Output::Close(stream) => {
                    self.in_order(idx, stream, Event::Closed);
                    self.hosts[idx].wires.remove(&stream);
                }
                Output::Left => return self.kill(idx),
                _ => {}
            }
        }
    }

    fn note(&mut self, idx: usize, event: PeerEvent) {
        let told = match &event {
            PeerEvent::Seen(..) => Told::Seen,
            PeerEvent::Suspect(_) => Told::Suspect,
            PeerEvent::Gone(_, Gone::Failed) => Told::Failed,
            PeerEvent::Gone(_, Gone::Unattended) => Told::Unattended,
            PeerEvent::Gone(_, Gone::Left) => Told::Left,
            PeerEvent::Record(record) => Told::Record(record.stamp.generation, record.phase),
            PeerEvent::Cloned => Told::Cloned,
            PeerEvent::Link(_) | PeerEvent::Warm => return,
        };
        let about = match &event {
            PeerEvent::Seen(origin, _) | PeerEvent::Suspect(origin) | PeerEvent::Gone(origin, _) => origin.node_id(),
            PeerEvent::Record(record) => record.origin.node_id(),
            _ => Some(self.id(idx)),
        };
        self.log.extend(about.map(|about| (self.now, idx, about, told)));
    }
}
