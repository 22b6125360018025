//! The contract suite: what every exchange must do, run on each of them, and what only one of them does.

mod contract;
mod dir;
#[cfg(feature = "gossip")]
mod gossip;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod node;
#[cfg(feature = "redis")]
mod redis;
