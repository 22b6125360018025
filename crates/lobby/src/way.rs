//! The exchanges of one agent: from configuration to running tasks, each at one `match`.
//!
//! Adding an exchange to the agent is one variant here and one method of the builder.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use lobby_core::{
    catalog::{ExchangeSpec, Liveness},
    id::{ExchangeId, NodeId},
    port::{
        Announcement, CatalogReader, PeerEvent, PeerLink, QUESTIONS,
        gossip::{Fingerprint, GossipHandle, IncomingQuery},
    },
    proof::Signer,
    stats::Stats,
};
use lobby_exchange::{Exchange, ExchangeError, clock::Clock, memory};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{agent::ExchangeInfo, tasks::Tasks};

/// One exchange as configured.
pub(crate) enum Way {
    Memory(memory::Memory),
    #[cfg(feature = "gossip")]
    Gossip(Box<lobby_exchange::gossip::Config>, OnTaken),
    #[cfg(feature = "nats")]
    Nats(Box<lobby_exchange::nats::Config>),
    #[cfg(feature = "redis")]
    Redis(Box<lobby_exchange::redis::Config>),
}

/// What to do when the gossip address is taken.
#[cfg(feature = "gossip")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTaken {
    Fail,
    UseFreePort,
}

/// Exchanges at work.
pub(crate) struct Running {
    pub(crate) tasks: Tasks,
    pub(crate) infos: Vec<ExchangeInfo>,
    /// One for each exchange, in the order of their ids.
    pub(crate) questions: Vec<mpsc::Sender<NodeId>>,
    /// How gossip is asked, if it is among them.
    pub(crate) gossip: GossipHandle,
    /// What others ask over it.
    pub(crate) queries: Option<mpsc::Receiver<IncomingQuery>>,
    /// The names of its keys, as they change.
    pub(crate) keys: Option<watch::Receiver<Vec<Fingerprint>>>,
}

/// The seeds of gossip, if it has any.
pub(crate) fn seeds(ways: &[Way]) -> Vec<String> {
    let of = |way: &Way| match way {
        #[cfg(feature = "gossip")]
        Way::Gossip(config, _) => config.join.clone(),
        _ => Vec::new(),
    };
    ways.iter().flat_map(of).collect()
}

/// The cluster that records are signed for. All exchanges carry the same record, so it is the same for all of them.
pub(crate) fn cluster(ways: &[Way]) -> Result<String, ExchangeError> {
    let of = |way: &Way| match way {
        Way::Memory(_) => None,
        #[cfg(feature = "gossip")]
        Way::Gossip(config, _) => Some(config.cluster.clone()),
        #[cfg(feature = "nats")]
        Way::Nats(config) => Some(config.cluster.clone()),
        #[cfg(feature = "redis")]
        Way::Redis(config) => Some(config.cluster.clone()),
    };
    let mut clusters = ways.iter().filter_map(of);
    let Some(first) = clusters.next() else { return Ok("lobby".into()) };
    match clusters.find(|other| *other != first) {
        Some(other) => {
            let why = format!("{first:?} and {other:?}: one cluster is accepted, the same for all exchanges");
            Err(ExchangeError::Setting { setting: "CLUSTER", why })
        }
        None => Ok(first),
    }
}

/// Binds the addresses and reads the files that the exchanges need. `folder` is where one may keep files of its own.
pub(crate) async fn bind(ways: Vec<Way>, folder: Option<&Path>, clock: Clock) -> Result<Vec<Ready>, ExchangeError> {
    let mut ready = Vec::new();
    for way in ways {
        ready.push(Ready::bind(way, folder, clock).await?);
    }
    Ok(ready)
}

/// Starts every exchange as a task of its own.
pub(crate) fn spawn(
    ways: Vec<Ready>,
    announced: &watch::Receiver<Announcement>,
    reader: &CatalogReader,
    signer: &Arc<Signer>,
    events: &mpsc::Sender<(ExchangeId, PeerEvent)>,
    stop: &CancellationToken,
) -> Running {
    let mut running = Running {
        tasks: Tasks::default(),
        infos: Vec::new(),
        questions: Vec::new(),
        gossip: GossipHandle::none(),
        queries: None,
        keys: None,
    };
    for (idx, mut way) in ways.into_iter().enumerate() {
        if let Some(gossip) = way.gossip() {
            (running.gossip, running.queries, running.keys) = (gossip, way.take_queries(), way.keys());
        }
        let id = ExchangeId(u8::try_from(idx).expect("fewer than 256 exchanges are configured"));
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let stats = Arc::new(Stats::default());
        running.questions.push(questions);
        running.infos.push(ExchangeInfo { name: way.name(), address: way.address(), stats: stats.clone() });
        let link = PeerLink::new(id, announced.clone(), asked, reader.clone(), stats, signer.clone(), events.clone());
        way.spawn(&mut running.tasks, link, stop.clone());
    }
    running
}

