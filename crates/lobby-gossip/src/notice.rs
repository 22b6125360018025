//! Short items that everybody must hear: refusals, refutations, forced leaves. And how often each was sent.
//!
//! ```text
//! refusal     = subject[16] generation observer[16] number[8]     pushed to all
//! check       = identity                                          to one member, answered by its refusal, if at all
//! alive       = subject[16] generation number[8]                  pushed to all; cancels the refusal of this number
//! force leave = subject[16] generation flags                      pushed to all
//! ```
//! They have a queue of their own beside the records', with the same discipline: what was sent least goes first.
//! At most [`MOST`] wait; one more drives out the one that was sent most.
//! Not here: what they prove (`engine/death`), what a forced leave does (`engine/force`).

use bytes::Bytes;
use lobby_core::{
    id::{Generation, NodeId},
    wire::binary::{DecodeError, Reader, put_varint},
};

use crate::identity::Identity;

/// Notices that wait to be sent: two refusals each of 256 members that died at once.
pub(crate) const MOST: usize = 512;

/// The kinds of items that are notices.
pub(crate) const KINDS: std::ops::RangeInclusive<u8> = 8..=11;

const REFUSAL: u8 = 8;
const CHECK: u8 = 9;
const ALIVE: u8 = 10;
const FORCE_LEAVE: u8 = 11;

const PRUNE: u8 = 1;
const OWN_WORD: u8 = 2;
const SHARED: u8 = 4;

/// One notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The observer connected to the subject's address, was refused, and got no answer by datagram either.
    Refusal(Refusal),
    /// Try yourself whether this member's process is gone.
    Check(Identity),
    /// The subject, or somebody whom it answered since, says that this refusal is wrong.
    Alive {
        /// Who lives.
        subject: NodeId,
        /// Which process of it.
        generation: Generation,
        /// The number of the refusal.
        number: u64,
    },
    /// Forget a member that is not alive.
    ForceLeave(ForceLeave),
}

/// A refused connection, as one observer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) subject: NodeId,
    pub(crate) generation: Generation,
    pub(crate) observer: NodeId,
    /// Drawn by the observer. A later refusal of the same subject has another one.
    pub(crate) number: u64,
}

/// An order to forget a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForceLeave {
    pub(crate) subject: NodeId,
    /// This process and older ones.
    pub(crate) generation: Generation,
    /// Forget that it was ever there.
    pub(crate) prune: bool,
    /// The process says so itself and is gone already: it had a cloned id.
    pub(crate) own_word: bool,
    /// The process that keeps the id has the same generation.
    pub(crate) shared: bool,
}

impl Notice {
    /// Writes the body; returns the kind.
    pub(crate) fn encode(&self, body: &mut Vec<u8>) -> u8 {
        let process = |body: &mut Vec<u8>, id: NodeId, generation: Generation| {
            body.extend_from_slice(id.as_bytes());
            put_varint(body, generation.0);
        };
        match *self {
            Self::Refusal(Refusal { subject, generation, observer, number }) => {
                process(body, subject, generation);
                body.extend_from_slice(observer.as_bytes());
                body.extend_from_slice(&number.to_le_bytes());
                REFUSAL
            }
            Self::Check(identity) => {
                identity.encode(body);
                CHECK
            }
            Self::Alive { subject, generation, number } => {
                process(body, subject, generation);
                body.extend_from_slice(&number.to_le_bytes());
                ALIVE
            }
            Self::ForceLeave(ForceLeave { subject, generation, prune, own_word, shared }) => {
                process(body, subject, generation);
                let flags = [(prune, PRUNE), (own_word, OWN_WORD), (shared, SHARED)];
                body.push(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
                FORCE_LEAVE
            }
        }
    }

    /// Reads the body of an item of one of [`KINDS`].
    pub(crate) fn decode(kind: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        if kind == CHECK {
            let identity = Identity::decode(&mut reader)?;
            reader.finish()?;
            return Ok(Self::Check(identity));
        }
        let (subject, generation) = (reader.node_id()?, Generation(reader.varint()?));
        let notice = match kind {
            REFUSAL => {
                let observer = reader.node_id()?;
                Self::Refusal(Refusal { subject, generation, observer, number: u64::from_le_bytes(reader.array()?) })
            }
            ALIVE => Self::Alive { subject, generation, number: u64::from_le_bytes(reader.array()?) },
            FORCE_LEAVE => {
                let flags = reader.u8()?;
                let is = |flag| flags & flag != 0;
                let (prune, own_word, shared) = (is(PRUNE), is(OWN_WORD), is(SHARED));
                Self::ForceLeave(ForceLeave { subject, generation, prune, own_word, shared })
            }
            _ => return Err(DecodeError::Range),
        };
        reader.finish()?;
        Ok(notice)
    }
}

/// What a notice is about. A newer one of the same key replaces the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Of this subject, by this observer.
    Refusal(NodeId, NodeId),
    /// Against the refusal of this number.
    Alive(u64),
    ForceLeave(NodeId),
}

