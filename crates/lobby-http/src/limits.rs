//! Sizes, counts and deadlines of connections, with the numbers they have unless a configuration says otherwise.
//!
//! Each one has an answer of its own and a counter in `/metrics`.

use std::time::Duration;

/// What one connection, and all of them together, may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most open connections over all listeners. From 90 % on, new connections get 429 (but for health and metrics),
    /// at the bound 503.
    pub connections: usize,
    /// Most open connections of one client address: 429 above. Loopback addresses have no such bound.
    pub per_address: usize,
    /// How long a TLS handshake may take, from the connection on; it is closed after.
    pub handshake: Duration,
    /// Most TLS handshakes under way at a time; connections above are closed.
    pub handshakes: usize,
    /// Longest request head: 431 above. At least 8 KiB.
    pub header_bytes: usize,
    /// How long a request head may take from its first byte: 408 after.
    pub header_read: Duration,
    /// How long a connection may wait for the next request; it is closed after.
    pub idle: Duration,
    /// Longest request body: 413 above.
    pub body_bytes: usize,
    /// How long a request body may take: 408 after.
    pub body_read: Duration,
    /// How long a client may take nothing of an answer; the connection is closed after.
    pub write_stall: Duration,
    /// How long requests in flight may take when the agent stops.
    pub drain: Duration,
    /// Most blocking requests (`?index=…`) that wait at a time: 429 above.
    pub waits: usize,
    /// Most event streams (`/v1/events`) that are open at a time: 429 above.
    pub streams: usize,
    /// Most instances that connections hold (`/v1/hold`) at a time: 429 above.
    pub holds: usize,
    /// Most queries to the fleet (`/v1/ask/…`) under way at a time: 429 above.
    pub asks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            // Half of all: one client with a leak must not keep out the others.
            per_address: 8192,
            handshake: Duration::from_secs(10),
            // Each costs about a millisecond of a core and some 30 KiB: more at a time would only all be late.
            handshakes: 1024,
            header_bytes: 16 << 10,
            header_read: Duration::from_secs(10),
            // Longer than the scrape intervals people use, so that a scraper keeps its connection.
            idle: Duration::from_secs(75),
            body_bytes: 1 << 20,
            body_read: Duration::from_secs(10),
            write_stall: Duration::from_secs(30),
            // With a second for the goodbye before it, a stop stays below two.
            drain: Duration::from_millis(500),
            // Half of the connections: those who wait must not keep out those who ask.
            waits: 8192,
            // A quarter: with those who wait, still one in four connections is for those who ask.
            streams: 4096,
            // Far more programs than one host runs; each costs a task here beside its connection.
            holds: 1024,
            // Gossip itself has room for 64 of ours, and its own share of them must stay free.
            asks: 32,
        }
    }
}
