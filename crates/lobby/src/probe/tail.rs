//! The end of what somebody says who may never stop: bytes in, the last of them as text.
//!
//! Takes at most twice the memory that it is asked to keep. Not here: how a cut is told (`lobby_core::check::output`).

use lobby_core::check::output::Output;

/// The last bytes of a stream.
pub(super) struct Tail {
    most: usize,
    bytes: Vec<u8>,
    total: u64,
}

impl Tail {
    /// Keeps so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { most, bytes: Vec::new(), total: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let bytes = &bytes[bytes.len().saturating_sub(self.most)..];
        if self.bytes.len() + bytes.len() > 2 * self.most {
            self.bytes.drain(..self.bytes.len().saturating_sub(self.most));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes there were.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The last bytes as text; what is no UTF-8 shows as U+FFFD.
    pub(super) fn text(&self) -> String {
        let mut bytes = &self.bytes[self.bytes.len().saturating_sub(self.most)..];
        if self.total > bytes.len() as u64 {
            // The rest of a character that was cut.
            let n_rest = bytes.iter().take(3).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
            bytes = &bytes[n_rest..];
        }
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The same, below a line that tells of a cut where there was one.
    pub(super) fn told(&self) -> String {
        Output { tail: &self.text(), total: self.total }.cut(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_a_character_is_not_shown() {
        let mut tail = Tail::new(4);
        tail.push("aüüü".as_bytes());
        assert_eq!((tail.text(), tail.total()), ("üü".into(), 7));
        let mut tail = Tail::new(3);
        tail.push("aüü".as_bytes());
        assert_eq!(tail.text(), "ü");
        assert_eq!(tail.told(), "[last 2 of 5 bytes]\nü");
    }

    proptest! {
        #[test]
        fn it_is_the_end_and_bounded(chunks in prop::collection::vec("[a-z]{0,20}", 0..20), most in 1..30_usize) {
            let mut tail = Tail::new(most);
            for chunk in &chunks {
                tail.push(chunk.as_bytes());
                prop_assert!(tail.bytes.len() <= 2 * most);
            }
            let all = chunks.concat();
            prop_assert_eq!(tail.total(), all.len() as u64);
            prop_assert_eq!(tail.text(), &all[all.len().saturating_sub(most)..]);
        }

        #[test]
        fn any_bytes_are_text(bytes in any::<Vec<u8>>(), most in 1..30_usize) {
            let mut tail = Tail::new(most);
            tail.push(&bytes);
            prop_assert!(tail.text().len() <= 3 * most);
        }
    }
}
