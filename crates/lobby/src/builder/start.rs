//! The start of an agent: every part is made, given its channels, and set going.
//!
//! Order: what can fail without a trace (names, addresses), the data folder, sockets, then tasks. Nothing is announced
//! before every label source and what was registered before has been read.

use std::sync::Arc;

use lobby_core::{
    catalog::Catalog,
    label::Label,
    local::LocalRecord,
    port::{Announcement, CatalogReader, EVENTS, gossip::IncomingQuery},
    record::{Record, meta},
    stats::AgentStats,
};
use lobby_exchange::clock::Clock;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Builder, StartError, feed::Feed};
use crate::{
    agent::{Lobby, Stops},
    external, handler, membership,
    node::{Node, UPDATES},
    pulse::Pulse,
    registry, seeds,
    source::{
        address, blocking, hostname,
        labels::{Labels, LabelsConfig},
    },
    store::{self, Store},
    tasks::Tasks,
    way,
};

/// What can fail and did not.
struct Parts {
    store: Store,
    ways: Vec<way::Ready>,
    local: LocalRecord,
    feed: Feed,
    stats: Arc<AgentStats>,
}

impl Builder {
    /// Starts the agent. Every label source is read before anything is announced. Seeds that do not answer are no error.
    ///
    /// # Errors
    /// When the host name, a tag, the data folder, an address or a broker's settings cannot be used, or when gossip would
    /// be open to everybody.
    pub async fn start(mut self) -> Result<Lobby, StartError> {
        #[cfg(feature = "gossip")]
        self.check_gossip()?;
        let (clock, seeds) = (Clock::start(), way::seeds(&self.ways));
        let Parts { store, ways, local, feed, stats } = self.make_parts(clock).await?;
        let mut catalog = self.catalog(local.record().clone(), &store, &ways, &feed.externals, clock).await;
        let first = catalog.poll_snapshot().expect("a new catalog has something to show");

        let kept = catalog.externals().clone();
        let announced = Announcement { externals: kept, ..Announcement::new(local.record().clone(), self.listed) };
        let (announcement, announced) = watch::channel(announced);
        let (snapshots, seen) = watch::channel(first);
        let (events_in, events) = mpsc::channel(EVENTS);
        let (updates_in, updates) = mpsc::channel(UPDATES);
        let pulse = Pulse::new(updates_in.clone());
        let reader = CatalogReader::new(seen);
        let stops = Stops::default();
        let running = way::spawn(ways, &announced, &reader, &feed.signer, &events_in, &stops.exchanges);
        let task = Node {
            clock,
            local,
            listed: self.listed,
            catalog,
            deadline: None,
            events,
            updates,
            announcement,
            stops: stops.clone(),
            snapshots,
            questions: running.questions,
            stats: stats.clone(),
        };
        let (mut node, mut sources) = (Tasks::default(), Tasks::default());
        node.spawn_sure("node", task.run());
        let fed = feed.spawn(running.keys, &mut sources, updates_in, &reader, &stops);
        seeds::follow(&mut sources, seeds, &running.infos, &reader, &stops.sources);
        let slots = Arc::new(Semaphore::new(self.handler_concurrency));
        let log = running.gossip.watch_events();
        let context = handler::Context { reader: reader.clone(), log, clock, stats: stats.clone(), slots };
        self.spawn_outputs(&mut sources, &context, running.queries, &store, &stops.sources);
        Ok(Lobby {
            clock,
            store,
            reader,
            commands: fed.commands,
            gossip: running.gossip,
            registry: fed.registry,
            counters: fed.counters,
            externals: fed.externals,
            stats,
            exchange_infos: running.infos,
            stops,
            pulse,
            node,
            exchanges: running.tasks,
            sources,
            next_id: None,
            _events: events_in,
            _inputs: fed.inputs,
        })
    }

