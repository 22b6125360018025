//! foca's packets as bytes, lean: the receiver is named by 8 bytes, because it knows its own identity.
//!
//! ```text
//! header = src incarnation[2] dst tag args      src    = identity (id and generation first)
//! dst    = id[4] generation[2] renewal[2]       member = identity incarnation[2] state
//! ```
//! The first [`SENDER_BYTES`] travel in the envelope (`packet`) and are put back there.
//! Not here: what a message means (foca).

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};
use lobby_core::{
    id::{Generation, NodeId},
    wire::binary::{DecodeError, Reader},
};

use crate::identity::Identity;

/// Id and generation of the sender, at the front of every foca packet.
pub(crate) const SENDER_BYTES: usize = 24;

/// Reads and writes foca packets on behalf of one member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codec {
    own: Identity,
}

/// Why a packet could not be read or written. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// The packet is full; foca sends what fits.
    #[error("no room left in the packet")]
    NoRoom,
    /// Count and drop the packet.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Codec {
    pub(crate) const fn new(own: Identity) -> Self {
        Self { own }
    }

    /// Reads the header off the front of a foca packet.
    pub(crate) fn header(&self, reader: &mut Reader<'_>) -> Result<Header<Identity>, DecodeError> {
        let src = Identity::decode(reader)?;
        let src_incarnation = u16::from_le_bytes(reader.array()?);
        let dst = self.read_dst(reader)?;
        let message = match reader.u8()? {
            0 => Message::Ping(reader.u8()?),
            1 => Message::Ack(reader.u8()?),
            2 => Message::PingReq { probe_number: reader.u8()?, target: Identity::decode(reader)? },
            3 => Message::IndirectPing { probe_number: reader.u8()?, origin: Identity::decode(reader)? },
            4 => Message::IndirectAck { probe_number: reader.u8()?, target: Identity::decode(reader)? },
            5 => Message::ForwardedAck { probe_number: reader.u8()?, origin: Identity::decode(reader)? },
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            9 => Message::Broadcast,
            10 => Message::TurnUndead,
            _ => return Err(DecodeError::Range),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    /// A foca packet with another receiver, otherwise the same.
    pub(crate) fn readdress(&self, packet: &[u8], dst: Identity) -> Option<Vec<u8>> {
        let mut reader = Reader::new(packet);
        let header = Header { dst, ..self.header(&mut reader).ok()? };
        let mut out = Vec::with_capacity(packet.len());
        put_header(&header, &mut out);
        out.extend_from_slice(&packet[packet.len() - reader.remaining()..]);
        Some(out)
    }

    /// foca's word to one who is held down. An incarnation of zero says nothing new about `src`.
    pub(crate) fn turn_undead(&self, src: Identity, dst: Identity) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put_header(&Header { src, src_incarnation: 0, dst, message: Message::TurnUndead }, &mut out);
        out
    }

    /// foca's word to one who is suspected: of what, so that it can refute it. An incarnation of zero says nothing new about
    /// `src`.
    pub(crate) fn accusation(&self, src: Identity, accused: &Member<Identity>) -> Vec<u8> {
        self.rumour(src, *accused.id(), accused)
    }

    /// foca's word about one member to another.
    pub(crate) fn rumour(&self, src: Identity, dst: Identity, about: &Member<Identity>) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        put_header(&Header { src, src_incarnation: 0, dst, message: Message::Gossip }, &mut out);
        out.put_u16(1);
        put_member(about, &mut out);
        out
    }

    /// Our own identity if the packet is for this process, else one that is not ours.
    fn read_dst(&self, reader: &mut Reader<'_>) -> Result<Identity, DecodeError> {
        let prefix: [u8; 4] = reader.array()?;
        let generation = u16::from_le_bytes(reader.array()?);
        let renewal = u16::from_le_bytes(reader.array()?);
        let own = &self.own;
        if own.id.as_bytes()[..4] != prefix {
            return Ok(Identity { id: NodeId::from_bytes([0; 16]), renewal, ..*own });
        }
        let ours = own.generation.0 as u16 == generation;
        Ok(Identity { generation: if ours { own.generation } else { Generation(0) }, renewal, ..*own })
    }
}

