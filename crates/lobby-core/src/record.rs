//! What one node says about itself: entries, each with the version at which it last changed.
//!
//! Only its owner makes new versions (see `local`); everybody else replaces an older record by a newer one
//! or applies a [`Delta`]. A deletion is a tombstone, so that "all entries newer than v" is a complete
//! delta for anybody who holds v. Tombstones are bounded; below `floor` they are forgotten and only the
//! full record helps.
//! Not here: bytes (`wire`), whether the node is alive (`catalog`).

use std::sync::Arc;

use imbl::OrdMap;

use crate::{
    check::view::CheckView,
    id::{Generation, NodeId, Origin, Version},
    instance::{Id, Instance},
    label::Label,
    limits,
    name::Name,
    proof::Proof,
    wire::service::{decode_check, decode_instance, decode_tags},
};

mod delta;

pub use delta::{ApplyDeltaError, Delta};

/// The bytes of an entry. Two words: a record of a kilobyte is held ten thousand times. The empty one ([`Arc::default`]) takes no
/// memory of its own.
pub type Value = Arc<[u8]>;

/// What an entry is about. Sorted: labels come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A label; the value is empty.
    Label(Label),
    /// A property of the node under a fixed name, see [`meta`].
    Meta(Name),
    /// An instance, by its id; the value is all else of it, as `wire::service` writes it.
    Instance(Id),
    /// A check, by its id; the value is all else of it, as `wire::service` writes it.
    Check(Id),
    /// Tags for an instance of the agent of this name, by its id; see [`crate::external::tags`].
    Tags(Id),
    /// Something a newer agent wrote. Kept and passed on untouched, never shown.
    Other(u8, Value),
}

/// Names of the meta entries that lobbyd itself writes.
pub mod meta {
    /// Addresses of the node, a comma list, best first.
    pub const ADDRESSES: &str = "addresses";
    /// Version of the lobbyd that wrote the record.
    pub const VERSION: &str = "version";
    /// Names of the gossip keys that the node accepts, a comma list, the one that it seals with first. Absent or empty
    /// without keys.
    pub const GOSSIP_KEYS: &str = "gossip-keys";
    /// Data centre of the node.
    pub const DATACENTER: &str = "datacenter";
    /// `true` while the whole node takes nothing new. Absent or empty otherwise.
    pub const DRAIN: &str = "drain";
    /// Of a node without an agent: the id of the agent that wrote this version of its record. See
    /// [`super::Record::is_external`].
    pub const EXTERNAL: &str = "external";
    /// What the name of a pair of such a node's meta begins with, before its key.
    pub const PAIR: &str = "pair:";
    /// What the name of an address of such a node begins with, before what it is for.
    pub const TAGGED_ADDRESS: &str = "tagged-address:";
    /// Where such a node is in the space of round trip times, see [`crate::external::coordinate`].
    pub const COORDINATE: &str = "coordinate";
    /// The id that Consul's clients gave such a node.
    pub const CONSUL_ID: &str = "consul-id";
}

/// One entry: its value, or a tombstone, and the version that made it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record version at which this entry last changed.
    pub version: Version,
    /// The value; `None` is a tombstone.
    pub value: Option<Value>,
}

/// The order of what one node says: by process start, then by change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The process that wrote it.
    pub generation: Generation,
    /// Its count of changes.
    pub version: Version,
}

/// Whether the process that writes a record goes on. Discriminants travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It runs.
    #[default]
    Running = 0,
    /// It said goodbye and writes nothing after this.
    Left = 1,
    /// It will be back in a moment, in a newer generation; it writes nothing after this in this one.
    Restarting = 2,
}

/// One immutable version of what a node says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose record it is.
    pub origin: Origin,
    /// The node's name. Names may clash; the origin is the identity.
    pub name: Name,
    /// Which version this is.
    pub stamp: Stamp,
    /// Deletions at or below this version are forgotten.
    pub floor: Version,
    /// Whether the owner runs, restarts or has left.
    pub phase: Phase,
    /// Entries and tombstones. Crate-private so that `Record` keeps its bounds.
    pub(crate) entries: OrdMap<Key, Entry>,
    /// That its owner wrote it, as it was told; whoever takes it in from outside has checked it.
    proof: Option<Arc<Proof>>,
}

