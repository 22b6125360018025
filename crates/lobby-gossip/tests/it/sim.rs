//! The simulator: N engines, one seed, virtual time.
//!
//! Datagrams take 1 to 5 ms and may be lost. Streams carry the real frames, in order, with the same latency; a lost
//! segment costs 200 ms. A paused node's packets wait in its socket and are read before its late timers, as in the shell.
//! Killed nodes are silent: connecting to them times out. Timers fire up to 1 ms late.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lobby_core::{
    id::{Generation, NodeId, Origin},
    label::Label,
    local::LocalRecord,
    port::Announcement,
    record::Stamp,
    stats::Stats,
    time::Moment,
};
use lobby_gossip::{Engine, EngineClock, Input, Key, Keyring, Output, Profile, Setup, StreamId};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

mod wire;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SEC: Duration = Duration::from_secs(1);

/// IPv4 and UDP headers.
const UDP_OVERHEAD: usize = 28;
/// IPv4 and TCP headers, length and tag of one Noise message.
const TCP_OVERHEAD: usize = 40 + 4 + 18;
/// Segments of a TCP and Noise handshake and of the end, all headers included, per side.
const CONNECT_SEGMENTS: u64 = 3;
const CONNECT_BYTES: u64 = 3 * 40 + 48;

/// The first byte of a frame that asks for a record.
const PULL: u8 = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Seen(usize),
    Gone(usize),
    Suspect(usize),
    Record(usize, Stamp, bool),
    Warm,
    Left,
}

enum Event {
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    Wake,
    Boot,
    Seeds,
    Connect { from: usize, epoch: u32, stream: StreamId, tries: u32 },
    Opened(StreamId),
    Frame(StreamId, Vec<u8>),
    Closed(StreamId),
}

struct Item {
    at: Moment,
    seq: u64,
    node: usize,
    epoch: u32,
    event: Event,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// What was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap {
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// The other end of a stream.
struct Wire {
    peer: usize,
    peer_epoch: u32,
    peer_stream: StreamId,
    /// When the last frame to the peer arrives: the next cannot overtake it.
    last: Moment,
}

pub(crate) struct Node {
    pub(crate) engine: Option<Engine>,
    pub(crate) local: LocalRecord,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: EngineClock,
    epoch: u32,
    paused_until: Moment,
    wake_at: Option<Moment>,
    wires: HashMap<StreamId, Wire>,
    /// REGISTER: without it the node is a member that publishes no record.
    pub(crate) listed: bool,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) pulls_served: u64,
}

pub(crate) struct Sim {
    pub(crate) now: Moment,
    pub(crate) nodes: Vec<Node>,
    pub(crate) rng: SmallRng,
    pub(crate) loss: f64,
    /// Nodes below this index cannot reach the others.
    pub(crate) split: usize,
    pub(crate) log: Vec<(Moment, usize, Note)>,
    pub(crate) seeds: Vec<usize>,
    /// Every datagram and frame that was sent, when somebody wants them.
    pub(crate) tap: Option<Tap>,
    /// What the shells were told of events, queries and keys.
    pub(crate) said: Vec<(Moment, usize, Output)>,
    key: Option<Key>,
    heap: BinaryHeap<Reverse<Item>>,
    n_events: u64,
    ids: HashMap<NodeId, usize>,
}

pub(crate) fn addr(idx: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, (idx / 256) as u8, (idx % 256) as u8)), 1314)
}

impl Sim {
    /// `n` nodes that are off. With a key datagrams are sealed.
    pub(crate) fn new(n: usize, seed: u64, key: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let ids: Vec<_> = (0..n).map(|_| NodeId::from_bytes(rng.random())).collect();
        let node = |(idx, id): (usize, &NodeId)| Node {
            engine: None,
            local: local(idx, *id, 1_790_000_000_000_000),
            stats: Arc::default(),
            clock: EngineClock::default(),
            epoch: 0,
            paused_until: Moment::ZERO,
            wake_at: None,
            wires: HashMap::new(),
            listed: true,
            packets: 0,
            bytes: 0,
            pulls_served: 0,
        };
        Self {
            now: Moment::ZERO,
            nodes: ids.iter().enumerate().map(node).collect(),
            rng,
            loss: 0.0,
            split: 0,
            log: Vec::new(),
            seeds: vec![0],
            tap: None,
            said: Vec::new(),
            key: key.then(|| Key::from_bytes([7; 32])),
            heap: BinaryHeap::new(),
            n_events: 0,
            ids: ids.into_iter().enumerate().map(|(idx, id)| (id, idx)).collect(),
        }
    }

