//! What is read instead of being typed: payloads, keys and definitions from stdin or a file.
//!
//! Bounded: what is longer than anything a daemon takes is read only so far that the daemon refuses it.

use std::{
    fs::File,
    io::{Read, stdin},
};

use anyhow::Context;
use lobby::core::port::gossip::EVENT_PAYLOAD_BYTES;

/// The longest key file: the daemon takes 256 bytes.
const KEY_BYTES: u64 = 257;

/// The longest file of definitions: more than any daemon takes in one body.
const DEFINITION_BYTES: u64 = 16 << 20;

/// The payload that was typed, or all of stdin for `-`.
pub(crate) fn payload(typed: Option<&str>) -> anyhow::Result<Vec<u8>> {
    match typed {
        Some("-") => bounded(stdin().lock(), EVENT_PAYLOAD_BYTES as u64 + 1).context("reading the payload from stdin"),
        typed => Ok(typed.unwrap_or_default().into()),
    }
}

/// The key that was typed, or that of stdin for `-`, or that of a file for `@FILE`. Blanks around it do not count.
pub(crate) fn key(typed: &str) -> anyhow::Result<String> {
    let bytes = match typed.strip_prefix('@') {
        Some(path) => {
            let file = File::open(path).and_then(|file| bounded(file, KEY_BYTES));
            file.with_context(|| format!("reading the key from {path}"))?
        }
        None if typed == "-" => bounded(stdin().lock(), KEY_BYTES).context("reading the key from stdin")?,
        None => typed.into(),
    };
    let text = String::from_utf8(bytes).context("the key is no text")?;
    let key = text.trim();
    anyhow::ensure!(!key.is_empty(), "there is no key: expected base64 of 32 bytes, or a fingerprint");
    Ok(key.to_owned())
}

/// The definitions in this file, or in stdin for `-`.
pub(crate) fn definition(path: &str) -> anyhow::Result<String> {
    let bytes = match path {
        "-" => bounded(stdin().lock(), DEFINITION_BYTES + 1).context("reading the definition from stdin")?,
        path => {
            let file = File::open(path).and_then(|file| bounded(file, DEFINITION_BYTES + 1));
            file.with_context(|| format!("reading the definition from {path}"))?
        }
    };
    anyhow::ensure!(bytes.len() as u64 <= DEFINITION_BYTES, "the definition has more than {DEFINITION_BYTES} bytes");
    String::from_utf8(bytes).context("the definition is no text")
}

fn bounded(from: impl Read, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
