//! A running agent: reading its catalog, writing its labels, and a stop that says goodbye.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lobby_core::{
    id::{ExchangeId, Generation, NodeId},
    port::{CatalogReader, Commands, PeerEvent},
    stats::{AgentStats, Stats},
};
use lobby_exchange::{ExchangeError, clock::Clock};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{builder::Builder, store::Store};

/// How long exchanges may take to say goodbye; the whole stop stays below two seconds.
const GOODBYE: Duration = Duration::from_millis(1500);

/// An agent that runs in this process until it is told to [`leave`](Self::leave) or dropped. Dropping says no goodbye.
pub struct Lobby {
    pub(crate) clock: Clock,
    /// Keeps the data folder locked while we run.
    pub(crate) store: Store,
    pub(crate) reader: CatalogReader,
    pub(crate) commands: Commands,
    pub(crate) stats: Arc<AgentStats>,
    pub(crate) exchange_infos: Vec<ExchangeInfo>,
    pub(crate) stops: Stops,
    pub(crate) node: JoinHandle<()>,
    pub(crate) exchanges: JoinSet<Result<(), ExchangeError>>,
    pub(crate) tasks: JoinSet<()>,
    /// Keeps the event queue open, so that an agent without exchanges runs too.
    pub(crate) _events: mpsc::Sender<(ExchangeId, PeerEvent)>,
}

/// How each kind of task is told to stop, in the order of a stop, and how somebody asks for one.
#[derive(Default)]
pub(crate) struct Stops {
    pub(crate) leave: CancellationToken,
    pub(crate) sources: CancellationToken,
    pub(crate) node: CancellationToken,
    pub(crate) exchanges: CancellationToken,
}

/// One exchange of a running agent.
#[derive(Clone, Debug)]
pub struct ExchangeInfo {
    /// Its name: `gossip`, `nats`, …
    pub name: &'static str,
    /// The address it listens on, for exchanges that listen.
    pub address: Option<SocketAddr>,
    /// Its counters.
    pub stats: Arc<Stats>,
}

impl Lobby {
    /// Settings of a new agent.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Reads the catalog; never waits.
    pub fn reader(&self) -> CatalogReader {
        self.reader.clone()
    }

    /// Changes labels, reloads, leaves.
    pub fn commands(&self) -> Commands {
        self.commands.clone()
    }

    /// The agent's own counters.
    pub fn stats(&self) -> Arc<AgentStats> {
        self.stats.clone()
    }

    /// The exchanges, in the order they were added.
    pub fn exchanges(&self) -> &[ExchangeInfo] {
        &self.exchange_infos
    }

    /// Who we are.
    pub fn id(&self) -> NodeId {
        self.store.id
    }

    /// Which start of this node this is.
    pub fn generation(&self) -> Generation {
        self.store.generation
    }

    /// The clock that the catalog's moments are of.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Waits until somebody asks the agent to leave, or an exchange can never work.
    ///
    /// # Errors
    /// The exchange's error. The agent should be told to leave; trying again would not help.
    pub async fn ended(&mut self) -> Result<(), ExchangeError> {
        loop {
            tokio::select! {
                () = self.stops.leave.cancelled() => return Ok(()),
                Some(result) = self.exchanges.join_next() => match result {
                    Ok(Ok(())) => {}
                    Ok(Err(err)) => return Err(err),
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
            }
        }
    }

    /// Stops without a goodbye, because the agent is back in a moment: others keep it until they miss it.
    pub fn abandon(self) {
        // Every task ends with its set; the node task is told.
        self.node.abort();
    }

    /// Says goodbye on every exchange and stops, within two seconds.
    pub async fn leave(mut self) {
        self.stops.sources.cancel();
        self.stops.node.cancel();
        // The node publishes our leaving record before it ends; exchanges send that as their last word.
        if let Err(err) = (&mut self.node).await {
            tracing::error!("the node task failed: {err}");
        }
        self.stops.exchanges.cancel();
        let goodbyes = async {
            while let Some(result) = self.exchanges.join_next().await {
                if let Ok(Err(err)) = result {
                    tracing::warn!("an exchange ended badly: {err}");
                }
            }
            while self.tasks.join_next().await.is_some() {}
        };
        if tokio::time::timeout(GOODBYE, goodbyes).await.is_err() {
            tracing::warn!("not everybody could be told goodbye in time");
        }
    }
}
