//! The encodings of the model. Domain types know no encoding; everything that is a promise to a peer,
//! a script or a Prometheus lives below here.
//!
//! - [`binary`]: records and deltas between our own agents (gossip).
//! - [`packet`]: the JSON packet of the Go daemon, with our additions (NATS, Redis).
//! - [`rest`]: list bodies of the REST API, byte for byte as in the contract.

pub mod binary;
pub mod packet;
pub mod rest;
