//! A made-up fleet, the app that serves it, and requests without a socket.

use std::{
    collections::BTreeMap,
    io::Read,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use bytes::Bytes;
use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness, NodeOffers, Snapshot},
    external::{self, Change},
    id::{ExchangeId, Generation, NodeId, Origin, Revision, Version},
    label::Label,
    local::LocalRecord,
    name::Name,
    port::{
        CatalogReader, Command, Commands, Gone, LinkState, PeerEvent,
        external::{Batch, ExternalError, ExternalHandle, Write},
        gossip::GossipHandle,
        log::Log,
    },
    record::{Entry, Key, Record, Stamp, meta},
    stats::{AgentStats, Stats, TemplateCounts},
    time::{Moment, Now, WallSecond},
};
use lobby_http::{App, Caller, Config, Door, Handles, router};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use crate::registry::Registry;

pub(crate) const GOSSIP: ExchangeId = ExchangeId(0);
pub(crate) const NATS: ExchangeId = ExchangeId(1);

/// The time at which everything is asked.
pub(crate) const NOW: Now = Now { moment: Moment::from_micros(100_000_000), wall: WallSecond(1_630_612_478) };

/// A catalog in the making.
pub(crate) struct Fleet {
    catalog: Catalog,
    own: LocalRecord,
    /// Nodes whose records tests write.
    written: BTreeMap<u8, LocalRecord>,
}

/// The app over a fleet.
pub(crate) struct Served {
    pub(crate) app: App,
    /// What the app reaches.
    pub(crate) handles: Handles,
    pub(crate) router: Router,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(crate) commands: Arc<Mutex<Vec<String>>>,
    pub(crate) clock: Arc<Mutex<Now>>,
    pub(crate) nats_stats: Arc<Stats>,
    pub(crate) agent: Arc<AgentStats>,
    pub(crate) registry: Registry,
    pub(crate) log: Log,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

fn labels(texts: &[&str]) -> Vec<Label> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn record(origin: Origin, name: &str, texts: &[&str]) -> Arc<Record> {
    let numbered = origin.node_id().is_some();
    let stamp = Stamp { generation: Generation(7 * u64::from(numbered)), version: Version(3 * u64::from(numbered)) };
    let entry = |value: &str| Entry { version: stamp.version, value: Some(value.as_bytes().into()) };
    let mut entries: Vec<_> = labels(texts).into_iter().map(|label| (Key::Label(label), entry(""))).collect();
    if numbered {
        entries.push((Key::meta(meta::ADDRESSES), entry("10.0.0.7,2a03::7")));
        entries.push((Key::meta(meta::VERSION), entry("0.1.0")));
        entries.push((Key::meta(meta::DATACENTER), entry("dc1")));
    }
    Arc::new(
        Record::from_parts(origin, name.parse().unwrap(), stamp, Version(0), lobby_core::record::Phase::Running, entries)
            .unwrap(),
    )
}

impl Fleet {
    /// Only ourselves, `here`, with both links connecting and not warm.
    pub(crate) fn cold(own_labels: &[&str], listed: bool) -> Self {
        let name: Name = "here.example.com".parse().unwrap();
        let mut own = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(5), name);
        own.set_labels(labels(own_labels));
        own.commit(NOW.moment);
        let spec = |name: &str, liveness| ExchangeSpec { name: name.into(), liveness };
        let exchanges = [spec("gossip", Liveness::Reported), spec("nats", Liveness::Ttl(Duration::from_secs(30)))];
        let start = Now { moment: NOW.moment - Duration::from_secs(20), wall: WallSecond(NOW.wall.0 - 20) };
        let catalog = Catalog::new(Revision(100), exchanges, own.record().clone(), listed, Duration::from_secs(60), start);
        Self { catalog, own, written: BTreeMap::new() }
    }

    /// With other labels of our own.
    pub(crate) fn relabelled(mut self, own_labels: &[&str]) -> Self {
        self.own.set_labels(labels(own_labels));
        self.catalog.set_local(self.own.commit(NOW.moment).unwrap());
        self
    }

    /// In this data centre.
    pub(crate) fn located(mut self, datacenter: &str) -> Self {
        self.own.set_meta(meta::DATACENTER, datacenter);
        self.catalog.set_local(self.own.commit(NOW.moment).unwrap());
        self
    }

    /// The same with both links up and warm.
    pub(crate) fn new(own_labels: &[&str]) -> Self {
        Self::cold(own_labels, true).warmed()
    }

