//! Who said it and in what order: node ids, generations, versions, revisions.
//!
//! A [`NodeId`] is derived from a public key, so that records can be signed later without changing
//! anybody's identity. (generation, version) orders what one node says; the revision orders what one
//! agent shows.

use std::{fmt, str::FromStr};

use crate::name::Name;

/// The identity of a node: the first 16 bytes of BLAKE3 of its Ed25519 public key. Survives renames and restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 16]);

impl NodeId {
    /// The id that belongs to an Ed25519 public key.
    pub fn from_public_key(key: &[u8; 32]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(key).as_bytes()[..16]);
        Self(id)
    }

    /// The id of a node without an agent, which others register under this name: everybody computes the same. Names that differ
    /// only in the case of ASCII letters are one node.
    pub fn external(name: &Name) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"lobby external node\0").update(name.as_str().to_ascii_lowercase().as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }

    /// The id with exactly these bytes, as read from the wire or made up by a test.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes that travel.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// A node id is not 32 hexadecimal digits. Nothing was changed; fix the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a node id: expected 32 hexadecimal digits")]
pub struct ParseNodeIdError;

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(ParseNodeIdError);
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| ParseNodeIdError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ParseNodeIdError)?;
        }
        Ok(Self(id))
    }
}

/// Rises at each start of a node's process: Unix microseconds, never below the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// Rises with each change of a record within one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One agent's count of the states it has shown. Starts at Unix microseconds, never falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which of an agent's exchanges, by its position in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u8);

/// Whose record it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A node that told its id.
    Node(NodeId),
    /// A Go Lobby daemon: known by host name only, and only on the exchange that brought its packet.
    Bare(ExchangeId, Name),
}

impl Origin {
    /// The id, for nodes that have one.
    pub const fn node_id(&self) -> Option<NodeId> {
        match self {
            Self::Node(id) => Some(*id),
            Self::Bare(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_id_reads_what_it_prints() {
        let id = NodeId::from_public_key(&[7; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn node_id_refuses_other_text() {
        for text in
            ["", "12", "zz000000000000000000000000000000", "0123456789abcdef0123456789abcde", "+1000000000000000000000000000000"]
        {
            assert_eq!(text.parse::<NodeId>(), Err(ParseNodeIdError), "{text}");
        }
    }
}
