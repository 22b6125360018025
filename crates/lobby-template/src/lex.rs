//! A template's text as tokens: what is copied, where actions begin and end, and the words and literals inside them.
//!
//! Called by `parse` for one token at a time, so that the first thing wrong in the text is what is told. A token is a slice
//! of the text; lines are counted only for errors.
//! Not here: what a literal means (`quote`, `number`), and which tokens may follow each other (`parse`).

pub(crate) mod quote;
mod token;

#[cfg(test)]
mod tests;

pub(crate) use token::{Kind, Token};

use quote::{quote, unicode};

/// What blanks are to templates; other white space is text like any.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
const COMMENT: &str = "/*";
const COMMENT_END: &str = "*/";

/// Cuts a text into tokens.
pub(crate) struct Lexer<'t> {
    text: &'t str,
    left: &'t str,
    right: &'t str,
    /// Words that are functions here, although they are keywords elsewhere.
    break_is_function: bool,
    continue_is_function: bool,
    /// Everything before it has been cut.
    pos: usize,
    place: Place,
    /// Parentheses that are open in this action.
    parens: usize,
    failure: String,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Place {
    Text,
    /// Exactly here begins an action or a comment.
    LeftDelimiter,
    Action,
}

impl<'t> Lexer<'t> {
    /// Empty delimiters mean `{{` and `}}`. `is_function` tells which of the words `break` and `continue` name a function.
    pub(crate) fn new(text: &'t str, left: &'t str, right: &'t str, is_function: &dyn Fn(&str) -> bool) -> Self {
        Self {
            text,
            left: if left.is_empty() { "{{" } else { left },
            right: if right.is_empty() { "}}" } else { right },
            break_is_function: is_function("break"),
            continue_is_function: is_function("continue"),
            pos: 0,
            place: Place::Text,
            parens: 0,
            failure: String::new(),
        }
    }

