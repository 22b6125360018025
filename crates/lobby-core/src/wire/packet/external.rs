//! Nodes without an agent on the packet of the agent that wrote them.
//!
//! Each is a packet of its own below `lobby.externals`, which old daemons do not know. Not here: which of them ride when
//! (`lobby-exchange`).

use std::sync::Arc;

use super::{Message, WireEnvelope, envelope, incoming, show_instances, written};
use crate::{id::ExchangeId, record::Record, time::WallSecond};

/// Most nodes without an agent that ride on one packet.
pub const EXTERNALS: usize = 16;

/// Writes a hi on which versions of nodes without an agent ride, [`EXTERNALS`] at most: old daemons read only the record.
/// Without the labels that show instances if it is to be short.
pub fn encode_carrying<'a>(
    record: &'a Record,
    externals: impl IntoIterator<Item = &'a Record>,
    is_short: bool,
    cluster: &str,
    now: WallSecond,
) -> Vec<u8> {
    let mut envelope = envelope(record, Message::Hi, cluster, now);
    if !is_short {
        show_instances(&mut envelope, record);
    }
    if let Some(lobby) = &mut envelope.lobby {
        lobby.externals =
            externals.into_iter().take(EXTERNALS).map(|record| super::envelope(record, Message::Hi, cluster, now)).collect();
    }
    written(&envelope)
}

/// Nobody's externals ride on an external.
pub(super) fn read_externals(wires: Vec<WireEnvelope<'_>>, exchange: ExchangeId, dropped: &mut usize) -> Vec<Arc<Record>> {
    let given = wires.len();
    let plain = |wire: &WireEnvelope<'_>| wire.lobby.as_ref().is_some_and(|lobby| lobby.externals.is_empty());
    let read = wires.into_iter().take(EXTERNALS).filter(plain).filter_map(|wire| incoming(wire, exchange).ok());
    let externals: Vec<_> = read.filter(|read| read.dropped == 0 && read.record.is_external()).map(|read| read.record).collect();
    *dropped += given - externals.len();
    externals
}
