//! The journal's thread: gathers what waits, has it made durable together, and answers in the order of the calls.
//!
//! ```text
//! wait for an entry ─► gather until COMMIT_EVERY after the last commit ─► commit ─► answer all ─► a piece of a compaction
//! ```
//! While a compaction is under way it does not wait for an entry. Not here: what a commit is (`log.rs`), and the bound of
//! the queue, which is the room that each entry holds until it is answered (`journal.rs`).

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};

use lobby_core::time::Moment;
use lobby_exchange::clock::Clock;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    AppendError, COMMIT_EVERY, JournalStats,
    disk::Disk,
    log::{Change, Log},
};

/// What the thread is asked for.
pub(super) enum Message {
    Append(Request),
    /// Write what came before, and end. Answered at the end.
    Close(oneshot::Sender<()>),
}

/// An entry, who waits for it, and its room in the queue.
pub(super) struct Request {
    pub(super) change: Change,
    pub(super) answer: oneshot::Sender<Result<(), AppendError>>,
    pub(super) _room: OwnedSemaphorePermit,
}

/// Somebody who waits: with the error, when the entry was refused before it was written.
struct Waiting {
    answer: oneshot::Sender<Result<(), AppendError>>,
    refused: Option<AppendError>,
    _room: OwnedSemaphorePermit,
}

/// Why the thread ends.
enum Stop {
    /// All copies of the journal are gone.
    Dropped,
    Closed(oneshot::Sender<()>),
}

pub(super) struct Writer<D: Disk> {
    log: Log<D>,
    receiver: Receiver<Message>,
    stats: Arc<Mutex<JournalStats>>,
    clock: Clock,
    waiting: Vec<Waiting>,
    /// Start of the last commit.
    committed: Option<Moment>,
    /// Whether the last commit failed: it is logged when that changes, not each time.
    is_failing: bool,
}

impl<D: Disk> Writer<D> {
    pub(super) fn new(log: Log<D>, receiver: Receiver<Message>, stats: Arc<Mutex<JournalStats>>) -> Self {
        Self { log, receiver, stats, clock: Clock::start(), waiting: Vec::new(), committed: None, is_failing: false }
    }

    /// Works until the journal is closed or dropped.
    pub(super) fn run(mut self) {
        let stop = loop {
            let stop = self.gather().err();
            self.commit();
            if let Some(stop) = stop {
                break stop;
            }
            self.log.compact();
            self.show();
        };
        // First all is given up, then comes the word that the file may be opened anew.
        drop(self);
        if let Stop::Closed(done) = stop {
            // Nobody waits any more: all the same.
            _ = done.send(());
        }
    }

    /// Stages what waits, and what comes until the next commit is due.
    fn gather(&mut self) -> Result<(), Stop> {
        let first = if self.log.is_compacting() {
            match self.receiver.try_recv() {
                Err(TryRecvError::Empty) => return Ok(()),
                other => other.map_err(|_| Stop::Dropped),
            }
        } else {
            self.receiver.recv().map_err(|_| Stop::Dropped)
        };
        self.take(first?)?;
        loop {
            match self.receiver.recv_timeout(self.until_due()) {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(Stop::Dropped),
            }
        }
    }

    fn until_due(&self) -> Duration {
        let since = self.committed.map_or(COMMIT_EVERY, |committed| self.clock.moment().since(committed));
        COMMIT_EVERY.saturating_sub(since)
    }

    fn take(&mut self, message: Message) -> Result<(), Stop> {
        match message {
            Message::Append(Request { change, answer, _room }) => {
                let refused = self.log.stage(change).err();
                self.waiting.push(Waiting { answer, refused, _room });
                Ok(())
            }
            Message::Close(done) => Err(Stop::Closed(done)),
        }
    }

    fn commit(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.committed = Some(self.clock.moment());
        let result = self.log.commit();
        self.tell(&result);
        self.show();
        let result = result.map_err(|err| AppendError::Io(Arc::new(err)));
        for Waiting { answer, refused, _room } in self.waiting.drain(..) {
            // Nobody waits any more: the entry counts all the same.
            _ = answer.send(refused.map_or_else(|| result.clone(), Err));
        }
    }

    fn tell(&mut self, result: &io::Result<()>) {
        match result {
            Err(err) if !self.is_failing => tracing::warn!("the journal cannot be written, and tries again: {err}"),
            Ok(()) if self.is_failing => tracing::info!("the journal is written again"),
            _ => {}
        }
        self.is_failing = result.is_err();
    }

    fn show(&self) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = *self.log.stats();
    }
}
