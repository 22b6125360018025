//! What is said over a stream: whole messages, whose length the shell's framing knows.
//!
//! ```text
//! exchange, and join: the same with a seed          pull
//!   ► Hello identity root                             ► Pull id stamp
//!   ◄ Same identity          (sums equal: the end)    ◄ Give record   or   Done
//!   ◄ Buckets identity sums
//!   ► Entries mask entries
//!   ◄ Give*  Want ids
//!   ► Give*  Done                                   ► Answer      (to a query)
//!                                                     ◄ Done
//! watch
//!   ► Watch identity id      ⇄ Bye
//! ```
//! Events pass between these frames of an exchange, see `engine/event`.
//! Every length and count is checked before anything is allocated for it.
//! Not here: who says what when (`engine/talk`), encryption and the four bytes of length (the shell).

use std::sync::Arc;

use bytes::BufMut;
use foca::Member;
use lobby_core::{
    id::NodeId,
    limits,
    record::{Record, Stamp},
    wire::binary::{self, DecodeError, Reader, put_bytes, put_varint},
};

use crate::{
    codec::{put_member, read_member},
    identity::Identity,
    item::{read_stamp, unpack},
    post::{EventExchange, Reply},
    roster::{BUCKETS, Entry, Mask, WIDE_BUCKETS},
};

/// Longest frame: one record of the largest size and what stands around it.
pub const FRAME_BYTES: usize = limits::RECORD_BYTES + CHUNK + 64 * 1024;

/// A Give ends after this many bytes and the next begins.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Gifts in one Give. Each names its node, in sixteen bytes at least, so a sender that keeps to [`CHUNK`] never has more.
const MAX_GIFTS: usize = CHUNK / 16;

/// Bodies of Give above this size are compressed.
const COMPRESS_FROM: usize = 512;

const HELLO: u8 = 1;
const SAME: u8 = 2;
const BUCKET_SUMS: u8 = 3;
const ENTRIES: u8 = 4;
const GIVE: u8 = 5;
const GIVE_LZ4: u8 = 6;
const WANT: u8 = 7;
const DONE: u8 = 8;
const PULL: u8 = 9;
const WATCH: u8 = 10;
const BYE: u8 = 11;
const EVENTS: u8 = 12;
const ANSWER: u8 = 13;
/// As [`BUCKET_SUMS`] and [`ENTRIES`], by four times as many buckets.
const WIDE_SUMS: u8 = 14;
const WIDE_ENTRIES: u8 = 15;

/// One message on a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    /// Who we are and the sum of all we know.
    Hello(Identity, u64),
    /// Who we are; our sum is the same.
    Same(Identity),
    /// Who we are and our sums by bucket, [`BUCKETS`] or [`WIDE_BUCKETS`] of them.
    Buckets(Identity, Box<[u64]>),
    /// What we know of the live nodes in these buckets.
    Entries(Mask, Vec<Entry>),
    /// What the other did not know.
    Give(Vec<Gift>),
    /// What we did not know; false when there was more to give than one exchange may carry.
    Want(Vec<NodeId>, bool),
    /// That was all.
    Done,
    /// The record of this node, at least this version.
    Pull(NodeId, Stamp),
    /// Who we are. We want to know when this node ends: keep the stream open.
    Watch(Identity, NodeId),
    /// The end of this watch stream is no news.
    Bye,
    /// What the sender knows, wants and gives of user events. Comes between the other frames of an exchange.
    Events(EventExchange),
    /// A large answer to a query of the receiver.
    Answer(Reply),
}

/// News of one node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gift {
    pub(crate) member: Option<Member<Identity>>,
    pub(crate) record: Option<Arc<Record>>,
    /// There was a record, but it breaks its rules. The rest of the frame stands: one bad record must not keep a newcomer
    /// from all others.
    pub(crate) spoilt: bool,
}

