//! Gate 13: one engine among 10 000 nodes. How much memory it takes, and how much CPU while nothing (or something) happens.
//!
//! ```text
//! cargo run --release -p lobby-gossip --example feed [-- NODES [CHANGES_PER_SECOND [VIRTUAL_SECONDS]]]
//!
//! parent: 10 000 engines, one after the other, push their record to a collector ─► a newcomer joins it ─► its frames
//! child:  one engine takes these frames in; its pings are answered, it is pinged, others' sums and changes come in
//! ```
//! The child is a process of its own, so that its memory is the engine's. Time is virtual; CPU and memory are the
//! kernel's numbers. Goals: below 1 % of a core when idle, below 30 MB.

use std::{
    collections::HashMap,
    env, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use lobby_core::{
    id::{Generation, NodeId, Origin},
    label::Label,
    local::LocalRecord,
    port::Announcement,
    proof::{Checker, Signer},
    record::Record,
    time::Moment,
    wire::binary::{Reader, encode_delta, put_bytes, put_varint},
};
use lobby_gossip::{Engine, Input, Keyring, Output, Profile, Setup, StreamId};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

const CLUSTER: &str = "feed";
const GENERATION: Generation = Generation(1_790_000_000_000_000);
/// Ticks of the kernel's CPU accounting in a second, the same on every Linux.
const TICKS: f64 = 100.0;
/// Where everybody's count of datagrams begins.
const FIRST_COUNTER: u64 = 1 << 20;
const PAGE: usize = 4096;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |idx: usize, default: usize| args.get(idx).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    if args.first().is_some_and(|arg| arg == "child") {
        return child(Path::new(&args[1]), number(2, 0), number(3, 0), number(4, 0));
    }
    let (n, changes, seconds) = (number(0, 10_000), number(1, 0), number(2, 3600));
    let recording = env::temp_dir().join(format!("lobby-feed-{}", std::process::id()));
    fs::write(&recording, record_join(n)).expect("the temporary folder takes a file");
    let program = env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.arg("child").arg(&recording).args([n, changes, seconds].map(|number| number.to_string()));
    let status = command.status();
    fs::remove_file(&recording).expect("our own file");
    assert!(status.expect("this program starts again").success());
}

/// What a node is, made of its number.
fn signer(idx: usize) -> Signer {
    Signer::new(&SmallRng::seed_from_u64(idx as u64).random(), CLUSTER)
}

fn id(idx: usize) -> NodeId {
    signer(idx).id()
}

fn addr(idx: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + idx as u32)), 1314)
}

fn index(addr: SocketAddr) -> usize {
    let IpAddr::V4(ip) = addr.ip() else { return 0 };
    (u32::from(ip) - 0x0a00_0000) as usize
}

/// A record of about a kilobyte.
fn local(idx: usize) -> LocalRecord {
    let mut local = LocalRecord::signed(Arc::new(signer(idx)), GENERATION, format!("node-{idx}").parse().expect("a name"));
    local.set_labels((0..16).map(|n| label(&format!("label-{n}:{:04}-{}", idx * 31 + n, "x".repeat(40)))));
    local.commit(Moment::ZERO);
    local
}

fn label(text: &str) -> Label {
    text.parse().expect("a label")
}

fn engine(idx: usize, seeded: bool, now: Moment) -> Engine {
    let setup = Setup {
        config: Profile::Lan.config(),
        keyring: Arc::new(Keyring::new(CLUSTER, &[]).expect("no keys at all")),
        advertise: addr(idx),
        announcement: Announcement::new(local(idx).record().clone(), true),
        seeded,
        peers: Vec::new(),
        nonces: Box::new(|| [0; 24]),
        seed: idx as u64,
        check: Checker::new(CLUSTER).into_check(),
        signer: Arc::new(signer(idx)),
        stats: Arc::default(),
    };
    Engine::new(setup, now)
}

/// Lets `asker` and `answerer` talk until nothing more is said; returns the frames of the answerer. Datagrams of the asker
/// are given to `datagrams`.
fn talk(asker: &mut Engine, answerer: &mut Engine, now: Moment, mut datagrams: impl FnMut(&[u8])) -> Vec<Vec<u8>> {
    let (mut streams, mut said) = (HashMap::new(), Vec::new());
    let mut busy = true;
    while std::mem::take(&mut busy) {
        while let Some(output) = asker.poll_output() {
            busy = true;
            match output {
                Output::Datagram(_, bytes) => datagrams(&bytes),
                Output::Resolve => {
                    let addrs = vec![answerer.identity().addr];
                    asker.handle(Input::Seeds { addrs, all_resolved: true }, now);
                }
                Output::Open(stream, _) => {
                    let Some(theirs) = answerer.accept() else { continue };
                    streams.insert(stream, theirs);
                    asker.handle(Input::Opened(stream), now);
                }
                Output::Frame(stream, bytes) => answerer.handle(Input::Frame(streams[&stream], &bytes), now),
                Output::Close(stream) => {
                    if let Some(theirs) = streams.remove(&stream) {
                        answerer.handle(Input::Closed(theirs), now);
                    }
                }
                _ => {}
            }
        }
        while let Some(output) = answerer.poll_output() {
            busy = true;
            if let Output::Frame(stream, bytes) = output
                && let Some((ours, _)) = streams.iter().find(|(_, theirs)| **theirs == stream)
            {
                asker.handle(Input::Frame(*ours, &bytes), now);
                said.push(bytes);
            }
        }
    }
    said
}

