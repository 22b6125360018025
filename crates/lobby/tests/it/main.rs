//! Whole agents in one process, over the memory exchange, gossip and NATS.

mod agents;
#[cfg(feature = "gossip")]
mod applied;
mod membership;
#[cfg(feature = "nats")]
mod membership_nats;
mod saved;
