//! Whether the node task still takes turns: for a watchdog that ends a process which only looks alive.
//!
//! Not here: who asks, how often, and what happens without an answer (lobbyd and its service manager).

use tokio::sync::{mpsc, oneshot};

use crate::node::Update;

/// Asks the node task for a sign of life. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pulse(mpsc::Sender<Update>);

impl Pulse {
    pub(crate) const fn new(updates: mpsc::Sender<Update>) -> Self {
        Self(updates)
    }

    /// Returns once the node task has answered: true. False: it has ended. Waits for ever while it is stuck.
    pub async fn beat(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        // Room for nothing: the smallest question that passes the same queue as all that sources say.
        self.0.send(Update::Reserve(Vec::new(), answer)).await.is_ok() && answered.await.is_ok()
    }
}
