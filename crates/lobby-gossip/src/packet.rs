//! The plaintext of a datagram: who sent it, a foca packet, and items of the record plane.
//!
//! ```text
//! plaintext = id[16] generation[8] counter foca-length foca item*      (counter, length: LEB128)
//! item      = kind[1] length body
//! ```
//! Sender id and generation stand once: the foca packet comes without them. foca may fill [`crate::Config::foca_bytes`];
//! the rest, and whatever foca did not use, belongs to items, so neither starves the other. Unknown kinds of items are
//! skipped: later versions may add some.

use bytes::BufMut;
use lobby_core::{
    id::{Generation, NodeId},
    wire::binary::{self, DecodeError, Reader, put_varint},
};

use crate::codec::SENDER_BYTES;

/// Longest item, a bound for the decoder alone: a datagram ends far below it.
const MAX_ITEM_BYTES: usize = 65_535;

/// Writes one plaintext.
#[derive(Debug)]
pub(crate) struct PacketWriter {
    bytes: Vec<u8>,
    most: usize,
}

impl PacketWriter {
    /// A plaintext of at most `most` bytes around a foca packet, which may be empty.
    pub(crate) fn new(sender: NodeId, generation: Generation, counter: u64, foca: &[u8], most: usize) -> Self {
        let foca = foca.get(SENDER_BYTES..).unwrap_or_default();
        let mut bytes = Vec::with_capacity(most);
        bytes.put_slice(sender.as_bytes());
        bytes.put_u64_le(generation.0);
        put_varint(&mut bytes, counter);
        binary::put_bytes(&mut bytes, foca);
        Self { bytes, most }
    }

    /// How long an encoded item may be that still fits.
    pub(crate) fn room(&self) -> usize {
        self.most.saturating_sub(self.bytes.len())
    }

    /// Appends an encoded item.
    pub(crate) fn push(&mut self, item: &[u8]) {
        self.bytes.put_slice(item);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Writes an item with its head.
pub(crate) fn put_item(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.put_u8(kind);
    binary::put_bytes(out, body);
}

/// A plaintext, taken apart.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) sender: NodeId,
    pub(crate) generation: Generation,
    pub(crate) counter: u64,
    /// The foca packet with the sender back at its front; empty when there is none.
    pub(crate) foca: Vec<u8>,
    items: Reader<'a>,
}

impl<'a> Packet<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let sender_bytes: [u8; SENDER_BYTES] = reader.array()?;
        let mut sender = Reader::new(&sender_bytes);
        let (id, generation) = (sender.node_id()?, Generation(u64::from_le_bytes(sender.array()?)));
        let counter = reader.varint()?;
        let rest = reader.bytes(MAX_ITEM_BYTES)?;
        let foca = if rest.is_empty() { Vec::new() } else { [&sender_bytes[..], rest].concat() };
        Ok(Self { sender: id, generation, counter, foca, items: reader })
    }

    /// The next item: kind and body.
    pub(crate) fn next_item(&mut self) -> Result<Option<(u8, &'a [u8])>, DecodeError> {
        if self.items.remaining() == 0 {
            return Ok(None);
        }
        Ok(Some((self.items.u8()?, self.items.bytes(MAX_ITEM_BYTES)?)))
    }
}
