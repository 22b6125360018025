//! What programs register at this agent: so far only the journal that keeps it over restarts.
//!
//! ```text
//! registration ─► journal (durable) ─► node task (published) ─► acknowledged
//! ```
//! Not here: what a registration is and how it is checked.

pub mod journal;
