//! A group of named tasks that live as long as the agent: whoever ends early is noticed, whoever drops it ends them all.
//!
//! The agent has three groups, because a stop has an order: sources, the node task, exchanges.
//! Not here: how tasks are asked to stop (`agent::Stops`).

use std::{collections::HashMap, future::Future};

use lobby_exchange::ExchangeError;
use tokio::task::{Id, JoinError, JoinSet};

/// How a task ended: by itself, with an exchange's error, or by a panic.
pub(crate) type End = Result<Result<(), ExchangeError>, JoinError>;

/// Tasks and their names. At most one for each exchange, source and hook of the configuration.
#[derive(Default)]
pub(crate) struct Tasks {
    set: JoinSet<Result<(), ExchangeError>>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Starts a task that can fail.
    pub(crate) fn spawn(&mut self, name: &'static str, task: impl Future<Output = Result<(), ExchangeError>> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Starts a task that cannot fail.
    pub(crate) fn spawn_sure(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(name, async {
            task.await;
            Ok(())
        });
    }

    /// Waits until one of the tasks ends; `None` when none is left. Loses nothing when it is cancelled.
    pub(crate) async fn join_next(&mut self) -> Option<(&'static str, End)> {
        let (id, end) = match self.set.join_next_with_id().await? {
            Ok((id, result)) => (id, Ok(result)),
            Err(err) => (err.id(), Err(err)),
        };
        Some((self.names.remove(&id).unwrap_or("unnamed"), end))
    }

    /// Waits until all have ended, and logs who ended badly.
    pub(crate) async fn join_all(&mut self) {
        while let Some((task, end)) = self.join_next().await {
            match end {
                Ok(Ok(())) => {}
                Ok(Err(err)) => tracing::warn!(task, "ended badly: {err}"),
                Err(err) => tracing::error!(task, "failed: {err}"),
            }
        }
    }
}
