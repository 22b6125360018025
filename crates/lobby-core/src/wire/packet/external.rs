//! Nodes without an agent on the packet of the agent that wrote them.
//!
//! Each is a packet of its own below `lobby.externals`, which old daemons do not know. Not here: which of them ride when
//! (`lobby-exchange`).

use std::{collections::BTreeMap, sync::Arc};

use super::{Message, WireEnvelope, checked, envelope, incoming, show_instances, written};
use crate::{
    external::tags::tagged,
    id::ExchangeId,
    record::{Key, Record, Value},
    time::WallSecond,
    wire::service::{decode_tags, encode_tags},
};

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

/// The tags that the record gives to instances of an agent of its name, by their ids.
pub(super) fn given_tags(record: &Record) -> BTreeMap<String, Vec<String>> {
    tagged(record).filter_map(|(id, value)| Some((id.to_string(), decode_tags(value).ok()?.to_vec()))).collect()
}

/// The same as entries.
pub(super) fn read_given_tags(given: BTreeMap<String, Vec<String>>, dropped: &mut usize) -> Vec<(Key, Value)> {
    let entry = |(id, tags): (String, Vec<String>)| {
        let (key, mut bytes) = (Key::Tags(id.parse().ok()?), Vec::new());
        encode_tags(&tags, &mut bytes);
        key.takes(&bytes).then(|| (key, bytes.as_slice().into()))
    };
    given.into_iter().filter_map(|given| checked(entry(given), dropped)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        external::{Change, next, tags::tags},
        id::NodeId,
        wire::packet::{decode, encode},
    };

    #[test]
    fn given_tags_travel_and_bad_ones_are_left_out() {
        let given: Arc<[String]> = ["eu".to_owned(), "Host(`a`)".to_owned()].into();
        let changes = [Change::Tags("web-1".parse().unwrap(), Some(given.clone()))];
        let record = next(None, &"db".parse().unwrap(), NodeId::from_bytes([9; 16]), 5, &changes).unwrap().unwrap();
        let bytes = encode(&record, Message::Hi, "lobby", WallSecond(5));
        let read = decode(&bytes, ExchangeId(0)).unwrap();
        assert_eq!((read.hash, read.dropped), (Some(record.content_hash()), 0));
        assert_eq!(*read.record, record);
        assert_eq!(tags(&read.record, &"web-1".parse().unwrap()), Some(given));
        let bad = String::from_utf8(bytes).unwrap().replace("\"eu\"", "\"e\\nu\"");
        let read = decode(bad.as_bytes(), ExchangeId(0)).unwrap();
        assert_eq!((read.dropped, tagged(&read.record).count()), (1, 0));
    }
}
