//! A running agent: reading its catalog, writing its labels, and a stop that says goodbye.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lobby_core::{
    id::{ExchangeId, Generation, NodeId},
    port::{
        CatalogReader, Commands, PeerEvent,
        external::ExternalHandle,
        gossip::{GossipCommand, GossipHandle},
        registry::RegistryHandle,
    },
    stats::{AgentStats, Stats},
};
use lobby_exchange::{ExchangeError, clock::Clock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    builder::Builder,
    membership::{self, JoinError, Member, MemberEvents},
    pulse::Pulse,
    registry::{Counters, Definitions, RegistryStats},
    store::{Store, StoreError},
    tasks::Tasks,
    user_event::UserEvents,
};

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
    pub(crate) registry: RegistryHandle,
    pub(crate) counters: Arc<Counters>,
    pub(crate) externals: ExternalHandle,
    pub(crate) stats: Arc<AgentStats>,
    pub(crate) exchange_infos: Vec<ExchangeInfo>,
    pub(crate) stops: Stops,
    pub(crate) pulse: Pulse,
    /// One task: the node task.
    pub(crate) node: Tasks,
    pub(crate) exchanges: Tasks,
    /// Label sources, the registry, host name, hooks, handlers and the saving of the catalog.
    pub(crate) sources: Tasks,
    /// Our next id, once it was drawn.
    pub(crate) next_id: Option<NodeId>,
    /// Keeps the event queue open, so that an agent without exchanges runs too.
    pub(crate) _events: mpsc::Sender<(ExchangeId, PeerEvent)>,
    /// Keeps the queue of what files define open, whether or not anybody reads files.
    pub(crate) _inputs: mpsc::Sender<Definitions>,
}

/// How each kind of task is told to stop, in the order of a stop, and how somebody asks for one.
#[derive(Clone, Default)]
pub(crate) struct Stops {
    /// Somebody asks us to leave.
    pub(crate) leave: CancellationToken,
    pub(crate) sources: CancellationToken,
    /// The node task says goodbye and ends.
    pub(crate) node: CancellationToken,
    /// The node task says that we are back in a moment, and ends.
    pub(crate) restart: CancellationToken,
    pub(crate) exchanges: CancellationToken,
    /// The node task has heard that somebody else lives under our id.
    pub(crate) cloned: CancellationToken,
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
    /// Another node lives under our id: our disk or machine is a clone of its, and we are the younger. A new key was drawn
    /// and, where there is a data folder, saved: drop this agent, then start a new one from the same folder.
    #[error("another node lives under our id {old}: the disk or machine was cloned; the next start is node {new}")]
    Cloned {
        /// The id that the other one keeps.
        old: NodeId,
        /// Ours from the next start on.
        new: NodeId,
    },
    /// The same, but the new key could not be saved: the next start would be a clone again.
    #[error("another node lives under our id, and a new key could not be saved")]
    ClonedForEver(#[source] StoreError),
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

    /// Asks whether the node task still takes turns.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Asks gossip: members, keys, events, queries. Without the exchange every question is refused.
    pub fn gossip(&self) -> GossipHandle {
        self.gossip.clone()
    }

    /// Registers instances and checks at this agent, and shows them. What is answered is on disk, where there is a data
    /// folder, and in the catalog.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use lobby::core::{
    ///     instance::Instance,
    ///     port::registry::{Registration, RegistryCommand},
    /// };
    ///
    /// let lobby = lobby::Lobby::builder().name("web-1".parse()?).start().await?;
    /// let registry = lobby.registry();
    /// let instance = Instance { port: 8080, ..Instance::new("web-8080".parse()?, "web".parse()?) };
    /// let registration = Registration { instance, checks: Vec::new(), replace_checks: false };
    /// registry.ask(|answer| RegistryCommand::Register(Box::new(registration), answer)).await?;
    /// assert_eq!(lobby.reader().snapshot().service("web").map(|web| web.instances.len()), Some(1));
    ///
    /// let id = "web-8080".parse()?;
    /// registry.ask(|answer| RegistryCommand::Deregister(id, answer)).await?;
    /// assert!(lobby.reader().snapshot().service("web").is_none());
    /// # lobby.leave().await;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    pub fn registry(&self) -> RegistryHandle {
        self.registry.clone()
    }