    pub(crate) fn warmed(self) -> Self {
        self.event(GOSSIP, PeerEvent::Link(LinkState::Up))
            .event(NATS, PeerEvent::Link(LinkState::Up))
            .event(GOSSIP, PeerEvent::Warm)
            .event(NATS, PeerEvent::Warm)
    }

    pub(crate) fn event(mut self, exchange: ExchangeId, event: PeerEvent) -> Self {
        self.catalog.apply(exchange, event, NOW);
        self
    }

    /// A live node that gossip knows.
    pub(crate) fn node(self, id: u8, name: &str, texts: &[&str]) -> Self {
        self.of_id(NodeId::from_bytes([id; 16]), name, texts)
    }

    /// The same with an id that is not one byte again and again.
    pub(crate) fn of_id(self, id: NodeId, name: &str, texts: &[&str]) -> Self {
        let origin = Origin::Node(id);
        self.event(GOSSIP, PeerEvent::Record(record(origin.clone(), name, texts)))
            .event(GOSSIP, PeerEvent::Seen(origin, Duration::ZERO))
    }

    /// A live node whose record the test writes: the next version of it, if there is one already.
    pub(crate) fn written(mut self, id: u8, name: &str, write: impl FnOnce(&mut LocalRecord)) -> Self {
        let node = NodeId::from_bytes([id; 16]);
        let anew = || LocalRecord::new(node, Generation(7), name.parse().unwrap());
        let local = self.written.entry(id).or_insert_with(anew);
        write(local);
        local.commit(NOW.moment);
        let record = local.record().clone();
        self.event(GOSSIP, PeerEvent::Record(record)).event(GOSSIP, PeerEvent::Seen(Origin::Node(node), Duration::ZERO))
    }

    /// A Go daemon on NATS, heard of three seconds ago.
    pub(crate) fn bare(self, name: &str, texts: &[&str]) -> Self {
        let origin = Origin::Bare(NATS, name.parse().unwrap());
        self.event(NATS, PeerEvent::Record(record(origin.clone(), name, texts)))
            .event(NATS, PeerEvent::Seen(origin, Duration::from_secs(3)))
    }

    pub(crate) fn failed(self, id: u8) -> Self {
        self.event(GOSSIP, PeerEvent::Gone(Origin::Node(NodeId::from_bytes([id; 16])), Gone::Failed))
    }

    /// After this time without any news.
    pub(crate) fn after(mut self, time: Duration) -> Self {
        self.catalog.handle_deadline(Now { moment: NOW.moment + time, wall: NOW.wall });
        self
    }

    /// After our last record, the one that says goodbye or that we are back in a moment.
    pub(crate) fn ended(mut self, restarts: bool) -> Self {
        match restarts {
            true => self.own.restart(),
            false => self.own.leave(),
        }
        self.catalog.set_local(self.own.commit(NOW.moment).unwrap());
        self
    }

    pub(crate) fn snapshot(&mut self) -> Arc<Snapshot> {
        self.catalog.poll_snapshot().unwrap()
    }

    /// A snapshot if anything has changed since the last one.
    pub(crate) fn poll(&mut self) -> Option<Arc<Snapshot>> {
        self.catalog.poll_snapshot()
    }

    /// The app of an agent that does not gossip.
    pub(crate) fn serve(self, config: Config) -> Served {
        self.serve_gossip(config, GossipHandle::none())
    }