    /// The next token. The last one is [`Kind::Eof`] or [`Kind::Error`].
    pub(crate) fn token(&mut self) -> Token<'t> {
        loop {
            let token = match self.place {
                Place::Text => self.copied(),
                Place::LeftDelimiter => self.left_delimiter(),
                Place::Action => Some(self.inside()),
            };
            if let Some(token) = token {
                return token;
            }
        }
    }

    /// What is wrong at the token of [`Kind::Error`].
    pub(crate) fn failure(&self) -> &str {
        &self.failure
    }

    fn rest(&self) -> &'t str {
        &self.text[self.pos..]
    }

    /// The token that ends at `end` and begins where the last one ended.
    fn cut(&mut self, kind: Kind, end: usize) -> Token<'t> {
        let start = std::mem::replace(&mut self.pos, end);
        Token { kind, pos: start, text: &self.text[start..end] }
    }

    fn fail(&mut self, message: impl Into<String>) -> Token<'t> {
        self.failure = message.into();
        Token { kind: Kind::Error, pos: self.pos, text: "" }
    }

    /// The text up to the next action. None: there is none.
    fn copied(&mut self) -> Option<Token<'t>> {
        let rest = self.rest();
        let Some(length) = rest.find(self.left) else {
            let kind = if rest.is_empty() { Kind::Eof } else { Kind::Text };
            return Some(self.cut(kind, self.text.len()));
        };
        self.place = Place::LeftDelimiter;
        let trims = trims_left(&rest[length + self.left.len()..]);
        let kept = if trims { rest[..length].trim_end_matches(BLANKS).len() } else { length };
        let token = Token { kind: Kind::Text, pos: self.pos, text: &rest[..kept] };
        self.pos += length;
        (kept > 0).then_some(token)
    }

    /// The beginning of an action. None: it was a whole comment.
    fn left_delimiter(&mut self) -> Option<Token<'t>> {
        let start = self.pos;
        self.pos += self.left.len();
        if trims_left(self.rest()) {
            self.pos += 2;
        }
        if self.rest().starts_with(COMMENT) {
            return self.comment();
        }
        self.place = Place::Action;
        self.parens = 0;
        Some(Token { kind: Kind::LeftDelimiter, pos: start, text: self.left })
    }

    fn comment(&mut self) -> Option<Token<'t>> {
        let start = self.pos;
        let Some(length) = self.rest()[COMMENT.len()..].find(COMMENT_END) else { return Some(self.fail("unclosed comment")) };
        self.pos += COMMENT.len() + length + COMMENT_END.len();
        if let Some(trims) = self.at_right_delimiter() {
            self.right_delimiter(trims);
            return None;
        }
        self.pos = start;
        Some(self.fail("comment ends before closing delimiter"))
    }

    /// None: here is no end of an action. Some(true): here is one that trims the text behind it.
    fn at_right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        let marked = rest.strip_prefix(BLANKS).and_then(|rest| rest.strip_prefix('-'));
        if marked.is_some_and(|rest| rest.starts_with(self.right)) {
            return Some(true);
        }
        rest.starts_with(self.right).then_some(false)
    }

    fn right_delimiter(&mut self, trims: bool) -> Token<'t> {
        if trims {
            self.pos += 2;
        }
        let token = self.cut(Kind::RightDelimiter, self.pos + self.right.len());
        if trims {
            self.pos = self.text.len() - self.rest().trim_start_matches(BLANKS).len();
        }
        self.place = Place::Text;
        token
    }

    /// A token inside an action.
    fn inside(&mut self) -> Token<'t> {
        match self.at_right_delimiter() {
            Some(_) if self.parens > 0 => return self.fail("unclosed left paren"),
            Some(trims) => return self.right_delimiter(trims),
            None => {}
        }
        let mut chars = self.rest().chars();
        let Some(first) = chars.next() else { return self.fail("unclosed action") };
        let (next, behind) = (chars.next(), self.pos + first.len_utf8());
        match first {
            _ if BLANKS.contains(&first) => self.blanks(),
            '=' => self.cut(Kind::Assign, behind),
            ':' if next == Some('=') => self.cut(Kind::Declare, behind + 1),
            ':' => self.fail("expected :="),
            '|' => self.cut(Kind::Pipe, behind),
            '"' => self.quoted(Kind::Quoted, '"', "unterminated quoted string"),
            '\'' => self.quoted(Kind::CharConstant, '\'', "unterminated character constant"),
            '`' => match self.rest()[1..].find('`') {
                Some(length) => self.cut(Kind::RawQuoted, behind + length + 1),
                None => self.fail("unterminated raw quoted string"),
            },
            '$' => self.name(Kind::Variable, Kind::Variable, behind),
            '.' if next.is_some_and(|next| !next.is_ascii_digit()) => self.name(Kind::Field, Kind::Dot, behind),
            '.' | '+' | '-' | '0'..='9' => self.number(),
            _ if is_alphanumeric(first) => self.word(),
            '(' => {
                self.parens += 1;
                self.cut(Kind::LeftParen, behind)
            }
            ')' => {
                // One that closes nothing is refused by the parser.
                self.parens = self.parens.saturating_sub(1);
                self.cut(Kind::RightParen, behind)
            }
            '!'..='~' => self.cut(Kind::Char, behind),
            _ => self.fail(format!("unrecognized character in action: {}", unicode(first))),
        }
    }

    /// Blanks between operands, but for the one that belongs to a trimming right delimiter.
    fn blanks(&mut self) -> Token<'t> {
        let behind = self.rest().trim_start_matches(BLANKS);
        let end = self.text.len() - behind.len();
        let marked = behind.strip_prefix('-').is_some_and(|rest| rest.starts_with(self.right));
        self.cut(Kind::Space, end - usize::from(marked))
    }

    /// The end of the letters and digits from a place on.
    fn end_of_word(&self, from: usize) -> usize {
        from + self.text[from..].find(|c| !is_alphanumeric(c)).unwrap_or(self.text.len() - from)
    }

    /// What stands at a place that is the end of a word but may not be; None: it may.
    fn stray(&self, end: usize) -> Option<char> {
        let rest = &self.text[end..];
        let next = rest.chars().next()?;
        let ends = BLANKS.contains(&next) || ['.', ',', '|', ':', ')', '('].contains(&next) || rest.starts_with(self.right);
        (!ends).then_some(next)
    }

    /// `.name` or `$name`; `bare` is what the sign is without a name behind it.
    fn name(&mut self, kind: Kind, bare: Kind, behind: usize) -> Token<'t> {
        if self.stray(behind).is_none() {
            return self.cut(bare, behind);
        }
        let end = self.end_of_word(behind);
        match self.stray(end) {
            Some(c) => self.fail(format!("bad character {}", unicode(c))),
            None => self.cut(kind, end),
        }
    }

    fn word(&mut self) -> Token<'t> {
        let end = self.end_of_word(self.pos);
        if let Some(c) = self.stray(end) {
            return self.fail(format!("bad character {}", unicode(c)));
        }
        let kind = match Kind::of_word(&self.text[self.pos..end]) {
            Kind::Break if self.break_is_function => Kind::Identifier,
            Kind::Continue if self.continue_is_function => Kind::Identifier,
            kind => kind,
        };
        self.cut(kind, end)
    }

    /// A literal on one line, in which a backslash protects what follows it.
    fn quoted(&mut self, kind: Kind, quote: char, unterminated: &str) -> Token<'t> {
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((idx, c)) = chars.next() {
            match c {
                '\\' if chars.next().is_some_and(|(_, protected)| protected != '\n') => {}
                '\\' | '\n' => break,
                _ if c == quote => return self.cut(kind, self.pos + idx + 1),
                _ => {}
            }
        }
        self.fail(unterminated)
    }

    /// One number, or a sum of two of which the second is imaginary.
    fn number(&mut self) -> Token<'t> {
        let (mut end, mut fine) = self.end_of_number(self.pos);
        let mut kind = Kind::Number;
        if fine && self.text[end..].starts_with(['+', '-']) {
            (end, fine) = self.end_of_number(end);
            fine = fine && self.text[..end].ends_with('i');
            kind = Kind::Complex;
        }
        if fine {
            return self.cut(kind, end);
        }
        self.fail(format!("bad number syntax: {}", quote(&self.text[self.pos..end])))
    }

    /// Where the number that begins at `from` ends, roughly: what it may not be is told when it is read. False: a letter
    /// follows it, which is included.
    fn end_of_number(&self, from: usize) -> (usize, bool) {
        let bytes = self.text.as_bytes();
        let one = |at: usize, of: &[u8]| at + usize::from(bytes.get(at).is_some_and(|byte| of.contains(byte)));
        let run = |at: usize, of: &[u8]| at + bytes[at..].iter().take_while(|byte| of.contains(byte)).count();
        let signed = one(from, b"+-");
        let (mut end, digits, powers): (usize, &[u8], &[u8]) = match &bytes[signed..] {
            [b'0', b'x' | b'X', ..] => (signed + 2, b"0123456789abcdefABCDEF_", b"pP"),
            [b'0', b'o' | b'O', ..] => (signed + 2, b"01234567_", b""),
            [b'0', b'b' | b'B', ..] => (signed + 2, b"01_", b""),
            _ => (signed, b"0123456789_", b"eE"),
        };
        end = run(end, digits);
        let point = one(end, b".");
        if point > end {
            end = run(point, digits);
        }
        let power = one(end, powers);
        if power > end {
            end = run(one(power, b"+-"), b"0123456789_");
        }
        end = one(end, b"i");
        match self.text[end..].chars().next().filter(|c| is_alphanumeric(*c)) {
            Some(c) => (end + c.len_utf8(), false),
            None => (end, true),
        }
    }
}

/// Whether what follows a left delimiter asks for the text before it to be trimmed: `{{- `, but not `{{-3`.
fn trims_left(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(BLANKS))
}

/// What names consist of. Go's letters and digits, and beyond ASCII also the marks that belong to letters and the numbers
/// that are no digits: names have them only by mistake, and what a name means is found out when the template runs.
fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
