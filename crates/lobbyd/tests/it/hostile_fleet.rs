//! Ten real agents, and two members with the right key that do nothing but lie, for twenty seconds.
//!
//! The liars answer probes, so that they are members, and say by datagram whatever a liar can say. What they say by
//! stream is tried in the simulator of lobby-gossip (`tests/it/hostile`), which has the same writer of datagrams.

use std::{
    collections::BTreeMap,
    net::{TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use lobby_core::{
    id::{Generation, NodeId, Origin, Version},
    proof::Signer,
    record::{Entry, Key as Field, Phase, Record, Stamp},
};
use lobby_gossip::{Identity, Key, Keyring};
use lobby_testkit::{daemon::Daemon, eventually, expect};
use serde_json::Value;

use crate::fleet::{SOON, all_list, daemon, is_warm, throughout};

#[path = "../../../lobby-gossip/tests/it/hostile/liar.rs"]
#[expect(dead_code, reason = "the simulator needs more of it")]
mod liar;

use liar::{ACK, GOSSIP, Liar, PING, State, event, force_leave, full, hint, refusal, root};

const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

const HONEST: usize = 10;

/// How long they lie.
const LIES_FOR: Duration = Duration::from_secs(20);

/// Between two rounds of lies of one liar to everybody: three hundred datagrams a second to each of them.
const ROUND: Duration = Duration::from_millis(20);

/// How much an agent may grow meanwhile.
const MOST_GROWTH: u64 = 16 << 20;

/// Rounds of half a second in a row in which somebody honest may be listed as anything but alive or suspect.
const MOST_WRONGED: u32 = 4;

fn fleet() -> Vec<Daemon> {
    let start = |idx: usize| daemon(&format!("n{idx}")).env("GOSSIP_KEY", KEY).env("LABELS", format!("name:n{idx}"));
    let mut fleet = vec![start(0).start()];
    for idx in 1..HONEST {
        let join = fleet[0].gossip();
        fleet.push(start(idx).env("GOSSIP_JOIN", join).start());
    }
    fleet
}

/// What an agent says of each honest node: id, generation, version and labels; and its state.
fn told(agent: &Daemon) -> BTreeMap<String, (Value, String)> {
    let nodes = agent.get("/v1/nodes").json();
    let told = |node: &Value| {
        let fields = ["id", "generation", "version", "labels", "signed"].map(|field| node[field].clone());
        (node["name"].as_str().unwrap_or_default().to_owned(), (fields.into(), node["state"].as_str().unwrap_or("").to_owned()))
    };
    nodes.as_array().into_iter().flatten().map(told).filter(|(name, _)| name.starts_with('n')).collect()
}

/// Where an agent is as a member, from its own words.
fn identity(agent: &Daemon) -> Identity {
    let nodes = agent.get("/v1/nodes").json();
    let own = nodes.as_array().into_iter().flatten().find(|node| node["name"] == agent.node().as_str()).expect("it knows itself");
    Identity {
        id: own["id"].as_str().and_then(|id| id.parse().ok()).expect("it has an id"),
        generation: Generation(own["generation"].as_u64().expect("it has a generation")),
        renewal: 0,
        addr: agent.gossip(),
    }
}

/// One liar: a thread with a socket.
struct Voice {
    socket: UdpSocket,
    mouth: Liar,
    signer: Signer,
    targets: BTreeMap<NodeId, Identity>,
    round: u64,
}

impl Voice {
    fn new(seed: u8, targets: &[Identity]) -> (Self, TcpListener) {
        // Streams to it are accepted by the system, and never answered.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let socket = UdpSocket::bind(addr).expect("the same port");
        socket.set_read_timeout(Some(ROUND)).expect("a timeout can be set");
        let signer = Signer::new(&[seed; 32], "lobby");
        let own = Identity { id: signer.id(), generation: Generation(1_790_000_000_000_000), renewal: 0, addr };
        let keyring = Keyring::new("lobby", &[KEY.parse::<Key>().expect("a key")]).expect("one key");
        let targets = targets.iter().map(|target| (target.id, *target)).collect();
        (Self { socket, mouth: Liar::new(keyring, own, 0), signer, targets, round: 0 }, listener)
    }

    fn say(&mut self, to: Identity, foca: &[u8], items: &[Vec<u8>]) {
        let _ = self.socket.send_to(&self.mouth.datagram(foca, items), to.addr);
    }

    /// Answers probes, and learns who is who by now.
    fn listen(&mut self) {
        let mut buffer = [0; 2048];
        // One that is probed often hears more than it says.
        for _ in 0..100 {
            let Ok((n_bytes, _)) = self.socket.recv_from(&mut buffer) else { return };
            let Some(heard) = self.mouth.hear(&buffer[..n_bytes]) else { continue };
            if let Some(target) = self.targets.get_mut(&heard.from.id) {
                *target = heard.from;
            }
            if heard.kind == PING {
                let answer = self.mouth.foca(&[ACK, heard.number], heard.from, &[]);
                self.say(heard.from, &answer, &[]);
            }
        }
    }

    /// Something else of this victim than it says of itself.
    fn forged(&self, victim: Identity) -> Record {
        let phase = [Phase::Running, Phase::Left, Phase::Restarting][self.round as usize % 3];
        let jump = if self.round.is_multiple_of(7) { u64::MAX / 2 } else { 1000 + self.round };
        let stamp = Stamp { generation: victim.generation, version: Version(jump) };
        let label =
            (Field::Label("forged:1".parse().expect("a label")), Entry { version: stamp.version, value: Some([].into()) });
        let (origin, name) = (Origin::Node(victim.id), "n0".parse().expect("a name"));
        let record = Record::from_parts(origin, name, stamp, stamp.version, phase, [label]).expect("it keeps the rules");
        if self.round.is_multiple_of(2) { self.signer.sign(record) } else { record }
    }

    fn lie(&mut self) {
        self.round += 1;
        let targets: Vec<_> = self.targets.values().copied().collect();
        for (idx, to) in targets.iter().copied().enumerate() {
            let at = (idx + self.round as usize) % targets.len();
            let (victim, witness) = (targets[at], targets[(at + 1) % targets.len()].id);
            let (number, own) = (self.round << 8 | idx as u64, self.mouth.own.id);
            let record = self.forged(victim);
            self.say(to, &[], &[full(&record), hint(victim, 5000 + self.round), root(number)]);
            let doubts =
                [0, 1, 2].map(|more| (Identity { renewal: victim.renewal.saturating_add(more), ..victim }, 0, State::Down));
            let rumours = [doubts[0], doubts[1], doubts[2], (victim, 0, State::Suspect)];
            let foca = self.mouth.foca(&[GOSSIP], to, &rumours);
            self.say(to, &foca, &[]);
            let flags = (self.round % 8) as u8;
            self.say(to, &[], &[refusal(victim, own, number), refusal(victim, witness, !number), force_leave(victim, flags)]);
            let ltime = if self.round.is_multiple_of(5) { u64::MAX - 1 } else { 1 + self.round };
            let origin = if self.round.is_multiple_of(2) { own } else { victim.id };
            self.say(to, &[], &[event(u128::from(number) << 64 | u128::from(own.as_bytes()[0]), origin, ltime)]);
        }
    }

    fn run(mut self, stop: Arc<AtomicBool>) -> JoinHandle<()> {
        std::thread::spawn(move || {
            while !stop.load(Relaxed) {
                self.lie();
                self.listen();
            }
        })
    }
}

#[test]
fn two_liars_among_ten_agents_change_nothing_and_are_named() {
    let fleet = fleet();
    let names: Vec<_> = (0..HONEST).map(|idx| format!("n{idx}")).collect();
    all_list(&fleet, &names.iter().map(String::as_str).collect::<Vec<_>>());
    fleet.iter().for_each(is_warm);
    let truth: BTreeMap<_, _> =
        fleet.iter().flat_map(|agent| told(agent).remove(&agent.node()).map(|own| (agent.node(), own))).collect();
    let is_true = |agent: &Daemon| {
        let told = told(agent);
        expect(told == truth, (told, truth.clone()))
    };
    fleet.iter().for_each(|agent| eventually(SOON, || is_true(agent)));

    let targets: Vec<_> = fleet.iter().map(identity).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let voices = [71, 72].map(|seed| Voice::new(seed, &targets));
    let liars = voices.each_ref().map(|(voice, _)| voice.mouth.own.id.to_string());
    let threads = voices.map(|(voice, listener)| (voice.run(stop.clone()), listener));

    let before: Vec<_> = fleet.iter().map(|agent| agent.process.memory()).collect();
    let mut wronged: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut n_wrongs = 0;
    throughout(LIES_FOR, || {
        for agent in &fleet {
            let told = told(agent);
            for (name, (fields, _)) in &truth {
                let said = told.get(name);
                assert!(said.is_none_or(|(said, _)| said == fields), "{} believes {said:?} of {name}", agent.node());
                let rounds = wronged.entry((agent.node(), name.clone())).or_default();
                let is_right = said.is_some_and(|(_, state)| state == "alive" || state == "suspect");
                *rounds = if is_right { 0 } else { *rounds + 1 };
                n_wrongs += u32::from(!is_right);
                assert!(*rounds <= MOST_WRONGED, "{} has {name} as {said:?}\n{}", agent.node(), agent.process.log());
            }
        }
    });
    stop.store(true, Relaxed);
    println!("{n_wrongs} wrongs");
    for (thread, _) in threads {
        thread.join().expect("a liar does not panic");
    }

    fleet.iter().for_each(|agent| eventually(SOON, || is_true(agent)));
    for (agent, before) in fleet.iter().zip(before) {
        let growth = agent.process.memory().saturating_sub(before);
        assert!(growth <= MOST_GROWTH, "{} grew by {growth} bytes", agent.node());
        let text = agent.get("/metrics").text();
        for family in ["lobby_forged_records_total", "lobby_refused_posts_total"] {
            let lines = text.lines().filter(|line| line.starts_with(&format!("{family}{{")));
            let mut named: Vec<_> =
                lines.filter_map(|line| line.split_once("from=\"")?.1.split_once('"')).map(|(id, _)| id).collect();
            named.sort_unstable();
            assert!(liars.iter().all(|liar| named.contains(&liar.as_str())), "{family} of {}: {named:?}", agent.node());
            assert_eq!(named.len(), liars.len(), "{family} of {} names somebody honest: {named:?}", agent.node());
        }
    }
}
