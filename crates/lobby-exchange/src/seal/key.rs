//! EXCHANGE_KEY: what agents of one fleet share, so that nobody else can speak for them on a broker.
//!
//! Not here: what is done with a key (`seal`), where keys are configured (the program).

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::sync::watch;

/// Most keys in use: one that seals and four that are coming or going, as for gossip.
pub const MAX_KEYS: usize = 5;

/// A secret that the agents of a fleet share.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn derive(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A key is not the base64 of 32 bytes. Nothing was changed; `lobbyctl keygen` prints a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key must be the base64 of 32 bytes")]
pub struct ParseKeyError;

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| ParseKeyError)?;
        bytes.try_into().map(Self).map_err(|_| ParseKeyError)
    }
}

/// The keys of an agent, and how strict it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The first one seals, all open. Empty: nothing is sealed, and everything is taken.
    pub list: Vec<Key>,
    /// Packets without a seal are taken too: while a fleet gets its first key, or has Go daemons.
    pub takes_unsigned: bool,
}

/// Keys that stay as they are, as the exchanges want them: they follow whoever holds the other end of the channel.
pub fn fixed(keys: Keys) -> watch::Receiver<Keys> {
    watch::channel(keys).1
}
