//! The local registry: what programs register at this agent, and whether it is well.
//!
//! ```text
//! commands ─► job ─► plan ─► journal (durable) ─► state ─► view ─► node task (published) ─► answered
//! ```
//! One task owns all of it (`task`). What was answered is there after a crash (`journal`, `saved`, `restore`); checks are
//! carried out by `probe`, and what they mean is `lobby_core::check`. Not here: the words of bodies and files.

mod alias;
mod batch;
mod entries;
pub(crate) mod files;
mod flight;
mod guard;
mod input;
mod job;
pub mod journal;
mod plan;
mod process;
mod restore;
mod saved;
mod show;
mod state;
mod stats;
mod task;
#[cfg(test)]
mod tests;

pub use self::stats::RegistryStats;
pub(crate) use self::{files::Definitions, restore::Start, stats::Counters};
