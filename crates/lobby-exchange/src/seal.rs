//! Seals: who on a broker may speak to us, and which of it is not a recording. A machine without IO.
//!
//! ```text
//! {"discovery":{…},"message":"hi","lobby":{…},"seal":"1.KEY.SENDER.GENERATION.COUNTER.REFS.MAC"}
//! └──────────────── as without a key ───────┘ └────────── appended, 9 + 300 bytes at most ──────┘
//! ```
//! The packet stays JSON that people, old daemons and agents without a key can read; whoever has a key takes nothing that
//! has no good seal. The MAC (keyed BLAKE3) covers the packet, the rest of the seal, the kind of broker and the place it
//! was sent to, so that nothing can be moved elsewhere. KEY is four bytes of a hash of the key and tells nothing of it;
//! REFS are packets that the sender had heard before (`fresh`).
//! Not here: what is done with what is refused (`broker`), keys in files (configuration).

use std::borrow::Cow;

use blake3::{Hash, Hasher};
use lobby_core::id::{Generation, NodeId};

mod fresh;
mod key;
#[cfg(test)]
mod tests;

use fresh::{Freshness, MAX_REFS, Stamp};
pub use key::{Key, Keys, MAX_KEYS, ParseKeyError, fixed};

/// What sealing adds to a packet, at most.
pub const SEAL_BYTES: usize = FIELD.len() + 300;

const FIELD: &[u8] = b",\"seal\":\"";

const VERSION: &str = "1";

/// The first eight bytes of a packet's MAC: its name in other packets.
pub type Tag = u64;

/// Where a packet is sent, or came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To everybody.
    Packets,
    /// To whoever answers newcomers.
    Asks,
    /// A question to one node.
    Node(NodeId),
    /// An answer to one newcomer.
    Answer(NodeId),
}

const N_PLACES: usize = 4;

impl Place {
    const fn parts(self) -> (usize, [u8; 16]) {
        match self {
            Self::Packets => (0, [0; 16]),
            Self::Asks => (1, [0; 16]),
            Self::Node(node) => (2, *node.as_bytes()),
            Self::Answer(node) => (3, *node.as_bytes()),
        }
    }
}

/// Why a packet is not for us. Count and drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It has no seal.
    #[error("not sealed")]
    Unsigned,
    /// What should be its seal is none.
    #[error("not a seal of this version")]
    Malformed,
    /// Sealed with a key that is not ours, or changed on its way, or sent to another place.
    #[error("not sealed with one of our keys")]
    WrongKey,
    /// It was here before, or a newer one of its sender was.
    #[error("replayed")]
    Replayed,
    /// There are more senders than nodes a catalog may have.
    #[error("too many senders")]
    Full,
}

/// A packet that somebody with our key made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Who made it; `None` if it needs no seal.
    pub sender: Option<NodeId>,
    /// Its name.
    pub tag: Option<Tag>,
    /// It was made since we started. Otherwise it may be a recording, or, under our own id, of somebody else.
    pub is_proven: bool,
    /// What its sender had heard before.
    pub refs: Vec<Tag>,
}

struct Secret {
    name: String,
    mac: [u8; 32],
}

