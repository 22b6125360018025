//! What travels beside foca in a datagram: changes of records, sums of the state, questions, notices.
//!
//! A change goes out in the smallest of three forms: the entries that are newer than what the receiver likely has, the
//! whole record, or a hint that there is one, which the receiver fetches by stream from whoever sent the hint.
//! Not here: how often each is sent (`queue`), to whom (`engine/push`).

use std::sync::Arc;

use bytes::Bytes;
use lobby_core::{
    id::{Generation, NodeId, Version},
    record::{Delta, Record, Stamp},
    wire::binary::{self, DecodeError, Reader, put_varint},
};

use crate::{
    identity::Identity,
    notice::{self, Notice},
    packet::put_item,
};

mod user;

pub(crate) use user::{KeyOp, Receipt, UserItem, What};

/// Largest change that is pushed in a datagram; larger ones go by hint and stream. Leaves room for the envelope and
/// for one more small item in 1 232 bytes.
pub(crate) const PUSH_BYTES: usize = 1100;

/// Records above this size are tried with lz4.
const COMPRESS_FROM: usize = 512;

/// Largest record that may come out of a compressed item.
const MAX_UNPACKED: usize = 64 * 1024;

const DELTA: u8 = 1;
const FULL: u8 = 2;
const FULL_LZ4: u8 = 3;
const HINT: u8 = 4;
const ROOT: u8 = 5;
const QUESTION: u8 = 6;
const ANSWER: u8 = 7;
const BEACON: u8 = 20;
const PROVEN: u8 = 21;

/// One item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    /// The newer entries of a record.
    Delta(Delta),
    /// A whole record.
    Full(Arc<Record>),
    /// There is this version of a record; the sender of the datagram has it.
    Hint(NodeId, Stamp),
    /// The sum of all that the sender knows.
    Root(u64),
    /// Are you there? The number comes back.
    Question(u64),
    /// I am.
    Answer(u64),
    /// I am, and have the key of this id: [`lobby_core::proof::Signer::answer`].
    Proven(u64, [u8; 64]),
    /// What everybody must hear.
    Notice(Notice),
    /// Events, queries, keys, coordinates.
    User(UserItem),
    /// Here we are: the one item of a beacon.
    Beacon(Identity),
    /// Something from a later version.
    Unknown,
}

impl Item {
    /// The item with its head, as it travels and is passed on.
    pub(crate) fn encode(&self) -> Bytes {
        let mut body = Vec::new();
        let mut kind = match self {
            Self::Delta(delta) => {
                binary::encode_delta(delta, &mut body);
                DELTA
            }
            Self::Full(record) => {
                binary::encode_record(record, &mut body);
                FULL
            }
            Self::Hint(origin, stamp) => {
                body.extend_from_slice(origin.as_bytes());
                put_varint(&mut body, stamp.generation.0);
                put_varint(&mut body, stamp.version.0);
                HINT
            }
            Self::Root(number) => put_number(&mut body, *number, ROOT),
            Self::Question(number) => put_number(&mut body, *number, QUESTION),
            Self::Answer(number) => put_number(&mut body, *number, ANSWER),
            Self::Proven(number, signature) => {
                put_number(&mut body, *number, PROVEN);
                body.extend_from_slice(signature);
                PROVEN
            }
            Self::Notice(notice) => notice.encode(&mut body),
            Self::User(item) => return item.encode(),
            Self::Beacon(identity) => {
                identity.encode(&mut body);
                BEACON
            }
            Self::Unknown => return Bytes::new(),
        };
        if kind == FULL && body.len() > COMPRESS_FROM && body.len() <= MAX_UNPACKED {
            let packed = lz4_flex::compress_prepend_size(&body);
            if packed.len() < body.len() {
                (kind, body) = (FULL_LZ4, packed);
            }
        }
        let mut out = Vec::with_capacity(body.len() + 4);
        put_item(kind, &body, &mut out);
        out.into()
    }

    /// Reads an item's body.
    pub(crate) fn decode(kind: u8, body: &[u8]) -> Result<Self, DecodeError> {
        match kind {
            DELTA => Ok(Self::Delta(binary::decode_delta(body)?)),
            FULL => Ok(Self::Full(binary::decode_record(body)?)),
            FULL_LZ4 => Ok(Self::Full(binary::decode_record(&unpack(body, MAX_UNPACKED)?)?)),
            HINT => {
                let mut reader = Reader::new(body);
                let origin = reader.node_id()?;
                let stamp = read_stamp(&mut reader)?;
                reader.finish()?;
                Ok(Self::Hint(origin, stamp))
            }
            ROOT => Ok(Self::Root(read_number(body)?)),
            QUESTION => Ok(Self::Question(read_number(body)?)),
            ANSWER => Ok(Self::Answer(read_number(body)?)),
            PROVEN => {
                let mut reader = Reader::new(body);
                let (number, signature) = (u64::from_le_bytes(reader.array()?), reader.array()?);
                reader.finish()?;
                Ok(Self::Proven(number, signature))
            }
            kind if notice::KINDS.contains(&kind) => Ok(Self::Notice(Notice::decode(kind, body)?)),
            _ if UserItem::takes(kind) => Ok(Self::User(UserItem::decode(kind, body)?)),
            BEACON => {
                let mut reader = Reader::new(body);
                let identity = Identity::decode(&mut reader)?;
                reader.finish()?;
                Ok(Self::Beacon(identity))
            }
            _ => Ok(Self::Unknown),
        }
    }
}

/// The smallest of the three forms of a change. `bases` are versions that receivers may hold, the oldest first.
pub(crate) fn change(record: &Arc<Record>, bases: impl IntoIterator<Item = Version>) -> Bytes {
    let Some(origin) = record.origin.node_id() else { return Bytes::new() };
    let deltas = bases.into_iter().filter_map(|base| record.delta_since(base)).map(|delta| Item::Delta(delta).encode());
    let mut forms = deltas.chain(std::iter::once_with(|| Item::Full(record.clone()).encode()));
    forms.find(|form| form.len() <= PUSH_BYTES).unwrap_or_else(|| Item::Hint(origin, record.stamp).encode())
}

/// Whether this form of a change has to be fetched.
pub(crate) fn is_hint(form: &[u8]) -> bool {
    form.first() == Some(&HINT)
}

pub(crate) fn read_stamp(reader: &mut Reader<'_>) -> Result<Stamp, DecodeError> {
    Ok(Stamp { generation: Generation(reader.varint()?), version: Version(reader.varint()?) })
}

/// Undoes lz4 after checking the declared size.
pub(crate) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, DecodeError> {
    let (size, _) = lz4_flex::block::uncompressed_size(packed).map_err(|_| DecodeError::Short)?;
    if size > most {
        return Err(DecodeError::TooLarge);
    }
    lz4_flex::decompress_size_prepended(packed).map_err(|_| DecodeError::Range)
}

fn put_number(body: &mut Vec<u8>, number: u64, kind: u8) -> u8 {
    body.extend_from_slice(&number.to_le_bytes());
    kind
}

fn read_number(body: &[u8]) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(body);
    let number = u64::from_le_bytes(reader.array()?);
    reader.finish()?;
    Ok(number)
}