    /// Reads and binds everything that can fail.
    async fn make_parts(&mut self, clock: Clock) -> Result<Parts, StartError> {
        let labels = self.take_labels()?;
        let follow_hostname = self.name.is_none();
        let name = match self.name.take() {
            Some(name) => name,
            None => hostname::current().map_err(StartError::Hostname)?,
        };
        let store = self.store.take().unwrap_or_else(Store::temporary);
        let stats = Arc::new(AgentStats::default());
        let labels = Labels::load(labels, store.folder(), stats.clone());
        let cluster = way::cluster(&self.ways)?;
        let ways = way::bind(std::mem::take(&mut self.ways), store.folder(), clock).await?;
        let signer = Arc::new(store.signer(&cluster));
        let mut local = LocalRecord::signed(signer.clone(), store.generation, name.clone());
        let mut registry = registry::Start::open(&store, self.scripts, clock).await?;
        let services = self.services.take();
        let definitions = match services.clone() {
            Some(folder) => blocking(move || registry::files::load(&folder)).await,
            None => registry::Definitions::default(),
        };
        registry.define(&definitions, local.record());
        registry.fill(&mut local);
        local.set_labels(labels.counted());
        local.set_meta(meta::VERSION, &self.version);
        local.set_meta(meta::DATACENTER, &self.datacenter);
        local.set_meta(meta::ADDRESSES, &addresses(&ways));
        local.commit(clock.moment());
        let externals = external::Disk::open(&store).await?;
        let hostname = follow_hostname.then_some(name);
        let feed = Feed { labels, registry, services, externals, signer, hostname };
        Ok(Parts { store, ways, local, feed, stats })
    }

    /// All label sources, the tags among them.
    fn take_labels(&mut self) -> Result<LabelsConfig, StartError> {
        let mut labels = std::mem::take(&mut self.labels);
        for tag in std::mem::take(&mut self.tags) {
            labels.fixed.push(tag.parse::<Label>().map_err(|source| StartError::Tag { tag, source })?);
        }
        Ok(labels)
    }

    /// The catalog with the nodes that an earlier process knew.
    async fn catalog(
        &self,
        own: Arc<Record>,
        store: &Store,
        ways: &[way::Ready],
        externals: &external::Disk,
        clock: Clock,
    ) -> Catalog {
        let specs = ways.iter().map(|way| way.spec(self.ttl));
        let catalog = Catalog::new(store.first_revision, specs, own, self.listed, self.warm_max, clock.now());
        let mut catalog = catalog.with_grace(self.grace).with_hold(self.hold);
        if let Some(path) = store.catalog_path() {
            catalog.restore(store::catalog::load(path, clock.now()).await, clock.now());
        }
        for record in &externals.records {
            catalog.put_external(record.clone(), clock.now());
        }
        catalog
    }

    /// Starts everything that acts on the catalog inside this process, each as a task of its own.
    fn spawn_outputs(
        self,
        tasks: &mut Tasks,
        context: &handler::Context,
        queries: Option<mpsc::Receiver<IncomingQuery>>,
        store: &Store,
        stop: &CancellationToken,
    ) {
        let handler::Context { reader, clock, stats, .. } = context;
        if let Some(path) = store.catalog_path() {
            let keep = store::catalog::keep(path, reader.clone(), *clock, stats.clone(), stop.clone());
            tasks.spawn_sure("saved catalog", keep);
        }
        for hook in self.hooks {
            tasks.spawn_sure("hook", hook.follow(reader.clone(), *clock, stats.clone(), stop.clone()));
        }
        for handler in self.memberships {
            tasks.spawn_sure("membership", membership::tell(handler, reader.clone(), stop.clone()));
        }
        let mut desk = handler::Desk::new(reader.clone(), *clock, stats.clone());
        for handler in self.handlers {
            let queries = desk.open(&handler);
            tasks.spawn_sure("handler", handler.follow(context.clone(), queries, stop.clone()));
        }
        if let Some(queries) = queries {
            tasks.spawn_sure("queries", desk.serve(queries, stop.clone()));
        }
    }
}

/// The addresses that the record tells: those that exchanges are reached at, else those that route outward.
fn addresses(ways: &[way::Ready]) -> String {
    let told: Vec<_> = ways.iter().filter_map(way::Ready::advertised).collect();
    let addresses = if told.is_empty() { address::outward() } else { told };
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
