//! DNS over made-up fleets: the zone's tables, laws about bytes, caches, and real sockets.

mod cache;
mod fleet;
mod forward;
mod laws;
mod sockets;
mod zone;
mod zone_doubt;
mod zone_names;
mod zone_size;
