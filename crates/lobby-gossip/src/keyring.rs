//! Keys: who may talk to us, and how a datagram is sealed.
//!
//! ```text
//! datagram = version[1] fingerprint[1] cluster[8] nonce[24] ciphertext tag[16]     with a key
//!          = version[1] 0              cluster[8] plaintext                        without
//! ```
//! The first ten bytes, the *preamble*, are authenticated with the rest; streams begin with the same ten. So traffic of
//! another cluster and traffic under another key are told apart and counted apart. The nonce is 24 random bytes from
//! the shell for each datagram: a cloned or resumed machine would repeat a counter. The first key seals, all open.
//! Not here: Noise (the shell), replays (`replay`), keys in files (configuration).

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BufMut;
use chacha20poly1305::{
    Key as CipherKey, XChaCha20Poly1305, XNonce,
    aead::{AeadInOut, KeyInit},
};

/// What a datagram's encryption starts from. Must never repeat under one key.
pub type Nonce = [u8; 24];

/// Version, fingerprint, cluster: the clear beginning of datagrams and streams.
pub const PREAMBLE_BYTES: usize = 10;

/// Version of everything that travels.
const VERSION: u8 = 1;

/// One that seals and four more that open, enough for any rotation.
const MAX_KEYS: usize = 5;

/// What sealing adds to a plaintext, at most.
pub(crate) const SEAL_BYTES: usize = PREAMBLE_BYTES + 24 + 16;

/// A secret that the members of a cluster share.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
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

/// Why keys do not make a keyring. Nothing was changed; fix GOSSIP_KEY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Drop the oldest keys.
    #[error("at most {MAX_KEYS} keys can be in use at a time")]
    TooMany,
    /// The same key twice, or two whose fingerprints are equal by chance: drop or replace one.
    #[error("two of the keys have the same fingerprint")]
    Alike,
}

/// Why bytes from the network are not for us. Count and drop them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Cut short, or of a version from the future.
    #[error("not a gossip packet of this version")]
    Garbage,
    /// Of another cluster.
    #[error("of another cluster")]
    Foreign,
    /// Sealed with a key that is not ours, or not sealed although we have keys.
    #[error("not sealed with one of our keys")]
    WrongKey,
}

struct Secret {
    fingerprint: u8,
    datagrams: XChaCha20Poly1305,
    streams: [u8; 32],
}

/// The keys of a cluster, ready for use.
pub struct Keyring {
    cluster: [u8; 8],
    secrets: Vec<Secret>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// A keyring for the cluster of this name. The first key seals; without keys nothing is secret.
    pub fn new(cluster: &str, keys: &[Key]) -> Result<Self, KeyringError> {
        if keys.len() > MAX_KEYS {
            return Err(KeyringError::TooMany);
        }
        let secrets: Vec<_> = keys.iter().map(Secret::new).collect();
        let mut fingerprints: Vec<_> = secrets.iter().map(|secret| secret.fingerprint).collect();
        fingerprints.sort_unstable();
        if fingerprints.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(KeyringError::Alike);
        }
        let hash = blake3::derive_key("lobby 2026-11 gossip cluster name", cluster.as_bytes());
        Ok(Self { cluster: std::array::from_fn(|i| hash[i]), secrets })
    }

    /// The first bytes of everything that we send.
    pub fn preamble(&self) -> [u8; PREAMBLE_BYTES] {
        let mut preamble = [0; PREAMBLE_BYTES];
        preamble[0] = VERSION;
        preamble[1] = self.secrets.first().map_or(0, |secret| secret.fingerprint);
        preamble[2..].copy_from_slice(&self.cluster);
        preamble
    }

    /// The secret of streams that we open; `None` without keys.
    pub fn stream_secret(&self) -> Option<[u8; 32]> {
        self.secrets.first().map(|secret| secret.streams)
    }

    /// Reads the preamble of a stream and returns the secret it is to be opened with; `None` without keys.
    pub fn accept_stream(&self, preamble: &[u8; PREAMBLE_BYTES]) -> Result<Option<[u8; 32]>, OpenError> {
        Ok(self.check(preamble)?.map(|secret| secret.streams))
    }

    /// Seals a plaintext into a datagram.
    pub(crate) fn seal(&self, plaintext: &[u8], nonce: impl FnOnce() -> Nonce) -> Vec<u8> {
        let preamble = self.preamble();
        let mut out = Vec::with_capacity(plaintext.len() + SEAL_BYTES);
        out.put_slice(&preamble);
        let Some(secret) = self.secrets.first() else {
            out.put_slice(plaintext);
            return out;
        };
        let nonce = nonce();
        out.put_slice(&nonce);
        let mut sealed = plaintext.to_vec();
        secret
            .datagrams
            .encrypt_in_place(&XNonce::from(nonce), &preamble, &mut sealed)
            .expect("a datagram is far below the limit of the cipher, and a vector grows");
        out.put_slice(&sealed);
        out
    }

    /// Opens a datagram.
    pub(crate) fn open(&self, datagram: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (preamble, body) = datagram.split_first_chunk().ok_or(OpenError::Garbage)?;
        let Some(secret) = self.check(preamble)? else { return Ok(body.to_vec()) };
        let (nonce, sealed) = body.split_first_chunk::<24>().ok_or(OpenError::Garbage)?;
        let mut plaintext = sealed.to_vec();
        secret.datagrams.decrypt_in_place(&XNonce::from(*nonce), preamble, &mut plaintext).map_err(|_| OpenError::WrongKey)?;
        Ok(plaintext)
    }

    fn check(&self, preamble: &[u8; PREAMBLE_BYTES]) -> Result<Option<&Secret>, OpenError> {
        if preamble[0] != VERSION {
            return Err(OpenError::Garbage);
        }
        if preamble[2..] != self.cluster {
            return Err(OpenError::Foreign);
        }
        match (preamble[1], self.secrets.is_empty()) {
            (0, true) => Ok(None),
            (fingerprint, _) => {
                let secret = self.secrets.iter().find(|secret| secret.fingerprint == fingerprint);
                secret.map(Some).ok_or(OpenError::WrongKey)
            }
        }
    }
}

