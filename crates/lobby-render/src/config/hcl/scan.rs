//! The characters of HCL 1: blanks and comments, words, texts with their escapes, heredocs, numbers.

use super::{HclError, Problem};
use crate::config::value::Value;

/// A place in a text that moves on.
#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, line_start: 0 }
    }

    pub(super) fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Moves over so many bytes, which end between two characters.
    pub(super) fn advance(&mut self, bytes: usize) {
        for (idx, _) in self.rest()[..bytes].match_indices('\n') {
            self.line += 1;
            self.line_start = self.at + idx + 1;
        }
        self.at += bytes;
    }

    pub(super) fn error(&self, problem: Problem) -> HclError {
        let column = self.text[self.line_start..self.at].chars().count() + 1;
        HclError { line: self.line, column: u32::try_from(column).unwrap_or(u32::MAX), problem }
    }

    /// Moves over white space and comments.
    pub(super) fn skip_blank(&mut self) -> Result<(), HclError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.advance(rest.len() - trimmed.len());
            if trimmed.starts_with('#') || trimmed.starts_with("//") {
                self.advance(trimmed.find('\n').unwrap_or(trimmed.len()));
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                let end = comment.find("*/").ok_or_else(|| self.error(Problem::Endless("a comment")))?;
                self.advance(end + 4);
            } else {
                return Ok(());
            }
        }
    }

    /// A name without quotes; empty if there is none.
    pub(super) fn word(&mut self) -> &'a str {
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return "";
        }
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let word = &rest[..rest.find(|c| !inside(c)).unwrap_or(rest.len())];
        self.advance(word.len());
        word
    }

    /// A text in quotes. `${…}` is taken as it is, with quotes and backslashes, up to its own brace.
    pub(super) fn string(&mut self) -> Result<String, HclError> {
        let start = *self;
        let endless = || start.error(Problem::Endless("a text"));
        self.advance(1);
        let mut out = String::new();
        let mut braces = 0_usize;
        loop {
            let c = self.peek().ok_or_else(endless)?;
            match (c, braces) {
                ('"', 0) => {
                    self.advance(1);
                    return Ok(out);
                }
                ('\n', 0) => return Err(endless()),
                ('\\', 0) => {
                    out.push(self.escape()?);
                    continue;
                }
                ('$', 0) if self.rest().starts_with("${") => {
                    out.push_str("${");
                    self.advance(2);
                    braces = 1;
                    continue;
                }
                ('{', 1..) => braces += 1,
                ('}', 1..) => braces -= 1,
                _ => {}
            }
            out.push(c);
            self.advance(c.len_utf8());
        }
    }

    fn escape(&mut self) -> Result<char, HclError> {
        let start = *self;
        let unknown = || start.error(Problem::Escape);
        let letter = self.rest()[1..].chars().next().ok_or_else(unknown)?;
        let plain = match letter {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '"' | '/' => letter,
            _ => return self.code(letter).ok_or_else(unknown),
        };
        self.advance(2);
        Ok(plain)
    }

    /// `\u00e9` and its like. Bytes that are no character of their own are refused: values are texts.
    fn code(&mut self, letter: char) -> Option<char> {
        let (skip, digits, radix) = match letter {
            'x' => (2, 2, 16),
            'u' => (2, 4, 16),
            'U' => (2, 8, 16),
            '0'..='7' => (1, 3, 8),
            _ => return None,
        };
        let number = |from: usize| {
            let word = self.rest().get(from..from + digits)?;
            word.bytes().all(|digit| char::from(digit).is_digit(radix)).then(|| u32::from_str_radix(word, radix).ok())?
        };
        let (code, used) = match number(skip)? {
            // JSON writes characters above 0xffff as two.
            high @ 0xd800..0xdc00 if letter == 'u' && self.rest()[skip + digits..].starts_with("\\u") => {
                let low = number(2 * skip + digits).filter(|low| (0xdc00..0xe000).contains(low))?;
                (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 2 * (skip + digits))
            }
            0x80.. if matches!(letter, 'x' | '0'..='7') => return None,
            code => (code, skip + digits),
        };
        let character = char::from_u32(code)?;
        self.advance(used);
        Some(character)
    }

    /// `<<WORD`, lines, `WORD`: the lines as they are. After `<<-WORD` they lose the blanks that stand before the last
    /// `WORD`, if all have them; otherwise, as in HCL 1, those blanks belong to the text.
    pub(super) fn heredoc(&mut self) -> Result<String, HclError> {
        const WORD: Problem = Problem::Expected("`<<WORD` or `<<-WORD` and the end of the line");
        let rest = self.rest();
        let opening = rest.strip_prefix("<<").ok_or_else(|| self.error(WORD))?;
        let (head, body) = opening.split_once('\n').ok_or_else(|| self.error(WORD))?;
        let (indented, marker) = head.strip_prefix('-').map_or((false, head), |marker| (true, marker));
        let marker = marker.trim_end();
        if marker.is_empty() || !marker.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(self.error(WORD));
        }
        let mut end = 0;
        for line in body.split_inclusive('\n') {
            let bare = line.trim_end_matches(['\r', '\n']);
            if bare.trim_start() == marker {
                let text = &body[..end];
                let blanks = &bare[..bare.len() - marker.len()];
                self.advance(rest.len() - body.len() + end + bare.len());
                let is_indented = indented && text.lines().all(|line| line.starts_with(blanks));
                return Ok(match (indented, is_indented) {
                    (_, true) => text.split_inclusive('\n').map(|line| &line[blanks.len()..]).collect(),
                    (true, false) => text.to_owned(),
                    (false, _) => format!("{text}{blanks}"),
                });
            }
            end += line.len();
        }
        Err(self.error(Problem::Endless("a heredoc")))
    }

    /// Digits, and whatever touches them.
    pub(super) fn number(&mut self) -> Result<Value, HclError> {
        let rest = self.rest();
        let is_sign = |idx: usize| idx == 0 || rest[..idx].ends_with(['e', 'E']);
        let inside = |(idx, c): (usize, char)| c.is_ascii_alphanumeric() || c == '.' || (matches!(c, '+' | '-') && is_sign(idx));
        let end = rest.char_indices().find(|&place| !inside(place)).map_or(rest.len(), |(idx, _)| idx);
        let number = number(&rest[..end]).ok_or_else(|| self.error(Problem::Number))?;
        self.advance(end);
        Ok(number)
    }
}

fn number(word: &str) -> Option<Value> {
    let (minus, digits) = word.strip_prefix('-').map_or(("", word), |digits| ("-", digits));
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'0'..=b'9', ..] if !digits.contains(['.', 'e', 'E']) => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    if radix == 10 && digits.contains(['.', 'e', 'E']) {
        let number: f64 = word.parse().ok()?;
        return number.is_finite().then_some(Value::Float(number));
    }
    i64::from_str_radix(&format!("{minus}{digits}"), radix).ok().map(Value::Int)
}
