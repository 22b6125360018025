//! The encodings of the model. Domain types know no encoding; everything that is a promise to a peer,
//! a script or a Prometheus lives below here.
//!
//! - [`applied`]: the question between agents whether a version of a record is shown yet.
//! - [`binary`]: records and deltas between our own agents (gossip).
//! - [`definition`]: registrations of instances and checks, as programs send them and files hold them.
//! - [`packet`]: the JSON packet of the Go daemon, with our additions (NATS, Redis).
//! - [`rest`]: list bodies of the REST API, byte for byte as in the contract.
//! - [`service`]: instances and checks, as values of a record's entries.

pub mod applied;
pub mod binary;
pub mod definition;
pub mod packet;
pub mod rest;
pub mod service;

/// Whether a text is a JSON object, and as such can stand in a body as it is. Nesting is bounded by the parser (128).
pub(crate) fn is_json_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