impl Secret {
    fn new(key: &Key) -> Self {
        let derive = |purpose: &str| blake3::derive_key(purpose, &key.0);
        let datagrams = derive("lobby 2026-11 gossip datagrams");
        Self {
            // Zero says "no key".
            fingerprint: derive("lobby 2026-11 gossip key fingerprint")[0].max(1),
            datagrams: XChaCha20Poly1305::new(&CipherKey::from(datagrams)),
            streams: derive("lobby 2026-11 gossip streams"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(cluster: &str, keys: &[u8]) -> Keyring {
        let keys: Vec<_> = keys.iter().map(|byte| Key::from_bytes([*byte; 32])).collect();
        Keyring::new(cluster, &keys).unwrap()
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let sealed = ring("a", &[1]).seal(b"hello", || [7; 24]);
        assert_eq!(ring("a", &[1]).open(&sealed), Ok(b"hello".to_vec()));
        assert_eq!(ring("a", &[2, 1]).open(&sealed), Ok(b"hello".to_vec()));
        assert_eq!(ring("a", &[]).seal(b"hello", || [7; 24]).len(), PREAMBLE_BYTES + 5);
        assert_eq!(ring("a", &[]).open(&ring("a", &[]).seal(b"hello", || [7; 24])), Ok(b"hello".to_vec()));
    }

    #[test]
    fn foreign_and_wrong_key_are_told_apart() {
        let sealed = ring("a", &[1]).seal(b"hello", || [7; 24]);
        assert_eq!(ring("b", &[1]).open(&sealed), Err(OpenError::Foreign));
        assert_eq!(ring("a", &[2]).open(&sealed), Err(OpenError::WrongKey));
        assert_eq!(ring("a", &[]).open(&sealed), Err(OpenError::WrongKey));
        assert_eq!(ring("a", &[1]).open(&ring("a", &[]).seal(b"hello", || [7; 24])), Err(OpenError::WrongKey));
        assert_eq!(ring("a", &[1]).open(&sealed[..20]), Err(OpenError::Garbage));
        let mut forged = sealed;
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert_eq!(ring("a", &[1]).open(&forged), Err(OpenError::WrongKey));
    }

    #[test]
    fn keys_read_base64_and_stay_secret() {
        assert!("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse::<Key>().is_ok());
        assert_eq!("AAEC".parse::<Key>(), Err(ParseKeyError));
        assert_eq!(format!("{:?}", Key::from_bytes([1; 32])), "Key(…)");
        let twice = [Key::from_bytes([1; 32]), Key::from_bytes([1; 32])];
        assert_eq!(Keyring::new("a", &twice).unwrap_err(), KeyringError::Alike);
    }
}