/// A direct probe, or its answer, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    Ping(u8),
    Ack(u8),
}

/// The incarnation of a foca packet's sender.
pub(crate) fn incarnation(packet: &[u8]) -> Option<u16> {
    let mut reader = Reader::new(packet);
    Identity::decode(&mut reader).ok()?;
    reader.array().ok().map(u16::from_le_bytes)
}

/// Whether a foca packet is a direct probe or its answer.
pub(crate) fn probe(packet: &[u8]) -> Option<Probe> {
    let mut reader = Reader::new(packet);
    Identity::decode(&mut reader).ok()?;
    // Incarnation and receiver.
    reader.take(2 + 8).ok()?;
    match (reader.u8().ok()?, reader.u8().ok()?) {
        (0, number) => Some(Probe::Ping(number)),
        (1, number) => Some(Probe::Ack(number)),
        _ => None,
    }
}

fn put_header(header: &Header<Identity>, out: &mut Vec<u8>) {
    header.src.encode(out);
    out.put_u16_le(header.src_incarnation);
    out.put_slice(&header.dst.id.as_bytes()[..4]);
    out.put_u16_le(header.dst.generation.0 as u16);
    out.put_u16_le(header.dst.renewal);
    let mut indirect = |tag: u8, number: u8, other: &Identity| {
        out.put_u8(tag);
        out.put_u8(number);
        other.encode(out);
    };
    match &header.message {
        Message::Ping(number) => out.put_slice(&[0, *number]),
        Message::Ack(number) => out.put_slice(&[1, *number]),
        Message::PingReq { target, probe_number } => indirect(2, *probe_number, target),
        Message::IndirectPing { origin, probe_number } => indirect(3, *probe_number, origin),
        Message::IndirectAck { target, probe_number } => indirect(4, *probe_number, target),
        Message::ForwardedAck { origin, probe_number } => indirect(5, *probe_number, origin),
        Message::Announce => out.put_u8(6),
        Message::Feed => out.put_u8(7),
        Message::Gossip => out.put_u8(8),
        Message::Broadcast => out.put_u8(9),
        Message::TurnUndead => out.put_u8(10),
    }
}

/// Writes a member with its state, as rumours and exchanges carry it.
pub(crate) fn put_member(member: &Member<Identity>, out: &mut Vec<u8>) {
    member.id().encode(out);
    out.put_u16_le(member.incarnation());
    out.put_u8(match member.state() {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    });
}

/// Reads a member with its state.
pub(crate) fn read_member(reader: &mut Reader<'_>) -> Result<Member<Identity>, DecodeError> {
    let identity = Identity::decode(reader)?;
    let incarnation = u16::from_le_bytes(reader.array()?);
    let state = match reader.u8()? {
        0 => State::Alive,
        1 => State::Suspect,
        2 => State::Down,
        _ => return Err(DecodeError::Range),
    };
    Ok(Member::new(identity, incarnation, state))
}

impl foca::Codec<Identity> for Codec {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<Identity>, mut buf: impl BufMut) -> Result<(), CodecError> {
        let mut out = Vec::with_capacity(128);
        put_header(header, &mut out);
        put_if_it_fits(&out, &mut buf)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        read_front(&mut buf, |reader| self.header(reader))
    }

    fn encode_member(&mut self, member: &Member<Identity>, mut buf: impl BufMut) -> Result<(), CodecError> {
        let mut out = Vec::with_capacity(64);
        put_member(member, &mut out);
        put_if_it_fits(&out, &mut buf)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<Identity>, CodecError> {
        read_front(&mut buf, read_member)
    }
}

fn put_if_it_fits(bytes: &[u8], buf: &mut impl BufMut) -> Result<(), CodecError> {
    if buf.remaining_mut() < bytes.len() {
        return Err(CodecError::NoRoom);
    }
    buf.put_slice(bytes);
    Ok(())
}

/// foca hands over plain slices, so the first chunk is all there is.
fn read_front<T>(buf: &mut impl Buf, read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>) -> Result<T, CodecError> {
    let mut reader = Reader::new(buf.chunk());
    let value = read(&mut reader)?;
    let n_read = buf.chunk().len() - reader.remaining();
    buf.advance(n_read);
    Ok(value)
}