    /// A cluster in which everybody knows everybody, at rest.
    pub(crate) fn formed(n: usize, seed: u64, key: bool) -> Self {
        let mut sim = Self::new(n, seed, key);
        sim.seeds = (0..n.min(3)).collect();
        for idx in 0..n {
            let after = SEC.mul_f64(sim.rng.random_range(0.0..3.0));
            sim.boot(idx, after);
        }
        let formed = sim.run_until_true(60 * SEC, Self::all_see_all);
        assert!(formed.is_some(), "no full view after 60 s");
        sim.run(20 * SEC);
        sim.log.clear();
        sim
    }

    /// Starts a node after a while.
    pub(crate) fn boot(&mut self, idx: usize, after: Duration) {
        self.nodes[idx].epoch += 1;
        self.at(after, idx, Event::Boot);
    }

    /// Starts a killed node again with the next generation and all state lost.
    pub(crate) fn restart(&mut self, idx: usize, after: Duration) {
        let node = &mut self.nodes[idx];
        let Origin::Node(id) = node.local.record().origin else { unreachable!("simulated nodes have ids") };
        let generation = node.local.record().stamp.generation.0 + 1_000_000;
        node.local = local(idx, id, generation);
        self.boot(idx, after);
    }

    /// Stops a node without a word.
    pub(crate) fn kill(&mut self, idx: usize) {
        let node = &mut self.nodes[idx];
        node.engine = None;
        node.epoch += 1;
        node.wake_at = None;
        node.wires.clear();
    }

    /// Stops a node's process for a while.
    pub(crate) fn pause(&mut self, idx: usize, time: Duration) {
        self.nodes[idx].paused_until = self.now + time;
    }

    /// Changes a node's labels; returns the stamp of the new record.
    pub(crate) fn relabel(&mut self, idx: usize, labels: &[String]) -> Stamp {
        let now = self.now;
        self.nodes[idx].local.set_labels(labels.iter().map(|label| label.parse::<Label>().unwrap()));
        let record = self.nodes[idx].local.commit(now).unwrap();
        let stamp = record.stamp;
        self.input(idx, Input::Announce(Announcement { record, listed: true }));
        stamp
    }

    /// Says goodbye; the process ends when the engine says so.
    pub(crate) fn leave(&mut self, idx: usize) {
        let now = self.now;
        self.nodes[idx].local.leave();
        let record = self.nodes[idx].local.commit(now).unwrap();
        self.input(idx, Input::Announce(Announcement { record, listed: true }));
        self.input(idx, Input::Leave);
    }

    pub(crate) fn input(&mut self, idx: usize, input: Input<'_>) {
        let now = self.now;
        let node = &mut self.nodes[idx];
        if let Some(engine) = &mut node.engine {
            let now = node.clock.turn(now, engine.next_deadline());
            engine.handle(input, now);
            self.drain(idx);
        }
    }

