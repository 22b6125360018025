//! EXCHANGE_KEY and EXCHANGE_UNSIGNED: how packets on brokers are sealed.
//!
//! The keys stand in the setting, or in a file that it names, so that no environment shows them. Whoever sets EXCHANGE_KEY
//! wants seals, so a value without a key is refused, an empty one too (`Raw::set` keeps it). What is wrong is told by its
//! place, never by showing a key. Not here: what is done with them (`lobby_exchange::seal`).

use std::{fs, io, path::Path};

use lobby::seal::{Key, Keys, MAX_KEYS};

use super::{ConfigError, Read};

const NAME: &str = "EXCHANGE_KEY";

/// Largest file of keys: five lines, and comments.
const MAX_FILE: u64 = 64 * 1024;

/// The keys, if there are any, and a warning about what they do not protect.
pub(super) fn keys(read: &Read<'_>, warnings: &mut Vec<String>) -> Result<Keys, ConfigError> {
    let list = if read.is_default(NAME) { Vec::new() } else { list(read, warnings)? };
    let takes_unsigned = read.truth("EXCHANGE_UNSIGNED")?;
    match (takes_unsigned, list.is_empty()) {
        (true, true) => warnings.push(
            "EXCHANGE_UNSIGNED is set without EXCHANGE_KEY and does nothing: packets are neither sealed nor checked".into(),
        ),
        (true, false) => warnings
            .push("EXCHANGE_UNSIGNED is set: whoever reaches the broker can speak for every node until it is taken away".into()),
        (false, _) => {}
    }
    Ok(Keys { list, takes_unsigned })
}

/// At least one key: those in the setting, or those in the file that it names.
fn list(read: &Read<'_>, warnings: &mut Vec<String>) -> Result<Vec<Key>, ConfigError> {
    let keys = format!("1 to {MAX_KEYS} different keys, each base64 of 32 bytes, as lobbyctl keygen prints");
    let anything = format!("{keys}, or the absolute path of a file that holds them");
    let text = read.text(NAME);
    let why = match parse(text.split(',').enumerate().map(|(idx, item)| (format!("item {}", idx + 1), item))) {
        Ok(list) => return Ok(list),
        Err(why) => why,
    };
    if !text.starts_with('/') || text.contains(',') {
        let shown = if text.contains(|c: char| c != ',' && !c.is_whitespace()) { "<hidden>" } else { text };
        return Err(read.refuse_as(NAME, shown, format!("{anything} ({why})")));
    }
    let path = Path::new(text);
    let shown = if may_be_a_key(text) && !path.exists() { "<hidden>" } else { text };
    let held = text_of(path, warnings);
    let held = held.map_err(|err| read.refuse_as(NAME, shown, format!("{anything} (as a file: {err})")))?;
    let lines = held.lines().enumerate().map(|(idx, line)| (idx + 1, line.split('#').next().unwrap_or_default()));
    let items = lines.flat_map(|(number, line)| line.split(',').map(move |item| (format!("line {number}"), item)));
    parse(items).map_err(|why| read.refuse_as(NAME, shown, format!("a file with {keys} ({why})")))
}

/// What is in the file of keys, and a warning if others can read it too.
fn text_of(path: &Path, warnings: &mut Vec<String>) -> io::Result<String> {
    let metadata = path.metadata()?;
    // Opening a pipe could wait for ever.
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(io::Error::other(format!("not a file of at most {MAX_FILE} bytes")));
    }
    warnings.extend(lobby_http::exposure(&format!("{NAME} {}", path.display()), path));
    fs::read_to_string(path)
}

/// All keys of a list, each with its place, or what is wrong with it.
fn parse<'a>(items: impl Iterator<Item = (String, &'a str)>) -> Result<Vec<Key>, String> {
    let mut keys: Vec<(String, Key)> = Vec::new();
    for (place, text) in items.map(|(place, text)| (place, text.trim())).filter(|(_, text)| !text.is_empty()) {
        let key = text.parse().map_err(|_| format!("{place} is {}", fault(text)))?;
        match keys.iter().find(|(_, known)| *known == key) {
            Some((first, _)) => return Err(format!("{place} is the same key as {first}")),
            None => keys.push((place, key)),
        }
    }
    match keys.len() {
        0 => Err(format!("there is none; without {NAME} nothing is sealed: leave it out if you want that")),
        1..=MAX_KEYS => Ok(keys.into_iter().map(|(_, key)| key).collect()),
        n => Err(format!("there are {n}")),
    }
}

/// Why this is no key.
fn fault(text: &str) -> String {
    let digits = text.trim_end_matches('=');
    let n_fill = text.len() - digits.len();
    if n_fill > 2 || !text.len().is_multiple_of(4) || !digits.bytes().all(is_base64) {
        return format!("not base64: it has {} characters, a key has 44", text.chars().count());
    }
    match text.len() / 4 * 3 - n_fill {
        32 => "not base64".into(),
        n_bytes => format!("base64 of {n_bytes} bytes, not of 32"),
    }
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// One of 64 keys begins with a slash. When such a one is mistyped it is no file that is missing.
fn may_be_a_key(path: &str) -> bool {
    let digits = path.trim_end_matches('=');
    let has = |is: fn(&u8) -> bool| digits.as_bytes().iter().any(is);
    let is_mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    digits.bytes().all(is_base64) && (digits.len() < path.len() || is_mixed)
}
