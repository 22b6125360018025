//! The items of what people ask of gossip: events, queries and what comes back, keys, coordinates.
//!
//! ```text
//! event, query      as in `post`                       coordinate = 11 × f32: vec[8] height adjustment error
//! answer  = query[16] node[16] payload                 relay = to[16] kind[1] body   (an answer or a receipt)
//! receipt = query[16] node[16] what[1]                 key   = ltime what[1] (key[32] | name[8])
//! ```
//! Not here: what is done with them (`engine/user` and its neighbours).

use std::time::Duration;

use bytes::{BufMut, Bytes};
use lobby_core::{
    coordinate::{Coordinate, DIMENSIONS},
    id::NodeId,
    port::gossip::EventId,
    wire::binary::{DecodeError, Reader, put_varint},
};

use crate::{
    keyring::{Key, KeyName},
    packet::put_item,
    post::{Post, Reply, Terms, age_tail, read_age},
};

const EVENT: u8 = 12;
const QUERY: u8 = 13;
const QUERY_ANSWER: u8 = 14;
const QUERY_ACK: u8 = 15;
const COORDINATE: u8 = 16;
const RELAY: u8 = 17;
const KEY: u8 = 18;

/// The bit of a receipt that goes back to the node it names.
const CONFIRMS: u8 = 0x80;

/// What a receipt says, or confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// The node got the query.
    Got,
    /// The node got it and will not answer.
    Pass,
    /// The node answered. Only ever confirmed: an answer says so itself.
    Answer,
}

/// One step towards an answer, or that such a step arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) query: EventId,
    /// Whose step it is.
    pub(crate) node: NodeId,
    pub(crate) what: What,
    /// From the asker: it need not be told again.
    pub(crate) confirms: bool,
}

/// One change of a keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyOp {
    /// Open with this key too.
    Install(Key),
    /// Seal with it.
    Use(KeyName),
    /// Forget it.
    Remove(KeyName),
}

/// One item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum UserItem {
    /// A user event and its age.
    Event(Post, Duration),
    Query(Post, Terms),
    Answer(Reply),
    Receipt(Receipt),
    /// Where the sender is.
    Coordinate(Coordinate),
    /// Hand this item, an answer or a receipt, to that node.
    Relay(NodeId, Box<UserItem>),
    /// A change of keys that the receiver missed, and the Lamport time of the query that made it.
    Key(KeyOp, u64),
}

impl UserItem {
    /// Whether items of this kind are read here.
    pub(crate) const fn takes(kind: u8) -> bool {
        matches!(kind, EVENT..=KEY)
    }

    /// The item with its head.
    pub(crate) fn encode(&self) -> Bytes {
        let mut body = Vec::new();
        let kind = self.put(&mut body);
        let mut out = Vec::with_capacity(body.len() + 4);
        put_item(kind, &body, &mut out);
        out.into()
    }

    /// Writes the body; returns the kind.
    fn put(&self, body: &mut Vec<u8>) -> u8 {
        match self {
            Self::Event(post, age) => {
                post.encode(body);
                body.put_slice(&age_tail(*age));
                EVENT
            }
            Self::Query(post, terms) => {
                post.encode(body);
                terms.encode(body);
                QUERY
            }
            Self::Answer(reply) => {
                reply.encode(body);
                QUERY_ANSWER
            }
            Self::Receipt(receipt) => {
                body.put_slice(&receipt.query.0);
                body.put_slice(receipt.node.as_bytes());
                body.put_u8(receipt.what as u8 | if receipt.confirms { CONFIRMS } else { 0 });
                QUERY_ACK
            }
            Self::Coordinate(coordinate) => {
                let Coordinate { vec, height, adjustment, error } = coordinate;
                vec.iter().chain([height, adjustment, error]).for_each(|number| body.put_f32_le(*number));
                COORDINATE
            }
            Self::Relay(to, inner) => {
                body.put_slice(to.as_bytes());
                let at = body.len();
                body.put_u8(0);
                body[at] = inner.put(body);
                RELAY
            }
            Self::Key(op, ltime) => {
                put_varint(body, *ltime);
                op.encode(body);
                KEY
            }
        }
    }

    /// Reads an item's body.
    pub(crate) fn decode(kind: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let item = match kind {
            EVENT => Self::Event(Post::decode(&mut reader)?, read_age(&mut reader)?),
            QUERY => Self::Query(Post::decode(&mut reader)?, Terms::decode(&mut reader)?),
            QUERY_ANSWER => Self::Answer(Reply::decode(&mut reader)?),
            QUERY_ACK => Self::Receipt(Receipt::decode(&mut reader)?),
            COORDINATE => Self::Coordinate(read_coordinate(&mut reader)?),
            RELAY => {
                let to = reader.node_id()?;
                let inner = reader.u8()?;
                if inner != QUERY_ANSWER && inner != QUERY_ACK {
                    return Err(DecodeError::Range);
                }
                Self::Relay(to, Box::new(Self::decode(inner, reader.take(reader.remaining())?)?))
            }
            KEY => {
                let ltime = reader.varint()?;
                Self::Key(KeyOp::decode(&mut reader)?, ltime)
            }
            _ => return Err(DecodeError::Range),
        };
        reader.finish()?;
        Ok(item)
    }
}

impl Receipt {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (query, node, what) = (EventId(reader.array()?), reader.node_id()?, reader.u8()?);
        let confirms = what & CONFIRMS != 0;
        let what = match what & !CONFIRMS {
            0 => What::Got,
            1 => What::Pass,
            2 if confirms => What::Answer,
            _ => return Err(DecodeError::Range),
        };
        Ok(Self { query, node, what, confirms })
    }
}

impl KeyOp {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Install(key) => {
                out.put_u8(0);
                out.put_slice(key.as_bytes());
            }
            Self::Use(name) => {
                out.put_u8(1);
                out.put_slice(&name.0);
            }
            Self::Remove(name) => {
                out.put_u8(2);
                out.put_slice(&name.0);
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Install(Key::from_bytes(reader.array()?))),
            1 => Ok(Self::Use(KeyName(reader.array()?))),
            2 => Ok(Self::Remove(KeyName(reader.array()?))),
            _ => Err(DecodeError::Range),
        }
    }
}

fn read_coordinate(reader: &mut Reader<'_>) -> Result<Coordinate, DecodeError> {
    let mut vec = [0.0; DIMENSIONS];
    let mut number = || reader.array().map(f32::from_le_bytes);
    for part in &mut vec {
        *part = number()?;
    }
    let coordinate = Coordinate { vec, height: number()?, adjustment: number()?, error: number()? };
    if coordinate.is_valid() { Ok(coordinate) } else { Err(DecodeError::Range) }
}
