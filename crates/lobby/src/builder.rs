//! What an embedder (lobbyd is one) can set, and the start of an agent.
//!
//! Everything that can fail, fails here: the data folder, the host name, addresses to bind. What ends an agent after a
//! successful start is `agent::AgentError`.
//! Not here: how the parts are wired (`builder::start`), gossip in three words (`builder::embed`).

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use lobby_core::{
    catalog::AGENT_GRACE,
    hold::Rule,
    label::{Label, ParseLabelError},
    name::{Name, ParseNameError},
};
use lobby_exchange::{ExchangeError, memory};

use crate::{
    handler::{self, Handler},
    hook::Hook,
    membership::MembershipHandler,
    source::labels::LabelsConfig,
    store::{Store, StoreError},
    way::Way,
};

#[cfg(feature = "gossip")]
mod embed;
mod feed;
mod start;

/// How long without being heard of before a node of a broker is failed, as in the Go daemon.
const TTL: Duration = Duration::from_secs(30);

/// How long an exchange may take to be warm before it stops counting.
const WARM_MAX: Duration = Duration::from_secs(60);

/// Settings of an agent. Every method replaces what was set before, but for exchanges, hooks, handlers and tags, which add
/// up.
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
    grace: Duration,
    hold: Rule,
    ways: Vec<Way>,
    hooks: Vec<Hook>,
    handlers: Vec<Handler>,
    handler_concurrency: usize,
    memberships: Vec<Arc<dyn MembershipHandler>>,
    tags: Vec<String>,
    scripts: bool,
    services: Option<PathBuf>,
    insecure: bool,
    #[cfg(feature = "gossip")]
    embed: embed::Embed,
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
    /// A tag makes no label.
    #[error("the tag {tag:?} cannot be used")]
    Tag {
        /// The tag as `KEY:VALUE`.
        tag: String,
        /// What is wrong with it.
        #[source]
        source: ParseLabelError,
    },
    /// The address given to [`Builder::bind`] is none.
    #[error("{0:?} is no address to bind: expected IP:PORT, such as 192.0.2.1:1314 or 127.0.0.1:0")]
    BindAddress(String),
    /// Gossip would be open to everybody who can reach the address.
    #[error(
        "{0} is not a loopback address and there is no key: set a key, or say `insecure(true)` in a network where nobody else \
         can send packets"
    )]
    Insecure(SocketAddr),
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
            grace: AGENT_GRACE,
            hold: Rule::default(),
            ways: Vec::new(),
            hooks: Vec::new(),
            handlers: Vec::new(),
            handler_concurrency: handler::CONCURRENCY,
            memberships: Vec::new(),
            tags: Vec::new(),
            scripts: false,
            services: None,
            insecure: false,
            #[cfg(feature = "gossip")]
            embed: embed::Embed::default(),
        }
    }
}

impl Builder {
    /// The node's name. Without one it is the machine's host name, followed while the agent runs.
    pub fn name(mut self, name: Name) -> Self {
        self.name = Some(name);
        self
    }

    /// Where identity, generation and registrations are kept, and the nodes we knew, which are listed as stale after a start until the
    /// first complete picture is here. Without a store the identity is new at each start.
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

    /// AGENT_GRACE: how long a node stays listed that restarts, or whose agent alone is gone.
    pub fn agent_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// HOLD_*: when most nodes fall silent at once, so that the fault is likelier ours, and how long their services stay.
    pub fn hold(mut self, rule: Rule) -> Self {
        self.hold = rule;
        self
    }

    /// Adds labels of the form `KEY:VALUE`.
    pub fn tags<K: AsRef<str>, V: AsRef<str>>(mut self, tags: impl IntoIterator<Item = (K, V)>) -> Self {
        let tag = |(key, value): (K, V)| format!("{}:{}", key.as_ref(), value.as_ref());
        self.tags.extend(tags.into_iter().map(tag));
        self
    }

    /// Allows gossip on an address that others can reach without any key: whoever can send packets there can then read,
    /// forge and remove nodes. Without this such a start fails.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// ENABLE_SCRIPT_CHECKS: whether checks may run commands. Off by default: whoever may register could run anything here.
    pub fn script_checks(mut self, scripts: bool) -> Self {
        self.scripts = scripts;
        self
    }

    /// SERVICES_PATH: a folder of service definitions, `*.toml` and `*.json`, followed while the agent runs. It need not exist
    /// yet.
    pub fn services_path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.services = Some(folder.into());
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
        self.ways.push(Way::Gossip(Box::new(config), crate::way::OnTaken::Fail));
        self
    }

    /// Adds gossip; when its address is taken, a free port of the same address does as well.
    #[cfg(feature = "gossip")]
    pub fn gossip_or_free_port(mut self, config: lobby_exchange::gossip::Config) -> Self {
        self.ways.push(Way::Gossip(Box::new(config), crate::way::OnTaken::UseFreePort));
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

    /// Adds a command that is run for events.
    pub fn handler(mut self, handler: Handler) -> Self {
        self.handlers.push(handler);
        self
    }

    /// How many commands of handlers run at the same time, at least one.
    pub fn handler_concurrency(mut self, concurrency: usize) -> Self {
        self.handler_concurrency = concurrency.max(1);
        self
    }

    /// Adds a part of the program that is told who comes and who goes.
    pub fn membership(mut self, handler: impl MembershipHandler) -> Self {
        self.memberships.push(Arc::new(handler));
        self
    }
}
