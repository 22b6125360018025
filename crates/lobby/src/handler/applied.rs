//! Answers to other agents, and to ourselves, that ask whether a change of a record is applied here: as soon as it is.
//!
//! What is no question, and what finds [`WAITING`] others waiting, is dropped and counted; its asker sees no answer. Each
//! waits for as long as its asker does, [`LONGEST`] at most.
//! Not here: the bytes (`lobby_core::wire::applied`), how many such queries gossip takes in.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use lobby_core::{
    port::{CatalogReader, gossip::IncomingQuery},
    stats::AgentStats,
    time::Moment,
    wire::applied::{Question, YES},
};
use lobby_exchange::clock::Clock;
use tokio::{sync::oneshot, time::sleep_until};

/// Questions that wait for the catalog: as many queries of others as gossip lets wait for an answer.
pub(super) const WAITING: usize = 256;

/// Nobody asks for longer over the API.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// Who waits for which change.
pub(super) struct Applied {
    reader: CatalogReader,
    clock: Clock,
    stats: Arc<AgentStats>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    question: Question,
    until: Moment,
    answer: oneshot::Sender<Bytes>,
}

impl Applied {
    pub(super) const fn new(reader: CatalogReader, clock: Clock, stats: Arc<AgentStats>) -> Self {
        Self { reader, clock, stats, waiting: Vec::new() }
    }

    /// Answers at once, or when it can.
    pub(super) fn take(&mut self, query: IncomingQuery) {
        let until = self.clock.moment() + query.timeout.min(LONGEST);
        let question = Question::decode(&query.event.payload);
        if self.waiting.len() >= WAITING {
            self.settle();
        }
        match question {
            Ok(question) if self.waiting.len() < WAITING => {
                self.waiting.push(Waiting { question, until, answer: query.answer });
                self.settle();
            }
            _ => _ = self.stats.handlers_queries_dropped.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Answers who can be answered by the next snapshot, or lets go whose time is over. May be dropped and called again
    /// without loss.
    pub(super) async fn wait(&mut self) {
        let Some(next) = self.waiting.iter().map(|waiting| waiting.until).min() else { return pending().await };
        tokio::select! {
            changed = self.reader.changed() => if changed.is_err() {
                self.waiting.clear();
            },
            () = sleep_until(self.clock.instant(next)) => {}
        }
        self.settle();
    }

    fn settle(&mut self) {
        let (snapshot, now) = (self.reader.snapshot(), self.clock.moment());
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.question.is_answered(&snapshot) {
                // The asker may have gone.
                let _ = waiting.answer.send(Bytes::from_static(YES));
            } else if now < waiting.until && !waiting.answer.is_closed() {
                self.waiting.push(waiting);
            }
        }
    }
}
