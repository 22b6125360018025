//! Everything an agent serves over HTTP: Lobby's REST, Prometheus targets, nodes, health, metrics.
//!
//! ```text
//! listener ─► serve (limits, deadlines) ─► access (doors) ─► router ─► lists: rest │ prometheus │ nodes │ health │ metrics
//!                                                              │       gossip: members │ keys │ event │ ask │ coordinate
//!                                                              │       operator
//!                                                              │       registry: agent │ services │ hold
//!                                                              │       Consul's reads: catalog_api (shape, filter, watch)
//!                                                              │       Consul's writes of nodes without an agent: external │ txn
//!                                                              │       services: events │ why │ http_sd
//!                                                              └── View: one snapshot and one reading of the clock
//! ```
//! [`router`] is a plain function, so that tests call it without a socket; [`serve()`] runs it on a listener.
//! Handlers read the newest snapshot and never lock, never wait for the node task unless they tell it something.
//! What gossip is asked goes over [`GossipHandle`]; only blocking requests and queries wait long, and both are bounded.
//! Each handler file lists its routes at the top. Paths are never normalised.
//! Not here: what a list shows (`lobby_core::{select, wire::rest}`), flags and environment (`lobbyd`).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::{Router, middleware};
use lobby_core::{
    catalog::Snapshot,
    port::{CatalogReader, Commands, external::ExternalHandle, gossip::GossipHandle, log::Log, registry::RegistryHandle},
    stats::{AgentStats, DnsCounts, ProxyCounts, Stats, TemplateCounts},
    time::Now,
};
use tokio::sync::Semaphore;

mod access;
mod agent;
mod answer;
mod ask;
mod body;
mod catalog_api;
mod consul;
mod coordinate;
mod counters;
mod error;
mod event;
mod events;
mod external;
mod filter;
mod health;
mod hold;
mod http_sd;
mod inside;
mod keys;
mod leader;
mod limits;
mod members;
mod metrics;
mod nodes;
mod not_available;
mod operator;
mod parking;
mod path;
pub mod prometheus;
mod proxy;
pub mod query;
mod receive;
mod registry;
mod rest;
mod scope;
mod serve;
mod services;
mod shape;
mod status;
mod txn;
mod watch;
mod who;
mod why;
mod writer;

pub use access::{Access, Caller, Door, FileError, exposure};
pub use inside::{Answered, Inside, InsideError};
pub use limits::Limits;
pub use serve::{Listener, serve, tls::TlsFiles};

/// What the configuration says about the HTTP side.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// TOKEN; an empty one counts as none.
    pub token: Option<String>,
    /// TOKENS_FILE, and the certificates of HTTPS for all TCP listeners.
    pub access: Access,
    /// DISABLE_API: only `/metrics` and `/v1/health` are left.
    pub disable_api: bool,
    /// ALLOWED_HOSTS: `Host` names accepted from loopback, beside IP literals, `localhost` and the node's name.
    pub allowed_hosts: Vec<String>,
    /// OPERATOR_LOOPBACK: without a token, loopback peers may use the operator verbs.
    pub operator_loopback: bool,
    /// NODE_EXPORTER_PORT: the port of Prometheus targets that name none.
    pub node_exporter_port: u16,
    /// CLUSTER, for `/v1/agent/info`.
    pub cluster: String,
    /// The version text of `lobby_build_info`.
    pub version: String,
    /// Sizes, counts and deadlines of connections.
    pub limits: Limits,
}

/// Where the HTTP side reads from and what it tells.
#[derive(Clone)]
pub struct Handles {
    /// The catalog.
    pub reader: CatalogReader,
    /// The node task.
    pub commands: Commands,
    /// Members, keys, events, queries.
    pub gossip: GossipHandle,
    /// Instances and checks that are registered here.
    pub registry: RegistryHandle,
    /// Nodes without an agent.
    pub externals: ExternalHandle,
    /// What the agent counts.
    pub agent: Arc<AgentStats>,
    /// What each exchange counts, by its name.
    pub exchanges: Vec<(Arc<str>, Arc<Stats>)>,
    /// Tells what files that follow the catalog have come to; `None`: there are none.
    pub templates: Option<TemplateReader>,
    /// Tells what DNS has counted; `None`: there is no DNS.
    pub dns: Option<DnsReader>,
    /// Tells how the local proxy is; `None`: none is configured.
    pub proxy: Option<ProxyReader>,
    /// What it counts; `None`: nothing is shown.
    pub proxy_counts: Option<ProxyCountsReader>,
    /// The log of the process, for monitors; `None`: it cannot be listened to.
    pub log: Option<Log>,
    /// Both clocks.
    pub clock: Arc<dyn Fn() -> Now + Send + Sync>,
}