#[cfg(feature = "gossip")]
async fn bind_gossip(
    mut config: lobby_exchange::gossip::Config,
    on_taken: OnTaken,
    folder: Option<&Path>,
    clock: Clock,
) -> Result<lobby_exchange::gossip::Gossip, ExchangeError> {
    use lobby_exchange::gossip::Gossip;
    config.folder = config.folder.or_else(|| folder.map(Path::to_owned));
    match Gossip::bind(config.clone(), clock).await {
        Err(ExchangeError::Bind { address, source })
            if on_taken == OnTaken::UseFreePort && source.kind() == std::io::ErrorKind::AddrInUse =>
        {
            tracing::warn!("gossip address {address} is taken, using a free port");
            config.bind.set_port(0);
            Gossip::bind(config, clock).await
        }
        result => result,
    }
}

/// An exchange that has bound what it must bind.
pub(crate) enum Ready {
    Memory(memory::Memory),
    #[cfg(feature = "gossip")]
    Gossip(Box<lobby_exchange::gossip::Gossip>),
    #[cfg(feature = "nats")]
    Nats(Box<lobby_exchange::nats::Nats>),
    #[cfg(feature = "redis")]
    Redis(Box<lobby_exchange::redis::Redis>),
}

impl Ready {
    #[cfg_attr(not(feature = "gossip"), expect(unused_variables, reason = "the folder is gossip's, the clock every exchange's"))]
    async fn bind(way: Way, folder: Option<&Path>, clock: Clock) -> Result<Self, ExchangeError> {
        Ok(match way {
            Way::Memory(memory) => Self::Memory(memory),
            #[cfg(feature = "gossip")]
            Way::Gossip(config, on_taken) => Self::Gossip(Box::new(bind_gossip(*config, on_taken, folder, clock).await?)),
            #[cfg(feature = "nats")]
            Way::Nats(config) => Self::Nats(Box::new(lobby_exchange::nats::Nats::try_new(*config, clock)?)),
            #[cfg(feature = "redis")]
            Way::Redis(config) => Self::Redis(Box::new(lobby_exchange::redis::Redis::try_new(*config, clock)?)),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            #[cfg(feature = "gossip")]
            Self::Gossip(_) => "gossip",
            #[cfg(feature = "nats")]
            Self::Nats(_) => "nats",
            #[cfg(feature = "redis")]
            Self::Redis(_) => "redis",
        }
    }

    /// The address it listens on, for exchanges that listen.
    fn address(&self) -> Option<std::net::SocketAddr> {
        match self {
            #[cfg(feature = "gossip")]
            Self::Gossip(gossip) => Some(gossip.local_addr()),
            _ => None,
        }
    }

    /// How gossip is asked; `None` for other exchanges.
    fn gossip(&self) -> Option<GossipHandle> {
        match self {
            #[cfg(feature = "gossip")]
            Self::Gossip(gossip) => Some(gossip.handle()),
            _ => None,
        }
    }

    /// The names of its keys, as they change; `None` for other exchanges.
    fn keys(&self) -> Option<watch::Receiver<Vec<Fingerprint>>> {
        match self {
            #[cfg(feature = "gossip")]
            Self::Gossip(gossip) => Some(gossip.fingerprints()),
            _ => None,
        }
    }

    /// The queries of others; `None` for other exchanges.
    fn take_queries(&mut self) -> Option<mpsc::Receiver<IncomingQuery>> {
        match self {
            #[cfg(feature = "gossip")]
            Self::Gossip(gossip) => gossip.take_queries(),
            _ => None,
        }
    }

    /// The address that the record tells, for exchanges that know one.
    pub(crate) fn advertised(&self) -> Option<IpAddr> {
        match self {
            #[cfg(feature = "gossip")]
            Self::Gossip(gossip) => Some(gossip.advertised().ip()),
            _ => None,
        }
    }

    /// What the catalog must know of it.
    #[cfg_attr(not(any(feature = "nats", feature = "redis")), expect(unused_variables))]
    pub(crate) fn spec(&self, ttl: Duration) -> ExchangeSpec {
        let liveness = match self {
            Self::Memory(_) => Liveness::Reported,
            #[cfg(feature = "gossip")]
            Self::Gossip(_) => Liveness::Reported,
            #[cfg(feature = "nats")]
            Self::Nats(_) => Liveness::Ttl(ttl),
            #[cfg(feature = "redis")]
            Self::Redis(_) => Liveness::Ttl(ttl),
        };
        ExchangeSpec { name: self.name().into(), liveness }
    }

    fn spawn(self, tasks: &mut Tasks, link: PeerLink, stop: CancellationToken) {
        let name = self.name();
        match self {
            Self::Memory(memory) => tasks.spawn(name, memory.run(link, stop)),
            #[cfg(feature = "gossip")]
            Self::Gossip(gossip) => tasks.spawn(name, gossip.run(link, stop)),
            #[cfg(feature = "nats")]
            Self::Nats(nats) => tasks.spawn(name, nats.run(link, stop)),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => tasks.spawn(name, redis.run(link, stop)),
        }
    }
}
