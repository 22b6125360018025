//! Records and deltas as compact bytes: what gossip carries.
//!
//! ```text
//! record = id[16] generation version floor flags name count entry* [key[32] signature[64]]
//! delta  = id[16] generation base version floor flags name count entry* [signature[64]]   (the key is that of the base)
//! entry  = kind key age present [value]                                  (age = record version - entry version)
//! text   = length bytes                                    flags = phase + 4 if signed
//! ```
//! Numbers are LEB128 of at most 10 bytes. A signature is read here and checked elsewhere (`proof`).
//! Bytes come from the network and are hostile: every length is checked before anything is allocated, every
//! value passes its validator. Bytes behind the end of the message are an error.

use std::sync::Arc;

use bytes::BufMut;

use crate::{
    id::{Generation, NodeId, Origin, Version},
    limits,
    name::Name,
    proof::Proof,
    record::{Delta, Entry, Key, Phase, Record, Stamp, Value},
};

/// Why bytes are not a message. Nothing was changed: count it and drop the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the message does.
    #[error("the message is cut short")]
    Short,
    /// Bytes follow the end of the message.
    #[error("bytes follow the end of the message")]
    Trailing,
    /// A number, a length or a count is larger than it may be.
    #[error("a number is larger than it may be")]
    Range,
    /// A name, label or key breaks its rules.
    #[error("a text breaks its rules")]
    Text,
    /// The message as a whole breaks a bound of `limits`.
    #[error("the record is too large")]
    TooLarge,
}

/// Reads numbers, texts and fixed bytes off the front of a slice. Shared by every binary decoder.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Succeeds when nothing is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.bytes = tail;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or(DecodeError::Short)?;
        self.bytes = tail;
        Ok(*head)
    }

    /// A LEB128 number.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Range);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Range)
    }

    /// A length or count of at most `most`.
    pub fn count(&mut self, most: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| DecodeError::Range)?;
        if count <= most { Ok(count) } else { Err(DecodeError::Range) }
    }

    /// Bytes with their length before them, at most `most` of them.
    pub fn bytes(&mut self, most: usize) -> Result<&'a [u8], DecodeError> {
        let count = self.count(most)?;
        self.take(count)
    }

    /// A text of at most `most` bytes.
    pub fn text(&mut self, most: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(most)?).map_err(|_| DecodeError::Text)
    }

    /// A node id.
    pub fn node_id(&mut self) -> Result<NodeId, DecodeError> {
        Ok(NodeId::from_bytes(self.array()?))
    }

    /// A name.
    pub fn name(&mut self) -> Result<Name, DecodeError> {
        self.text(limits::NAME_BYTES)?.parse().map_err(|_| DecodeError::Text)
    }
}

