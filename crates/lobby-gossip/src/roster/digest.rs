//! Sums over the state: equal sums, equal state. Changing one node changes two numbers.
//!
//! The sums are kept by 1 024 buckets, the first ten bits of the node id; the 256 buckets of small clusters are sums of
//! four neighbours each. Who answers an exchange chooses (see [`Sums::told`]); the asker takes whatever it is told.

use bytes::BufMut;
use lobby_core::{
    id::{Generation, NodeId},
    record::Stamp,
    wire::binary::{DecodeError, Reader, put_varint},
};

use crate::item::read_stamp;

/// Buckets of a cluster up to [`MANY_NODES`], by the first byte of the node id: 2 kB of sums.
pub(crate) const BUCKETS: usize = 256;

/// Buckets above: 8 kB of sums, and about ten nodes in each bucket at 10 000.
pub(crate) const WIDE_BUCKETS: usize = 1024;

/// Above this many live nodes more sums cost less than longer buckets (engine study, §4).
const MANY_NODES: usize = 4000;

/// The wrapping sum of all nodes' hashes, whole and by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) root: u64,
    buckets: Box<[u64]>,
}

impl Sums {
    pub(crate) fn new() -> Self {
        Self { root: 0, buckets: vec![0; WIDE_BUCKETS].into() }
    }

    pub(super) fn replace(&mut self, id: NodeId, old: u64, new: u64) {
        let bucket = &mut self.buckets[bucket_of(id, WIDE_BUCKETS)];
        for sum in [&mut self.root, bucket] {
            *sum = sum.wrapping_sub(old).wrapping_add(new);
        }
    }

    /// What an asker is told when there are `n_live` nodes.
    pub(crate) fn told(&self, n_live: usize) -> Box<[u64]> {
        self.by(if n_live > MANY_NODES { WIDE_BUCKETS } else { BUCKETS })
    }

    /// The buckets in which these sums differ from ours; as many buckets as there are sums.
    pub(crate) fn differing(&self, theirs: &[u64]) -> Mask {
        let n_buckets = if theirs.len() == WIDE_BUCKETS { WIDE_BUCKETS } else { BUCKETS };
        let mut mask = vec![0; n_buckets / 8];
        for (idx, (ours, theirs)) in self.by(n_buckets).iter().zip(theirs).enumerate() {
            mask[idx / 8] |= u8::from(ours != theirs) << (idx % 8);
        }
        Mask(mask.into())
    }

    fn by(&self, n_buckets: usize) -> Box<[u64]> {
        let sum = |sums: &[u64]| sums.iter().fold(0, |sum: u64, bucket| sum.wrapping_add(*bucket));
        self.buckets.chunks(WIDE_BUCKETS / n_buckets).map(sum).collect()
    }
}

/// A set of buckets: a bit for each of [`BUCKETS`] or [`WIDE_BUCKETS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask(pub(crate) Box<[u8]>);

impl Mask {
    pub(crate) fn has(&self, id: NodeId) -> bool {
        let bucket = bucket_of(id, self.0.len() * 8);
        self.0.get(bucket / 8).is_some_and(|byte| byte & (1 << (bucket % 8)) != 0)
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

/// The bucket of a node among so many of them: the first bits of its id.
fn bucket_of(id: NodeId, n_buckets: usize) -> usize {
    let bytes = id.as_bytes();
    (usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) * n_buckets) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: u8, second: u8) -> NodeId {
        let mut bytes = [7; 16];
        (bytes[0], bytes[1]) = (first, second);
        NodeId::from_bytes(bytes)
    }

    #[test]
    fn the_answering_side_chooses_the_number_of_buckets() {
        let mut sums = Sums::new();
        for n in 0..=255 {
            sums.replace(id(n, n.wrapping_mul(91)), 0, u64::from(n).wrapping_mul(0x1234_5678_9abc_def1));
        }
        let (few, many) = (sums.told(MANY_NODES), sums.told(MANY_NODES + 1));
        assert_eq!((few.len(), many.len()), (BUCKETS, WIDE_BUCKETS));
        for told in [few, many] {
            assert_eq!(told.iter().fold(0, |sum: u64, bucket| sum.wrapping_add(*bucket)), sums.root);
            let mut other = sums.clone();
            assert!(other.differing(&told).0.iter().all(|byte| *byte == 0), "equal sums differ");
            other.replace(id(9, 200), 0, 77);
            let mask = other.differing(&told);
            assert_eq!(mask.0.len() * 8, told.len());
            assert_eq!(mask.0.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
            assert!(mask.has(id(9, 200)) && !mask.has(id(10, 200)));
            assert_eq!(mask.has(id(9, 0)), told.len() == BUCKETS, "four times as many buckets are four times as small");
        }
    }
}
