//! Whole agents in one process, over the memory exchange, gossip and NATS.

mod agents;
mod membership;
#[cfg(feature = "nats")]
mod membership_nats;
mod saved;
