//! A node for tests: a real catalog and the smallest task that connects it with one exchange.
//!
//! The node task of the crate `lobby` does the same for several exchanges; this crate cannot use it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness, Outcome, Snapshot},
    check::view::CheckView,
    id::{ExchangeId, Generation, NodeId, Revision},
    instance::Instance,
    label::Label,
    local::LocalRecord,
    port::{Announcement, CatalogReader, EVENTS, LinkState, PeerLink, QUESTIONS},
    proof::Signer,
    record::Record,
    stats::Stats,
    time::Moment,
};
use lobby_exchange::{Exchange, clock::Clock};
use lobby_testkit::{eventually_async, expect};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How long anything may take that should happen at once, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How long a node that restarts, or whose agent is proved dead, stays listed: many times what a restart takes here.
const GRACE: Duration = Duration::from_secs(5);

/// The cluster of every exchange in this suite.
pub(crate) const CLUSTER: &str = "lobby";

pub(crate) const EXCHANGE: ExchangeId = ExchangeId(0);

pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// Signs its records.
    pub(crate) secret: [u8; 32],
    pub(crate) stats: Arc<Stats>,
    pub(crate) questions: mpsc::Sender<NodeId>,
    conflicts: Arc<AtomicU64>,
    local: LocalRecord,
    listed: bool,
    announcement: watch::Sender<Announcement>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stop: CancellationToken,
    exchange: JoinHandle<()>,
    pump: JoinHandle<()>,
}

impl Node {
    /// A listed node with the labels `of:NAME`.
    pub(crate) fn start(exchange: impl Exchange, liveness: Liveness, name: &str) -> Self {
        Self::start_as(exchange, liveness, name, random_secret(), true)
    }

    pub(crate) fn start_as(exchange: impl Exchange, liveness: Liveness, name: &str, secret: [u8; 32], listed: bool) -> Self {
        let clock = Clock::start();
        let signer = Arc::new(Signer::new(&secret, CLUSTER));
        let id = signer.id();
        let generation = Generation(lobby_exchange::clock::unix_micros());
        let mut local = LocalRecord::signed(signer.clone(), generation, name.parse().unwrap());
        local.set_labels([format!("of:{name}").parse().unwrap()]);
        local.commit(Moment::ZERO);
        let spec = ExchangeSpec { name: "test".into(), liveness };
        let warm_max = Duration::from_secs(60);
        let catalog = Catalog::new(Revision(0), [spec], local.record().clone(), listed, warm_max, clock.now());
        let mut catalog = catalog.with_grace(GRACE);

        let (announcement, announced) = watch::channel(Announcement::new(local.record().clone(), listed));
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let (events, heard) = mpsc::channel(EVENTS);
        let (publish, snapshots) = watch::channel(catalog.poll_snapshot().expect("a new catalog has a snapshot"));
        let (stats, stop) = (Arc::new(Stats::default()), CancellationToken::new());
        let reader = CatalogReader::new(snapshots.clone());
        let link = PeerLink::new(EXCHANGE, announced.clone(), asked, reader, stats.clone(), signer, events);
        let stopped = stop.clone();
        let exchange = tokio::spawn(async move { exchange.run(link, stopped).await.unwrap() });
        let conflicts = Arc::new(AtomicU64::new(0));
        let pump = tokio::spawn(pump(catalog, heard, announced, publish, clock, conflicts.clone()));
        Self { id, secret, stats, questions, conflicts, local, listed, announcement, snapshots, stop, exchange, pump }
    }

    /// What it says of itself.
    pub(crate) fn record(&self) -> Arc<Record> {
        self.local.record().clone()
    }

    /// How often an exchange told it of its own id, as the agent counts it.
    pub(crate) fn conflicts(&self) -> u64 {
        self.conflicts.load(Ordering::Relaxed)
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Listed host names with their labels.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let labels = |labels: &[Label]| labels.iter().map(Label::as_str).collect::<Vec<_>>().join(",");
        snapshot.hosts.iter().map(|(name, host)| format!("{name} {}", labels(&host.labels))).collect()
    }

