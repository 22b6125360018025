//! The local record: folds what the sources want into new versions of our own record.
//!
//! The node task owns the one [`LocalRecord`]. Sources set what should be there; `commit` compares what they touched
//! with the last version and, if anything differs, makes the next one with tombstones for what is gone.
//! Whatever is accepted here fits into the record; tombstones give way to what is there. Who must write to disk between
//! the question and the change reserves its room first (`local/reserve.rs`).
//! Not here: reading labels from anywhere, whose check an instance is (crate `lobby`), sending (exchanges).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    check::view::CheckView,
    id::{Generation, NodeId, Origin, Version},
    instance::{Id, Instance, Invalid},
    label::{self, Label},
    limits,
    name::Name,
    proof::Signer,
    record::{ENTRY_BYTES, Entry, HEAD_BYTES, Key, Phase, Record, Stamp, Value},
    time::Moment,
    wire::service::{encode_check, encode_instance},
};

mod reserve;
#[cfg(test)]
mod tests;

pub use reserve::RecordChange;

/// How long a tombstone is kept: every exchange has repaired every peer long before.
const TOMBSTONE_AGE: Duration = Duration::from_secs(3600);

/// Room that is kept for meta entries, which are never refused: twice as many as `record::meta` has names.
const METAS: usize = 8;

/// Most bytes of labels, instances, checks and tombstones together.
const MOST_BYTES: usize = limits::RECORD_BYTES - HEAD_BYTES - METAS * (limits::NAME_BYTES + limits::META_BYTES + ENTRY_BYTES);

/// The smallest weight of an instance or a check.
const LEAST_BYTES: usize = ENTRY_BYTES + 11;

/// So many entries as a record may not have take more bytes than it may: only bytes have to be counted.
const _: () = {
    let few = limits::LABELS + limits::TOMBSTONES;
    assert!(few * (ENTRY_BYTES + 1) + (limits::ENTRIES - METAS - few) * LEAST_BYTES > MOST_BYTES);
};

/// Our own record and what it should become.
#[derive(Debug)]
pub struct LocalRecord {
    record: Arc<Record>,
    /// Signs each version. None in tests and tools of which nobody takes records in.
    signer: Option<Arc<Signer>>,
    name: Name,
    phase: Phase,
    wanted: BTreeMap<Key, Value>,
    /// Keys whose wanted value may differ from that of the last version.
    touched: BTreeSet<Key>,
    /// Bytes of what is wanted, without meta entries.
    bytes: usize,
    /// So many bytes each of these keys may have, promised to somebody who has not set them yet.
    claims: BTreeMap<Key, usize>,
    /// Bytes that all of them would have with what is promised, beyond `bytes`.
    promised: usize,
    /// Tombstones, oldest first.
    buried: VecDeque<Buried>,
    /// Their bytes.
    buried_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Buried {
    version: Version,
    at: Moment,
    bytes: usize,
}

/// Why an instance or a check is not taken into the record. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// A value breaks its rules. Whoever sent it must send another.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The labels, instances and checks of the node would take more bytes than its record may. Something must be removed
    /// first, or be made smaller.
    #[error("the node has no room for {id:?}: its labels, instances and checks would take {bytes} bytes of {most}")]
    TooLarge {
        /// The instance or check.
        id: Id,
        /// The bytes of all with it.
        bytes: usize,
        /// How many there may be.
        most: usize,
    },
}

impl LocalRecord {
    /// The empty record of a process that has just started; each version of it is signed.
    pub fn signed(signer: Arc<Signer>, generation: Generation, name: Name) -> Self {
        let unsigned = Self::new(signer.id(), generation, name);
        let first = signer.sign((*unsigned.record).clone());
        Self { record: Arc::new(first), signer: Some(signer), ..unsigned }
    }

    /// The same without signatures: no exchange takes it in.
    pub fn new(id: NodeId, generation: Generation, name: Name) -> Self {
        let stamp = Stamp { generation, version: Version(1) };
        Self {
            record: Arc::new(Record::new(Origin::Node(id), name.clone(), stamp)),
            signer: None,
            name,
            phase: Phase::Running,
            wanted: BTreeMap::new(),
            touched: BTreeSet::new(),
            bytes: 0,
            claims: BTreeMap::new(),
            promised: 0,
            buried: VecDeque::new(),
            buried_bytes: 0,
        }
    }

    /// The last committed version.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Replaces all labels. Of more than a node may have, or than there is room for beside instances and checks, the first
    /// in sorted order are kept; the number of those left out is returned, for the caller to log and count.
    pub fn set_labels(&mut self, labels: impl IntoIterator<Item = Label>) -> usize {
        let mut labels: Vec<_> = labels.into_iter().collect();
        labels.sort();
        labels.dedup();
        let given = labels.len();
        labels.truncate(label::kept(&labels));
        let old: Vec<_> = self.wanted.keys().take_while(|key| matches!(key, Key::Label(_))).cloned().collect();
        let mut bytes = self.bytes + self.promised - old.iter().map(|key| key.weight(None)).sum::<usize>();
        let fits = |label: &&Label| {
            bytes += label.as_str().len() + ENTRY_BYTES;
            bytes <= MOST_BYTES
        };
        labels.truncate(labels.iter().take_while(fits).count());
        for key in old {
            if !matches!(&key, Key::Label(label) if labels.binary_search(label).is_ok()) {
                self.put(key, None);
            }
        }
        let kept = labels.len();
        labels.into_iter().for_each(|label| self.put(Key::Label(label), Some(Value::default())));
        given - kept
    }

