//! The peers file: members of our last life, so that a node finds its cluster after all seeds have changed.
//!
//! One address a line, the best first. A damaged line costs that line only: the file is a hint, nothing depends on it.
//! Which peers are worth keeping is decided in `lobby_gossip::Engine::peers`.

use std::{fmt::Write, net::SocketAddr, path::Path};

use lobby_gossip::is_reachable;

use crate::file;

/// Name of the file in the data folder.
pub(super) const FILE: &str = "peers";

/// Addresses that are kept.
pub(super) const MAX_PEERS: usize = 64;

/// Readable by everybody: addresses are no secret.
pub(super) const MODE: u32 = 0o644;

/// Far more than [`MAX_PEERS`] lines take.
const FILE_BYTES: usize = 16 * 1024;

/// Reads the file of this folder; without one there are no peers.
pub(super) fn load(folder: &Path) -> Vec<SocketAddr> {
    let path = folder.join(FILE);
    match file::read(&path, FILE_BYTES) {
        Ok(content) => read(&content.unwrap_or_default()),
        Err(err) => {
            tracing::warn!("{path:?} cannot be read and is ignored: {err}");
            Vec::new()
        }
    }
}

/// The content of the file for these peers.
pub(super) fn content(peers: &[SocketAddr]) -> Vec<u8> {
    let mut text = String::new();
    for peer in peers.iter().take(MAX_PEERS) {
        writeln!(text, "{peer}").expect("a string takes everything");
    }
    text.into_bytes()
}

fn read(content: &[u8]) -> Vec<SocketAddr> {
    let lines = content.split(|byte| *byte == b'\n');
    let peers = lines.filter_map(|line| std::str::from_utf8(line).ok()?.trim().parse::<SocketAddr>().ok());
    peers.filter(|peer| is_reachable(*peer)).take(MAX_PEERS).collect()
}

#[cfg(test)]
mod tests {
    use lobby_testkit::TempDir;

    use super::*;

    #[test]
    fn damaged_lines_are_skipped_and_the_others_stay() {
        let text = b"10.0.0.1:1314\n\xff\xfe\nhello\n10.0.0.2\n10.0.0.3:0\n0.0.0.0:7\n224.0.0.1:9\n255.255.255.255:9\n  [2001:db8::1]:9\r\n10.0.0.4:13";
        let peers: Vec<_> = read(text).iter().map(ToString::to_string).collect();
        assert_eq!(peers, ["10.0.0.1:1314", "[2001:db8::1]:9", "10.0.0.4:13"]);
    }

    #[test]
    fn at_most_64_are_written_and_read() {
        let many: Vec<_> = (1..=100).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect();
        assert_eq!(read(&content(&many)), many[..64]);
        let lines = many.iter().map(|peer| format!("{peer}\n")).collect::<String>();
        assert_eq!(read(lines.as_bytes()), many[..64]);
    }

    #[test]
    fn no_file_and_one_that_is_too_long_are_no_peers() {
        let folder = TempDir::new().unwrap();
        assert!(load(folder.path()).is_empty());
        std::fs::write(folder.path().join(FILE), "10.0.0.1:1\n".repeat(FILE_BYTES)).unwrap();
        assert!(load(folder.path()).is_empty());
    }
}