    /// Writes nodes without an agent, which every agent then keeps.
    pub fn externals(&self) -> ExternalHandle {
        self.externals.clone()
    }

    /// What the registry counts.
    pub fn registry_stats(&self) -> RegistryStats {
        self.counters.read()
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

    /// Everybody there is, ourselves too, failed ones for an hour, sorted by name.
    pub fn members(&self) -> Vec<Member> {
        membership::members(&self.reader.snapshot())
    }

    /// Who comes, changes and goes, from now on; everybody who is there joins first. Each call gives events of its own.
    pub fn member_events(&self) -> MemberEvents {
        MemberEvents::new(self.reader())
    }

    /// The user events for this node, from now on; none without gossip. Events that were fired before we came are never
    /// among them. Each call gives events of its own.
    pub fn user_events(&self) -> UserEvents {
        UserEvents::from_now(self.gossip.watch_events())
    }

    /// Contacts these addresses (`host`, `host:port` or `address:port`) over gossip, and keeps them as seeds. Returns at how
    /// many a member of our cluster answered.
    ///
    /// # Errors
    /// When there were addresses and nobody was reached at any. The agent stays up and goes on trying, for ever.
    pub async fn join(&self, addrs: impl IntoIterator<Item = impl Into<String>>) -> Result<usize, JoinError> {
        let addrs: Vec<_> = addrs.into_iter().map(Into::into).collect();
        if addrs.is_empty() {
            return Ok(0);
        }
        let outcome = self.gossip.ask(|answer| GossipCommand::Join(addrs, answer)).await?;
        if outcome.reached.is_empty() { Err(JoinError::Nobody(outcome.failed)) } else { Ok(outcome.reached.len()) }
    }

    /// Waits until somebody asks the agent to leave, or any of its tasks ends without being asked to, or another node
    /// lives under our id.
    ///
    /// # Errors
    /// The exchange's error, or the name of the task: the agent should be told to leave. Or [`AgentError::Cloned`].
    pub async fn ended(&mut self) -> Result<(), AgentError> {
        let (name, end) = tokio::select! {
            // When the node task ends, the others follow: it is the one to name.
            biased;
            () = self.stops.leave.cancelled() => return Ok(()),
            () = self.stops.cloned.cancelled() => return Err(self.give_way()),
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

    /// Draws our next id, once.
    fn give_way(&mut self) -> AgentError {
        let old = self.store.id;
        if self.next_id.is_none() {
            match self.store.renew_identity() {
                Ok(new) => self.next_id = Some(new),
                Err(err) => return AgentError::ClonedForEver(err),
            }
        }
        AgentError::Cloned { old, new: self.next_id.unwrap_or(old) }
    }

    /// Says goodbye on every exchange and stops, within a second. Others see us as left, never as failed.
    pub async fn leave(self) {
        let word = self.stops.node.clone();
        self.end(word).await;
    }

    /// Says on every exchange that we are back in a moment, and stops, within a second. Others keep listing us for
    /// AGENT_GRACE; a start from the same data folder within it is no change to anybody.
    pub async fn restart(self) {
        let word = self.stops.restart.clone();
        self.end(word).await;
    }

    async fn end(mut self, word: CancellationToken) {
        if self.stops.cloned.is_cancelled() {
            // What we said last under this id would be believed of the other one. Commands that run are killed.
            self.stops.sources.cancel();
            if tokio::time::timeout(GOODBYE, self.sources.join_all()).await.is_err() {
                tracing::warn!("not every command could be ended in time");
            }
            return;
        }
        self.stops.sources.cancel();
        word.cancel();
        let goodbye = async {
            // The node task announces our last record, tells the exchanges to stop and outlives them.
            self.node.join_all().await;
            self.exchanges.join_all().await;
            self.sources.join_all().await;
        };
        if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
            tracing::warn!("not everybody could be told in time that we stop");
        }
    }
}

#[cfg(test)]
mod tests;
