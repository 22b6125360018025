//! Real members on loopback: they find each other, agree on records, say goodbye, and ignore strangers.

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
    port::{Announcement, CatalogReader, Gone, LinkState, PeerEvent, PeerLink},
    record::Record,
    stats::{PacketKind, Stats, Verdict},
};
use lobby_exchange::{
    Exchange, ExchangeError,
    clock::Clock,
    gossip::{Config, Gossip, Key, Profile},
};
use tokio::{
    net::{TcpStream, UdpSocket},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Everything here happens within a second or two; this is for a machine that is busy with other things.
const SOON: Duration = Duration::from_secs(20);

struct Agent {
    id: NodeId,
    addr: SocketAddr,
    local: LocalRecord,
    announcement: watch::Sender<Announcement>,
    questions: mpsc::Sender<NodeId>,
    events: mpsc::Receiver<(ExchangeId, PeerEvent)>,
    stats: Arc<Stats>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ExchangeError>>,
    clock: Clock,
    // What the events said so far.
    records: HashMap<NodeId, Arc<Record>>,
    alive: HashSet<NodeId>,
    warm: bool,
    up: bool,
    n_seen: usize,
}

fn config(join: Vec<String>, keys: &[u8]) -> Config {
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
    async fn start(number: u8, config: Config) -> Self {
        let clock = Clock::start();
        let id = NodeId::from_bytes([number; 16]);
        let mut local = LocalRecord::new(id, Generation(1), format!("node-{number}").parse().unwrap());
        local.set_labels([format!("number:{number}").parse::<Label>().unwrap()]);
        let record = local.commit(clock.moment()).unwrap();
        let spec = ExchangeSpec { name: "gossip".into(), liveness: Liveness::Reported };
        let mut catalog = Catalog::new(Revision(1), [spec], record.clone(), true, SOON, clock.now());
        let (_, snapshots) = watch::channel(catalog.poll_snapshot().unwrap());
        let (announcement, announced) = watch::channel(Announcement { record, listed: true });
        let (questions, asked) = mpsc::channel(8);
        let (sender, events) = mpsc::channel(4096);
        let stats = Arc::new(Stats::default());
        let link = PeerLink::new(ExchangeId(0), announced, asked, CatalogReader::new(snapshots), stats.clone(), sender);
        let gossip = Gossip::bind(config, clock).await.unwrap();
        let addr = gossip.local_addr();
        let stop = CancellationToken::new();
        let task = tokio::spawn(gossip.run(link, stop.clone()));
        Self {
            id,
            addr,
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
            warm: false,
            up: false,
            n_seen: 0,
        }
    }

    /// Takes in events until `done`.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let wait = async {
            while !done(self) {
                let (_, event) = self.events.recv().await.expect("the exchange runs");
                self.note(event);
            }
        };
        let waited = timeout(SOON, wait).await;
        assert!(waited.is_ok(), "node {} waits for: {what}; alive {:?}, received {:?}", self.id, self.alive, counts(&self.stats));
    }

    fn note(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Link(state) => self.up = state == LinkState::Up,
            PeerEvent::Warm => self.warm = true,
            PeerEvent::Record(record) => {
                let id = record.origin.node_id().unwrap();
                self.records.insert(id, record);
            }
            PeerEvent::Seen(Origin::Node(id), _) => {
                self.alive.insert(id);
                self.n_seen += 1;
            }
            PeerEvent::Gone(Origin::Node(id), Gone::Failed) => {
                self.alive.remove(&id);
            }
            _ => {}
        }
    }

    fn relabel(&mut self, labels: &[String]) {
        self.local.set_labels(labels.iter().map(|label| label.parse::<Label>().unwrap()));
        let record = self.local.commit(self.clock.moment()).unwrap();
        self.announcement.send_replace(Announcement { record, listed: true });
    }

    async fn leave(mut self) {
        self.local.leave();
        let record = self.local.commit(self.clock.moment()).unwrap();
        self.announcement.send_replace(Announcement { record, listed: true });
        self.stop.cancel();
        let ended = timeout(SOON, self.task).await.expect("goodbye ends");
        assert!(ended.unwrap().is_ok());
    }

    fn has_label(&self, id: NodeId, label: &str) -> bool {
        self.records.get(&id).is_some_and(|record| record.labels().any(|other| other.as_str() == label))
    }
}

fn counts(stats: &Stats) -> Vec<(PacketKind, Verdict, u64)> {
    stats.received_counts().collect()
}

