//! Sums over the state: equal sums, equal state. Changing one node changes two numbers.

use bytes::BufMut;
use lobby_core::{
    id::{Generation, NodeId},
    record::Stamp,
    wire::binary::{DecodeError, Reader, put_varint},
};

use crate::item::read_stamp;

/// Buckets by the first byte of the node id.
pub(crate) const BUCKETS: usize = 256;

/// The wrapping sum of all nodes' hashes, whole and by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) root: u64,
    pub(crate) buckets: Box<[u64; BUCKETS]>,
}

impl Sums {
    pub(crate) fn new() -> Self {
        Self { root: 0, buckets: Box::new([0; BUCKETS]) }
    }

    pub(super) fn replace(&mut self, id: NodeId, old: u64, new: u64) {
        let bucket = &mut self.buckets[bucket_of(id)];
        for sum in [&mut self.root, bucket] {
            *sum = sum.wrapping_sub(old).wrapping_add(new);
        }
    }

    /// The buckets in which these sums differ from ours.
    pub(crate) fn differing(&self, theirs: &[u64; BUCKETS]) -> Mask {
        let mut mask = Mask([0; BUCKETS / 8]);
        for (idx, (ours, theirs)) in self.buckets.iter().zip(theirs).enumerate() {
            mask.0[idx / 8] |= u8::from(ours != theirs) << (idx % 8);
        }
        mask
    }
}

/// A set of buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask(pub(crate) [u8; BUCKETS / 8]);

impl Mask {
    pub(crate) fn has(&self, id: NodeId) -> bool {
        let bucket = bucket_of(id);
        self.0[bucket / 8] & (1 << (bucket % 8)) != 0
    }
}

/// What the sums are made of: which process of a node is up and which version of its record is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: NodeId,
    pub(crate) generation: Generation,
    pub(crate) renewal: u16,
    /// Zero when there is no record.
    pub(crate) stamp: Stamp,
}

impl Entry {
    pub(super) fn hash(&self) -> u64 {
        let mut bytes = Vec::with_capacity(64);
        self.encode(&mut bytes);
        let hash = blake3::hash(&bytes);
        u64::from_le_bytes(std::array::from_fn(|i| hash.as_bytes()[i]))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_slice(self.id.as_bytes());
        put_varint(out, self.generation.0);
        put_varint(out, self.renewal.into());
        put_varint(out, self.stamp.generation.0);
        put_varint(out, self.stamp.version.0);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: reader.node_id()?,
            generation: Generation(reader.varint()?),
            renewal: u16::try_from(reader.varint()?).map_err(|_| DecodeError::Range)?,
            stamp: read_stamp(reader)?,
        })
    }
}

fn bucket_of(id: NodeId) -> usize {
    usize::from(id.as_bytes()[0])
}
