//! The contract suite: what every exchange must do, run on each of them, and what only one of them does.

mod contract;
mod dir;
mod forged;
#[cfg(feature = "gossip")]
mod gossip;
mod memory;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "nats")]
mod nats_users;
mod node;
#[cfg(feature = "redis")]
mod redis;
#[cfg(all(feature = "nats", feature = "redis"))]
mod sealed;
