//! JSON as people write it: with `//`, `/* */` and `#` comments, and a comma before the closing bracket if they like.
//!
//! Not here: which texts are JSON (`text`).

use super::super::{
    error::ConfigError,
    tree::{Cost, DEPTH, Map, Value, once},
};

/// A text and how far it was read.
pub(super) struct Reader<'t> {
    text: &'t str,
    at: usize,
    cost: Cost,
    /// Comments that only JSON has were read.
    pub(super) has_comments: bool,
}

type Given<T> = Result<T, ConfigError>;

impl<'t> Reader<'t> {
    /// At its beginning.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, cost: Cost::default(), has_comments: false }
    }

    /// Whether it begins as a JSON object does.
    pub(super) fn is_json(&mut self) -> bool {
        let is_json = self.blank().is_err() || self.peek() == Some(b'{') || self.has_comments;
        self.at = 0;
        is_json
    }

    /// The one value of the text.
    pub(super) fn document(&mut self) -> Given<Value> {
        let value = self.value(0)?;
        self.blank()?;
        if self.at < self.text.len() { Err(self.error("expected nothing after the last `}`")) } else { Ok(value) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn error(&self, problem: &str) -> ConfigError {
        let (line, column) = self.place();
        ConfigError::Syntax { line, column, problem: problem.into() }
    }

    fn place(&self) -> (usize, usize) {
        let before = &self.text[..self.at];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }

    /// Skips blanks and comments; always stays at the border of a character.
    fn blank(&mut self) -> Given<()> {
        loop {
            let rest = self.rest();
            let skipped = match rest.as_bytes() {
                [b' ' | b'\t' | b'\r' | b'\n', ..] => 1,
                [b'#', ..] => rest.find('\n').unwrap_or(rest.len()),
                [b'/', b'/', ..] => {
                    self.has_comments = true;
                    rest.find('\n').unwrap_or(rest.len())
                }
                [b'/', b'*', ..] => {
                    self.has_comments = true;
                    let end = rest[2..].find("*/").ok_or_else(|| self.error("a comment that never ends: expected `*/`"))?;
                    end + 4
                }
                [b'<', b'%', ..] => return Err(ConfigError::Erb { line: self.place().0 }),
                _ => return Ok(()),
            };
            self.at += skipped;
        }
    }

    fn value(&mut self, depth: usize) -> Given<Value> {
        self.blank()?;
        if depth >= DEPTH {
            return Err(ConfigError::TooMuch { limit: DEPTH, what: "lists and maps in each other" });
        }
        self.cost.value(0)?;
        match self.peek() {
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Given<Value> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let value = match &rest[..end] {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => return Err(self.error("expected a value: a text in double quotes, a number, true, false, null, `[` or `{`")),
        };
        self.at += end;
        Ok(value)
    }

    fn number(&mut self) -> Given<Value> {
        let rest = self.rest();
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        let digits = &rest[..end];
        let float = || digits.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float);
        let value = digits.parse().ok().map(Value::Int).or_else(float).ok_or_else(|| self.error("expected a number"))?;
        self.at += end;
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Given<Value> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.blank()?;
            if self.take(b']') {
                return Ok(Value::List(items));
            }
            items.push(self.value(depth + 1)?);
            self.blank()?;
            if !self.take(b',') && self.peek() != Some(b']') {
                return Err(self.error("expected `,` or `]` in a list"));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Given<Value> {
        self.at += 1;
        let mut entries = Map::new();
        loop {
            self.blank()?;
            if self.take(b'}') {
                return Ok(Value::Map(once(entries)));
            }
            if self.peek() != Some(b'"') {
                return Err(self.error("expected a key in double quotes, or `}`"));
            }
            let key = self.string()?;
            self.blank()?;
            if !self.take(b':') {
                return Err(self.error("expected `:` after a key"));
            }
            entries.push((key, self.value(depth + 1)?));
            self.blank()?;
            if !self.take(b',') && self.peek() != Some(b'}') {
                return Err(self.error("expected `,` or `}` after a value"));
            }
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// From its opening quote to behind its closing one.
    fn string(&mut self) -> Given<String> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(['"', '\\']) else {
                self.at = start;
                return Err(self.error("a text that never ends: expected `\"`"));
            };
            text.push_str(&rest[..end]);
            self.at += end;
            if self.take(b'"') {
                self.cost.value(text.len())?;
                return Ok(text);
            }
            text.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Given<char> {
        let kind = self.text.as_bytes().get(self.at + 1).copied();
        let plain = match kind {
            Some(b'"' | b'\\' | b'/') => kind.map_or('/', char::from),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.error("expected an escape: one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX")),
        };
        self.at += 2;
        Ok(plain)
    }

    /// `\uXXXX`, or two of them for a character beyond 16 bits.
    fn unicode(&mut self) -> Given<char> {
        let unit = |text: &str| {
            let digits = text.strip_prefix("\\u")?.get(..4)?;
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
        };
        let rest = self.rest();
        let (first, second) = (unit(rest), rest.get(6..).and_then(unit));
        let (point, bytes) = match (first, second) {
            (Some(high @ 0xD800..0xDC00), Some(low @ 0xDC00..0xE000)) => {
                (Some(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 12)
            }
            (first, _) => (first, 6),
        };
        let character = point.and_then(char::from_u32).ok_or_else(|| self.error("expected \\uXXXX of a character"))?;
        self.at += bytes;
        Ok(character)
    }
}
