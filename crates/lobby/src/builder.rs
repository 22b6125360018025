//! What an embedder (lobbyd is one) can set, and the start of an agent.
//!
//! Everything that can fail, fails here: the data folder, the host name, addresses to bind. What ends an agent after a
//! successful start is `agent::AgentError`.

use std::{sync::Arc, time::Duration};

use lobby_core::{
    catalog::Catalog,
    label::Label,
    local::LocalRecord,
    name::{Name, ParseNameError},
    port::{Announcement, COMMANDS, CatalogReader, Commands, EVENTS},
    record::meta,
    stats::AgentStats,
};
use lobby_exchange::{ExchangeError, clock::Clock, memory};
use tokio::sync::{mpsc, watch};

use crate::{
    agent::{Lobby, Stops},
    hook::Hook,
    node::{Node, UPDATES},
    source::{
        address, hostname,
        labels::{Labels, LabelsConfig},
    },
    store::{Store, StoreError},
    tasks::Tasks,
    way::{self, Way},
};

/// How long without being heard of before a node of a broker is failed, as in the Go daemon.
const TTL: Duration = Duration::from_secs(30);

/// How long an exchange may take to be warm before it stops counting.
const WARM_MAX: Duration = Duration::from_secs(60);

/// Settings of an agent. Every method replaces what was set before, but for exchanges and hooks, which add up.
#[must_use = "nothing runs before `start`"]
pub struct Builder {
    name: Option<Name>,
    store: Option<Store>,
    labels: LabelsConfig,
    datacenter: String,
    version: String,
    listed: bool,
    ttl: Duration,
    warm_max: Duration,
    ways: Vec<Way>,
    hooks: Vec<Hook>,
}

/// Why an agent did not start. Nothing keeps running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The machine's host name is not a valid name: set one.
    #[error("the machine's host name cannot be used, set HOSTNAME")]
    Hostname(#[source] ParseNameError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An exchange cannot be started.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            name: None,
            store: None,
            labels: LabelsConfig { runtime_filename: "_runtime".into(), ..LabelsConfig::default() },
            datacenter: "dc1".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            listed: true,
            ttl: TTL,
            warm_max: WARM_MAX,
            ways: Vec::new(),
            hooks: Vec::new(),
        }
    }
}

impl Builder {
    /// The node's name. Without one it is the machine's host name, followed while the agent runs.
    pub fn name(mut self, name: Name) -> Self {
        self.name = Some(name);
        self
    }

    /// Where identity and generation are kept. Without a store the identity is new at each start.
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Fixed labels.
    pub fn labels(mut self, labels: impl IntoIterator<Item = Label>) -> Self {
        self.labels.fixed = labels.into_iter().collect();
        self
    }

    /// All label sources.
    pub fn label_sources(mut self, labels: LabelsConfig) -> Self {
        self.labels = labels;
        self
    }

    /// The data centre that the record tells.
    pub fn datacenter(mut self, datacenter: String) -> Self {
        self.datacenter = datacenter;
        self
    }

    /// REGISTER: when false, the agent listens only and nobody lists it.
    pub fn listed(mut self, listed: bool) -> Self {
        self.listed = listed;
        self
    }

    /// How long a node of a broker stays without being heard of.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long an exchange may take to be warm before it stops counting.
    pub fn warm_max(mut self, warm_max: Duration) -> Self {
        self.warm_max = warm_max;
        self
    }

    /// Adds the in-process exchange.
    pub fn memory(mut self, memory: memory::Memory) -> Self {
        self.ways.push(Way::Memory(memory));
        self
    }

    /// Adds gossip.
    #[cfg(feature = "gossip")]
    pub fn gossip(mut self, config: lobby_exchange::gossip::Config) -> Self {
        self.ways.push(Way::Gossip(Box::new(config), way::OnTaken::Fail));
        self
    }

    /// Adds gossip; when its address is taken, a free port of the same address does as well.
    #[cfg(feature = "gossip")]
    pub fn gossip_or_free_port(mut self, config: lobby_exchange::gossip::Config) -> Self {
        self.ways.push(Way::Gossip(Box::new(config), way::OnTaken::UseFreePort));
        self
    }

