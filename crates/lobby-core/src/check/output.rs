//! What a check said: its tail, within bounds.
//!
//! The end of an output tells more than its beginning (the last line of a stack trace, the summary of a script), so the
//! beginning goes, and a first line says so. Not here: collecting it from sockets and pipes, and making text of bytes.

/// Most bytes of the line that tells of a cut: two numbers of 20 digits and the words between them.
pub const NOTE_BYTES: usize = 64;

/// What a check said, or the end of it, if whoever read it kept no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output<'a> {
    /// The end of it.
    pub tail: &'a str,
    /// Bytes of all of it; less than the tail has means no more than that.
    pub total: u64,
}

impl<'a> From<&'a str> for Output<'a> {
    fn from(text: &'a str) -> Self {
        Self { tail: text, total: text.len() as u64 }
    }
}

impl Output<'_> {
    /// The last `most` bytes at most, from a character border on; below a line of at most [`NOTE_BYTES`] when something
    /// is missing.
    pub fn cut(self, most: usize) -> String {
        let start = self.tail.ceil_char_boundary(self.tail.len().saturating_sub(most));
        let (kept, had) = (&self.tail[start..], self.tail.len() as u64);
        if start == 0 && self.total <= had {
            return kept.to_owned();
        }
        format!("[last {} of {} bytes]\n{kept}", kept.len(), self.total.max(had))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_tail_is_kept_and_the_cut_is_told() {
        let cut = |text: &str, most| Output::from(text).cut(most);
        assert_eq!(cut("", 1), "");
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("abcde", 4), "[last 4 of 5 bytes]\nbcde");
        assert_eq!(cut("aüb", 2), "[last 1 of 4 bytes]\nb", "no half of a character");
        assert_eq!(cut("ü", 1), "[last 0 of 2 bytes]\n");
        assert_eq!(Output { tail: "end", total: 1 << 40 }.cut(4), "[last 3 of 1099511627776 bytes]\nend");
        assert_eq!(Output { tail: "\u{fffd}", total: 1 }.cut(4), "\u{fffd}", "text may be longer than the bytes it was");
    }

    proptest! {
        #[test]
        fn a_cut_is_bounded_and_an_end(text in any::<String>(), more in any::<u64>(), most in 1..100_usize) {
            let cut = Output { tail: &text, total: more }.cut(most);
            prop_assert!(cut.len() <= most + NOTE_BYTES);
            let kept = cut.strip_prefix("[last ").and_then(|cut| cut.split_once('\n')).map_or(&*cut, |(_, kept)| kept);
            prop_assert!(text.ends_with(kept));
            prop_assert!(kept.len() + 3 >= most.min(text.len()), "no more is lost than a character");
        }
    }
}
