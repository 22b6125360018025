//! The local record: folds what the sources want into new versions of our own record.
//!
//! The node task owns the one [`LocalRecord`]. Sources set what should be there; `commit` compares that
//! with the last version and, if anything differs, makes the next one with tombstones for what is gone.
//! Not here: reading labels from anywhere (crate `lobby`), sending (exchanges).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    id::{Generation, NodeId, Origin, Version},
    label::{self, Label},
    limits,
    name::Name,
    record::{Entry, Key, Phase, Record, Stamp, Value},
    time::Moment,
};

/// How long a tombstone is kept: every exchange has repaired every peer long before.
const TOMBSTONE_AGE: Duration = Duration::from_secs(3600);

/// Our own record and what it should become.
#[derive(Debug)]
pub struct LocalRecord {
    record: Arc<Record>,
    name: Name,
    phase: Phase,
    wanted: BTreeMap<Key, Value>,
    /// Versions that made tombstones and when, oldest first.
    buried: VecDeque<(Version, Moment)>,
}

impl LocalRecord {
    /// The empty record of a process that has just started.
    pub fn new(id: NodeId, generation: Generation, name: Name) -> Self {
        let stamp = Stamp { generation, version: Version(1) };
        let record = Arc::new(Record::new(Origin::Node(id), name.clone(), stamp));
        Self { record, name, phase: Phase::Running, wanted: BTreeMap::new(), buried: VecDeque::new() }
    }

    /// The last committed version.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Replaces all labels. Of more than a node may have the first in sorted order are kept; the number of those left
    /// out is returned, for the caller to log and count.
    pub fn set_labels(&mut self, labels: impl IntoIterator<Item = Label>) -> usize {
        let mut labels: Vec<_> = labels.into_iter().collect();
        labels.sort();
        labels.dedup();
        let left_out = labels.len() - label::kept(&labels);
        labels.truncate(labels.len() - left_out);
        self.wanted.retain(|key, _| !matches!(key, Key::Label(_)));
        self.wanted.extend(labels.into_iter().map(|label| (Key::Label(label), Value::default())));
        left_out
    }

    /// Sets one meta entry: without control characters, cut to [`limits::META_BYTES`] at a character border.
    pub fn set_meta(&mut self, name: &str, value: &str) {
        let mut value: String = value.chars().filter(|c| !c.is_control()).collect();
        value.truncate(value.floor_char_boundary(limits::META_BYTES));
        self.wanted.insert(Key::meta(name), value.into_bytes().into());
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

    /// Makes the next version if anything differs from the last one, and returns it.
    pub fn commit(&mut self, now: Moment) -> Option<Arc<Record>> {
        let old = &*self.record;
        let version = old.stamp.version.next();
        let mut next = old.clone();
        let mut n_buried = 0;
        for (key, entry) in &old.entries {
            if entry.value.is_some() && !self.wanted.contains_key(key) {
                next.entries.insert(key.clone(), Entry { version, value: None });
                n_buried += 1;
            }
        }
        for (key, value) in &self.wanted {
            if old.entries.get(key).and_then(|entry| entry.value.as_ref()) != Some(value) {
                next.entries.insert(key.clone(), Entry { version, value: Some(value.clone()) });
            }
        }
        next.name = self.name.clone();
        next.phase = self.phase;
        if next == *old {
            return None;
        }
        next.stamp.version = version;
        self.buried.extend(std::iter::repeat_n((version, now), n_buried));
        while let Some(&(version, buried)) = self.buried.front()
            && (self.buried.len() > limits::TOMBSTONES || now.since(buried) > TOMBSTONE_AGE)
        {
            // The whole version goes: a floor cannot lie between two tombstones of one version.
            next.forget_tombstones(version);
            self.buried.retain(|(other, _)| *other != version);
        }
        self.record = Arc::new(next);
        Some(self.record.clone())
    }
}
