//! Texts with bytes that are no UTF-8, as texts that are: Go copies such bytes, while the lexer here wants characters. Decides which
//! characters stand for bytes; where they are bytes again is `exec`.
//!
//! The last 128 characters of Unicode stand for the bytes from 0x80 on. Whoever writes one of them beside such bytes gets it back
//! as its four bytes, so that nothing is lost. Error columns count a stand-in as four bytes.

use std::borrow::Cow;

/// Stands for byte 0: those in use are from 0x80 on.
const FIRST: u32 = 0x10_FF00;

/// How the UTF-8 of every stand-in begins; the two bytes behind it are `BE` or `BF`, and any that continues.
const HEAD: [u8; 2] = [0xF4, 0x8F];

/// A text in which a character stands for each byte that is none.
pub(crate) fn stand_ins(text: &[u8]) -> String {
    let stand_in = |byte: u8| char::from_u32(FIRST + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match u32::from(c) > FIRST + 0x7F {
                true => out.extend(c.encode_utf8(&mut [0; 4]).bytes().map(stand_in)),
                false => out.push(c),
            }
        }
        out.extend(chunk.invalid().iter().copied().map(stand_in));
    }
    out
}

/// The bytes that a part of such a text stands for.
pub(crate) fn of_stand_ins(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.windows(2).any(|pair| pair == HEAD) {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((first, after)) = rest.split_first() {
        rest = match rest {
            [a, b, 0xBE, byte @ 0x80..=0xBF, after @ ..] if [*a, *b] == HEAD => {
                out.push(*byte);
                after
            }
            [a, b, 0xBF, byte @ 0x80..=0xBF, after @ ..] if [*a, *b] == HEAD => {
                out.push(*byte + 0x40);
                after
            }
            _ => {
                out.push(*first);
                after
            }
        };
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost(text: Vec<u8>, c in 0x10_FF00_u32..=0x10_FFFF) {
            let mut text = text;
            text.extend(char::from_u32(c).unwrap().to_string().bytes());
            let whole = stand_ins(&text);
            prop_assert_eq!(&*of_stand_ins(whole.as_bytes()), &*text);
        }
    }

    #[test]
    fn every_byte_has_a_stand_in_of_its_own() {
        for byte in 0x80..=0xFF {
            let text = stand_ins(&[b'a', byte, b'z']);
            assert_eq!((text.chars().count(), &*of_stand_ins(text.as_bytes())), (3, &[b'a', byte, b'z'][..]));
        }
    }
}
