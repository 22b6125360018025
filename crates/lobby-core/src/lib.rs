//! What a Lobby fleet knows and how it merges.
//!
//! ```text
//! sources ─► local record ─► exchange(s) ◄─► peers
//!                 │              │
//!                 └──► catalog ◄─┘ ──snapshots──► outputs
//! ```
//! Everything here is pure: no IO, no clock, no randomness, no task. Time comes in as a parameter and
//! what must be done comes out as a value. The shells around it are `lobby-exchange` (records travel),
//! `lobby` (the node task and its sources) and the outputs.

pub mod catalog;
pub mod change;
pub mod check;
pub mod coordinate;
pub mod duration;
pub mod expr;
pub mod external;
pub mod filter;
pub mod hold;
pub mod id;
pub mod instance;
pub mod label;
pub mod limits;
pub mod local;
pub mod name;
pub mod near;
pub mod port;
pub mod proof;
pub mod record;
pub mod select;
pub mod selector;
pub mod service;
pub mod stats;
pub mod time;
pub mod wire;