impl Frame {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Hello(identity, root) => {
                out.put_u8(HELLO);
                identity.encode(&mut out);
                out.put_u64_le(*root);
            }
            Self::Same(identity) => {
                out.put_u8(SAME);
                identity.encode(&mut out);
            }
            Self::Buckets(identity, sums) => {
                out.put_u8(if sums.len() == WIDE_BUCKETS { WIDE_SUMS } else { BUCKET_SUMS });
                identity.encode(&mut out);
                sums.iter().for_each(|sum| out.put_u64_le(*sum));
            }
            Self::Entries(mask, entries) => {
                out.put_u8(if mask.0.len() == WIDE_BUCKETS / 8 { WIDE_ENTRIES } else { ENTRIES });
                out.put_slice(&mask.0);
                put_varint(&mut out, entries.len() as u64);
                entries.iter().for_each(|entry| entry.encode(&mut out));
            }
            Self::Give(gifts) => {
                let mut body = Vec::new();
                gifts.iter().for_each(|gift| gift.encode(&mut body));
                put_give(&body, &mut out);
            }
            Self::Want(ids, complete) => {
                out.put_u8(WANT);
                out.put_u8(u8::from(*complete));
                put_varint(&mut out, ids.len() as u64);
                ids.iter().for_each(|id| out.put_slice(id.as_bytes()));
            }
            Self::Done => out.put_u8(DONE),
            Self::Pull(id, stamp) => {
                out.put_u8(PULL);
                out.put_slice(id.as_bytes());
                put_varint(&mut out, stamp.generation.0);
                put_varint(&mut out, stamp.version.0);
            }
            Self::Watch(identity, id) => {
                out.put_u8(WATCH);
                identity.encode(&mut out);
                out.put_slice(id.as_bytes());
            }
            Self::Bye => out.put_u8(BYE),
            Self::Events(notice) => {
                out.put_u8(EVENTS);
                notice.encode(&mut out);
            }
            Self::Answer(reply) => {
                out.put_u8(ANSWER);
                reply.encode(&mut out);
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > FRAME_BYTES {
            return Err(DecodeError::TooLarge);
        }
        let mut reader = Reader::new(bytes);
        let frame = match reader.u8()? {
            HELLO => Self::Hello(Identity::decode(&mut reader)?, u64::from_le_bytes(reader.array()?)),
            SAME => Self::Same(Identity::decode(&mut reader)?),
            BUCKET_SUMS => read_sums(&mut reader, BUCKETS)?,
            WIDE_SUMS => read_sums(&mut reader, WIDE_BUCKETS)?,
            ENTRIES => read_entries(&mut reader, BUCKETS)?,
            WIDE_ENTRIES => read_entries(&mut reader, WIDE_BUCKETS)?,
            GIVE => Self::Give(read_gifts(reader.take(reader.remaining())?)?),
            GIVE_LZ4 => Self::Give(read_gifts(&unpack(reader.take(reader.remaining())?, FRAME_BYTES)?)?),
            WANT => {
                let complete = reader.u8()? != 0;
                Self::Want(read_list(&mut reader, |reader| reader.node_id())?, complete)
            }
            DONE => Self::Done,
            PULL => Self::Pull(reader.node_id()?, read_stamp(&mut reader)?),
            WATCH => Self::Watch(Identity::decode(&mut reader)?, reader.node_id()?),
            BYE => Self::Bye,
            EVENTS => Self::Events(EventExchange::decode(&mut reader)?),
            ANSWER => Self::Answer(Reply::decode(&mut reader)?),
            _ => return Err(DecodeError::Range),
        };
        reader.finish()?;
        Ok(frame)
    }
}

impl Gift {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(self.member.is_some()) | u8::from(self.record.is_some()) << 1);
        if let Some(member) = &self.member {
            put_member(member, out);
        }
        if let Some(record) = &self.record {
            let mut body = Vec::new();
            binary::encode_record(record, &mut body);
            put_bytes(out, &body);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let has = reader.u8()?;
        let member = if has & 1 != 0 { Some(read_member(reader)?) } else { None };
        let told = if has & 2 != 0 { Some(reader.bytes(FRAME_BYTES)?) } else { None };
        let record = told.and_then(|bytes| binary::decode_record(bytes).ok());
        Ok(Self { member, spoilt: told.is_some() && record.is_none(), record })
    }
}