    /// Adds a NATS server.
    #[cfg(feature = "nats")]
    pub fn nats(mut self, config: lobby_exchange::nats::Config) -> Self {
        self.ways.push(Way::Nats(Box::new(config)));
        self
    }

    /// Adds a Redis server.
    #[cfg(feature = "redis")]
    pub fn redis(mut self, config: lobby_exchange::redis::Config) -> Self {
        self.ways.push(Way::Redis(Box::new(config)));
        self
    }

    /// Adds a command that is run on changes.
    pub fn hook(mut self, hook: Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// Starts the agent. Every label source is read before anything is announced.
    ///
    /// # Errors
    /// When the host name, the data folder, an address or a broker's settings cannot be used.
    pub async fn start(self) -> Result<Lobby, StartError> {
        let clock = Clock::start();
        let store = self.store.unwrap_or_else(Store::temporary);
        let follow_hostname = self.name.is_none();
        let name = match self.name {
            Some(name) => name,
            None => hostname::current().map_err(StartError::Hostname)?,
        };
        let stats = Arc::new(AgentStats::default());
        let labels = Labels::load(self.labels, store.folder(), stats.clone());
        let mut local = LocalRecord::new(store.id, store.generation, name.clone());
        local.set_labels(labels.counted());
        local.set_meta(meta::VERSION, &self.version);
        local.set_meta(meta::DATACENTER, &self.datacenter);
        let ways = way::bind(self.ways, clock).await?;
        local.set_meta(meta::ADDRESSES, &addresses(&ways));
        local.commit(clock.moment());
        let specs = ways.iter().map(|way| way.spec(self.ttl));
        let own = local.record().clone();
        let mut catalog = Catalog::new(store.first_revision, specs, own.clone(), self.listed, self.warm_max, clock.now());
        let first = catalog.poll_snapshot().expect("a new catalog has something to show");

        let (announcement, announced) = watch::channel(Announcement { record: own, listed: self.listed });
        let (snapshots, seen) = watch::channel(first);
        let (events_in, events) = mpsc::channel(EVENTS);
        let (updates_in, updates) = mpsc::channel(UPDATES);
        let (commands_in, commands) = mpsc::channel(COMMANDS);
        let reader = CatalogReader::new(seen);
        let stops = Stops::default();
        let running = way::spawn(ways, &announced, &reader, &events_in, &stops.exchanges);
        let questions = running.questions;
        let listed = self.listed;
        let task = Node {
            clock,
            local,
            listed,
            catalog,
            deadline: None,
            events,
            updates,
            announcement,
            stop_exchanges: stops.exchanges.clone(),
            snapshots,
            questions,
            stats: stats.clone(),
        };
        let mut node = Tasks::default();
        node.spawn_sure("node", task.run(stops.node.clone()));

        let mut sources = Tasks::default();
        sources.spawn_sure("labels", labels.run(commands, updates_in.clone(), stops.leave.clone(), stops.sources.clone()));
        if follow_hostname {
            sources.spawn_sure("host name", hostname::follow(name, updates_in, stops.sources.clone()));
        }
        for hook in self.hooks {
            sources.spawn_sure("hook", hook.follow(reader.clone(), clock, stats.clone(), stops.sources.clone()));
        }
        let commands = Commands::new(commands_in);
        let (exchange_infos, exchanges) = (running.infos, running.tasks);
        let gossip = running.gossip;
        Ok(Lobby {
            clock,
            store,
            reader,
            commands,
            gossip,
            stats,
            exchange_infos,
            stops,
            node,
            exchanges,
            sources,
            _events: events_in,
        })
    }
}

/// The addresses that the record tells: those that exchanges are reached at, else those that route outward.
fn addresses(ways: &[way::Ready]) -> String {
    let told: Vec<_> = ways.iter().filter_map(way::Ready::advertised).collect();
    let addresses = if told.is_empty() { address::outward() } else { told };
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
