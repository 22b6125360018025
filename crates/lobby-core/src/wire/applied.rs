//! The question of one agent whether others show a version of a record yet, as drains ask that are waited for.
//!
//! ```text
//! question = form id[16] generation version          (numbers: LEB128)
//! answer   = 1                                       (said as soon as it is so; before that: nothing)
//! ```
//! Later forms are another question, which this version does not answer. Bytes come from the network and are hostile: the
//! question has one length at most, and bytes behind its end are an error.
//! Not here: who waits until it is so (the crate `lobby`), who asks (`lobby-http`).

use bytes::BufMut;

use super::binary::{DecodeError, Reader, put_varint};
use crate::{
    catalog::Snapshot,
    id::{Generation, NodeId, Version},
    record::Stamp,
};

/// The name of the query. Agents answer it themselves, so that no handler sees it; people may not ask it.
pub const QUERY: &str = "_lobby:applied";

/// The answer.
pub const YES: &[u8] = &[1];

/// The longest question in bytes: its form, the id, two numbers of ten bytes.
pub const BYTES: usize = 1 + 16 + 2 * 10;

/// The form that is written.
const FORM: u8 = 1;

/// Whether this record is shown in this version, or in a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whose record it is.
    pub id: NodeId,
    /// Which version of it.
    pub stamp: Stamp,
}

impl Question {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BYTES);
        out.put_u8(FORM);
        out.put_slice(self.id.as_bytes());
        put_varint(&mut out, self.stamp.generation.0);
        put_varint(&mut out, self.stamp.version.0);
        out
    }

    /// The question of such bytes.
    ///
    /// # Errors
    /// When the bytes are no question of this form.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != FORM {
            return Err(DecodeError::Range);
        }
        let id = reader.node_id()?;
        let stamp = Stamp { generation: Generation(reader.varint()?), version: Version(reader.varint()?) };
        reader.finish()?;
        Ok(Self { id, stamp })
    }

    /// Whether it is so in this snapshot.
    pub fn is_answered(&self, snapshot: &Snapshot) -> bool {
        let own = &snapshot.local.record;
        let shown =
            if own.origin.node_id() == Some(self.id) { Some(own) } else { snapshot.node(self.id).map(|node| &node.record) };
        shown.is_some_and(|record| record.stamp >= self.stamp)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(id: u8, generation: u64, version: u64) -> Question {
        let stamp = Stamp { generation: Generation(generation), version: Version(version) };
        Question { id: NodeId::from_bytes([id; 16]), stamp }
    }

    #[test]
    fn only_whole_questions_of_this_form_are_read() {
        let longest = question(7, u64::MAX, u64::MAX).encode();
        assert_eq!(longest.len(), BYTES);
        let bytes = question(7, 300, 2).encode();
        assert_eq!(bytes, [&[1][..], &[7; 16], &[0xac, 2, 2]].concat(), "what travels is a promise");
        for len in 0..bytes.len() {
            assert_eq!(Question::decode(&bytes[..len]), Err(DecodeError::Short), "{len}");
        }
        assert_eq!(Question::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing));
        assert_eq!(Question::decode(&[&[2], &bytes[1..]].concat()), Err(DecodeError::Range));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id: u8, generation: u64, version: u64) {
            let question = question(id, generation, version);
            prop_assert_eq!(Question::decode(&question.encode()), Ok(question));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(question) = Question::decode(&bytes) {
                prop_assert!(bytes.len() <= BYTES && question.encode().len() <= bytes.len());
            }
        }
    }
}
