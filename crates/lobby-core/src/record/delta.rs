//! What differs between two versions of a record: made by whoever has the newer one, applied by whoever has the older one.
//!
//! Not here: whether the result is what the owner signed (`proof`), when a delta is sent instead of the record (exchanges).

use std::sync::Arc;

use super::{Entry, Key, Phase, Record, Stamp};
use crate::{
    id::{NodeId, Origin, Version},
    name::Name,
    proof::Proof,
};

/// The entries of one record that are newer than `base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Whose record it changes.
    pub origin: NodeId,
    /// The node's name after the change.
    pub name: Name,
    /// Holders of this version or a newer one of the same generation can apply the delta.
    pub base: Version,
    /// What the record is after the change.
    pub stamp: Stamp,
    /// The record's floor after the change.
    pub floor: Version,
    /// The record's phase after the change.
    pub phase: Phase,
    /// Changed entries, sorted by key.
    pub entries: Vec<(Key, Entry)>,
    /// The signature of the record after the change. The key is that of the record before.
    pub signature: Option<[u8; 64]>,
}

/// Why a delta could not be applied. The record was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyDeltaError {
    /// The record is already as new as the delta. Drop the delta.
    #[error("the record is already as new as the delta")]
    Stale,
    /// The delta builds on a version that is not here. Ask for the full record.
    #[error("the delta builds on a version that is not here")]
    UnknownBase,
    /// The result would break a bound of `limits`. Drop the delta and count it.
    #[error("the delta would make the record too large")]
    TooLarge,
}

impl Record {
    /// What has changed since `base` of this generation; `None` when deletions since then are forgotten.
    /// Bare records have no deltas.
    pub fn delta_since(&self, base: Version) -> Option<Delta> {
        if base < self.floor {
            return None;
        }
        let newer = self.entries.iter().filter(|(_, entry)| entry.version > base);
        Some(Delta {
            origin: self.origin.node_id()?,
            name: self.name.clone(),
            base,
            stamp: self.stamp,
            floor: self.floor,
            phase: self.phase,
            entries: newer.map(|(key, entry)| (key.clone(), entry.clone())).collect(),
            signature: self.proof().map(|proof| proof.signature),
        })
    }

    /// The record after `delta`. Who wrote it is to be checked (`proof`).
    pub fn apply(&self, delta: &Delta) -> Result<Self, ApplyDeltaError> {
        if delta.stamp <= self.stamp {
            return Err(ApplyDeltaError::Stale);
        }
        if self.origin != Origin::Node(delta.origin)
            || delta.stamp.generation != self.stamp.generation
            || delta.base > self.stamp.version
        {
            return Err(ApplyDeltaError::UnknownBase);
        }
        let mut next = self.clone();
        next.name = delta.name.clone();
        next.stamp = delta.stamp;
        next.phase = delta.phase;
        let proof = self.proof().zip(delta.signature);
        next.proof = proof.map(|(old, signature)| Arc::new(Proof { key: old.key, signature }));
        for (key, entry) in &delta.entries {
            next.entries.insert(key.clone(), entry.clone());
        }
        next.forget_tombstones(delta.floor);
        if next.within_limits() { Ok(next) } else { Err(ApplyDeltaError::TooLarge) }
    }
}
