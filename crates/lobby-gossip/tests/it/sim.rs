//! The simulator: N engines, one seed, virtual time.
//!
//! A paused node's packets wait in its socket and are read before its late timers, as in the shell. Timers fire up to
//! 1 ms late. A node's process and its host end separately: a killed process refuses connections and its streams end at
//! once, a host without power is silent.
//! Parts: `sim/agenda` (what happens when), `sim/faults` (who cannot reach whom), `sim/wire` (what engines want),
//! `sim/proofs` (whose records are whose), `sim/streams` (streams with their slots and deadlines), `sim/life` (start, stop, restart), `sim/form` (clusters at
//! rest), `sim/measure` (who knew when).

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lobby_core::{
    id::{Generation, NodeId, Origin},
    label::Label,
    local::LocalRecord,
    port::Announcement,
    proof::Signer,
    record::Stamp,
    stats::Stats,
    time::Moment,
};
use lobby_gossip::{Engine, EngineClock, Input, Key, Output, Reach, StreamId};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

mod agenda;
mod faults;
mod form;
mod life;
mod measure;
mod proofs;
mod streams;
mod wire;

pub(crate) use faults::Faults;
pub(crate) use measure::{NEVER, Times, first, quantile, victims};

use crate::hostile::liar::Liar;
use agenda::{Agenda, Event, Item};
use proofs::Proofs;
use streams::Links;

/// What records are signed for.
pub(crate) const CLUSTER: &str = "sim";

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SEC: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Seen(usize),
    Gone(usize),
    Unattended(usize),
    Suspect(usize),
    /// A record, and whether it is the last one of its process.
    Record(usize, Stamp, bool),
    /// Somebody made it leave.
    Forced(usize),
    Cloned,
    Warm,
    /// Goodbye is said.
    Left,
}

/// Who noted what when.
pub(crate) type Entry = (Moment, usize, Note);

/// What was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap {
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// What answers at a node's port while none of our processes does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// The host refuses.
    Free,
    /// Another program.
    Taken,
    /// The host is silent.
    Dark,
}

pub(crate) struct Node {
    pub(crate) engine: Option<Engine>,
    pub(crate) local: LocalRecord,
    pub(crate) signer: Arc<Signer>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: EngineClock,
    /// REGISTER: without it the node is a member that publishes no record.
    pub(crate) listed: bool,
    pub(crate) port: Port,
    /// A firewall rejects whatever comes in by TCP, by UDP.
    pub(crate) reject: (bool, bool),
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) pulls_served: u64,
    /// Streams of [`Output::Watch`] and attempts of [`Output::Connect`].
    pub(crate) n_watches: u64,
    pub(crate) n_connects: u64,
    /// When the process started.
    pub(crate) started: Moment,
    epoch: u32,
    paused_until: Moment,
    wake_at: Option<Moment>,
    /// How far its clock is ahead of the others'.
    skew: Duration,
    /// Start again so long after goodbye.
    back_after: Option<Duration>,
    links: Links,
}

pub(crate) struct Sim {
    pub(crate) now: Moment,
    pub(crate) nodes: Vec<Node>,
    pub(crate) rng: SmallRng,
    pub(crate) loss: f64,
    /// Nodes below this index cannot reach the others.
    pub(crate) split: usize,
    pub(crate) faults: Faults,
    pub(crate) log: Vec<Entry>,
    /// What the shells were told of joins, events, queries and keys.
    pub(crate) said: Vec<(Moment, usize, Output)>,
    pub(crate) seeds: Vec<usize>,
    /// Every datagram and frame that was sent, when somebody wants them.
    pub(crate) tap: Option<Tap>,
    pub(crate) key: Option<Key>,
    agenda: Agenda,
    streams: HashMap<u64, streams::Link>,
    n_links: u64,
    forming: Option<form::Forming>,
    ids: HashMap<NodeId, usize>,
    proofs: Proofs,
    /// Nodes that say more than their engines do.
    pub(crate) liars: BTreeMap<usize, Liar>,
}

pub(crate) fn addr(idx: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, (idx / 256) as u8, (idx % 256) as u8)), 1314)
}

impl Sim {
    /// `n` nodes that are off. With a key datagrams are sealed.
    pub(crate) fn new(n: usize, seed: u64, key: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let signers: Vec<_> = (0..n).map(|_| Arc::new(Signer::new(&rng.random(), CLUSTER))).collect();
        let ids: Vec<_> = signers.iter().map(|signer| signer.id()).collect();
        Self {
            now: Moment::ZERO,
            nodes: signers.into_iter().enumerate().map(|(idx, signer)| life::node(idx, signer)).collect(),
            rng,
            loss: 0.0,
            split: 0,
            faults: Faults::default(),
            log: Vec::new(),
            said: Vec::new(),
            seeds: vec![0],
            tap: None,
            key: key.then(|| Key::from_bytes([7; 32])),
            agenda: Agenda::default(),
            streams: HashMap::new(),
            n_links: 0,
            forming: None,
            ids: ids.into_iter().enumerate().map(|(idx, id)| (id, idx)).collect(),
            proofs: Proofs::default(),
            liars: BTreeMap::new(),
        }
    }

