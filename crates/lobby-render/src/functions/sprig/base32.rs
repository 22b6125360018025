//! Base32 and Adler-32, which are too small for libraries. Decides Go's words for base32 that is none.

use lobby_template::{Type, Value};

use super::Named;
use crate::functions::arg::{bytes, fits, of};

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Str];
    vec![
        (
            "sprig_b32enc",
            of(&ONE, |room, args| {
                let bytes = bytes(args, 0)?;
                fits(room, bytes.len().div_ceil(5).checked_mul(8))?;
                Ok(encoded(bytes).into())
            }),
        ),
        // sprig gives the error as the answer.
        (
            "sprig_b32dec",
            of(&ONE, |_, args| {
                Ok(match decoded(bytes(args, 0)?) {
                    Ok(bytes) => Value::Str(bytes.into()),
                    Err(place) => format!("illegal base32 data at input byte {place}").into(),
                })
            }),
        ),
        ("sprig_adler32sum", of(&ONE, |_, args| Ok(adler32(bytes(args, 0)?).to_string().into()))),
    ]
}

const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// How many digits so many bytes need, at least.
const NEEDED: [usize; 6] = [0, 2, 4, 5, 7, 8];

fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for group in bytes.chunks(5) {
        let number = (0..5).fold(0_u64, |number, index| number << 8 | u64::from(group.get(index).copied().unwrap_or(0)));
        let digit = |index: usize| char::from(DIGITS[(number >> (35 - 5 * index) & 31) as usize]);
        text.extend((0..8).map(|index| if index < NEEDED[group.len()] { digit(index) } else { '=' }));
    }
    text
}

/// The bytes, or where the text is wrong.
fn decoded(text: &[u8]) -> Result<Vec<u8>, usize> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let mut bytes = Vec::with_capacity(text.len() / 8 * 5);
    let groups = text.len().div_ceil(8);
    for (index, group) in text.chunks(8).enumerate() {
        let start = index * 8;
        let mut number = 0_u64;
        let mut count = 0;
        for (place, byte) in group.iter().enumerate() {
            match DIGITS.iter().position(|digit| digit == byte) {
                Some(digit) => number = number << 5 | digit as u64,
                None if *byte == b'=' && place >= 2 && index + 1 == groups => break,
                None => return Err(start + place),
            }
            count += 1;
        }
        if group.len() < 8 {
            return Err(if count < group.len() { text.len() } else { start });
        }
        if let Some(wrong) = group[count..].iter().position(|byte| *byte != b'=') {
            // Go points before it.
            return Err(start + count + wrong - 1);
        }
        let length = NEEDED.iter().position(|needed| *needed == count).ok_or(start + count)?;
        number <<= 5 * (8 - count);
        bytes.extend_from_slice(&number.to_be_bytes()[3..3 + length]);
    }
    Ok(bytes)
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (mut one, mut two) = (1, 0);
    for byte in bytes {
        one = (one + u32::from(*byte)) % MODULUS;
        two = (two + one) % MODULUS;
    }
    two << 16 | one
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(bytes: Vec<u8>) {
            prop_assert_eq!(decoded(encoded(&bytes).as_bytes()), Ok(bytes));
        }

        #[test]
        fn no_text_breaks_it(text in "[A-Z2-7=!\n]{0,40}") {
            let _ = decoded(text.as_bytes());
        }
    }
}
