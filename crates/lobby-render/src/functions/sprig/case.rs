//! sprig's functions that change how words are written. Decides what a word is: what the library xstrings takes for one in ASCII
//! and in most other scripts; `initials` and `shuffle` take whole characters, not bytes.

use lobby_template::{Type, Value};
use sha2::{Digest, Sha256};

use super::Named;
use crate::functions::arg::{Given, fits, of, text};
use crate::functions::strings::{lower, mapped, upper};

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Str];
    vec![
        ("sprig_camelcase", of(&ONE, |_, args| Ok(camel(&text(args, 0)?).into()))),
        ("sprig_snakecase", of(&ONE, |room, args| separated(room, args, '_'))),
        ("sprig_kebabcase", of(&ONE, |room, args| separated(room, args, '-'))),
        ("sprig_swapcase", of(&ONE, |room, args| mapped(room, &text(args, 0)?, swapped))),
        (
            "sprig_initials",
            of(&ONE, |_, args| {
                let initials = text(args, 0)?.split_whitespace().filter_map(|word| word.chars().next()).collect::<String>();
                Ok(initials.into())
            }),
        ),
        ("sprig_shuffle", of(&ONE, |_, args| Ok(shuffled(&text(args, 0)?).into()))),
    ]
}

fn swapped(c: char) -> char {
    if c.is_lowercase() { upper(c) } else { lower(c) }
}

fn connects(c: char) -> bool {
    matches!(c, '-' | '_') || c.is_whitespace()
}

/// Each word with a large letter first and small ones after it; of several connectors between words all but one stay.
fn camel(text: &str) -> String {
    let start = text.find(|c| !connects(c)).unwrap_or(text.len());
    let (mut camel, mut rest) = (text[..start].to_owned(), text[start..].chars());
    let Some(first) = rest.next() else {
        // xstrings has the last one twice.
        camel.extend(text.chars().last());
        return camel;
    };
    let mut last = upper(first);
    for c in rest {
        let next = match (connects(last), connects(c)) {
            (true, false) => upper(c),
            (_, is_connector) => {
                camel.push(last);
                if is_connector { c } else { lower(c) }
            }
        };
        last = next;
    }
    camel.push(last);
    camel
}

/// What stands together in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Number,
    /// Large letters, or one and the small ones after it.
    Upper,
    /// Small letters.
    Lower,
    Connector,
    Punctuation,
    Other,
}

fn part(c: char) -> Part {
    match c {
        c if connects(c) => Part::Connector,
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => Part::Other,
        c if c.is_ascii_punctuation() || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}') => Part::Punctuation,
        c if c.is_uppercase() => Part::Upper,
        // Scripts without words.
        '\u{3400}'..='\u{9fff}' => Part::Other,
        c if c.is_alphabetic() => Part::Lower,
        c if c.is_numeric() => Part::Number,
        _ => Part::Other,
    }
}

fn parts(text: &str) -> Vec<(Part, &str)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let kind = part(first);
        let run = |kind| rest.find(|c| part(c) != kind).unwrap_or(rest.len());
        let mut end = run(kind);
        if let (Part::Upper, Some(Part::Lower)) = (kind, rest[end..].chars().next().map(part)) {
            // The last large letter begins a word of its own.
            let last = rest[..end].char_indices().last().map_or(0, |(at, _)| at);
            end = match last {
                0 => end + rest[end..].find(|c| part(c) != Part::Lower).unwrap_or(rest.len() - end),
                last => last,
            };
        }
        parts.push((kind, &rest[..end]));
        rest = &rest[end..];
    }
    parts
}

/// Words in small letters with `by` between them; a number belongs to the word before it, unless small letters follow.
fn separated(room: usize, args: &[Value], by: char) -> Given {
    let text = text(args, 0)?;
    fits(room, text.len().checked_mul(2))?;
    let mut joiner = Joiner { parts: &parts(&text), by, joined: String::new() };
    while let Some(kind) = joiner.push() {
        match (kind, joiner.kind(0), joiner.kind(1)) {
            (Part::Connector | Part::Punctuation, ..) | (_, Some(Part::Number), None) if kind != Part::Number => {}
            (Part::Number, ..) => joiner.push_rest(),
            (_, Some(Part::Number), Some(Part::Lower)) => {
                joiner.joined.push(by);
                joiner.push_rest();
            }
            (_, Some(Part::Number), _) => {
                joiner.push();
                joiner.separate();
            }
            _ => joiner.separate(),
        }
    }
    Ok(joiner.joined.into())
}

struct Joiner<'p> {
    /// Those that are left.
    parts: &'p [(Part, &'p str)],
    by: char,
    joined: String,
}

impl Joiner<'_> {
    fn kind(&self, index: usize) -> Option<Part> {
        self.parts.get(index).map(|(kind, _)| *kind)
    }

    fn push(&mut self) -> Option<Part> {
        let (&(kind, part), rest) = self.parts.split_first()?;
        self.parts = rest;
        match kind {
            Part::Connector => self.joined.extend(part.chars().map(|_| self.by)),
            _ => self.joined.extend(part.chars().map(lower)),
        }
        Some(kind)
    }

    /// Numbers and small letters belong together.
    fn push_rest(&mut self) {
        while let Some(Part::Number | Part::Lower) = self.kind(0) {
            self.push();
        }
        self.separate();
    }

    fn separate(&mut self) {
        if !matches!(self.kind(0), None | Some(Part::Connector | Part::Punctuation)) {
            self.joined.push(self.by);
        }
    }
}

/// In an order that depends on the text alone: a file that changes each time it is made would be applied each time.
fn shuffled(text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let mut state = Sha256::digest(text.as_bytes()).iter().take(8).fold(1_u64, |state, byte| state << 8 | u64::from(*byte)) | 1;
    for left in (1..chars.len()).rev() {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chars.swap(left, (state % (left as u64 + 1)) as usize);
    }
    chars.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shuffled_has_the_same_characters_and_always_the_same_order() {
        let text = "abcdefghijklmnopqrstuvwxyz é😀";
        let sorted = |text: &str| {
            let mut chars: Vec<char> = text.chars().collect();
            chars.sort_unstable();
            chars
        };
        let shuffled = shuffled(text);
        assert_eq!(sorted(&shuffled), sorted(text));
        assert_eq!(shuffled, super::shuffled(text));
        assert_ne!(shuffled, text);
    }
}