#[derive(Debug)]
struct Entry {
    key: Key,
    item: Bytes,
    n_sent: u8,
}

/// The notices of one member that still have to be sent.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    entries: Vec<Entry>,
}

impl Notices {
    pub(crate) fn push(&mut self, key: Key, item: Bytes) {
        // A refusal comes many times; its refutation need not begin anew each time.
        if matches!(key, Key::Alive(_)) && self.entries.iter().any(|entry| entry.key == key) {
            return;
        }
        self.entries.retain(|entry| entry.key != key);
        if self.entries.len() >= MOST
            && let Some(idx) = (0..self.entries.len()).max_by_key(|idx| self.entries[*idx].n_sent)
        {
            self.entries.swap_remove(idx);
        }
        self.entries.push(Entry { key, item, n_sent: 0 });
    }

    /// Takes back what need not be told any more.
    pub(crate) fn withdraw(&mut self, is_void: impl Fn(Key) -> bool) {
        self.entries.retain(|entry| !is_void(entry.key));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether some notice was sent fewer than `copies` times.
    pub(crate) fn has_fresh(&self, copies: usize) -> bool {
        self.entries.iter().any(|entry| usize::from(entry.n_sent) < copies)
    }

    /// Takes one copy of the least-sent notices that fit into `room` bytes; a notice ends after `copies`.
    pub(crate) fn fill(&mut self, mut room: usize, copies: u8, mut put: impl FnMut(&[u8])) {
        self.entries.sort_by_key(|entry| entry.n_sent);
        for entry in &mut self.entries {
            if entry.item.len() <= room {
                room -= entry.item.len();
                put(&entry.item);
                entry.n_sent += 1;
            }
        }
        self.entries.retain(|entry| entry.n_sent < copies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    #[test]
    fn one_above_the_bound_drives_out_what_was_sent_most() {
        let mut notices = Notices::default();
        for number in 0..MOST as u64 {
            notices.push(Key::Alive(number), Bytes::from_static(b"x"));
        }
        notices.fill(1, 9, |_| {});
        notices.push(Key::Alive(9999), Bytes::from_static(b"new"));
        assert_eq!(notices.len(), MOST);
        assert!(!notices.entries.iter().any(|entry| entry.key == Key::Alive(0)), "it was the only one that was sent");
        assert!(notices.entries.iter().any(|entry| entry.key == Key::Alive(9999)));
    }

    #[test]
    fn a_notice_ends_after_its_copies_and_a_newer_one_of_its_key_begins_again() {
        let mut notices = Notices::default();
        let mut n_sent = 0;
        notices.push(Key::Refusal(id(1), id(2)), Bytes::from_static(b"old"));
        notices.fill(9, 3, |_| n_sent += 1);
        notices.push(Key::Refusal(id(1), id(2)), Bytes::from_static(b"new"));
        for _ in 0..5 {
            notices.fill(9, 3, |_| n_sent += 1);
        }
        assert_eq!(n_sent, 4);
        assert!(notices.is_empty());
    }

    #[test]
    fn withdrawn_notices_are_not_sent() {
        let mut notices = Notices::default();
        notices.push(Key::Refusal(id(1), id(2)), Bytes::from_static(b"a"));
        notices.push(Key::ForceLeave(id(1)), Bytes::from_static(b"b"));
        notices.withdraw(|key| matches!(key, Key::Refusal(subject, _) if subject == id(1)));
        let mut sent = Vec::new();
        notices.fill(9, 9, |item| sent.extend_from_slice(item));
        assert_eq!(sent, b"b");
    }
}
