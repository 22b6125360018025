//! Base64 and hashes, of bytes whatever they are. Decides Go's words for base64 that is none; the arithmetic is in
//! well-known crates.

use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine};
use hmac::{Hmac, KeyInit, Mac};
use lobby_template::{CallError, Type, Value};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::Named;
use super::arg::{Given, bytes, fits, of, wrapped};

/// As Go decodes: padded, and without a look at what the last digit has too much.
const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::RequireCanonical);

const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Str];
    vec![
        ("base64Encode", of(&ONE, |room, args| encode(&PLAIN, room, args))),
        ("base64Decode", of(&ONE, |_, args| decode(&PLAIN, args).map_err(wrapped("base64Decode")))),
        ("base64URLEncode", of(&ONE, |room, args| encode(&URL, room, args))),
        ("base64URLDecode", of(&ONE, |_, args| decode(&URL, args).map_err(wrapped("base64URLDecode")))),
        ("sha256Hex", of(&ONE, |_, args| Ok(hex(&Sha256::digest(bytes(args, 0)?)).into()))),
        ("md5sum", of(&ONE, |_, args| Ok(hex(&Md5::digest(bytes(args, 0)?)).into()))),
        ("hmacSHA256Hex", of(&[Type::Str, Type::Str], |_, args| hmac_sha256(args))),
        // sprig gives the error as the answer.
        ("sprig_b64dec", of(&ONE, |_, args| Ok(decode(&PLAIN, args).unwrap_or_else(|err| err.0.into())))),
        ("sprig_sha1sum", of(&ONE, |_, args| Ok(hex(&Sha1::digest(bytes(args, 0)?)).into()))),
        ("sprig_sha512sum", of(&ONE, |_, args| Ok(hex(&Sha512::digest(bytes(args, 0)?)).into()))),
    ]
}

fn encode(engine: &GeneralPurpose, room: usize, args: &[Value]) -> Given {
    let bytes = bytes(args, 0)?;
    fits(room, base64::encoded_len(bytes.len(), true))?;
    Ok(engine.encode(bytes).into())
}

fn decode(engine: &GeneralPurpose, args: &[Value]) -> Given {
    let bytes = bytes(args, 0)?;
    let digits: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let decoded = engine.decode(&digits).map_err(|err| {
        let place = match err {
            // What follows the padding is wrong, not the padding.
            DecodeError::InvalidByte(place, b'=') if place % 4 >= 2 => (place / 4 + 1) * 4,
            DecodeError::InvalidByte(place, _) | DecodeError::InvalidLastSymbol(place, _) => place,
            DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => digits.len() / 4 * 4,
        };
        CallError(format!("illegal base64 data at input byte {place}"))
    })?;
    Ok(Value::Str(decoded.into()))
}

/// `hmacSHA256Hex message key`
fn hmac_sha256(args: &[Value]) -> Given {
    let key = bytes(args, 1)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|err| CallError(format!("hmacSHA256Hex: {err}")))?;
    mac.update(bytes(args, 0)?);
    Ok(hex(&mac.finalize().into_bytes()).into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
