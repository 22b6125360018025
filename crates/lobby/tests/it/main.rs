//! Whole agents in one process, over the memory exchange.

mod agents;
mod membership;
mod saved;