/// Writes a LEB128 number.
pub fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Writes bytes with their length before them.
pub fn put_bytes(out: &mut impl BufMut, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Writes a record. Bare records have no binary form and write nothing.
pub fn encode_record(record: &Record, out: &mut Vec<u8>) {
    let Origin::Node(id) = record.origin else { return };
    out.put_slice(id.as_bytes());
    put_varint(out, record.stamp.generation.0);
    put_varint(out, record.stamp.version.0);
    let flags = flags(record.phase, record.is_signed());
    put_tail(out, record.stamp.version, record.floor, flags, &record.name, record.entries());
    if let Some(proof) = record.proof() {
        out.put_slice(&proof.key);
        out.put_slice(&proof.signature);
    }
}

/// Reads a record that fills `bytes` to the end.
pub fn decode_record(bytes: &[u8]) -> Result<Arc<Record>, DecodeError> {
    if bytes.len() > limits::RECORD_BYTES {
        return Err(DecodeError::TooLarge);
    }
    let mut reader = Reader::new(bytes);
    let id = reader.node_id()?;
    let generation = Generation(reader.varint()?);
    let version = Version(reader.varint()?);
    let tail = read_tail(&mut reader, version)?;
    let proof = match tail.is_signed {
        true => Some(Proof { key: reader.array()?, signature: reader.array()? }),
        false => None,
    };
    reader.finish()?;
    let stamp = Stamp { generation, version };
    Record::from_parts(Origin::Node(id), tail.name, stamp, tail.floor, tail.phase, tail.entries)
        .map(|record| Arc::new(record.with_proof(proof)))
        .ok_or(DecodeError::TooLarge)
}

/// Writes a delta.
pub fn encode_delta(delta: &Delta, out: &mut Vec<u8>) {
    out.put_slice(delta.origin.as_bytes());
    put_varint(out, delta.stamp.generation.0);
    put_varint(out, delta.base.0);
    put_varint(out, delta.stamp.version.0);
    let entries = delta.entries.iter().map(|(key, entry)| (key, entry));
    let flags = flags(delta.phase, delta.signature.is_some());
    put_tail(out, delta.stamp.version, delta.floor, flags, &delta.name, entries);
    delta.signature.iter().for_each(|signature| out.put_slice(signature));
}

/// Reads a delta that fills `bytes` to the end.
pub fn decode_delta(bytes: &[u8]) -> Result<Delta, DecodeError> {
    let mut reader = Reader::new(bytes);
    let origin = reader.node_id()?;
    let generation = Generation(reader.varint()?);
    let base = Version(reader.varint()?);
    let version = Version(reader.varint()?);
    let Tail { floor, phase, is_signed, name, entries } = read_tail(&mut reader, version)?;
    let signature = if is_signed { Some(reader.array()?) } else { None };
    reader.finish()?;
    Ok(Delta { origin, name, base, stamp: Stamp { generation, version }, floor, phase, entries, signature })
}

/// What records and deltas have in common.
struct Tail {
    floor: Version,
    phase: Phase,
    is_signed: bool,
    name: Name,
    entries: Vec<(Key, Entry)>,
}

/// Bit of the flags beside the phase.
const SIGNED: u8 = 4;

const fn flags(phase: Phase, is_signed: bool) -> u8 {
    phase as u8 | if is_signed { SIGNED } else { 0 }
}

fn put_tail<'a>(
    out: &mut Vec<u8>,
    version: Version,
    floor: Version,
    flags: u8,
    name: &Name,
    entries: impl ExactSizeIterator<Item = (&'a Key, &'a Entry)>,
) {
    put_varint(out, floor.0);
    out.put_u8(flags);
    put_bytes(out, name.as_str().as_bytes());
    put_varint(out, entries.len() as u64);
    for (key, entry) in entries {
        let (kind, text) = key.parts();
        out.put_u8(kind);
        put_bytes(out, text);
        put_varint(out, version.0.saturating_sub(entry.version.0));
        match &entry.value {
            Some(value) => {
                out.put_u8(1);
                put_bytes(out, value);
            }
            None => out.put_u8(0),
        }
    }
}

