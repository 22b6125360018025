//! Answers of other servers, kept as long as they say and not longer than some minutes.
//!
//! Bounded in entries and bytes; when it is full, all of it goes.
//! Not here: how long an answer may be kept (`forward::answer`), answers of ours (`crate::cache`).

use std::collections::HashMap;

use lobby_core::time::Moment;

use super::answer::Answer;
use crate::message::Request;

/// Answers that are kept.
pub(super) const ENTRIES: usize = 2048;

/// Their bytes.
const BYTES: usize = 2 << 20;

/// An answer is kept for so many seconds at most.
const MOST_SECONDS: u32 = 300;

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Vec<u8>, Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    since: Moment,
}

/// What an answer of others depends on: the question in lower case, and whether DNSSEC is wanted and checked.
pub(super) fn key(request: &Request<'_>) -> Vec<u8> {
    let mut key = request.question.name.to_ascii_lowercase();
    key.extend_from_slice(&request.question.kind.to_be_bytes());
    let wanted = request.edns.is_some_and(|edns| edns.dnssec_ok);
    key.push(u8::from(wanted) | u8::from(request.checking_disabled) << 1);
    key
}

impl Cache {
    /// The answer for this key with the times to live that are left.
    pub(super) fn find(&mut self, key: &[u8], now: Moment) -> Option<Answer> {
        let kept = self.entries.get(key)?;
        let passed = u32::try_from(now.since(kept.since).as_secs()).unwrap_or(u32::MAX);
        if passed < kept.answer.ttl.min(MOST_SECONDS) {
            return Some(kept.answer.after(passed));
        }
        if let Some(kept) = self.entries.remove(key) {
            self.bytes -= kept.answer.weight();
        }
        None
    }

    /// Keeps an answer, if it may be kept.
    pub(super) fn insert(&mut self, key: Vec<u8>, answer: Answer, now: Moment) {
        if answer.ttl == 0 {
            return;
        }
        let weight = answer.weight();
        if self.entries.len() >= ENTRIES || self.bytes + weight > BYTES {
            *self = Self::default();
        }
        if let Some(old) = self.entries.insert(key, Kept { answer, since: now }) {
            self.bytes -= old.answer.weight();
        }
        self.bytes += weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ttl: u8, rcode: u8) -> Answer {
        let mut bytes = vec![0, 0, 0x80, 0x80 | rcode, 0, 1, 0, 1, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4, 192, 0, 2, 1]);
        Answer::read(bytes).unwrap()
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn an_answer_is_kept_as_long_as_it_says() {
        let mut cache = Cache::default();
        cache.insert(b"k".to_vec(), answer(10, 0), at(100));
        assert_eq!(cache.find(b"k", at(100)), Some(answer(10, 0)));
        assert_eq!(cache.find(b"k", at(109)), Some(answer(10, 0).after(9)));
        assert_eq!((cache.find(b"k", at(110)), cache.bytes), (None, 0));
        cache.insert(b"k".to_vec(), answer(0, 0), at(0));
        cache.insert(b"l".to_vec(), answer(10, 2), at(0));
        assert!(cache.entries.is_empty(), "what is not to be kept");
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let mut cache = Cache::default();
        for n in 0..3 * ENTRIES {
            cache.insert(n.to_be_bytes().to_vec(), answer(10, 0), at(0));
            assert!(cache.entries.len() <= ENTRIES && cache.bytes <= BYTES);
        }
        assert_eq!(cache.bytes, cache.entries.values().map(|kept| kept.answer.weight()).sum::<usize>());
    }
}
