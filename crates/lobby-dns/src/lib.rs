//! The catalog as DNS: names of services, nodes, labels and instances, over UDP and TCP.
//!
//! ```text
//! datagram, stream ─► message ─► cache ─ miss ─► zone (pure) ─► encode ─► cache ─► bytes
//!                                  └ other domains ─► forward, or REFUSED
//! ```
//! Answers come from the newest snapshot in memory and wait for nobody.
//! Not here: settings as text, the ready line (lobbyd), metrics as text (lobby-http).

mod cache;
mod counters;
pub mod encode;
mod forward;
mod limit;
pub mod message;
pub mod name;
mod near;
mod respond;
mod serve;
pub mod settings;
pub mod zone;

pub use counters::{Counters, Event};
pub use forward::Resolvers;
pub use near::{Distances, Near};
pub use respond::{Action, Responder, Shared};
pub use serve::{Server, Sockets, workers};
pub use settings::{Limits, ServiceTtls, Settings, Truncate};
