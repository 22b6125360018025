//! What DNS counts: questions, answers, what was malformed, what became of the cache and of TCP.
//!
//! Plain atomics: workers count, metrics read. Not here: the text of metrics (lobby-http).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lobby_core::{named, stats::DnsCounts};

use crate::message::{Malformed, Rcode};

named! {
    /// Something that happens.
    pub Event {
        /// A question came as a datagram.
        Udp = "udp",
        /// A question came over a stream.
        Tcp = "tcp",
        /// An answer did not fit, and the client was told.
        Truncated = "truncated",
        /// An answer did not fit, and the client was not told.
        Cut = "cut",
        /// An answer was in the cache.
        Hit = "hit",
        /// An answer had to be made.
        Made = "made",
        /// A client above its rate was sent to TCP.
        LimitedAgain = "again",
        /// A client above its rate got no answer.
        LimitedDrop = "drop",
        /// A TCP client above its rate had to wait.
        LimitedWait = "wait",
        /// A question was handed to another server.
        Forwarded = "forwarded",
        /// An answer of another server was in the cache.
        ForwardHit = "forward_hit",
        /// No other server answered.
        ForwardFailed = "forward_failed",
        /// Too many questions to others were under way.
        ForwardFull = "forward_full",
        /// A TCP connection was accepted.
        Connected = "connected",
        /// A TCP connection was refused at a bound.
        ConnectionRefused = "connection_refused",
        /// A datagram could not be sent.
        SendFailed = "send_failed",
    }
}

/// The counters of one agent's DNS.
#[derive(Debug, Default)]
pub struct Counters {
    events: [AtomicU64; Event::ALL.len()],
    answers: [AtomicU64; Rcode::ALL.len()],
    malformed: [AtomicU64; Malformed::ALL.len()],
    /// TCP connections that are open.
    pub(crate) connections: AtomicU64,
}

impl Counters {
    pub(crate) fn event(&self, event: Event) {
        self.events[event as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn answer(&self, rcode: Rcode) {
        self.answers[rcode as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn malformed(&self, malformed: Malformed) {
        self.malformed[malformed as usize].fetch_add(1, Relaxed);
    }

    /// How often something has happened.
    pub fn of(&self, event: Event) -> u64 {
        self.events[event as usize].load(Relaxed)
    }

    /// All of it.
    pub fn read(&self) -> DnsCounts {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        DnsCounts {
            events: Event::ALL.iter().map(|event| (event.as_str(), self.of(*event))).collect(),
            answers: Rcode::ALL.iter().map(|rcode| (rcode.as_str(), read(&self.answers[*rcode as usize]))).collect(),
            malformed: Malformed::ALL.iter().map(|kind| (kind.as_str(), read(&self.malformed[*kind as usize]))).collect(),
            connections: read(&self.connections),
        }
    }
}