/// Seals what we send and opens what others send.
pub struct Sealer {
    broker: &'static str,
    own: NodeId,
    generation: Generation,
    /// Of the last packet we sealed.
    counter: u64,
    secrets: Vec<Secret>,
    takes_unsigned: bool,
    freshness: Freshness,
    /// The newest of our own packets that came back, at each place.
    returned: [u64; N_PLACES],
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Sealer {
    /// For one broker and one life of our node.
    pub fn new(broker: &'static str, own: NodeId, generation: Generation, keys: &Keys) -> Self {
        let (secrets, freshness, returned) = (Vec::new(), Freshness::default(), [0; N_PLACES]);
        let mut sealer = Self { broker, own, generation, counter: 0, secrets, takes_unsigned: false, freshness, returned };
        sealer.set_keys(keys);
        sealer
    }

    /// Other keys from now on. What was heard under the old ones stays heard.
    pub fn set_keys(&mut self, keys: &Keys) {
        let secret = |key: &Key| {
            let name = key.derive("lobby 2026-11 exchange key name");
            let name = name[..4].iter().map(|byte| format!("{byte:02x}")).collect();
            Secret { name, mac: key.derive("lobby 2026-11 exchange packets") }
        };
        self.secrets = keys.list.iter().take(MAX_KEYS).map(secret).collect();
        self.takes_unsigned = keys.takes_unsigned;
    }

    /// Whether anything is sealed at all.
    pub fn is_on(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// Seals a packet, which is a JSON object; it may answer another packet, and proves then to its sender that it is new.
    pub fn seal(&mut self, place: Place, answered: Option<Tag>, mut json: Vec<u8>) -> Vec<u8> {
        let Some(secret) = self.secrets.first().filter(|_| json.pop_if(|last| *last == b'}').is_some()) else { return json };
        self.counter += 1;
        let refs: String = self.freshness.refs(answered).into_iter().map(|tag| format!("{tag:016x}")).collect();
        let (generation, counter) = (self.generation.0, self.counter);
        let signed = format!("{VERSION}.{}.{}.{generation}.{counter}.{refs}", secret.name, self.own);
        let mac = self.mac(secret, place, &json, &signed);
        self.freshness.keep(tag(&mac));
        json.extend_from_slice(FIELD);
        json.extend_from_slice(format!("{signed}.{}\"}}", mac.to_hex()).as_bytes());
        json
    }

    /// Checks the seal of a packet that came in.
    ///
    /// # Errors
    /// When it is not of our fleet, or not new. Whether it is proven to be new is for the caller to judge.
    pub fn open(&mut self, place: Place, bytes: &[u8]) -> Result<Opened, OpenError> {
        let unsealed = Opened { sender: None, tag: None, is_proven: true, refs: Vec::new() };
        if !self.is_on() {
            return Ok(unsealed);
        }
        let Some((body, text)) = split(bytes) else {
            return if self.takes_unsigned { Ok(unsealed) } else { Err(OpenError::Unsigned) };
        };
        let seal = Seal::read(text).ok_or(OpenError::Malformed)?;
        let mut candidates = self.secrets.iter().filter(|secret| secret.name == seal.key);
        // The comparison of hashes takes the same time wherever they differ.
        if !candidates.any(|secret| self.mac(secret, place, body, seal.signed) == seal.mac) {
            return Err(OpenError::WrongKey);
        }
        let (sender, tag) = (seal.sender, tag(&seal.mac));
        let is_proven = if sender == self.own {
            // Our own come back, each once; those of an earlier life do not. One that is later than all of ours somebody else made.
            let returned = &mut self.returned[place.parts().0];
            let is_ours = (seal.generation, seal.counter) <= (self.generation, self.counter);
            if is_ours && (seal.generation != self.generation || seal.counter <= *returned) {
                return Err(OpenError::Replayed);
            }
            if is_ours {
                *returned = seal.counter;
            }
            is_ours
        } else {
            let stamp = Stamp { sender, generation: seal.generation, counter: seal.counter, place: place.parts().0 };
            self.freshness.note(stamp, tag, &seal.refs)?
        };
        Ok(Opened { sender: Some(sender), tag: Some(tag), is_proven, refs: seal.refs })
    }

    fn mac(&self, secret: &Secret, place: Place, body: &[u8], signed: &str) -> Hash {
        let (place, node) = place.parts();
        let mut hasher = Hasher::new_keyed(&secret.mac);
        hasher.update(&[place as u8, self.broker.len() as u8]).update(&node).update(self.broker.as_bytes());
        hasher.update(&(body.len() as u64).to_le_bytes()).update(body).update(signed.as_bytes());
        hasher.finalize()
    }
}

fn tag(mac: &Hash) -> Tag {
    let (first, _) = mac.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    Tag::from_be_bytes(*first)
}

/// The packet without its last brace, and the text of its seal.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let bytes = bytes.strip_suffix(b"\"}")?;
    // A seal has no quote inside: the last one opens it.
    let from = bytes.len().saturating_sub(SEAL_BYTES);
    let quote = from + bytes[from..].iter().rposition(|byte| *byte == b'"')?;
    let (before, text) = bytes.split_at(quote + 1);
    Some((before.strip_suffix(FIELD)?, text))
}

/// What a seal says.
struct Seal<'a> {
    signed: &'a str,
    key: &'a str,
    sender: NodeId,
    generation: Generation,
    counter: u64,
    refs: Vec<Tag>,
    mac: Hash,
}

impl<'a> Seal<'a> {
    fn read(text: &'a [u8]) -> Option<Self> {
        let (signed, mac) = std::str::from_utf8(text).ok()?.rsplit_once('.')?;
        let parts: Vec<_> = signed.split('.').collect();
        let [VERSION, key, sender, generation, counter, refs] = parts[..] else { return None };
        if refs.len() > MAX_REFS * 16 || !refs.len().is_multiple_of(16) {
            return None;
        }
        let hex = |text: &[u8]| u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok();
        Some(Self {
            signed,
            key,
            sender: sender.parse().ok()?,
            generation: Generation(generation.parse().ok()?),
            counter: counter.parse().ok()?,
            refs: refs.as_bytes().chunks_exact(16).map(hex).collect::<Option<_>>()?,
            mac: Hash::from_hex(mac).ok()?,
        })
    }
}

/// The packet as it was before it was sealed, for people and tests.
pub fn without_seal(bytes: &[u8]) -> Cow<'_, [u8]> {
    split(bytes).map_or(Cow::Borrowed(bytes), |(body, _)| Cow::Owned([body, b"}"].concat()))
}
