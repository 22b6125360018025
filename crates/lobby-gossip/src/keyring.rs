//! Keys: who may talk to us, and how a datagram is sealed.
//!
//! ```text
//! datagram = version[1] fingerprint[1] cluster[8] nonce[24] ciphertext tag[16]     with a key
//!          = version[1] 0              cluster[8] plaintext                        without
//! ```
//! The first ten bytes, the *preamble*, are authenticated with the rest; streams begin with the same ten. So traffic of
//! another cluster and traffic under another key are told apart and counted apart. The nonce is 24 random bytes from
//! the shell for each datagram: a cloned or resumed machine would repeat a counter. The first key seals, all open.
//! Two keys may share their one-byte fingerprint, by chance: whoever opens tries each that has it. To people a key is
//! named by eight bytes of another hash ([`KeyName`]), which tell nothing about it.
//! A keyring never changes: a change of keys makes a new one (`engine/keys`).
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
pub(crate) const MAX_KEYS: usize = 5;

/// The meta entry of a record with the names of its node's keys.
pub const KEYS_META: &str = lobby_core::record::meta::GOSSIP_KEYS;

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

    /// The key itself.
    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as text, to be saved where nobody else reads it; [`str::parse`] reads it back.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The name of the key for people.
    pub fn fingerprint(&self) -> String {
        self.name().to_string()
    }

    pub(crate) fn name(&self) -> KeyName {
        let hash = blake3::derive_key("lobby 2026-11 gossip key name", &self.0);
        KeyName(std::array::from_fn(|i| hash[i]))
    }
}