/// The frames that a newcomer gets from a member that knows `n` nodes.
fn record_join(n: usize) -> Vec<u8> {
    let now = Moment::from_micros(1_000_000);
    let mut collector = engine(0, false, now);
    for idx in 2..n {
        // It meets a twin of the collector that knows nobody, so that nothing but its own record has to travel.
        let (mut node, mut twin) = (engine(idx, true, now), engine(0, false, now));
        talk(&mut node, &mut twin, now, |_| {});
        let end = now + Duration::from_secs(1);
        while let Some(due) = node.next_deadline().filter(|due| *due <= end) {
            node.handle_deadline(due);
            while let Some(output) = node.poll_output() {
                if let Output::Datagram(from, bytes) = output {
                    collector.handle(Input::Datagram(from, &bytes), now);
                }
            }
        }
        while collector.poll_output().is_some() {}
    }
    let frames = talk(&mut engine(1, true, now), &mut collector, now, |_| {});
    println!("recorded: a member with {} others gives {} kB", collector.n_members(), frames.concat().len() / 1000);
    let mut out = Vec::new();
    frames.iter().for_each(|frame| put_bytes(&mut out, frame));
    out
}

/// The engine under test and the world around it.
struct World {
    engine: Engine,
    rng: SmallRng,
    n: usize,
    counters: Vec<u64>,
    open: Vec<StreamId>,
    n_sent: usize,
    n_events: usize,
}

fn child(recording: &Path, n: usize, changes: usize, seconds: usize) {
    let before = rss();
    let mut now = Moment::from_micros(1_000_000);
    let mut world = World {
        engine: engine(1, true, now),
        rng: SmallRng::seed_from_u64(1),
        n,
        counters: vec![FIRST_COUNTER; n],
        open: Vec::new(),
        n_sent: 0,
        n_events: 0,
    };
    let cpu_0 = cpu();
    world.join(&fs::read(recording).expect("the recording"), now);
    println!("joined: {} members in {:.0} ms of CPU", world.engine.n_members(), (cpu() - cpu_0) * 1000.0);
    assert_eq!(world.engine.n_members(), n - 1);
    world.run(&mut now, 120, 0, &mut []);
    println!("settled: {:.1} MB of {:.1} MB", mb(rss() - before), mb(rss()));
    let mut locals: Vec<_> = if changes > 0 { (2..102).map(local).collect() } else { Vec::new() };
    let (cpu_1, sent_1, events_1) = (cpu(), world.n_sent, world.n_events);
    world.run(&mut now, seconds, changes, &mut locals);
    let per = |number: f64| number / seconds as f64;
    println!(
        "{seconds} virtual s, {changes} changes/s: {:.3} ms of CPU per s ({:.2} % of a core), {:.1} datagrams/s, {:.1} events/s, {} members",
        per(cpu() - cpu_1) * 1000.0,
        per(cpu() - cpu_1) * 100.0,
        per((world.n_sent - sent_1) as f64),
        per((world.n_events - events_1) as f64),
        world.engine.n_members(),
    );
    let held = mb(rss() - before);
    println!("at the end: {held:.1} MB of {:.1} MB", mb(rss()));
    if changes == 0 {
        assert!(per(cpu() - cpu_1) < 0.01 && held < 30.0, "the goals are below 1 % of a core and below 30 MB");
    }
}

