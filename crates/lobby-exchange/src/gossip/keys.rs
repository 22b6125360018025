//! The keys file: what the cluster's keys have become by changes at run time, so that a restart does not undo them.
//!
//! ```text
//! configured 0011223344556677 8899aabbccddeeff     the names of the keys in GOSSIP_KEY when this was written
//! <base64 of 32 bytes>                             the key that seals
//! <base64 of 32 bytes>                             keys that open too
//! ```
//! The file wins for as long as GOSSIP_KEY names the same keys in the same order; a changed GOSSIP_KEY wins over the file,
//! which is then removed, so that it does not win again when the setting is changed back. A damaged file is an error:
//! to start with the keys of before a rotation would be to start alone, and silently.
//! Not here: how keys change (`lobby_gossip`), when the file is written (`carry`).

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use lobby_gossip::{Key, Keyring};

use crate::{ExchangeError, file};

/// Name of the file in the data folder.
pub(super) const FILE: &str = "gossip.keys";

/// Nobody else reads it.
pub(super) const MODE: u32 = 0o600;

/// Far more than a whole keyring takes.
const FILE_BYTES: usize = 4096;

const CONFIGURED: &str = "configured";

/// The keys to start with: those of the file in `folder`, if it belongs to these configured ones, else the configured.
///
/// Fails when the file cannot be read or is damaged, with the path and what to do.
pub(super) fn choose(folder: Option<&Path>, configured: &[Key]) -> Result<Vec<Key>, ExchangeError> {
    let Some(path) = folder.map(|folder| folder.join(FILE)) else { return Ok(configured.to_vec()) };
    let failed = |source| ExchangeError::File { path: path.clone(), source };
    let Some(content) = file::read(&path, FILE_BYTES).map_err(failed)? else { return Ok(configured.to_vec()) };
    let (belongs_to, keys) = read(&content).map_err(|why| ExchangeError::Damaged { path: path.clone(), why })?;
    if belongs_to != names(configured) {
        tracing::warn!("GOSSIP_KEY was changed: it is used, and {path:?} with the keys set at run time is removed");
        fs::remove_file(&path).map_err(failed)?;
        return Ok(configured.to_vec());
    }
    tracing::info!(n_keys = keys.len(), "gossip uses the keys of {path:?}, which were set at run time");
    hide(&path).map_err(failed)?;
    Ok(keys)
}

/// The content of the file for these keys, the one that seals first; `None` without keys, which need no file.
pub(super) fn content<'a>(configured: &[Key], keys: impl ExactSizeIterator<Item = &'a Key>) -> Option<Vec<u8>> {
    let any = keys.len() > 0;
    let lines = keys.map(|key| format!("{}\n", key.to_base64()));
    any.then(|| format!("{CONFIGURED} {}\n{}", names(configured), lines.collect::<String>()).into_bytes())
}

fn read(content: &[u8]) -> Result<(String, Vec<Key>), String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is not text".to_owned())?;
    let mut lines = text.lines().map(str::trim).enumerate();
    let head = lines.next().and_then(|(_, line)| line.strip_prefix(CONFIGURED));
    let names = head.ok_or_else(|| format!("line 1 must begin with `{CONFIGURED}`"))?.trim().to_owned();
    let key = |(idx, line): (usize, &str)| line.parse::<Key>().map_err(|err| format!("line {}: {err}", idx + 1));
    let keys = lines.map(key).collect::<Result<Vec<_>, _>>()?;
    // A file cut short after its first line must not turn encryption off.
    if keys.is_empty() {
        return Err("it holds no key".to_owned());
    }
    Keyring::new("", &keys).map_err(|err| err.to_string())?;
    Ok((names, keys))
}

/// Names of keys, which tell nothing about them.
fn names(keys: &[Key]) -> String {
    keys.iter().map(Key::fingerprint).collect::<Vec<_>>().join(" ")
}

/// Takes the file from everybody else's eyes, if somebody has opened it to them.
fn hide(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!("{path:?} holds secrets and had the mode {mode:o}: it is now {MODE:o}");
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use lobby_testkit::TempDir;

    use super::*;

    fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    fn key(byte: u8) -> Key {
        Key::from_bytes([byte; 32])
    }

    fn write(folder: &TempDir, content: impl AsRef<[u8]>) {
        fs::write(path(folder.path()), content).unwrap();
    }

    #[test]
    fn the_file_wins_until_the_configuration_changes_and_then_never_again() {
        let folder = TempDir::new().unwrap();
        let choose = |configured: &[Key]| choose(Some(folder.path()), configured).unwrap();
        assert_eq!(choose(&[key(1)]), [key(1)], "without a file");
        write(&folder, content(&[key(1)], [key(2), key(1)].iter()).unwrap());
        assert_eq!(choose(&[key(1)]), [key(2), key(1)]);
        assert_eq!(choose(&[key(3)]), [key(3)], "GOSSIP_KEY was changed");
        assert_eq!(choose(&[key(1)]), [key(1)], "and changed back");
    }

    #[test]
    fn order_and_number_of_the_configured_keys_count() {
        let all = [vec![], vec![key(1)], vec![key(1), key(2)], vec![key(2), key(1)]];
        for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (one, other))) {
            let folder = TempDir::new().unwrap();
            write(&folder, content(one, [key(1)].iter()).unwrap());
            let expected = if one == other { vec![key(1)] } else { other.clone() };
            assert_eq!(choose(Some(folder.path()), other).unwrap(), expected);
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it_and_stays() {
        let good = String::from_utf8(content(&[key(1)], [key(1)].iter()).unwrap()).unwrap();
        let head = good.lines().next().unwrap();
        let cases: &[(&[u8], &str)] = &[
            (b"", "line 1 must begin"),
            (b"\xff", "not text"),
            (good.lines().last().unwrap().as_bytes(), "line 1 must begin"),
            (head.as_bytes(), "no key"),
            (&good.as_bytes()[..good.len() - 3], "line 2: a key must be the base64 of 32 bytes"),
        ];
        for (damaged, why) in cases {
            let folder = TempDir::new().unwrap();
            write(&folder, damaged);
            let err = choose(Some(folder.path()), &[key(1)]).unwrap_err().to_string();
            assert!(err.contains(why) && err.contains(FILE), "{err}");
            assert_eq!(fs::read(path(folder.path())).unwrap(), *damaged);
        }
        let folder = TempDir::new().unwrap();
        write(&folder, vec![b'x'; FILE_BYTES + 1]);
        assert!(matches!(choose(Some(folder.path()), &[]), Err(ExchangeError::File { .. })));
    }

    #[test]
    fn a_file_that_others_could_read_is_hidden_again() {
        let folder = TempDir::new().unwrap();
        write(&folder, content(&[], [key(1)].iter()).unwrap());
        fs::set_permissions(path(folder.path()), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(choose(Some(folder.path()), &[]).unwrap(), [key(1)]);
        assert_eq!(fs::metadata(path(folder.path())).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn names_tell_keys_apart_and_nothing_about_them() {
        assert_eq!(names(&[]), "");
        let names = names(&[key(1), key(2)]);
        let (one, two) = names.split_once(' ').unwrap();
        assert!(one != two && one.len() == 16 && !names.contains("0101"), "{names}");
    }
}