/// More than the numbers around one entry take in the binary form, and more than everything but entries does: a record
/// within its limits always encodes to fewer than [`limits::RECORD_BYTES`].
pub(crate) const ENTRY_BYTES: usize = 24;
pub(crate) const HEAD_BYTES: usize = 384;

impl Record {
    /// An empty record, the first of its generation.
    pub fn new(origin: Origin, name: Name, stamp: Stamp) -> Self {
        Self { origin, name, stamp, floor: stamp.version, phase: Phase::Running, entries: OrdMap::new(), proof: None }
    }

    /// A record as read from the wire. `None` when it breaks a bound of `limits`.
    pub fn from_parts(
        origin: Origin,
        name: Name,
        stamp: Stamp,
        floor: Version,
        phase: Phase,
        entries: impl IntoIterator<Item = (Key, Entry)>,
    ) -> Option<Self> {
        let entries = entries.into_iter().collect();
        let record = Self { origin, name, stamp, floor, phase, entries, proof: None };
        record.within_limits().then_some(record)
    }

    /// The same record with another proof, or without one.
    pub fn with_proof(self, proof: Option<Proof>) -> Self {
        Self { proof: proof.map(Arc::new), ..self }
    }

    /// What proves that its owner wrote it, as far as it was told.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_deref()
    }

    /// Whether it is signed. What an exchange took in was checked, so this is the owner's word; without, it is whoever
    /// sent it who says so: a Go daemon, or the agent that wrote the record of a node without one.
    pub fn is_signed(&self) -> bool {
        self.proof.is_some()
    }

    /// Whether the owner said goodbye.
    pub fn has_left(&self) -> bool {
        self.phase == Phase::Left
    }

    /// Whether it is of a node without an agent, which somebody registered: anybody may write the next version. Such a node has
    /// no heart to beat; it is there until it is deregistered.
    pub fn is_external(&self) -> bool {
        let marker = self.entries.get(&Key::meta(meta::EXTERNAL)).and_then(|entry| entry.value.as_ref());
        marker.is_some() && self.origin == Origin::Node(NodeId::external(&self.name))
    }

    /// Whether this process writes nothing more: it left, or restarts.
    pub fn is_last(&self) -> bool {
        self.phase != Phase::Running
    }

    /// The labels, sorted bytewise.
    pub fn labels(&self) -> impl Iterator<Item = &Label> {
        let live = self.entries.iter().take_while(|(key, _)| matches!(key, Key::Label(_)));
        live.filter(|(_, entry)| entry.value.is_some()).filter_map(|(key, _)| match key {
            Key::Label(label) => Some(label),
            _ => None,
        })
    }

    /// All meta entries that are text, sorted by name.
    pub fn metas(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.entries.iter().filter_map(|(key, entry)| match (key, &entry.value) {
            (Key::Meta(name), Some(value)) => Some((name, std::str::from_utf8(value).ok()?)),
            _ => None,
        })
    }

    /// One meta entry; `None` when it is absent or not text.
    pub fn meta(&self, name: &str) -> Option<&str> {
        self.metas().find(|(key, _)| key.as_str() == name).map(|(_, value)| value)
    }

    /// The instances, sorted by id. Each call reads all of them anew.
    pub fn instances(&self) -> impl Iterator<Item = Instance> {
        self.entries.iter().filter_map(|(key, entry)| match (key, &entry.value) {
            (Key::Instance(id), Some(value)) => decode_instance(id.clone(), value).ok(),
            _ => None,
        })
    }

    /// One instance.
    pub fn instance(&self, id: &Id) -> Option<Instance> {
        let value = self.entries.get(&Key::Instance(id.clone()))?.value.as_ref()?;
        decode_instance(id.clone(), value).ok()
    }

    /// The checks, sorted by id. Each call reads all of them anew.
    pub fn checks(&self) -> impl Iterator<Item = CheckView> {
        self.entries.iter().filter_map(|(key, entry)| match (key, &entry.value) {
            (Key::Check(id), Some(value)) => decode_check(id.clone(), value).ok(),
            _ => None,
        })
    }

    /// One check.
    pub fn check(&self, id: &Id) -> Option<CheckView> {
        let value = self.entries.get(&Key::Check(id.clone()))?.value.as_ref()?;
        decode_check(id.clone(), value).ok()
    }

    /// Entries and tombstones, sorted by key.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// 64 bits that differ (but for a chance of 2^-64) when name, entries or phase differ.
    pub fn content_hash(&self) -> u64 {
        Self::short_hash(&self.content())
    }

    /// The content hash that belongs to what is signed, without another pass.
    pub(crate) fn short_hash(content: &[u8; 32]) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|i| content[i]))
    }

    /// The hash of name, phase and entries that is signed: the same however the record travelled. Takes a pass over the
    /// record.
    pub fn content(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(self.name.as_str().as_bytes());
        add(&[self.phase as u8]);
        for (key, entry) in &self.entries {
            let Some(value) = &entry.value else { continue };
            let (kind, text) = key.parts();
            add(&[kind]);
            add(text);
            add(value);
        }
        *hasher.finalize().as_bytes()
    }

    /// Raises the floor and drops the tombstones at or below it.
    pub(crate) fn forget_tombstones(&mut self, floor: Version) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        let forgotten = self.entries.iter().filter(|(_, entry)| entry.value.is_none() && entry.version <= floor);
        for key in forgotten.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.entries.remove(&key);
        }
    }

    fn within_limits(&self) -> bool {
        let (mut labels, mut tombstones, mut bytes) = (0, 0, HEAD_BYTES);
        for (key, entry) in &self.entries {
            bytes += key.weight(entry.value.as_ref());
            match (key, &entry.value) {
                (_, None) => tombstones += 1,
                (Key::Label(_), Some(_)) => labels += 1,
                (_, Some(_)) => {}
            }
        }
        let counts = self.entries.len() <= limits::ENTRIES && labels <= limits::LABELS && tombstones <= limits::TOMBSTONES;
        counts && bytes <= limits::RECORD_BYTES
    }
}