impl World {
    fn join(&mut self, recording: &[u8], now: Moment) {
        let mut reader = Reader::new(recording);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Resolve => self.engine.handle(Input::Seeds { addrs: vec![addr(0)], all_resolved: true }, now),
                Output::Open(stream, _) => {
                    self.engine.handle(Input::Opened(stream), now);
                    while reader.remaining() > 0 {
                        let frame = reader.bytes(recording.len()).expect("whole frames");
                        self.engine.handle(Input::Frame(stream, frame), now);
                        // As the shell does: what a frame brought goes out before the next one is taken in.
                        self.drain(now);
                    }
                }
                _ => {}
            }
        }
    }

    /// Runs for so many virtual seconds, in steps of 10 ms.
    fn run(&mut self, now: &mut Moment, seconds: usize, changes: usize, locals: &mut [LocalRecord]) {
        for step in 0..seconds * 100 {
            *now = *now + Duration::from_millis(10);
            // Everybody probes one member each half second, and sends its sum to one every five.
            if step % 50 == 0 {
                let from = self.somebody();
                self.receive(from, &[0, step as u8], &[], *now);
            }
            if changes > 0 && step % (100 / changes.min(100)) == 0 {
                self.change(locals, *now);
            }
            self.engine.handle_deadline(*now);
            self.drain(*now);
        }
    }

    fn somebody(&mut self) -> usize {
        self.rng.random_range(2..self.n)
    }

    /// A change of somebody's record, heard from six others.
    fn change(&mut self, locals: &mut [LocalRecord], now: Moment) {
        let idx = self.rng.random_range(0..locals.len());
        let old = locals[idx].record().clone();
        let value: u32 = self.rng.random();
        locals[idx].set_labels([label(&format!("status:{value}"))]);
        let Some(record) = locals[idx].commit(now) else { return };
        let item = delta(&old, &record);
        for _ in 0..6 {
            let from = self.somebody();
            self.receive(from, &[], &item, now);
        }
    }

    /// A datagram of a member: foca's message of this tag and number, and an item.
    fn receive(&mut self, from: usize, message: &[u8], item: &[u8], now: Moment) {
        let own = self.engine.identity();
        let mut foca = Vec::new();
        if !message.is_empty() {
            foca.extend(0_u16.to_le_bytes());
            put_addr(&mut foca, addr(from));
            foca.extend(0_u16.to_le_bytes());
            foca.extend(&own.id.as_bytes()[..4]);
            foca.extend((own.generation.0 as u16).to_le_bytes());
            foca.extend(own.renewal.to_le_bytes());
            foca.extend(message);
        }
        // A member sends four datagrams a second, and few of them to us.
        self.counters[from] = (self.counters[from] + 1).max(FIRST_COUNTER + 4 * now.since(Moment::ZERO).as_secs());
        let mut datagram = Keyring::new(CLUSTER, &[]).expect("no keys at all").preamble().to_vec();
        datagram.extend(id(from).as_bytes());
        datagram.extend(GENERATION.0.to_le_bytes());
        put_varint(&mut datagram, self.counters[from]);
        put_bytes(&mut datagram, &foca);
        datagram.extend(item);
        self.engine.handle(Input::Datagram(addr(from), &datagram), now);
    }

    /// Answers pings, and exchanges with "the same".
    fn drain(&mut self, now: Moment) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Datagram(to, bytes) => {
                    self.n_sent += 1;
                    if let Some(number) = ping_number(&bytes) {
                        self.receive(index(to), &[1, number], &[], now);
                    }
                }
                Output::Open(stream, to) => {
                    self.open.push(stream);
                    self.engine.handle(Input::Opened(stream), now);
                    let idx = index(to);
                    let mut same = vec![2];
                    same.extend(id(idx).as_bytes());
                    same.extend(GENERATION.0.to_le_bytes());
                    same.extend(0_u16.to_le_bytes());
                    put_addr(&mut same, to);
                    self.engine.handle(Input::Frame(stream, &same), now);
                }
                Output::Event(_) => self.n_events += 1,
                _ => {}
            }
        }
    }
}

fn delta(old: &Arc<Record>, new: &Arc<Record>) -> Vec<u8> {
    let mut body = Vec::new();
    let delta = new.delta_since(old.stamp.version).expect("the version before this one");
    assert_eq!(Origin::Node(delta.origin), old.origin);
    encode_delta(&delta, &mut body);
    let mut item = vec![1];
    put_bytes(&mut item, &body);
    item
}

fn put_addr(out: &mut Vec<u8>, addr: SocketAddr) {
    let IpAddr::V4(ip) = addr.ip() else { return };
    out.push(4);
    out.extend(ip.octets());
    out.extend(addr.port().to_le_bytes());
}

/// The number of the ping in a datagram, if there is one.
fn ping_number(datagram: &[u8]) -> Option<u8> {
    let mut reader = Reader::new(datagram.get(10 + 24..)?);
    reader.varint().ok()?;
    let foca = reader.bytes(2000).ok()?;
    // Renewal, address, incarnation, receiver; then the message.
    match foca.get(2 + 7 + 2 + 8..)? {
        [0, number, ..] => Some(*number),
        _ => None,
    }
}

fn rss() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * PAGE
}

/// Seconds of CPU so far.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

fn mb(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
