//! Answers as bytes, kept for those who ask the same: by question in lower case, type, and how much room there is.
//!
//! An answer counts while what it was made from is as it was: a change of one service drops the answers about that one. Each
//! worker has caches of its own, so nobody waits: one for what is there, and a small one for all else, for a flood of made-up
//! names would drive the others out. Two halves each: what is asked for moves to the young one, what is not goes with the old.
//! Not here: what is answered, and answers of others (`forward`).

use std::collections::HashMap;

use lobby_core::{
    catalog::Snapshot,
    id::{NodeId, Revision},
    time::{Moment, WallSecond},
};

use crate::{
    encode::{Encoded, Room},
    message::Request,
    name::NAME_BYTES,
    zone::{Answer, Basis},
};

/// Answers of each half: some thousand names are more than the programs of a machine ask for.
pub(crate) const ENTRIES: usize = 2048;

/// Bytes of each half of that.
pub(crate) const BYTES: usize = 2 << 20;

/// An answer is made anew after so many microseconds, whatever has changed: distances move without a snapshot, and numbers in
/// SOA are seconds.
const AGE_MICROS: u64 = 5_000_000;

/// An answer of which one part was chosen by chance, or of which the order was and cannot turn, is made anew after so many
/// uses, so that the others come to be chosen.
const USES: u32 = 16;

/// What an answer is found by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key {
    bytes: Vec<u8>,
}

/// An answer and when it counts.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) encoded: Encoded,
    basis: Basis,
    index: Revision,
    revision: Revision,
    in_doubt: bool,
    made: Moment,
    /// Uses that are left; `None`: any number.
    uses: Option<u32>,
    /// Rises with each use: the next one begins with the next record. One number for all questions would not do, for many
    /// clients ask in pairs, A and AAAA.
    turn: usize,
}

#[derive(Debug, Default)]
struct Half {
    entries: HashMap<Box<[u8]>, Entry>,
    bytes: usize,
}

/// The answers of one worker.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Of each half.
    entries: usize,
    bytes: usize,
    young: Half,
    old: Half,
}

/// How things are when an answer is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) in_doubt: bool,
    pub(crate) moment: Moment,
    pub(crate) wall: WallSecond,
}

impl Key {
    /// The key of a request, in memory that was used before.
    pub(crate) fn set(&mut self, request: &Request<'_>, room: Room, near: Option<NodeId>) -> &[u8] {
        self.bytes.clear();
        self.bytes.reserve(NAME_BYTES + 24);
        self.bytes.extend_from_slice(request.question.name);
        self.bytes.make_ascii_lowercase();
        self.bytes.extend_from_slice(&request.question.kind.to_be_bytes());
        let edns = request.edns.map_or(0, |edns| 1 | u8::from(edns.dnssec_ok) << 1);
        // A datagram has at most 1232 bytes, a stream twice as many as two bytes can say.
        let limit = u16::try_from(room.limit).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&limit.to_be_bytes());
        self.bytes.push(edns | u8::from(room.stream) << 2);
        if let Some(node) = near {
            self.bytes.extend_from_slice(node.as_bytes());
        }
        &self.bytes
    }
}

impl Entry {
    pub(crate) fn new(encoded: Encoded, answer: &Answer, now: &Now<'_>) -> Self {
        let basis = answer.basis.clone();
        let is_stuck = answer.rotates && answer.answers.len() > 1 && !encoded.turns();
        let uses = (answer.chosen || encoded.is_cut || is_stuck).then_some(USES);
        let (index, revision) = (basis.index(now.snapshot), now.snapshot.revision);
        Self { encoded, basis, index, revision, in_doubt: now.in_doubt, made: now.moment, uses, turn: 0 }
    }

