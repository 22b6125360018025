//! A running agent: reading its catalog, writing its labels, and a stop that says goodbye.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lobby_core::{
    id::{ExchangeId, Generation, NodeId},
    port::{CatalogReader, Commands, PeerEvent, gossip::GossipHandle},
    stats::{AgentStats, Stats},
};
use lobby_exchange::{ExchangeError, clock::Clock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{builder::Builder, store::Store, tasks::Tasks};

/// How long the goodbye may take, everything in it. A daemon promises to stop within two seconds: this one, then half a
/// second in which its API drains, leave half a second for the rest.
const GOODBYE: Duration = Duration::from_secs(1);

/// An agent that runs in this process until it is told to [`leave`](Self::leave) or dropped. Dropping ends every task of
/// it and says no goodbye.
pub struct Lobby {
    pub(crate) clock: Clock,
    /// Keeps the data folder locked while we run.
    pub(crate) store: Store,
    pub(crate) reader: CatalogReader,
    pub(crate) commands: Commands,
    pub(crate) gossip: GossipHandle,
    pub(crate) stats: Arc<AgentStats>,
    pub(crate) exchange_infos: Vec<ExchangeInfo>,
    pub(crate) stops: Stops,
    /// One task: the node task.
    pub(crate) node: Tasks,
    pub(crate) exchanges: Tasks,
    /// Label sources, host name and hooks.
    pub(crate) sources: Tasks,
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

/// Why an agent ended without being asked to. What it shows is frozen from then on: tell it to leave.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// An exchange can never work. Trying again would not help: change its settings.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A task ended or panicked that lives as long as the agent: the node task, an exchange, a source or a hook, by this
    /// name. This is a defect of the program; a new start helps until it comes up again.
    #[error("the task `{0}` ended unasked")]
    TaskEnded(&'static str),
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

    /// Asks gossip: members, keys, events, queries. Without the exchange every question is refused.
    pub fn gossip(&self) -> GossipHandle {
        self.gossip.clone()
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

    /// Waits until somebody asks the agent to leave, or any of its tasks ends without being asked to.
    ///
    /// # Errors
    /// The exchange's error, or the name of the task. The agent should be told to leave.
    pub async fn ended(&mut self) -> Result<(), AgentError> {
        let (name, end) = tokio::select! {
            // When the node task ends, the others follow: it is the one to name.
            biased;
            () = self.stops.leave.cancelled() => return Ok(()),
            Some(end) = self.node.join_next() => end,
            Some(end) = self.exchanges.join_next() => end,
            Some(end) = self.sources.join_next() => end,
        };
        match end {
            Ok(Err(err)) => Err(err.into()),
            // What a panic said is on stderr already.
            Ok(Ok(())) | Err(_) => Err(AgentError::TaskEnded(name)),
        }
    }

    /// Stops without a goodbye, because the agent is back in a moment: others keep it until they miss it.
    pub fn abandon(self) {
        // Dropping ends every task.
    }

    /// Says goodbye on every exchange and stops, within a second.
    pub async fn leave(mut self) {
        self.stops.sources.cancel();
        self.stops.node.cancel();
        let goodbye = async {
            // The node task announces our leaving record, tells the exchanges to stop and outlives them.
            self.node.join_all().await;
            self.exchanges.join_all().await;
            self.sources.join_all().await;
        };
        if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
            tracing::warn!("not everybody could be told goodbye in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn alone() -> Lobby {
        Lobby::builder().name("alone".parse().unwrap()).start().await.unwrap()
    }

    async fn ends_with(lobby: &mut Lobby, want: &str) {
        let ended = tokio::time::timeout(Duration::from_secs(10), lobby.ended()).await.unwrap();
        assert!(matches!(ended, Err(AgentError::TaskEnded(name)) if name == want), "wanted {want}, got {ended:?}");
    }

    #[tokio::test]
    async fn any_task_that_ends_or_panics_unasked_is_an_error() {
        let mut lobby = alone().await;
        lobby.exchanges.spawn("memory", async { panic!("as a defect would") });
        ends_with(&mut lobby, "memory").await;
        lobby.exchanges.spawn("gossip", async { Ok(()) });
        ends_with(&mut lobby, "gossip").await;
        lobby.sources.spawn_sure("hook", async {});
        ends_with(&mut lobby, "hook").await;
        lobby.stops.node.cancel();
        ends_with(&mut lobby, "node").await;
        lobby.leave().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_goodbye_that_nobody_takes_ends_after_a_second() {
        let mut lobby = alone().await;
        lobby.exchanges.spawn("stuck", std::future::pending());
        let (clock, reader) = (lobby.clock(), lobby.reader());
        let asked = clock.moment();
        lobby.leave().await;
        let took = clock.moment().since(asked);
        assert!(took <= Duration::from_millis(1010), "{took:?}");
        assert!(reader.snapshot().local.record.has_left());
    }
}
