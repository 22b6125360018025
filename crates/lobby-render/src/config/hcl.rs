//! HCL, version 1: text to tree, or an error with line and column. JSON is a part of the language as it is read here.
//!
//! ```text
//! file  = entry* | block            entry = key label* block | key ('=' | ':') value
//! block = '{' entry* '}'            value = text | heredoc | number | true | false | null | list | block
//! ```
//! Commas between entries may stand or not, labels become blocks in blocks, `null` is a key that is not set. Version 2
//! would not do: it reads `0600` as six hundred and looks into `${…}`, which is left alone here.
//! Not here: characters and words (`scan`).

mod scan;
#[cfg(test)]
mod tests;

use self::scan::Scanner;
use super::value::{Block, Entry, Value};

/// Bytes of a text that are read: hand-written ones have a few thousand.
pub const TEXT_BYTES: usize = 1 << 20;
/// Blocks, labels and lists in each other: ours need four; far from what a stack holds.
pub const DEPTH: usize = 32;

/// Where a text stops being HCL, and why. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct HclError {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Something else stands there.
    #[error("expected {0}")]
    Expected(&'static str),
    /// It begins here and never ends.
    #[error("{0} has no end")]
    Endless(&'static str),
    /// A backslash with something that means nothing.
    #[error(
        "unknown escape: expected one of \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\/ \\ooo \\xHH \\uHHHH \\UHHHHHHHH, of a character"
    )]
    Escape,
    /// Digits that are no number.
    #[error("no number: expected decimal, 0755 (octal), 0xff or 1.5, up to 64 bits; other values need quotes")]
    Number,
    /// More than [`DEPTH`].
    #[error("more than {DEPTH} blocks and lists in each other")]
    Depth,
    /// More than [`TEXT_BYTES`].
    #[error("the text has more than {TEXT_BYTES} bytes")]
    Size,
}

/// Reads a text.
pub fn parse(text: &str) -> Result<Block, HclError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser { scan: Scanner::new(text), depth: 0 };
    if text.len() > TEXT_BYTES {
        return Err(parser.scan.error(Problem::Size));
    }
    parser.scan.skip_blank()?;
    if parser.scan.peek() != Some('{') {
        return parser.entries(End::Text);
    }
    let block = parser.braces()?;
    parser.scan.skip_blank()?;
    match parser.scan.peek() {
        None => Ok(block),
        Some(_) => Err(parser.scan.error(Problem::Expected("nothing after the last `}`"))),
    }
}

struct Parser<'a> {
    scan: Scanner<'a>,
    depth: usize,
}

/// What ends a row of entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Text,
    Brace,
}

impl Parser<'_> {
    fn entries(&mut self, end: End) -> Result<Block, HclError> {
        let mut block = Block::default();
        loop {
            self.scan.skip_blank()?;
            match (self.scan.peek(), end) {
                (None, End::Text) => return Ok(block),
                (None, End::Brace) => return Err(self.scan.error(Problem::Endless("a block"))),
                (Some('}'), End::Brace) => {
                    self.scan.advance(1);
                    return Ok(block);
                }
                (Some(','), _) => self.scan.advance(1),
                _ => block.0.extend(self.entry()?),
            }
        }
    }

    /// A key with its value, unless that is `null`.
    fn entry(&mut self) -> Result<Option<Entry>, HclError> {
        let line = self.scan.line();
        let key = self.key("a key, or the end of the block")?;
        self.scan.skip_blank()?;
        if let Some('=' | ':') = self.scan.peek() {
            self.scan.advance(1);
            return Ok(self.value()?.map(|value| Entry { key, value, line }));
        }
        let mut labels = Vec::new();
        while self.scan.peek() != Some('{') {
            if self.depth + labels.len() >= DEPTH {
                return Err(self.scan.error(Problem::Depth));
            }
            labels.push(self.key("`=` or `{` after a key")?);
            self.scan.skip_blank()?;
        }
        self.depth += labels.len();
        let inner = self.braces()?;
        self.depth -= labels.len();
        let around = |inner, label| Value::Block(Block(vec![Entry { key: label, value: inner, line }]));
        let value = labels.into_iter().rev().fold(Value::Block(inner), around);
        Ok(Some(Entry { key, value, line }))
    }

    fn key(&mut self, expected: &'static str) -> Result<String, HclError> {
        if self.scan.peek() == Some('"') {
            return self.scan.string();
        }
        match self.scan.word() {
            "" => Err(self.scan.error(Problem::Expected(expected))),
            word => Ok(word.to_owned()),
        }
    }

    fn value(&mut self) -> Result<Option<Value>, HclError> {
        const EXPECTED: Problem = Problem::Expected("a value: a text in quotes, a number, true, false, `[` or `{`");
        self.scan.skip_blank()?;
        Ok(Some(match self.scan.peek() {
            Some('"') => Value::Text(self.scan.string()?),
            Some('<') => Value::Text(self.scan.heredoc()?),
            Some('[') => Value::List(self.list()?),
            Some('{') => Value::Block(self.braces()?),
            Some('-' | '0'..='9') => self.scan.number()?,
            _ => {
                let start = self.scan;
                match self.scan.word() {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    "null" => return Ok(None),
                    _ => return Err(start.error(EXPECTED)),
                }
            }
        }))
    }

    fn list(&mut self) -> Result<Vec<Value>, HclError> {
        self.enter()?;
        self.scan.advance(1);
        let mut list = Vec::new();
        loop {
            self.scan.skip_blank()?;
            match self.scan.peek() {
                None => return Err(self.scan.error(Problem::Endless("a list"))),
                Some(']') => break,
                Some(_) => {}
            }
            list.extend(self.value()?);
            self.scan.skip_blank()?;
            match self.scan.peek() {
                Some(',') => self.scan.advance(1),
                Some(']') => break,
                _ => return Err(self.scan.error(Problem::Expected("`,` or `]` in a list"))),
            }
        }
        self.scan.advance(1);
        self.depth -= 1;
        Ok(list)
    }

    fn braces(&mut self) -> Result<Block, HclError> {
        self.enter()?;
        self.scan.advance(1);
        let block = self.entries(End::Brace)?;
        self.depth -= 1;
        Ok(block)
    }

    fn enter(&mut self) -> Result<(), HclError> {
        if self.depth == DEPTH {
            return Err(self.scan.error(Problem::Depth));
        }
        self.depth += 1;
        Ok(())
    }
}