impl Key {
    /// The key of a meta entry whose name is known to be valid.
    pub fn meta(name: &str) -> Self {
        Self::Meta(name.parse().expect("names of meta entries are constants that parse"))
    }

    /// Whether an entry of this key may have this value: labels have none, meta entries a line of text, instances and checks
    /// what is written of them.
    pub fn takes(&self, value: &[u8]) -> bool {
        match self {
            Self::Label(_) => value.is_empty(),
            Self::Meta(_) => {
                value.len() <= limits::META_BYTES && std::str::from_utf8(value).is_ok_and(|text| !text.contains(char::is_control))
            }
            Self::Instance(id) => decode_instance(id.clone(), value).is_ok(),
            Self::Check(id) => decode_check(id.clone(), value).is_ok(),
            Self::Tags(_) => decode_tags(value).is_ok(),
            Self::Other(..) => true,
        }
    }

    /// The most bytes that an entry of this key takes in the binary form of a record.
    pub(crate) fn weight(&self, value: Option<&Value>) -> usize {
        self.parts().1.len() + value.map_or(0, |value| value.len()) + ENTRY_BYTES
    }

    /// The number of the kind and the text of the key, as they travel and are hashed.
    pub(crate) fn parts(&self) -> (u8, &[u8]) {
        match self {
            Self::Label(label) => (0, label.as_str().as_bytes()),
            Self::Meta(name) => (1, name.as_str().as_bytes()),
            Self::Instance(id) => (2, id.as_str().as_bytes()),
            Self::Check(id) => (3, id.as_str().as_bytes()),
            Self::Tags(id) => (4, id.as_str().as_bytes()),
            Self::Other(kind, bytes) => (*kind, bytes),
        }
    }

    /// The key with this kind and text, validated; `None` when it is not one.
    pub(crate) fn from_parts(kind: u8, bytes: &[u8]) -> Option<Self> {
        match kind {
            0 => Some(Self::Label(std::str::from_utf8(bytes).ok()?.parse().ok()?)),
            1 => Some(Self::Meta(std::str::from_utf8(bytes).ok()?.parse().ok()?)),
            2 => Some(Self::Instance(std::str::from_utf8(bytes).ok()?.parse().ok()?)),
            3 => Some(Self::Check(std::str::from_utf8(bytes).ok()?.parse().ok()?)),
            4 => Some(Self::Tags(std::str::from_utf8(bytes).ok()?.parse().ok()?)),
            _ if bytes.len() <= limits::LABEL_BYTES => Some(Self::Other(kind, bytes.into())),
            _ => None,
        }
    }
}