    pub(crate) fn serve_gossip(mut self, config: Config, gossip: GossipHandle) -> Served {
        let (snapshots, receiver) = watch::channel(self.snapshot());
        let (sender, mut asked) = mpsc::channel(8);
        let commands = Arc::new(Mutex::new(Vec::new()));
        let (notes, clock) = (commands.clone(), Arc::new(Mutex::new(NOW)));
        // Ends when the app, and with it the sender, is gone.
        tokio::spawn(async move {
            while let Some(command) = asked.recv().await {
                let (text, answer) = match command {
                    Command::AddLabels(labels, answer) => (format!("add {labels:?}"), answer),
                    Command::RemoveLabels(labels, answer) => (format!("remove {labels:?}"), answer),
                    Command::Reload(answer) => ("reload".to_owned(), answer),
                    Command::Leave(answer) => ("leave".to_owned(), answer),
                };
                notes.lock().unwrap().push(text);
                let _ = answer.send(Ok(()));
            }
        });
        let nats_stats = Arc::new(Stats::default());
        let (now, agent) = (clock.clone(), Arc::new(AgentStats::default()));
        let registry = Registry::start();
        let externals = write_externals(self.catalog, snapshots.clone());
        let log = Log::new(|| {});
        let handles = Handles {
            registry: registry.handle.clone(),
            externals,
            reader: CatalogReader::new(receiver),
            commands: Commands::new(sender),
            gossip,
            agent: agent.clone(),
            exchanges: vec![("gossip".into(), Arc::default()), ("nats".into(), nats_stats.clone())],
            dns: None,
            templates: Some(Arc::new(|| TemplateCounts { templates: 3, writes: 2, ..TemplateCounts::default() })),
            proxy: Some(Arc::new(crate::proxy::status)),
            proxy_counts: Some(Arc::new(crate::proxy::counts)),
            log: Some(log.clone()),
            clock: Arc::new(move || *now.lock().unwrap()),
        };
        let app = App::new(config, handles.clone());
        Served { router: router(app.clone()), app, handles, snapshots, commands, clock, nats_stats, agent, registry, log }
    }
}

/// Writes nodes without an agent as an agent does, but to no disk; one that is named `stuck` is never answered.
fn write_externals(mut catalog: Catalog, snapshots: watch::Sender<Arc<Snapshot>>) -> ExternalHandle {
    let (sender, mut batches) = mpsc::channel::<Batch>(8);
    // Ends when the app, and with it the sender, is gone.
    tokio::spawn(async move {
        let mut stuck = Vec::new();
        while let Some(Batch { writes, answer }) = batches.recv().await {
            if writes.iter().any(|write| write.name.as_str() == "stuck") {
                stuck.push(answer);
                continue;
            }
            let (mut result, mut made) = (Ok(()), Vec::new());
            for Write { name, changes, seen } in writes {
                let adds = |change: &Change| matches!(change, Change::Node(_) | Change::Instance(_) | Change::Check(_));
                let is_agent = |offers: &Arc<NodeOffers>| offers.node.external.is_none() && !offers.node.failed;
                if changes.iter().any(adds) && snapshots.borrow().offers_by_name(name.as_str()).any(is_agent) {
                    result = Err(ExternalError::HasAgent(name));
                    break;
                }
                let old = catalog.externals().get(&NodeId::external(&name)).cloned();
                if seen.is_some_and(|seen| seen != old.as_ref().map(|old| old.stamp)) {
                    result = Err(ExternalError::Changed(name));
                    break;
                }
                let writer = NodeId::from_bytes([1; 16]);
                let now = NOW.wall.0 * 1_000_000;
                match external::next(old.as_deref(), &name, writer, now, &changes) {
                    Ok(record) => made.extend(record),
                    Err(source) => result = Err(ExternalError::Set { name, source }),
                }
            }
            if result.is_ok() {
                catalog.put_externals(made.into_iter().map(Arc::new).collect(), NOW);
            }
            if let Some(snapshot) = catalog.poll_snapshot() {
                snapshots.send_replace(snapshot);
            }
            let _ = answer.send(result);
        }
    });
    ExternalHandle::new(sender)
}

/// A configuration as a loopback agent has it.
pub(crate) fn config() -> Config {
    Config {
        operator_loopback: true,
        node_exporter_port: 9100,
        version: "0.1.0".to_owned(),
        cluster: "lobby".to_owned(),
        ..Config::default()
    }
}

/// A caller on a loopback listener.
pub(crate) fn local() -> Caller {
    from("127.0.0.1:50000", true)
}

pub(crate) fn from(peer: &str, loopback_only: bool) -> Caller {
    let peer: SocketAddr = peer.parse().unwrap();
    Caller { door: Door::Tcp { peer, loopback_only }, crowded: false }
}

impl Served {
    pub(crate) async fn send(&self, caller: Caller, request: Request<Body>) -> Answer {
        let mut request = request;
        request.extensions_mut().insert(caller);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, bytes: to_bytes(body, usize::MAX).await.unwrap() }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header(header::HOST, "127.0.0.1:1313");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(local(), request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.ask("PUT", path, &[], body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|err| panic!("{err}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    /// The body of a compressed answer.
    pub(crate) fn unpacked(&self) -> Vec<u8> {
        assert_eq!((self.header("content-encoding"), self.header("vary")), ("gzip", "accept-encoding"));
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&*self.bytes).read_to_end(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
