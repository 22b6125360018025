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

/// Most nodes without an agent: every agent keeps all of them. Those that were removed within a day count until there is no
/// room for others.
pub const EXTERNALS: usize = 4096;

/// Longest id of an instance or a check, and longest name of a service, in bytes.
pub const ID_BYTES: usize = 256;

/// Most tags of one instance. Routers are steered by some dozens of them.
pub const TAGS: usize = 256;

/// Longest tag in bytes: routers' rules are tags. One that with the name of its service before it is longer than
/// [`LABEL_BYTES`] has no form as a label.
pub const TAG_BYTES: usize = 4096;

/// Most meta pairs of one instance, as Consul has it.
pub const PAIRS: usize = 64;

/// Longest key of a meta pair in bytes, as Consul has it. Also of the name of a tagged address.
pub const PAIR_KEY_BYTES: usize = 128;

/// Longest value of a meta pair in bytes, as Consul has it.
pub const PAIR_VALUE_BYTES: usize = 512;

/// Most tagged addresses of one instance. Consul itself makes up to six.
pub const TAGGED_ADDRESSES: usize = 16;

/// Longest address in bytes: that of a host name with its dot, rounded up.
pub const ADDRESS_BYTES: usize = 255;

/// Longest kind of an instance in bytes. The longest that Consul has is `terminating-gateway`.
pub const KIND_BYTES: usize = 64;

/// Longest JSON text that is kept for others without being understood, in bytes.
pub const OPAQUE_BYTES: usize = 8192;

/// Most ports of one service that labels make: each is an instance of its own, with the same tags and meta pairs.
pub const LABEL_PORTS: usize = 64;

/// Longest name of a check in bytes: that of a service and the words around it fit twice.
pub const CHECK_NAME_BYTES: usize = 512;

/// Longest notes of a check in bytes, as others are told them.
pub const NOTES_BYTES: usize = 512;

/// Longest output of a check in bytes, as others are told it.
pub const OUTPUT_BYTES: usize = 512;

/// How much of a refused value or key an error shows, in bytes: enough to find it, and too little to fill a log even where
/// each of them is escaped (`\u{7f}`).
pub const SHOWN_BYTES: usize = 64;

/// What an error shows of a text: at most [`SHOWN_BYTES`], cut at a character's border.
pub(crate) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES)]
}
