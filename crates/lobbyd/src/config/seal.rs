//! EXCHANGE_KEY and EXCHANGE_UNSIGNED: how packets on brokers are sealed.
//!
//! The keys stand in the setting, or in a file that it names, so that no environment shows them. Not here: what is done with
//! them (`lobby_exchange::seal`).

use std::{fs, io, path::Path};

use lobby::seal::{Key, Keys, MAX_KEYS};

use super::{ConfigError, Read};

/// Largest file of keys: five lines, and comments.
const MAX_FILE: u64 = 64 * 1024;

/// The keys, if there are any, and a warning about what they do not protect.
pub(super) fn keys(read: &Read<'_>, warnings: &mut Vec<String>) -> Result<Keys, ConfigError> {
    let name = "EXCHANGE_KEY";
    let expected = format!("up to {MAX_KEYS} different keys, each base64 of 32 bytes, as lobbyctl keygen prints");
    let items = read.list(name);
    let list = match parse(items.iter().map(String::as_str)) {
        Some(list) => list,
        None => match &items[..] {
            [path] if path.starts_with('/') => {
                let text = text_of(Path::new(path), warnings);
                let text = text.map_err(|err| read.refuse(name, format!("{expected}, or a file that holds them ({err})")))?;
                let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
                let keys = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|key| !key.is_empty());
                let keys = parse(keys).filter(|keys| !keys.is_empty());
                keys.ok_or_else(|| read.refuse(name, format!("a file with {expected}")))?
            }
            _ => return Err(read.refuse(name, format!("{expected}, or the absolute path of a file that holds them"))),
        },
    };
    let takes_unsigned = read.truth("EXCHANGE_UNSIGNED")?;
    if takes_unsigned && !list.is_empty() {
        warnings
            .push("EXCHANGE_UNSIGNED is set: whoever reaches the broker can speak for every node until it is taken away".into());
    }
    Ok(Keys { list, takes_unsigned })
}

/// What is in the file of keys, and a warning if others can read it too.
fn text_of(path: &Path, warnings: &mut Vec<String>) -> io::Result<String> {
    let metadata = path.metadata()?;
    // Opening a pipe could wait for ever.
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(io::Error::other(format!("not a file of at most {MAX_FILE} bytes")));
    }
    warnings.extend(lobby_http::exposure(&format!("EXCHANGE_KEY {}", path.display()), path));
    fs::read_to_string(path)
}

/// All of them, or nothing.
fn parse<'a>(keys: impl Iterator<Item = &'a str>) -> Option<Vec<Key>> {
    let keys = keys.map(str::parse).collect::<Result<Vec<Key>, _>>().ok()?;
    let are_different = keys.iter().enumerate().all(|(idx, key)| !keys[..idx].contains(key));
    (are_different && keys.len() <= MAX_KEYS).then_some(keys)
}