/// The name of a key: eight bytes of a hash of it, shown as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyName(pub(crate) [u8; 8]);

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for KeyName {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseKeyError);
        }
        u64::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| ParseKeyError)
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
    /// Drop one of the two.
    #[error("the same key is there twice")]
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
    key: Key,
    name: KeyName,
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
        let hash = blake3::derive_key("lobby 2026-11 gossip cluster name", cluster.as_bytes());
        Self::of(std::array::from_fn(|i| hash[i]), keys)
    }

    fn of(cluster: [u8; 8], keys: &[Key]) -> Result<Self, KeyringError> {
        if keys.len() > MAX_KEYS {
            return Err(KeyringError::TooMany);
        }
        let secrets: Vec<_> = keys.iter().map(Secret::new).collect();
        let mut names: Vec<_> = secrets.iter().map(|secret| secret.name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(KeyringError::Alike);
        }
        Ok(Self { cluster, secrets })
    }

    /// The keys, the one that seals first: to be saved where nobody else reads them.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.secrets.iter().map(|secret| &secret.key)
    }

    /// The names of the keys, the one that seals first.
    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = KeyName> {
        self.secrets.iter().map(|secret| secret.name)
    }

    /// The names of the keys as the value of [`KEYS_META`]; `None` without keys.
    pub fn summary(&self) -> Option<String> {
        let names: Vec<_> = self.names().map(|name| name.to_string()).collect();
        (!names.is_empty()).then(|| names.join(","))
    }

    pub(crate) fn has(&self, name: KeyName) -> bool {
        self.names().any(|other| other == name)
    }

    /// This keyring and one more key that opens.
    pub(crate) fn with(&self, key: &Key) -> Result<Self, KeyringError> {
        let keys: Vec<_> = self.keys().chain([key]).cloned().collect();
        Self::of(self.cluster, &keys)
    }

    /// The same keys, but this one seals; `None` when it is not among them.
    pub(crate) fn sealing_with(&self, name: KeyName) -> Option<Self> {
        let (mut keys, rest): (Vec<_>, Vec<_>) = self.keys().cloned().partition(|key| key.name() == name);
        let is_there = !keys.is_empty();
        keys.extend(rest);
        Self::of(self.cluster, &keys).ok().filter(|_| is_there)
    }

    /// The keys but this one.
    pub(crate) fn without(&self, name: KeyName) -> Option<Self> {
        let keys: Vec<_> = self.keys().filter(|key| key.name() != name).cloned().collect();
        Self::of(self.cluster, &keys).ok()
    }

    /// The first bytes of what we send with the key that seals.
    pub fn preamble(&self) -> [u8; PREAMBLE_BYTES] {
        self.preamble_of(self.secrets.first())
    }

    fn preamble_of(&self, secret: Option<&Secret>) -> [u8; PREAMBLE_BYTES] {
        let mut preamble = [0; PREAMBLE_BYTES];
        preamble[0] = VERSION;
        preamble[1] = secret.map_or(0, |secret| secret.fingerprint);
        preamble[2..].copy_from_slice(&self.cluster);
        preamble
    }

    /// The secret of streams that we open; `None` without keys.
    pub fn stream_secret(&self) -> Option<[u8; 32]> {
        self.secrets.first().map(|secret| secret.streams)
    }

    /// Reads the preamble of a stream and returns the secret it is to be opened with; `None` without keys.
    /// When several keys have its fingerprint this is the first of them, see [`Self::stream_secrets`].
    pub fn accept_stream(&self, preamble: &[u8; PREAMBLE_BYTES]) -> Result<Option<[u8; 32]>, OpenError> {
        Ok(self.check(preamble)?.next().map(|secret| secret.streams))
    }

    /// Reads the preamble of a stream and returns the secrets it may be opened with; none without keys. The first message
    /// of the handshake proves the secret: whoever accepts tries it with each of them.
    pub fn stream_secrets(&self, preamble: &[u8; PREAMBLE_BYTES]) -> Result<Vec<[u8; 32]>, OpenError> {
        Ok(self.check(preamble)?.map(|secret| secret.streams).collect())
    }

    /// Seals a plaintext into a datagram. The engine does it by itself: this is for who speaks for itself, as tests of hostile
    /// members do.
    pub fn seal(&self, plaintext: &[u8], nonce: impl FnOnce() -> Nonce) -> Vec<u8> {
        self.seal_with(None, plaintext, nonce)
    }

    /// Seals with the key of this name, or with the first when there is none such.
    pub(crate) fn seal_with(&self, name: Option<KeyName>, plaintext: &[u8], nonce: impl FnOnce() -> Nonce) -> Vec<u8> {
        let named = name.and_then(|name| self.secrets.iter().find(|secret| secret.name == name));
        let secret = named.or(self.secrets.first());
        let preamble = self.preamble_of(secret);
        let mut out = Vec::with_capacity(plaintext.len() + SEAL_BYTES);
        out.put_slice(&preamble);
        let Some(secret) = secret else {
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

    /// Opens a datagram, as [`Self::seal`] made it.
    pub fn open(&self, datagram: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (preamble, body) = datagram.split_first_chunk().ok_or(OpenError::Garbage)?;
        let candidates = self.check(preamble)?;
        if self.secrets.is_empty() {
            return Ok(body.to_vec());
        }
        let (nonce, sealed) = body.split_first_chunk::<24>().ok_or(OpenError::Garbage)?;
        for secret in candidates {
            let mut plaintext = sealed.to_vec();
            if secret.datagrams.decrypt_in_place(&XNonce::from(*nonce), preamble, &mut plaintext).is_ok() {
                return Ok(plaintext);
            }
        }
        Err(OpenError::WrongKey)
    }

    /// The keys that may have sealed what begins with this preamble: at least one if we have any.
    fn check(&self, preamble: &[u8; PREAMBLE_BYTES]) -> Result<impl Iterator<Item = &Secret>, OpenError> {
        if preamble[0] != VERSION {
            return Err(OpenError::Garbage);
        }
        if preamble[2..] != self.cluster {
            return Err(OpenError::Foreign);
        }
        let fingerprint = preamble[1];
        let candidates = self.secrets.iter().filter(move |secret| secret.fingerprint == fingerprint);
        // Without keys only what is not sealed is for us.
        let is_open = fingerprint == 0 && self.secrets.is_empty();
        if is_open || candidates.clone().next().is_some() { Ok(candidates) } else { Err(OpenError::WrongKey) }
    }
}

impl Key {
    /// The byte that tells which key sealed something. Zero says "no key".
    pub(crate) fn mark(&self) -> u8 {
        blake3::derive_key("lobby 2026-11 gossip key fingerprint", &self.0)[0].max(1)
    }
}

impl Secret {
    fn new(key: &Key) -> Self {
        let derive = |purpose: &str| blake3::derive_key(purpose, &key.0);
        let datagrams = derive("lobby 2026-11 gossip datagrams");
        Self {
            key: key.clone(),
            name: key.name(),
            fingerprint: key.mark(),
            datagrams: XChaCha20Poly1305::new(&CipherKey::from(datagrams)),
            streams: derive("lobby 2026-11 gossip streams"),
        }
    }
}

#[cfg(test)]
mod tests;