    /// Changes a node's labels; returns the stamp of the new record.
    pub(crate) fn relabel(&mut self, idx: usize, labels: &[String]) -> Stamp {
        self.nodes[idx].local.set_labels(labels.iter().map(|label| label.parse::<Label>().unwrap()));
        self.publish(idx);
        self.nodes[idx].local.record().stamp
    }

    /// Announces the newest version of a node's record, if there is a newer one.
    pub(crate) fn publish(&mut self, idx: usize) {
        let node = &mut self.nodes[idx];
        if let Some(record) = node.local.commit(self.now) {
            let listed = node.listed;
            self.input(idx, Input::Announce(Announcement::new(record, listed)));
        }
    }

    pub(crate) fn input(&mut self, idx: usize, input: Input<'_>) {
        if let Some(now) = self.turn(idx) {
            self.nodes[idx].engine.as_mut().unwrap().handle(input, now);
            self.drain(idx);
        }
    }

    /// The engine's time at this moment, if the node runs.
    pub(crate) fn turn(&mut self, idx: usize) -> Option<Moment> {
        let node = &mut self.nodes[idx];
        let deadline = node.engine.as_ref()?.next_deadline();
        Some(node.clock.turn(self.now + node.skew, deadline))
    }

    pub(crate) fn up(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|idx| self.nodes[*idx].engine.is_some()).collect()
    }

    pub(crate) fn id(&self, idx: usize) -> NodeId {
        self.nodes[idx].local.record().origin.node_id().unwrap()
    }

    pub(crate) fn engine(&self, idx: usize) -> &Engine {
        self.nodes[idx].engine.as_ref().expect("this node runs")
    }

    pub(crate) fn random_up(&mut self) -> usize {
        let up = self.up();
        up[self.rng.random_range(0..up.len())]
    }

    /// Whether every running node holds every other one up, nobody else, and has everybody's newest record.
    pub(crate) fn all_see_all(&self) -> bool {
        let up = self.up();
        up.iter().all(|idx| self.sees_all(*idx, &up))
    }

    /// Whether this node holds up exactly these and has their newest records.
    pub(crate) fn sees_all(&self, idx: usize, up: &[usize]) -> bool {
        let engine = self.engine(idx);
        let newest = |other: &usize| {
            let stamp = self.nodes[*other].local.record().stamp;
            engine.record(self.id(*other)).is_some_and(|known| known.stamp == stamp)
        };
        engine.n_members() + 1 == up.len() && up.iter().all(newest)
    }

    /// Whether this node holds the other one up.
    pub(crate) fn holds_up(&self, observer: usize, idx: usize) -> bool {
        let id = self.id(idx);
        self.engine(observer).members().any(|member| member.id == id)
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
        while let Some((at, item)) = self.agenda.pop(end) {
            self.now = at;
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
        self.agenda.push(self.now + after, Item { node, epoch, event });
    }

    fn step(&mut self, item: Item) {
        let node = &mut self.nodes[item.node];
        // What belongs to the host happens whether or not the process is the same, or runs at all.
        if let Event::Knock(link) = item.event {
            return self.knock(link);
        }
        if node.epoch != item.epoch {
            return;
        }
        if node.paused_until > self.now {
            // The socket is read before due timers.
            let late = if matches!(item.event, Event::Wake) { Duration::from_micros(200) } else { Duration::ZERO };
            let at = node.paused_until + late;
            return self.agenda.push(at, item);
        }
        let idx = item.node;
        match item.event {
            Event::Boot => self.start(idx),
            Event::Datagram { from, bytes } => {
                if !node.reject.1 {
                    self.input(idx, Input::Datagram(from, &bytes));
                }
            }
            Event::Seeds => {
                let addrs = self.seeds.iter().map(|idx| addr(*idx)).collect();
                self.input(idx, Input::Seeds { addrs, all_resolved: true });
            }
            Event::Reached(id, reach) => self.input(idx, Input::Reached(id, reach)),
            Event::Knock(_) => {}
            Event::Admit(link) => self.wait_for_slot(link),
            Event::Opened(link) => self.opened(link),
            Event::Part { link, side, part } => self.arrive(link, side, part),
            Event::Expired { link, side, unopened } => self.expire(link, side, unopened),
            Event::Wake => self.wake(idx),
        }
    }

    fn wake(&mut self, idx: usize) {
        let now = self.now;
        let node = &mut self.nodes[idx];
        if node.wake_at.is_none_or(|at| at > now) {
            return;
        }
        node.wake_at = None;
        if let Some(now) = self.turn(idx) {
            self.nodes[idx].engine.as_mut().unwrap().handle_deadline(now);
            self.drain(idx);
        }
    }
}
