//! The bytes of the journal: how an entry is written, and how far a file can be believed.
//!
//! ```text
//! file  = magic[16] entry*
//! entry = body_len[4] checksum[8] body           body = kind[1] key_len[2] key value
//! ```
//! Numbers are little endian; kind is 1 for a put, 0 for a deletion; the checksum is the begin of BLAKE3 over length and body.
//! Nothing is allocated here on the word of a file. Not here: IO (`disk.rs`) and what entries add up to (`log.rs`).

use super::{KEY_BYTES, VALUE_BYTES};

/// Says what the file is, and in which version.
pub(super) const MAGIC: &[u8; 16] = b"lobby journal 1\n";

/// Bytes before the body.
const HEAD: usize = 12;

/// Bytes of the body before the key.
const BODY_HEAD: usize = 3;

/// Most bytes hashed in search of an entry after a bad one: twenty times the usual rest, a few hundredths of a second. Only
/// values made for it exceed it, and then the answer is the one that throws nothing away.
const SEARCH_BYTES: usize = 32 << 20;

/// One entry as it stands in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With an entry, or empty.
    Clean,
    /// With something that no whole entry follows: a write that was never finished.
    Torn,
    /// With something that is bad although good entries follow, or that is no journal at all.
    Damaged,
}

/// Bytes of an entry in the file.
pub(super) const fn frame_len(key_len: usize, value_len: usize) -> usize {
    HEAD + BODY_HEAD + key_len + value_len
}

/// Appends an entry. Key and value are within their limits.
pub(super) fn put(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    debug_assert!(key.len() <= KEY_BYTES && value.is_none_or(|value| value.len() <= VALUE_BYTES), "checked at the entrance");
    let start = out.len();
    let body_len = BODY_HEAD + key.len() + value.map_or(0, <[u8]>::len);
    out.extend((body_len as u32).to_le_bytes());
    out.extend([0; 8]);
    out.push(u8::from(value.is_some()));
    out.extend((key.len() as u16).to_le_bytes());
    out.extend(key);
    out.extend(value.unwrap_or_default());
    let sum = checksum(&out[start..start + 4], &out[start + HEAD..]);
    out[start + 4..start + HEAD].copy_from_slice(&sum);
}

/// Calls `each` for the entries up to the first bad byte, and says where that is and what it means.
pub(super) fn scan<'a>(file: &'a [u8], mut each: impl FnMut(Entry<'a>)) -> (usize, End) {
    let Some(_) = file.strip_prefix(MAGIC) else {
        let end = match file {
            [] => End::Clean,
            part if MAGIC.starts_with(part) => End::Torn,
            _ => End::Damaged,
        };
        return (0, end);
    };
    let mut at = MAGIC.len();
    while let Some((body, sum)) = frame(&file[at..]) {
        let next = at + HEAD + body.len();
        let Some(entry) = entry(&file[at..next], body, sum) else { break };
        each(entry);
        at = next;
    }
    let end = match &file[at..] {
        [] => End::Clean,
        rest if is_followed(rest) => End::Damaged,
        _ => End::Torn,
    };
    (at, end)
}

/// Whether a good entry stands anywhere after the first byte.
fn is_followed(rest: &[u8]) -> bool {
    let mut budget = SEARCH_BYTES;
    for at in 1..rest.len() {
        let Some((body, sum)) = frame(&rest[at..]) else { continue };
        if entry(&rest[at..at + HEAD + body.len()], body, sum).is_some() {
            return true;
        }
        match budget.checked_sub(body.len()) {
            Some(left) => budget = left,
            None => return true,
        }
    }
    false
}

/// Body and checksum of what could be a whole entry by its length.
fn frame(bytes: &[u8]) -> Option<(&[u8], [u8; 8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let is_possible = (BODY_HEAD..=BODY_HEAD + KEY_BYTES + VALUE_BYTES).contains(&len);
    is_possible.then_some(rest.get(..len)?).map(|body| (body, *sum))
}

fn entry<'a>(whole: &[u8], body: &'a [u8], sum: [u8; 8]) -> Option<Entry<'a>> {
    if checksum(&whole[..4], body) != sum {
        return None;
    }
    let (&[kind, low, high], rest) = body.split_first_chunk::<BODY_HEAD>()?;
    let (key, value) = rest.split_at_checked(u16::from_le_bytes([low, high]).into())?;
    match kind {
        0 if value.is_empty() => Some(Entry { key, value: None }),
        1 => Some(Entry { key, value: Some(value) }),
        _ => None,
    }
}

fn checksum(len: &[u8], body: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(len).update(body);
    let hash = hasher.finalize();
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(file: &[u8]) -> (Vec<Entry<'_>>, usize, End) {
        let mut entries = Vec::new();
        let (good, end) = scan(file, |entry| entries.push(entry));
        (entries, good, end)
    }

    #[test]
    fn the_bytes_of_a_journal_stay_what_they_are() {
        let mut file = MAGIC.to_vec();
        put(&mut file, b"ab", Some(b"c"));
        put(&mut file, b"ab", None);
        let hex: String = file[16..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "06000000c756b4f7b1cff573010200616263050000002f7e911923818aef0002006162");
        let ab = |value| Entry { key: b"ab", value };
        assert_eq!(read(&file), (vec![ab(Some(&b"c"[..])), ab(None)], file.len(), End::Clean));
    }

    #[test]
    fn a_right_checksum_does_not_make_content_right() {
        let seal = |body: &[u8]| {
            let len = (body.len() as u32).to_le_bytes();
            [&MAGIC[..], &len, &checksum(&len, body), body].concat()
        };
        assert_eq!(read(&seal(&[1, 1, 0, b'k'])).2, End::Clean);
        for body in [&b""[..], &[1, 0], &[2, 0, 0], &[0, 0, 0, b'v'], &[1, 2, 0, b'k'], &[1, 255, 255]] {
            assert_eq!(read(&seal(body)), (vec![], MAGIC.len(), End::Torn), "{body:?}");
        }
        let long = seal(&vec![1; BODY_HEAD + KEY_BYTES + VALUE_BYTES + 1]);
        assert_eq!(read(&long), (vec![], MAGIC.len(), End::Torn), "nobody writes so long an entry");
    }

    #[test]
    fn a_search_made_long_on_purpose_ends_and_throws_nothing_away() {
        // Each fourth byte begins what could be an entry of 64 KiB.
        let file = [&MAGIC[..], &[0, 0, 1, 0].repeat(100_000)].concat();
        assert_eq!(read(&file), (vec![], MAGIC.len(), End::Damaged));
    }

    #[test]
    fn what_is_no_journal_is_damage_and_the_begin_of_one_is_torn() {
        assert_eq!(scan(b"", |_| ()), (0, End::Clean));
        assert_eq!(scan(&MAGIC[..7], |_| ()), (0, End::Torn));
        assert_eq!(scan(MAGIC, |_| ()), (16, End::Clean));
        assert_eq!(scan(b"lobby journal 2\n", |_| ()), (0, End::Damaged));
        assert_eq!(scan(b"x", |_| ()), (0, End::Damaged));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_themselves(bytes in prop::collection::vec(any::<u8>(), 0..200), headed: bool) {
            let file = if headed { [&MAGIC[..], &bytes].concat() } else { bytes };
            let (good, end) = scan(&file, |_| ());
            prop_assert_eq!(end == End::Clean, good == file.len());
        }
    }
}