/// Gifts in frames of about [`CHUNK`] bytes, up to `most` bytes in all; false when some were left out.
pub(crate) fn give_frames(gifts: impl IntoIterator<Item = Gift>, most: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut frames, mut body, mut total) = (Vec::new(), Vec::new(), 0);
    let mut complete = true;
    let mut end = |body: &mut Vec<u8>| {
        let mut out = Vec::new();
        put_give(body, &mut out);
        frames.push(out);
        body.clear();
    };
    for gift in gifts {
        if total > most {
            complete = false;
            break;
        }
        let before = body.len();
        gift.encode(&mut body);
        total += body.len() - before;
        if body.len() >= CHUNK {
            end(&mut body);
        }
    }
    if !body.is_empty() {
        end(&mut body);
    }
    (frames, complete)
}

fn put_give(body: &[u8], out: &mut Vec<u8>) {
    if body.len() > COMPRESS_FROM {
        out.put_u8(GIVE_LZ4);
        out.put_slice(&lz4_flex::compress_prepend_size(body));
    } else {
        out.put_u8(GIVE);
        out.put_slice(body);
    }
}

fn read_gifts(body: &[u8]) -> Result<Vec<Gift>, DecodeError> {
    let mut reader = Reader::new(body);
    let mut gifts = Vec::new();
    while reader.remaining() > 0 {
        if gifts.len() >= MAX_GIFTS {
            return Err(DecodeError::TooLarge);
        }
        gifts.push(Gift::decode(&mut reader)?);
    }
    Ok(gifts)
}

fn read_sums(reader: &mut Reader<'_>, n_buckets: usize) -> Result<Frame, DecodeError> {
    let identity = Identity::decode(reader)?;
    let (sums, _) = reader.take(n_buckets * 8)?.as_chunks::<8>();
    Ok(Frame::Buckets(identity, sums.iter().map(|sum| u64::from_le_bytes(*sum)).collect()))
}

fn read_entries(reader: &mut Reader<'_>, n_buckets: usize) -> Result<Frame, DecodeError> {
    let mask = Mask(reader.take(n_buckets / 8)?.into());
    Ok(Frame::Entries(mask, read_list(reader, Entry::decode)?))
}

fn read_list<T>(
    reader: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.count(limits::NODES)?;
    // An element takes sixteen bytes at least: a forged count reserves no more than the frame's own size.
    let mut list = Vec::with_capacity(count.min(reader.remaining() / 16));
    for _ in 0..count {
        list.push(read(reader)?);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use lobby_core::{id::Origin, record::Stamp};

    use super::*;

    #[test]
    fn a_frame_of_more_gifts_than_anybody_gives_is_refused() {
        let mut frame = Vec::new();
        put_give(&[0; MAX_GIFTS], &mut frame);
        assert!(Frame::decode(&frame).is_ok());
        frame.clear();
        put_give(&[0; MAX_GIFTS + 1], &mut frame);
        assert_eq!(Frame::decode(&frame), Err(DecodeError::TooLarge));
    }

    #[test]
    fn one_bad_record_does_not_spoil_the_others_of_its_frame() {
        let good = Record::new(Origin::Node(NodeId::from_bytes([1; 16])), "good".parse().unwrap(), Stamp::default());
        let mut body = vec![2];
        put_bytes(&mut body, b"this is no record");
        Gift { member: None, record: Some(Arc::new(good)), spoilt: false }.encode(&mut body);
        let mut frame = Vec::new();
        put_give(&body, &mut frame);
        let Ok(Frame::Give(gifts)) = Frame::decode(&frame) else { panic!("not taken as gifts") };
        let seen: Vec<_> = gifts.iter().map(|gift| (gift.spoilt, gift.record.is_some())).collect();
        assert_eq!(seen, [(true, false), (false, true)]);
    }
}