    /// Sets one meta entry: without control characters, cut to [`limits::META_BYTES`] at a character border.
    pub fn set_meta(&mut self, name: &str, value: &str) {
        let mut value: String = value.chars().filter(|c| !c.is_control()).collect();
        value.truncate(value.floor_char_boundary(limits::META_BYTES));
        self.put(Key::meta(name), Some(value.into_bytes().into()));
    }

    /// Adds an instance, or replaces the one of its id.
    pub fn set_instance(&mut self, instance: &Instance) -> Result<(), SetError> {
        instance.validate()?;
        let mut value = Vec::new();
        encode_instance(instance, &mut value);
        self.set(Key::Instance(instance.id.clone()), &instance.id, value.into())
    }

    /// Removes an instance, but not its checks; whether it was there.
    pub fn remove_instance(&mut self, id: &Id) -> bool {
        self.remove(Key::Instance(id.clone()))
    }

    /// Adds a check, or replaces the one of its id. Its output is left out where there is no room for it, so that a check
    /// that was accepted can always tell of another status.
    pub fn set_check(&mut self, check: &CheckView) -> Result<(), SetError> {
        check.validate()?;
        let value = |check: &CheckView| {
            let mut value = Vec::new();
            encode_check(check, &mut value);
            Value::from(value)
        };
        let key = || Key::Check(check.id.clone());
        match self.set(key(), &check.id, value(check)) {
            Err(SetError::TooLarge { .. }) if !check.output.is_empty() => {
                self.set(key(), &check.id, value(&CheckView { output: String::new(), ..check.clone() }))
            }
            done => done,
        }
    }

    /// Removes a check; whether it was there.
    pub fn remove_check(&mut self, id: &Id) -> bool {
        self.remove(Key::Check(id.clone()))
    }

    /// Renames the node.
    pub fn set_name(&mut self, name: Name) {
        self.name = name;
    }

    /// Says goodbye: the next version is the last one.
    pub fn leave(&mut self) {
        self.phase = Phase::Left;
    }

    /// Says that we are back in a moment: the next version is the last one of this generation.
    pub fn restart(&mut self) {
        self.phase = Phase::Restarting;
    }

    /// Makes the next version if anything differs from the last one, signs it, and returns it. Without the signature, whose
    /// hash is a pass over the record, this takes time in proportion to what was touched since, as long as no tombstone is to
    /// be forgotten.
    pub fn commit(&mut self, now: Moment) -> Option<Arc<Record>> {
        let old = &*self.record;
        let version = old.stamp.version.next();
        let mut next = old.clone();
        let mut changed = next.name != self.name || next.phase != self.phase;
        for key in std::mem::take(&mut self.touched) {
            let wanted = self.wanted.get(&key);
            if old.entries.get(&key).and_then(|entry| entry.value.as_ref()) == wanted {
                continue;
            }
            changed = true;
            if wanted.is_none() {
                let bytes = key.weight(None);
                self.buried_bytes += bytes;
                self.buried.push_back(Buried { version, at: now, bytes });
            }
            next.entries.insert(key, Entry { version, value: wanted.cloned() });
        }
        if !changed {
            return None;
        }
        next.name = self.name.clone();
        next.phase = self.phase;
        next.stamp.version = version;
        if let Some(floor) = self.forget(now) {
            next.forget_tombstones(floor);
        }
        self.record = Arc::new(match &self.signer {
            Some(signer) => signer.sign(next),
            None => next.with_proof(None),
        });
        Some(self.record.clone())
    }

    /// Forgets tombstones that are too old, too many, or in the way of what is wanted: up to which version.
    fn forget(&mut self, now: Moment) -> Option<Version> {
        let mut floor = None;
        while let Some(oldest) = self.buried.front().copied() {
            let fits = self.buried.len() <= limits::TOMBSTONES && self.bytes + self.buried_bytes <= MOST_BYTES;
            if fits && now.since(oldest.at) <= TOMBSTONE_AGE {
                break;
            }
            // The whole version goes, for a floor cannot lie between two tombstones of one version. Those of it that are
            // still counted afterwards are the first to go the next time.
            floor = Some(oldest.version);
            self.buried_bytes -= oldest.bytes;
            self.buried.pop_front();
        }
        floor
    }

    /// Sets an entry if there is room for it.
    fn set(&mut self, key: Key, id: &Id, value: Value) -> Result<(), SetError> {
        let bytes = self.bytes_with(&key, key.weight(Some(&value)));
        if bytes > MOST_BYTES {
            return Err(SetError::TooLarge { id: id.clone(), bytes, most: MOST_BYTES });
        }
        self.put(key, Some(value));
        Ok(())
    }

    fn remove(&mut self, key: Key) -> bool {
        let found = self.wanted.contains_key(&key);
        self.put(key, None);
        found
    }

    /// Makes this the wanted value.
    fn put(&mut self, key: Key, value: Option<Value>) {
        let counts = !matches!(key, Key::Meta(_));
        let weight = |value: &Option<Value>| value.as_ref().filter(|_| counts).map_or(0, |value| key.weight(Some(value)));
        let new = weight(&value);
        let old = match value {
            Some(value) => self.wanted.insert(key.clone(), value),
            None => self.wanted.remove(&key),
        };
        let old = weight(&old);
        self.bytes = self.bytes + new - old;
        if let Some(claim) = self.claims.get(&key) {
            self.promised = self.promised + claim.saturating_sub(new) - claim.saturating_sub(old);
        }
        self.touched.insert(key);
    }
}
