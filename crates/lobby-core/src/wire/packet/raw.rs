//! What of a record is bytes even in JSON, as hexadecimal text: its proof, and entries that the readable members cannot tell.
//!
//! The hash that is signed is over the entries' bytes. One that a newer agent wrote, in a later form or of a kind that is
//! not known here, would come back as other bytes, so it is told as it is, beside what can be read of it.
//! Not here: whether the proof is good (`crate::proof`).

use serde::{Deserialize, Serialize};

use super::{checked, encode_check, encode_instance};
use crate::{
    limits,
    proof::Proof,
    record::{Key, Record, Value},
    wire::service::{decode_check, decode_instance, decode_tags, encode_tags},
};

/// Kind, key and value of an entry.
#[derive(Serialize, Deserialize)]
pub(super) struct RawEntry(u8, String, String);

/// The entries that come back as other bytes from the members for instances, checks and given tags, or not at all.
pub(super) fn raw_entries(record: &Record) -> Vec<RawEntry> {
    let live = record.entries().filter_map(|(key, entry)| Some((key, entry.value.as_ref()?)));
    let raw = live.filter(|(key, value)| !comes_back(key, value));
    raw.map(|(key, value)| {
        let (kind, text) = key.parts();
        RawEntry(kind, hex(text), hex(value))
    })
    .collect()
}

/// The same as entries.
pub(super) fn read_raw(raw: Vec<RawEntry>, dropped: &mut usize) -> Vec<(Key, Value)> {
    let entry = |RawEntry(kind, key, value): RawEntry| {
        let (key, value) = (Key::from_parts(kind, &unhex(&key)?)?, unhex(&value)?);
        // Labels and properties can always be read, and have bounds of their own.
        let is_raw = !matches!(key, Key::Label(_) | Key::Meta(_));
        (is_raw && value.len() <= limits::RECORD_BYTES && key.takes(&value)).then(|| (key, Value::from(value)))
    };
    raw.into_iter().filter_map(|raw| checked(entry(raw), dropped)).collect()
}

/// Whether the readable members tell this entry as it is.
fn comes_back(key: &Key, value: &[u8]) -> bool {
    let mut again = Vec::new();
    match key {
        Key::Label(_) | Key::Meta(_) => return true,
        Key::Instance(id) => _ = decode_instance(id.clone(), value).map(|instance| encode_instance(&instance, &mut again)),
        Key::Check(id) => _ = decode_check(id.clone(), value).map(|check| encode_check(&check, &mut again)),
        Key::Tags(_) => _ = decode_tags(value).map(|tags| encode_tags(&tags, &mut again)),
        Key::Other(..) => return false,
    }
    again == value
}

/// The proof that these texts are; `None` when one is missing or is none.
pub(super) fn proof_of(key: &str, signature: &str) -> Option<Proof> {
    Some(Proof { key: unhex(key)?.try_into().ok()?, signature: unhex(signature)?.try_into().ok()? })
}

/// The hash of a content that this text is.
pub(super) fn content_of(text: &str) -> Option<[u8; 32]> {
    unhex(text)?.try_into().ok()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}
