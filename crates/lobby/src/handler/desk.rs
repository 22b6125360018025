//! The one taker of queries: hands each to the handlers that want it, and takes the first answer. What agents ask each other
//! (`applied`) no handler sees; it is answered without any.
//!
//! A query that nobody wants, or whose takers all fail, is dropped, which its asker sees as no answer. A handler whose
//! queue is full does not get it; that is counted.
//! Not here: running a command for it (`handler`).

use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering};

use bytes::Bytes;
use lobby_core::{
    id::NodeId,
    port::{
        CatalogReader,
        gossip::{IncomingQuery, NewEvent},
    },
    stats::AgentStats,
    time::Moment,
    wire::applied::QUERY,
};
use lobby_exchange::clock::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{QUERIES, applied::Applied, spec::Names};

/// A query on its way to one or more handlers.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(super) ltime: u64,
    pub(super) origin: NodeId,
    pub(super) event: NewEvent,
    /// Nobody waits for an answer after this.
    pub(super) until: Moment,
    answer: Mutex<Option<oneshot::Sender<Bytes>>>,
}

impl Asked {
    /// Answers, unless another handler has.
    pub(super) fn answer(&self, answer: Vec<u8>) {
        // Taking a value leaves the slot whole whatever panics elsewhere.
        let slot = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(slot) = slot {
            // The asker may have gone.
            let _ = slot.send(answer.into());
        }
    }
}

/// Who wants which queries.
pub(crate) struct Desk {
    takers: Vec<(Names, mpsc::Sender<Arc<Asked>>)>,
    reader: CatalogReader,
    clock: Clock,
    stats: Arc<AgentStats>,
}

impl Desk {
    pub(crate) const fn new(reader: CatalogReader, clock: Clock, stats: Arc<AgentStats>) -> Self {
        Self { takers: Vec::new(), reader, clock, stats }
    }

    /// The queue of one more handler.
    pub(crate) fn open(&mut self, handler: &super::Handler) -> mpsc::Receiver<Arc<Asked>> {
        let (sender, receiver) = mpsc::channel(QUERIES);
        if !handler.specs.queries.is_none() {
            self.takers.push((handler.specs.queries.clone(), sender));
        }
        receiver
    }

    /// Hands out queries until `stop`.
    pub(crate) async fn serve(self, mut queries: mpsc::Receiver<IncomingQuery>, stop: CancellationToken) {
        let mut applied = Applied::new(self.reader.clone(), self.clock, self.stats.clone());
        loop {
            let query = tokio::select! {
                () = stop.cancelled() => break,
                query = queries.recv() => query,
                () = applied.wait() => continue,
            };
            match query {
                Some(query) if query.event.name == QUERY => applied.take(query),
                Some(query) => self.hand_out(query),
                None => break,
            }
        }
        // Gossip may end before we are told to.
        stop.cancelled().await;
    }

    fn hand_out(&self, query: IncomingQuery) {
        let asked = Arc::new(Asked {
            ltime: query.ltime,
            origin: query.origin,
            event: query.event,
            until: self.clock.moment() + query.timeout,
            answer: Mutex::new(Some(query.answer)),
        });
        for (_, taker) in self.takers.iter().filter(|(names, _)| names.takes(&asked.event.name)) {
            if taker.try_send(asked.clone()).is_err() {
                self.stats.handlers_queries_dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
