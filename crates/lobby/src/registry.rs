//! What programs register at this agent: so far only the journal that keeps it over restarts.
//!
//! ```text
//! registration ─► journal (durable) ─► node task (published) ─► acknowledged
//! ```
//! Not here: what a registration is and how it is checked.

#[cfg_attr(not(test), expect(dead_code, reason = "the registry task is written elsewhere"))]
mod files;
pub mod journal;
#[cfg_attr(not(test), expect(dead_code, reason = "the registry task is written elsewhere"))]
mod process;