    pub(crate) fn up(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|idx| self.nodes[*idx].engine.is_some()).collect()
    }

    pub(crate) fn id(&self, idx: usize) -> NodeId {
        self.nodes[idx].local.record().origin.node_id().unwrap()
    }

    pub(crate) fn random_up(&mut self) -> usize {
        let up = self.up();
        up[self.rng.random_range(0..up.len())]
    }

    /// Whether every running node holds every other one up and has its newest record.
    pub(crate) fn all_see_all(&self) -> bool {
        let up = self.up();
        up.iter().all(|idx| {
            let engine = self.nodes[*idx].engine.as_ref().unwrap();
            let newest = |other: &usize| {
                let record = self.nodes[*other].local.record();
                engine.record(self.id(*other)).is_some_and(|known| known.stamp == record.stamp)
            };
            engine.n_members() + 1 == up.len() && up.iter().all(newest)
        })
    }

    /// How often nodes were held down by mistake and came back, summed over the running ones.
    pub(crate) fn renewals(&self) -> u64 {
        let engines = self.nodes.iter().filter_map(|node| node.engine.as_ref());
        engines.map(|engine| u64::from(engine.identity().renewal)).sum()
    }

    pub(crate) fn traffic(&self) -> (u64, u64) {
        self.nodes.iter().fold((0, 0), |sum, node| (sum.0 + node.packets, sum.1 + node.bytes))
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse(item)) = self.heap.peek()
            && item.at <= end
        {
            let Reverse(item) = self.heap.pop().unwrap();
            self.step(item);
        }
        self.now = end;
    }

    /// Runs in steps of 50 ms until `done` or the end of `most`; returns how long it took.
    pub(crate) fn run_until_true(&mut self, most: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let start = self.now;
        while self.now.since(start) < most {
            if done(self) {
                return Some(self.now.since(start));
            }
            self.run(50 * MS);
        }
        done(self).then(|| self.now.since(start))
    }

    fn at(&mut self, after: Duration, node: usize, event: Event) {
        let epoch = self.nodes[node].epoch;
        self.at_moment(self.now + after, node, epoch, event);
    }

    fn at_moment(&mut self, at: Moment, node: usize, epoch: u32, event: Event) {
        self.n_events += 1;
        self.heap.push(Reverse(Item { at, seq: self.n_events, node, epoch, event }));
    }

    fn step(&mut self, mut item: Item) {
        self.now = item.at;
        let node = &mut self.nodes[item.node];
        if node.epoch != item.epoch {
            return self.unreachable(item);
        }
        if node.paused_until > item.at {
            // The socket is read before due timers.
            let late = if matches!(item.event, Event::Wake) { Duration::from_micros(200) } else { Duration::ZERO };
            item.at = node.paused_until + late;
            self.heap.push(Reverse(item));
            return;
        }
        let idx = item.node;
        match item.event {
            Event::Boot => self.start(idx),
            Event::Datagram { from, bytes } => self.input(idx, Input::Datagram(from, &bytes)),
            Event::Seeds => {
                let addrs = self.seeds.iter().map(|idx| addr(*idx)).collect();
                self.input(idx, Input::Seeds { addrs, all_resolved: true });
            }
            Event::Opened(stream) => self.input(idx, Input::Opened(stream)),
            Event::Frame(stream, bytes) => {
                node.pulls_served += u64::from(bytes.first() == Some(&PULL));
                self.input(idx, Input::Frame(stream, &bytes));
            }
            Event::Closed(stream) => {
                node.wires.remove(&stream);
                self.input(idx, Input::Closed(stream));
            }
            Event::Connect { from, epoch, stream, tries } => self.connect(idx, from, epoch, stream, tries),
            Event::Wake => {
                if node.wake_at.is_none_or(|at| at > item.at) {
                    return;
                }
                node.wake_at = None;
                if let Some(engine) = &mut node.engine {
                    let now = node.clock.turn(item.at, engine.next_deadline());
                    engine.handle_deadline(now);
                }
                self.drain(idx);
            }
        }
    }

    fn start(&mut self, idx: usize) {
        let mut nonces = SmallRng::seed_from_u64(self.rng.random());
        let node = &mut self.nodes[idx];
        node.clock = EngineClock::default();
        let setup = Setup {
            config: Profile::Lan.config(),
            keyring: Arc::new(Keyring::new("sim", self.key.as_slice()).unwrap()),
            advertise: addr(idx),
            announcement: Announcement { record: node.local.record().clone(), listed: node.listed },
            seeded: true,
            peers: Vec::new(),
            nonces: Box::new(move || nonces.random()),
            seed: self.rng.random(),
            stats: node.stats.clone(),
        };
        let now = node.clock.turn(self.now, None);
        node.engine = Some(Engine::new(setup, now));
        self.drain(idx);
    }
}

fn local(idx: usize, id: NodeId, generation: u64) -> LocalRecord {
    let mut local = LocalRecord::new(id, Generation(generation), format!("node-{idx}").parse().unwrap());
    local.set_labels(["service:web", "location:prague"].map(|label| label.parse().unwrap()));
    local.commit(Moment::ZERO);
    local
}
