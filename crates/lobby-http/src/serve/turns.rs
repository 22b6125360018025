//! What the parts of one connection tell each other: socket, handlers, and the loop that holds them.
//!
//! ```text
//! guard ── first byte of a head, stalled ──► Turns ◄── a request began, has its answer, is put aside ── service
//!                                              └──► connection: is it at rest, does it wait
//! ```
//! Not here: the deadlines that follow from it (`guard`), what is done at rest (`connection`).

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::parking::Wait;

/// The state of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    /// Starts and ends of requests: odd while one is being handled.
    count: AtomicU64,
    /// One more than the count at which the newest head began to arrive.
    begun: AtomicU64,
    /// The client has yet to take something.
    stalled: AtomicBool,
    /// The newest request came with a body, of which some may not have been read.
    has_body: AtomicBool,
    parked: Mutex<Option<Aside>>,
}

/// A request that was put aside.
pub(super) struct Aside {
    pub(super) wait: Wait,
    /// The head to ask again with.
    pub(super) head: Box<[u8]>,
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").finish_non_exhaustive()
    }
}

impl Turns {
    /// A request begins to be handled.
    pub(super) fn begin(&self, has_body: bool) {
        self.0.has_body.store(has_body, Ordering::Relaxed);
        self.step();
    }

    /// A request begins or ends to be handled.
    pub(super) fn step(&self) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
    }

    /// The present count, while no request is being handled.
    pub(super) fn waiting(&self) -> Option<u64> {
        let count = self.0.count.load(Ordering::Relaxed);
        count.is_multiple_of(2).then_some(count)
    }

    /// In this turn the first byte of a head came.
    pub(super) fn head_begun(&self, turn: u64) {
        self.0.begun.store(turn + 1, Ordering::Relaxed);
    }

    pub(super) fn set_stalled(&self, is_stalled: bool) {
        self.0.stalled.store(is_stalled, Ordering::Relaxed);
    }

    /// Whether all that was answered has been written.
    pub(super) fn is_flushed(&self) -> bool {
        !self.0.stalled.load(Ordering::Relaxed)
    }

    /// Whether all that was asked has been answered, and nothing more has come.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_between = self.waiting().is_some_and(|turn| self.0.begun.load(Ordering::Relaxed) != turn + 1);
        is_between && self.is_flushed() && !self.0.has_body.load(Ordering::Relaxed)
    }

    pub(super) fn park(&self, aside: Aside) {
        *self.0.parked.lock().unwrap_or_else(PoisonError::into_inner) = Some(aside);
    }

    pub(super) fn take_parked(&self) -> Option<Aside> {
        self.0.parked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
