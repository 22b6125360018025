//! Writing nodes without an agent, as outputs see it.
//!
//! A write is answered when it is on disk and in a snapshot of the catalog. Not here: what a write changes
//! ([`crate::external`]), who may write (outputs), how it is done (the crate `lobby`).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::{external::Change, local::SetError, name::Name, record::Stamp};

/// Bound of the queue: a full one makes the caller wait.
pub const WRITES: usize = 64;

/// Most nodes that one batch may write, as Consul's transactions have at most so many operations.
pub const NODES: usize = 128;

/// What a batch does to one node.
#[derive(Clone, Debug)]
pub struct Write {
    /// Which node.
    pub name: Name,
    /// What is changed, in order.
    pub changes: Vec<Change>,
    /// The version that the writer has seen (`None` inside: there was none): another one by now refuses the batch.
    pub seen: Option<Option<Stamp>>,
}

/// Writes that count together or not at all, and who is told.
#[derive(Debug)]
pub struct Batch {
    /// At most [`NODES`].
    pub writes: Vec<Write>,
    /// Told when all of them count.
    pub answer: oneshot::Sender<Result<(), ExternalError>>,
}

/// Why a batch was not carried out. Nothing was changed, unless the error says that it is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// An agent runs on the node: what is there is registered with it.
    #[error(
        "node {0} has an agent: register with that one; only the tags of a service that it registered with \
         EnableTagOverride can be changed here"
    )]
    HasAgent(Name),
    /// A value breaks its rules, or the record would be too large.
    #[error("node {name}: {source}")]
    Set {
        /// Which node.
        name: Name,
        /// What is wrong.
        source: SetError,
    },
    /// Somebody else has changed the node meanwhile.
    #[error("node {0} has changed meanwhile")]
    Changed(Name),
    /// There are as many nodes without an agent as there may be.
    #[error("at most {} nodes without an agent are accepted", crate::limits::EXTERNALS)]
    TooMany,
    /// The known version is stamped further ahead of our clock than is believed: this clock is wrong, or its writer's was.
    #[error("node {0}: its version is from more than a day ahead of the clock here")]
    Ahead(Name),
    /// It could not be written to disk.
    #[error("not saved: {0}")]
    NotSaved(Arc<str>),
    /// Nobody said in time whether it counts.
    #[error("the disk does not answer; whether the write counts is not known")]
    Stuck,
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Writes nodes without an agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ExternalHandle {
    batches: mpsc::Sender<Batch>,
}

impl ExternalHandle {
    /// Batches go to whoever holds the other end.
    pub const fn new(batches: mpsc::Sender<Batch>) -> Self {
        Self { batches }
    }

    /// Takes no writes.
    pub fn none() -> Self {
        Self { batches: mpsc::channel(1).0 }
    }

    /// Carries out these writes together; returns when a snapshot shows them.
    ///
    /// # Errors
    /// When one of them cannot be carried out; then none is.
    pub async fn write(&self, writes: Vec<Write>) -> Result<(), ExternalError> {
        let (answer, answered) = oneshot::channel();
        self.batches.send(Batch { writes, answer }).await.map_err(|_| ExternalError::Stopping)?;
        answered.await.unwrap_or(Err(ExternalError::Stopping))
    }
}