async fn three(keys: &[u8]) -> [Agent; 3] {
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

#[tokio::test]
async fn three_members_find_each_other_and_hear_changes_and_goodbyes() {
    let [mut first, mut second, third] = three(&[1]).await;
    let id = third.id;
    let mut third = third;
    third.relabel(&["colour:green".to_owned()]);
    for agent in [&mut first, &mut second] {
        agent.until("the new label", |agent| agent.has_label(id, "colour:green")).await;
    }
    third.leave().await;
    for agent in [&mut first, &mut second] {
        agent.until("goodbye", |agent| agent.records[&id].has_left()).await;
    }
}

#[tokio::test]
async fn a_large_record_comes_by_stream() {
    let [mut first, mut second, mut third] = three(&[1]).await;
    let id = first.id;
    first.relabel(&(0..400).map(|n| format!("large:{n}:{}", "x".repeat(500))).collect::<Vec<_>>());
    for agent in [&mut second, &mut third] {
        agent
            .until("the large record", |agent| agent.records.get(&id).is_some_and(|record| record.labels().count() == 400))
            .await;
    }
}

#[tokio::test]
async fn a_member_that_stops_without_a_word_is_seen_to_fail() {
    let [mut first, second, third] = three(&[]).await;
    let id = second.id;
    second.task.abort();
    first.until("the verdict", |agent| !agent.alive.contains(&id)).await;
    assert!(first.alive.contains(&third.id));
}

#[tokio::test]
async fn a_directed_question_is_answered_at_once() {
    let [mut first, second, _third] = three(&[1]).await;
    let n_seen = first.n_seen;
    first.questions.send(second.id).await.unwrap();
    first.until("an answer", |agent| agent.n_seen > n_seen).await;
}

#[tokio::test]
async fn another_key_and_another_cluster_are_counted_and_ignored() {
    let first = Agent::start(1, config(Vec::new(), &[1])).await;
    let seed = vec![first.addr.to_string()];
    let stranger = Agent::start(2, config(seed.clone(), &[2])).await;
    let foreign = Agent::start(3, Config { cluster: "other".to_owned(), ..config(seed, &[1]) }).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let counted = |kind, verdict| first.stats.received_count(kind, verdict) > 0;
    let wait = async {
        // Garbage by datagram until all of it was counted: a version from the future, another cluster, no key.
        while !(counted(PacketKind::Stream, Verdict::WrongKey)
            && counted(PacketKind::Stream, Verdict::Foreign)
            && counted(PacketKind::Datagram, Verdict::Garbage)
            && counted(PacketKind::Datagram, Verdict::Foreign))
        {
            for datagram in [&[9; 40][..], &[1; 40]] {
                socket.send_to(datagram, first.addr).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = timeout(SOON, wait).await;
    assert!(waited.is_ok(), "received {:?}", counts(&first.stats));
    for mut agent in [first, stranger, foreign] {
        while let Ok((_, event)) = agent.events.try_recv() {
            agent.note(event);
        }
        assert!(agent.alive.is_empty() && agent.records.is_empty(), "node {} met somebody", agent.id);
    }
}

#[tokio::test]
async fn streams_that_never_say_a_word_keep_nobody_out() {
    let first = Agent::start(1, config(Vec::new(), &[1])).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(first.addr).await.unwrap());
    }
    let mut second = Agent::start(2, config(vec![first.addr.to_string()], &[1])).await;
    let id = first.id;
    second.until("the first and its record", |agent| agent.warm && agent.records.contains_key(&id)).await;
    assert_eq!(first.stats.received_count(PacketKind::Stream, Verdict::Failed), 0, "only after the silent ones were given up");
    let wait = async {
        while first.stats.received_count(PacketKind::Stream, Verdict::Refused) == 0 {
            silent.push(TcpStream::connect(first.addr).await.unwrap());
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(SOON, wait).await.is_ok(), "{} streams and none is refused", silent.len());
}

#[tokio::test]
async fn a_taken_address_and_bad_keys_are_errors() {
    let taken = Gossip::bind(config(Vec::new(), &[]), Clock::start()).await.unwrap();
    let again = Config { bind: taken.local_addr(), ..config(Vec::new(), &[]) };
    assert!(matches!(Gossip::bind(again, Clock::start()).await, Err(ExchangeError::Bind { .. })));
    let twice = config(Vec::new(), &[1, 1]);
    assert!(matches!(Gossip::bind(twice, Clock::start()).await, Err(ExchangeError::Setting { .. })));
}

#[tokio::test]
async fn the_advertised_address_is_never_the_unspecified_one() {
    let anywhere = Config { bind: (Ipv4Addr::UNSPECIFIED, 0).into(), ..config(vec!["127.0.0.1".to_owned()], &[]) };
    let gossip = Gossip::bind(anywhere, Clock::start()).await.unwrap();
    assert_eq!(gossip.advertised(), SocketAddr::new(Ipv4Addr::LOCALHOST.into(), gossip.local_addr().port()));
}