fn read_tail(reader: &mut Reader<'_>, version: Version) -> Result<Tail, DecodeError> {
    let floor = Version(reader.varint()?);
    if floor > version {
        return Err(DecodeError::Range);
    }
    // The higher bits are ignored, so that later versions may use them.
    let flags = reader.u8()?;
    let phase = match flags & 3 {
        0 => Phase::Running,
        1 => Phase::Left,
        2 => Phase::Restarting,
        _ => return Err(DecodeError::Range),
    };
    let name = reader.name()?;
    let count = reader.count(limits::ENTRIES)?;
    // An entry takes four bytes at least: a forged count cannot make us reserve more than the packet's own size.
    let mut entries = Vec::with_capacity(count.min(reader.remaining() / 4));
    for _ in 0..count {
        let kind = reader.u8()?;
        let key = Key::from_parts(kind, reader.bytes(limits::LABEL_BYTES)?).ok_or(DecodeError::Text)?;
        let version = Version(version.0.checked_sub(reader.varint()?).ok_or(DecodeError::Range)?);
        let value = match reader.u8()? {
            0 => None,
            1 => {
                let value = reader.bytes(limits::RECORD_BYTES)?;
                if !key.takes(value) {
                    return Err(DecodeError::Text);
                }
                Some(if value.is_empty() { Value::default() } else { value.into() })
            }
            _ => return Err(DecodeError::Range),
        };
        entries.push((key, Entry { version, value }));
    }
    Ok(Tail { floor, phase, is_signed: flags & SIGNED != 0, name, entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_refuse_more_than_64_bits() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Reader::new(&out).varint(), Ok(value));
        }
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(DecodeError::Range));
        assert_eq!(Reader::new(&[0x80]).varint(), Err(DecodeError::Short));
    }

    #[test]
    fn a_forged_count_is_refused_without_reserving_for_it() {
        let record = Record::new(Origin::Node(NodeId::from_bytes([1; 16])), "n".parse().unwrap(), Stamp::default());
        let mut bytes = Vec::new();
        encode_record(&record, &mut bytes);
        bytes.pop();
        put_varint(&mut bytes, limits::ENTRIES as u64);
        assert_eq!(decode_record(&bytes), Err(DecodeError::Short));
    }

    #[test]
    fn a_floor_above_the_version_is_refused() {
        let (origin, version) = (Origin::Node(NodeId::from_bytes([1; 16])), Version(3));
        for (floor, is_good) in [(3, true), (4, false), (u64::MAX, false)] {
            let stamp = Stamp { version, ..Stamp::default() };
            let name = "n".parse().unwrap();
            let record = Record::from_parts(origin.clone(), name, stamp, Version(floor), Phase::Running, []).unwrap();
            let mut bytes = Vec::new();
            encode_record(&record, &mut bytes);
            assert_eq!(decode_record(&bytes).is_ok(), is_good, "{floor}");
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let record = Record::new(Origin::Node(NodeId::from_bytes([1; 16])), "n".parse().unwrap(), Stamp::default());
        let mut bytes = Vec::new();
        encode_record(&record, &mut bytes);
        bytes.push(0);
        assert_eq!(decode_record(&bytes), Err(DecodeError::Trailing));
    }

    #[test]
    fn instances_and_checks_that_break_their_rules_are_refused() {
        let decoded = |kind: u8, key: &str, value: &[u8]| {
            let entry = Entry { version: Version(0), value: Some(value.into()) };
            let other = [(Key::Other(kind, key.as_bytes().into()), entry)];
            let origin = Origin::Node(NodeId::from_bytes([1; 16]));
            let parts = (Stamp::default(), Version(0), Phase::Running);
            let record = Record::from_parts(origin, "n".parse().unwrap(), parts.0, parts.1, parts.2, other).unwrap();
            let mut bytes = Vec::new();
            encode_record(&record, &mut bytes);
            decode_record(&bytes).map(|record| (record.instances().count(), record.checks().count()))
        };
        let (instance, check) = (b"\x01\0\x03web\0\0\x01\x01\0\0\0\0\0\0", b"\x01\0\0\0\x01c\0\0\0\0");
        assert_eq!(decoded(2, "web", instance), Ok((1, 0)));
        assert_eq!(decoded(3, "web", check), Ok((0, 1)));
        for (kind, key, value) in [(2, "web", &b""[..]), (2, "web", check), (2, "", instance), (2, "a\n", instance)] {
            assert_eq!(decoded(kind, key, value), Err(DecodeError::Text), "{key:?}");
        }
        for (kind, key, value) in [(3, "web", &b""[..]), (3, "web", instance), (3, "", check), (3, "\u{7f}", check)] {
            assert_eq!(decoded(kind, key, value), Err(DecodeError::Text), "{key:?}");
        }
        assert_eq!(decoded(4, "web", b"\x01\x01\x02eu"), Ok((0, 0)));
        for value in [&b""[..], b"\x01", b"\x01\x01\x02e", b"\x01\x01\x01\n", b"\x01\0\0"] {
            assert_eq!(decoded(4, "web", value), Err(DecodeError::Text), "{value:?}");
        }
        assert_eq!(decoded(5, "web", b"anything"), Ok((0, 0)), "what only a newer agent knows");
    }
}