/// Reads what the files that follow the catalog have come to.
pub type TemplateReader = Arc<dyn Fn() -> TemplateCounts + Send + Sync>;

/// Reads what DNS has counted.
pub type DnsReader = Arc<dyn Fn() -> DnsCounts + Send + Sync>;

/// Reads how the local proxy is, as it is shown; null: none is configured now.
pub type ProxyReader = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// Reads what the local proxy counts.
pub type ProxyCountsReader = Arc<dyn Fn() -> ProxyCounts + Send + Sync>;

/// The HTTP side of one agent. Cheap to clone; all listeners and the router share one.
#[derive(Clone)]
pub struct App {
    state: Arc<State>,
}

/// What every handler reaches.
struct State {
    config: Config,
    /// TOKEN, which is not kept as text.
    token: Option<access::Digest>,
    /// Places of connections.
    room: Arc<serve::room::Room>,
    handles: Handles,
    counters: counters::Counters,
    lists: ArcSwapOption<rest::ListBody>,
    targets: ArcSwap<prometheus::Bodies>,
    /// Places for queries under way, [`Limits::asks`] of them.
    asks: Arc<Semaphore>,
    /// Blocking requests to Consul's routes.
    watches: Arc<watch::Watches>,
    /// Event streams.
    events: Arc<events::Hub>,
    /// Where others said that members are.
    told: coordinate::Told,
    /// What blocking requests and discoveries of services are answered with.
    bodies: catalog_api::cache::Cache,
    /// The agent was told to stop.
    stopping: AtomicBool,
}

/// One snapshot and one reading of the clock: everything in one answer comes from the same view.
#[derive(Clone)]
struct View {
    snapshot: Arc<Snapshot>,
    now: Now,
}

impl App {
    /// The HTTP side of the agent behind `handles`.
    pub fn new(mut config: Config, handles: Handles) -> Self {
        let token = config.token.take().filter(|token| !token.is_empty()).map(|token| access::Digest::of(token.as_bytes()));
        let asks = Arc::new(Semaphore::new(config.limits.asks));
        let room = Arc::new(serve::room::Room::new(&config.limits));
        let state = State {
            config,
            token,
            room,
            handles,
            counters: counters::Counters::default(),
            lists: ArcSwapOption::empty(),
            targets: ArcSwap::default(),
            asks,
            watches: Arc::default(),
            events: Arc::default(),
            told: coordinate::Told::default(),
            bodies: catalog_api::cache::Cache::default(),
            stopping: AtomicBool::new(false),
        };
        Self { state: Arc::new(state) }
    }

    /// To be called before the agent is told to stop: a query that ends from now on was ended by the stop, which kills the
    /// handlers that were to answer it.
    pub fn stopping(&self) {
        self.state.stopping.store(true, Ordering::Relaxed);
    }

    fn config(&self) -> &Config {
        &self.state.config
    }

    fn counters(&self) -> &counters::Counters {
        &self.state.counters
    }

    fn view(&self) -> View {
        View { snapshot: self.state.handles.reader.snapshot(), now: (self.state.handles.clock)() }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

/// All routes with the doors in front of them.
///
/// A request without a [`Caller`] among its extensions is treated as a stranger's, who may least.
pub fn router(app: App) -> Router {
    let mut guarded = Router::new().merge(metrics::routes());
    let mut router = Router::new().merge(health::routes());
    if !app.config().disable_api {
        guarded = guarded.merge(rest::routes()).merge(prometheus::routes());
        guarded = guarded.merge(members::routes()).merge(keys::routes()).merge(event::routes()).merge(coordinate::routes());
        guarded = guarded.merge(agent::routes()).merge(status::routes()).merge(not_available::routes()).merge(external::routes());
        guarded = guarded.merge(catalog_api::routes()).merge(txn::routes()).merge(services::routes(services::Who::Anybody));
        let gate = middleware::from_fn(access::operator);
        let verbs = operator::routes().merge(keys::verbs()).merge(event::verbs()).merge(ask::routes());
        let verbs = verbs.merge(agent::verbs()).merge(services::routes(services::Who::Operator));
        router = router.merge(verbs.method_not_allowed_fallback(answer::wrong_method).layer(gate));
    }
    let gate = middleware::from_fn(access::token);
    let guarded = guarded.method_not_allowed_fallback(answer::wrong_method).fallback(answer::not_found).layer(gate);
    router
        .method_not_allowed_fallback(answer::wrong_method)
        .merge(guarded)
        .layer(middleware::from_fn_with_state(app.clone(), answer::around))
        .with_state(app)
}