    /// Listed host names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.snapshot().hosts.keys().map(ToString::to_string).collect()
    }

    /// Waits until exactly these names are listed.
    pub(crate) async fn sees(&self, names: &[&str]) {
        eventually_async(SOON, || async { expect(self.names() == names, (names.to_vec(), self.names())) }).await;
    }

    pub(crate) async fn is_warm(&self) {
        eventually_async(SOON, || async { expect(self.snapshot().warm, self.snapshot()) }).await;
    }

    pub(crate) async fn is_up(&self, up: bool) {
        let state = || self.snapshot().links[0].state.clone();
        eventually_async(SOON, || async { expect((state() == LinkState::Up) == up, state()) }).await;
    }

    pub(crate) fn set_labels(&mut self, labels: impl IntoIterator<Item = String>) {
        self.local.set_labels(labels.into_iter().map(|label| label.parse().unwrap()));
        self.announce();
    }

    /// Registers an instance with one check, as a program does. Returns the record with it.
    pub(crate) fn register(&mut self, instance: &Instance) -> Arc<Record> {
        let check = CheckView::new(format!("service:{}", instance.id).parse().unwrap(), "a check", Some(instance.id.clone()));
        self.local.set_instance(instance).unwrap();
        self.local.set_check(&check).unwrap();
        self.announce();
        self.local.record().clone()
    }

    pub(crate) fn rename(&mut self, name: &str) {
        self.local.set_name(name.parse().unwrap());
        self.announce();
    }

    fn announce(&mut self) {
        if let Some(record) = self.local.commit(Moment::ZERO) {
            self.announcement.send_replace(Announcement::new(record, self.listed));
        }
    }

    /// Leaves as an agent does at SIGTERM. Ends within a second.
    pub(crate) async fn leave(mut self) {
        self.local.leave();
        self.announce();
        self.stop().await;
    }

    /// Says that it will be back, as an agent does at SIGUSR2. Ends within a second.
    pub(crate) async fn restart(mut self) {
        self.local.restart();
        self.announce();
        self.stop().await;
    }

    /// Stops without a word.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(2), &mut self.exchange).await;
        ended.expect("an exchange stops in time").unwrap();
    }

    /// Dies as at `kill -9`: dropping does the rest.
    pub(crate) fn crash(self) {}
}

impl Drop for Node {
    fn drop(&mut self) {
        self.exchange.abort();
        self.pump.abort();
    }
}

async fn pump(
    mut catalog: Catalog,
    mut heard: mpsc::Receiver<(ExchangeId, lobby_core::port::PeerEvent)>,
    mut announced: watch::Receiver<Announcement>,
    publish: watch::Sender<Arc<Snapshot>>,
    clock: Clock,
    conflicts: Arc<AtomicU64>,
) {
    loop {
        let deadline = clock.instant(catalog.next_deadline().unwrap_or(Moment::from_micros(u64::MAX >> 20)));
        tokio::select! {
            event = heard.recv() => {
                let Some((exchange, event)) = event else { return };
                if catalog.apply(exchange, event, clock.now()) == Outcome::Ours {
                    conflicts.fetch_add(1, Ordering::Relaxed);
                }
            }
            changed = announced.changed() => {
                if changed.is_err() {
                    return;
                }
                catalog.set_local(announced.borrow_and_update().record.clone());
            }
            () = tokio::time::sleep_until(deadline) => catalog.handle_deadline(clock.now()),
        }
        if let Some(snapshot) = catalog.poll_snapshot() {
            publish.send_replace(snapshot);
        }
    }
}

pub(crate) fn random_secret() -> [u8; 32] {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).unwrap();
    secret
}

/// Collects every list of names that a node shows, to prove that nothing flapped meanwhile.
pub(crate) struct Watched {
    seen: JoinHandle<()>,
    states: Arc<std::sync::Mutex<Vec<Vec<String>>>>,
}

impl Watched {
    pub(crate) fn new(node: &Node) -> Self {
        let mut snapshots = node.snapshots.clone();
        let states = Arc::new(std::sync::Mutex::new(vec![node.names()]));
        let keep = states.clone();
        let seen = tokio::spawn(async move {
            loop {
                let names = snapshots.borrow_and_update().hosts.keys().map(ToString::to_string).collect::<Vec<_>>();
                note(&keep, names);
                if snapshots.changed().await.is_err() {
                    return;
                }
            }
        });
        Self { seen, states }
    }

    /// The different lists so far, oldest first.
    pub(crate) fn states(&self) -> Vec<Vec<String>> {
        self.states.lock().unwrap().clone()
    }
}

fn note(states: &std::sync::Mutex<Vec<Vec<String>>>, names: Vec<String>) {
    let mut states = states.lock().unwrap();
    if states.last() != Some(&names) {
        states.push(names);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.seen.abort();
    }
}
