//! A gossip exchange and what it has told so far.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness},
    id::{ExchangeId, Generation, NodeId, Origin, Revision},
    label::Label,
    local::LocalRecord,
    port::{
        Announcement, CatalogReader, Gone, LinkState, PeerEvent, PeerLink,
        gossip::{Fingerprint, GossipHandle, IncomingQuery},
    },
    proof::Signer,
    record::Record,
    stats::{PacketKind, Stats, Verdict},
};
use lobby_exchange::{
    Exchange, ExchangeError,
    clock::{Clock, unix_micros},
    gossip::{Config, Gossip, Key, Profile},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Everything here happens within a second or two; this is for a machine that is busy with other things.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Agent {
    pub(crate) id: NodeId,
    pub(crate) addr: SocketAddr,
    pub(crate) handle: GossipHandle,
    pub(crate) queries: mpsc::Receiver<IncomingQuery>,
    fingerprints: watch::Receiver<Vec<Fingerprint>>,
    local: LocalRecord,
    announcement: watch::Sender<Announcement>,
    pub(crate) questions: mpsc::Sender<NodeId>,
    pub(crate) events: mpsc::Receiver<(ExchangeId, PeerEvent)>,
    pub(crate) stats: Arc<Stats>,
    stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), ExchangeError>>,
    clock: Clock,
    // What the events said so far.
    pub(crate) records: HashMap<NodeId, Arc<Record>>,
    pub(crate) alive: HashSet<NodeId>,
    pub(crate) unattended: HashSet<NodeId>,
    pub(crate) warm: bool,
    pub(crate) up: bool,
    pub(crate) n_seen: usize,
}

pub(crate) fn config(join: Vec<String>, keys: &[u8]) -> Config {
    Config {
        bind: (Ipv4Addr::LOCALHOST, 0).into(),
        advertise: None,
        join,
        keys: keys.iter().map(|byte| Key::from_bytes([*byte; 32])).collect(),
        cluster: "test".to_owned(),
        profile: Profile::Fast,
        beacon: None,
        folder: None,
    }
}

impl Agent {
    pub(crate) async fn start(number: u8, config: Config) -> Self {
        Self::run(number, Gossip::bind(config, Clock::start()).await.unwrap())
    }

    pub(crate) fn run(number: u8, mut gossip: Gossip) -> Self {
        let clock = Clock::start();
        let signer = Arc::new(Signer::new(&[number; 32], "test"));
        let id = signer.id();
        let mut local = LocalRecord::signed(signer.clone(), Generation(unix_micros()), format!("node-{number}").parse().unwrap());
        local.set_labels([format!("number:{number}").parse::<Label>().unwrap()]);
        let record = local.commit(clock.moment()).unwrap();
        let spec = ExchangeSpec { name: "gossip".into(), liveness: Liveness::Reported };
        let mut catalog = Catalog::new(Revision(1), [spec], record.clone(), true, SOON, clock.now());
        let (_, snapshots) = watch::channel(catalog.poll_snapshot().unwrap());
        let (announcement, announced) = watch::channel(Announcement::new(record, true));
        let (questions, asked) = mpsc::channel(8);
        let (sender, events) = mpsc::channel(4096);
        let stats = Arc::new(Stats::default());
        let reader = CatalogReader::new(snapshots);
        let link = PeerLink::new(ExchangeId(0), announced, asked, reader, stats.clone(), signer, sender);
        let (addr, handle, fingerprints) = (gossip.local_addr(), gossip.handle(), gossip.fingerprints());
        let queries = gossip.take_queries().expect("nobody took them before");
        let stop = CancellationToken::new();
        let task = tokio::spawn(gossip.run(link, stop.clone()));
        Self {
            id,
            addr,
            handle,
            queries,
            fingerprints,
            local,
            announcement,
            questions,
            events,
            stats,
            stop,
            task,
            clock,
            records: HashMap::new(),
            alive: HashSet::new(),
            unattended: HashSet::new(),
            warm: false,
            up: false,
            n_seen: 0,
        }
    }

    /// Takes in events until `done`.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let wait = async {
            while !done(self) {
                self.step().await;
            }
        };
        let waited = timeout(SOON, wait).await;
        assert!(waited.is_ok(), "node {} waits for: {what}; alive {:?}, received {:?}", self.id, self.alive, counts(&self.stats));
    }

    /// Takes in what comes next. As the node task does, tells in the record which keys there are.
    pub(crate) async fn step(&mut self) {
        tokio::select! {
            event = self.events.recv() => {
                let (_, event) = event.expect("the exchange runs");
                self.note(event);
            }
            Ok(()) = self.fingerprints.changed() => {
                let names = self.fingerprints.borrow_and_update().join(",");
                self.local.set_meta("gossip-keys", &names);
                self.announce();
            }
        }
    }

    pub(crate) fn note(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Link(state) => self.up = state == LinkState::Up,
            PeerEvent::Warm => self.warm = true,
            PeerEvent::Record(record) => {
                let id = record.origin.node_id().unwrap();
                self.records.insert(id, record);
            }
            PeerEvent::Seen(Origin::Node(id), _) => {
                self.alive.insert(id);
                self.unattended.remove(&id);
                self.n_seen += 1;
            }
            PeerEvent::Gone(Origin::Node(id), Gone::Unattended) => {
                self.unattended.insert(id);
            }
            PeerEvent::Gone(Origin::Node(id), Gone::Failed) => {
                self.alive.remove(&id);
            }
            _ => {}
        }
    }

    pub(crate) fn relabel(&mut self, labels: &[String]) {
        self.local.set_labels(labels.iter().map(|label| label.parse::<Label>().unwrap()));
        self.announce();
    }

    fn announce(&mut self) {
        if let Some(record) = self.local.commit(self.clock.moment()) {
            self.announcement.send_replace(Announcement::new(record, true));
        }
    }

    pub(crate) async fn leave(mut self) {
        self.local.leave();
        self.announce();
        self.stop().await;
    }

    /// Stops without a word. What is kept in the folder is written.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = timeout(SOON, self.task).await.expect("goodbye ends");
        assert!(ended.unwrap().is_ok());
    }

    pub(crate) fn has_label(&self, id: NodeId, label: &str) -> bool {
        self.records.get(&id).is_some_and(|record| record.labels().any(|other| other.as_str() == label))
    }
}

pub(crate) fn counts(stats: &Stats) -> Vec<(PacketKind, Verdict, u64)> {
    stats.received_counts().collect()
}

pub(crate) async fn three(keys: &[u8]) -> [Agent; 3] {
    let first = Agent::start(1, config(Vec::new(), keys)).await;
    let seed = vec![first.addr.to_string()];
    let second = Agent::start(2, config(seed.clone(), keys)).await;
    let third = Agent::start(3, config(seed, keys)).await;
    let mut agents = [first, second, third];
    let ids: Vec<_> = agents.iter().map(|agent| agent.id).collect();
    for agent in &mut agents {
        let others: Vec<_> = ids.iter().copied().filter(|id| *id != agent.id).collect();
        let knows = move |agent: &Agent| {
            agent.up && agent.warm && others.iter().all(|id| agent.alive.contains(id) && agent.records.contains_key(id))
        };
        agent.until("both others, alive and with their records", knows).await;
    }
    agents
}
