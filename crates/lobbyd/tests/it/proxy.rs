//! The local proxy of the real binary: in an agent, and alone under the names of Synapse and Nerve.
//!
//! What its parts do is tested in `lobby-proxy`.

mod agent;
mod cold;
mod container;
mod faults;
mod hand_over;
mod load;
mod nerve;
mod nginx;
mod program;
mod remote;
mod seed;
mod stage;
mod state;
mod swap;
mod synapse;
mod taken;