    /// Whether it still counts, which uses it.
    fn counts(&mut self, now: &Now<'_>) -> bool {
        self.turn = self.turn.wrapping_add(1);
        if self.in_doubt != now.in_doubt || now.moment.as_micros().saturating_sub(self.made.as_micros()) > AGE_MICROS {
            return false;
        }
        if self.revision != now.snapshot.revision {
            if self.basis.index(now.snapshot) != self.index {
                return false;
            }
            self.revision = now.snapshot.revision;
        }
        match &mut self.uses {
            None => true,
            Some(0) => false,
            Some(uses) => {
                *uses -= 1;
                true
            }
        }
    }

    fn weight(&self, key: &[u8]) -> usize {
        std::mem::size_of::<Self>() + key.len() + self.encoded.weight()
    }
}

impl Cache {
    /// One that keeps so much in each of its halves.
    pub(crate) fn new(entries: usize, bytes: usize) -> Self {
        Self { entries, bytes, young: Half::default(), old: Half::default() }
    }

    /// The answer for this key, if it still counts, and which of its records comes first.
    pub(crate) fn find(&mut self, key: &[u8], now: &Now<'_>) -> Option<(&Encoded, usize)> {
        if !self.young.entries.contains_key(key) {
            let (key, entry) = self.old.take(key)?;
            self.insert(key, entry);
        }
        let counts = self.young.entries.get_mut(key).is_some_and(|entry| entry.counts(now));
        if !counts {
            self.young.take(key);
            return None;
        }
        self.young.entries.get(key).map(|entry| (&entry.encoded, entry.turn))
    }

    /// Keeps an answer.
    pub(crate) fn insert(&mut self, key: Box<[u8]>, entry: Entry) {
        let weight = entry.weight(&key);
        if weight > self.bytes / 8 {
            return;
        }
        if self.young.entries.len() >= self.entries || self.young.bytes + weight > self.bytes {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.take(&key);
        self.young.bytes += weight;
        self.young.entries.insert(key, entry);
    }
}

impl Half {
    fn take(&mut self, key: &[u8]) -> Option<(Box<[u8]>, Entry)> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.bytes -= entry.weight(&key);
        Some((key, entry))
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::{RData, rdata::TXT};

    use super::*;
    use crate::{encode::encode, settings::Settings, zone::Record};

    fn encoded(text_bytes: usize) -> Encoded {
        let bytes = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 16, 0, 1];
        let request = Request::read(&bytes).unwrap();
        let mut answer = Answer::empty(crate::message::Rcode::NoError, true, Basis::Nothing);
        let data = RData::TXT(TXT::from_bytes(vec![0; text_bytes].chunks(255).collect()));
        answer.answers.push(Record { owner: None, ttl: 0, data });
        encode(&request, &answer, Room::STREAM, &Settings::default())
    }

    fn put(cache: &mut Cache, key: usize, text_bytes: usize) {
        let encoded = encoded(text_bytes);
        let (index, revision, made) = (Revision(0), Revision(1), Moment::ZERO);
        let entry = Entry { encoded, basis: Basis::Nothing, index, revision, in_doubt: false, made, uses: None, turn: 0 };
        cache.insert(key.to_be_bytes().into(), entry);
    }

    fn size(cache: &Cache) -> (usize, usize) {
        let halves = [&cache.young, &cache.old];
        let weight = |half: &&Half| half.entries.iter().map(|(key, entry)| entry.weight(key)).sum::<usize>();
        assert!(halves.iter().all(|half| half.bytes == weight(half)));
        (halves.iter().map(|half| half.entries.len()).sum(), halves.iter().map(|half| half.bytes).sum())
    }

    #[test]
    fn so_many_answers_and_bytes_are_kept_and_no_more() {
        let mut cache = Cache::new(ENTRIES, BYTES);
        (0..10 * ENTRIES).for_each(|key| put(&mut cache, key, 0));
        assert!(size(&cache).0 > ENTRIES && size(&cache).0 <= 2 * ENTRIES);
        (0..1000).for_each(|key| put(&mut cache, key, 30_000));
        assert!(size(&cache).1 > BYTES && size(&cache).1 <= 2 * BYTES);
        (0..10).for_each(|_| put(&mut cache, 5, 40_000));
        assert!(size(&cache).1 <= 2 * BYTES);
    }
}
