//! The bounds of the model: how large a label, a name, a record and a catalog may be.
//!
//! Every entrance (file, API, exchange) checks against these same numbers, so a value that one
//! agent accepts is accepted by all. Changing a number here is a change of protocol.
//! Not here: bounds of queues and sockets, which sit beside the queue or socket.

/// Longest label in bytes.
pub const LABEL_BYTES: usize = 1024;

/// Most labels one node may carry.
pub const LABELS: usize = 4096;

/// Most bytes of all labels of one node together: half a record, so that what the local API accepts fits everywhere.
pub const LABELS_BYTES: usize = RECORD_BYTES / 2;

/// Longest name (node, service, meta key) in bytes.
pub const NAME_BYTES: usize = 128;

/// Longest meta value in bytes.
pub const META_BYTES: usize = 1024;

/// Most entries of one record, tombstones included.
pub const ENTRIES: usize = 32_768;

/// Largest encoded record in bytes.
pub const RECORD_BYTES: usize = 1 << 20;

/// Tombstones kept in a record. A delta whose base is older than the oldest is answered by the full record.
pub const TOMBSTONES: usize = 256;

/// Most nodes a catalog holds, dead ones included: three times the 10 000 that the design aims at.
/// Above it, unknown nodes are refused and counted.
pub const NODES: usize = 32_768;
