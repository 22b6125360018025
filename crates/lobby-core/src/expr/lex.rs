//! The tokens of expressions, shared by Consul's filters and Lobby's selectors.
//!
//! A word is everything up to a blank, quote, parenthesis, bracket or one of `= ! ^`; what words mean, and which are good, the
//! languages decide. Quoted text is `"…"` with Go's escapes, or `` `…` `` as it stands.
//! One token is looked at in advance, and nothing is copied but quoted text.
//! Not here: the bound on the length (`tree`).

use super::{DEPTH, SyntaxError, shown};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Anything without quotes.
    Word(&'a str),
    /// What stands between quotes.
    Quoted(String),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `==`
    Equal,
    /// `!=`
    Different,
    /// `=`
    Assign,
    /// `^=`
    Begins,
    /// Nothing more.
    End,
}

const SYMBOLS: &[(&str, Piece<'static>)] = &[
    ("(", Piece::Open),
    (")", Piece::Close),
    ("[", Piece::OpenBracket),
    ("]", Piece::CloseBracket),
    ("==", Piece::Equal),
    ("!=", Piece::Different),
    ("=", Piece::Assign),
    ("^=", Piece::Begins),
];

/// A text that is read token by token.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    /// The next token.
    piece: Piece<'a>,
    /// Where it begins.
    at: usize,
    /// Where it ends.
    end: usize,
    /// Whether a blank stands before it.
    spaced: bool,
    /// How deep we are.
    depth: usize,
}

impl<'a> Lexer<'a> {
    /// At the first token.
    pub(crate) fn new(text: &'a str) -> Result<Self, SyntaxError> {
        let mut lexer = Self { text, piece: Piece::End, at: 0, end: 0, spaced: false, depth: 0 };
        lexer.advance()?;
        Ok(lexer)
    }

    /// The next token.
    pub(crate) fn piece(&self) -> &Piece<'a> {
        &self.piece
    }

    /// Where the next token begins, in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Whether the next token follows the one before without a blank.
    pub(crate) fn is_joined(&self) -> bool {
        !self.spaced
    }

    /// Takes the next token.
    pub(crate) fn advance(&mut self) -> Result<Piece<'a>, SyntaxError> {
        let rest = self.text[self.end..].trim_start_matches([' ', '\t', '\r', '\n']);
        let at = self.text.len() - rest.len();
        let (piece, rest) = self.scan(at, rest)?;
        (self.spaced, self.at, self.end) = (at > self.end, at, self.text.len() - rest.len());
        Ok(std::mem::replace(&mut self.piece, piece))
    }

    /// Takes the next token if it is this one.
    pub(crate) fn take(&mut self, piece: &Piece<'_>) -> Result<bool, SyntaxError> {
        let is_it = self.piece == *piece;
        if is_it {
            self.advance()?;
        }
        Ok(is_it)
    }

    /// Takes the next token if it is this word.
    pub(crate) fn take_word(&mut self, word: &'static str) -> Result<bool, SyntaxError> {
        self.take(&Piece::Word(word))
    }

    /// The next token is not what is expected.
    pub(crate) fn unexpected(&self, expected: &'static str) -> SyntaxError {
        let is_end = self.piece == Piece::End;
        let found = if is_end { "the end".into() } else { shown(&self.text[self.at..self.end]) };
        SyntaxError::Unexpected { at: self.at, found, expected }
    }

    /// One deeper, which [`Self::higher`] takes back.
    pub(crate) fn deeper(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH { Err(SyntaxError::TooDeep { at: self.at }) } else { Ok(()) }
    }

    /// Back from [`Self::deeper`].
    pub(crate) fn higher(&mut self) {
        self.depth -= 1;
    }

    /// The token at the beginning of `rest`, which begins at `at`, and what follows it.
    fn scan(&self, at: usize, rest: &'a str) -> Result<(Piece<'a>, &'a str), SyntaxError> {
        if rest.is_empty() {
            return Ok((Piece::End, rest));
        }
        let symbol = |(text, piece): &(&str, Piece<'static>)| Some((piece.clone(), rest.strip_prefix(text)?));
        if let Some(found) = SYMBOLS.iter().find_map(symbol) {
            return Ok(found);
        }
        let unexpected = |expected| SyntaxError::Unexpected { at, found: shown(rest), expected };
        if let Some(raw) = rest.strip_prefix('`') {
            let (raw, rest) = raw.split_once('`').ok_or_else(|| unexpected("a closing `"))?;
            return Ok((Piece::Quoted(raw.into()), rest));
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            return unquote(quoted).ok_or_else(|| unexpected("a closing \", and escapes as in Go that make UTF-8"));
        }
        let end = rest.find(|c| !is_word_char(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(unexpected("a word, a quoted text, a parenthesis or an operator"));
        }
        let (word, rest) = rest.split_at(end);
        Ok((Piece::Word(word), rest))
    }
}

/// Whether words may have this character.
fn is_word_char(c: char) -> bool {
    !(c.is_whitespace() || c.is_control() || "()[]\"`=!^".contains(c))
}

/// Whether the text can stand as it is, without quotes.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

/// The text in quotes, so that it is read as it is.
pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#))
}

/// The text up to the closing quote without its escapes, and what follows.
fn unquote(mut rest: &str) -> Option<(Piece<'static>, &str)> {
    let mut bytes = Vec::new();
    loop {
        let stop = rest.find(['"', '\\'])?;
        bytes.extend_from_slice(&rest.as_bytes()[..stop]);
        rest = &rest[stop..];
        if let Some(rest) = rest.strip_prefix('"') {
            return Some((Piece::Quoted(String::from_utf8(bytes).ok()?), rest));
        }
        rest = unescape(&rest[1..], &mut bytes)?;
    }
}

/// Reads what follows a backslash, and hands back what follows that.
fn unescape<'a>(rest: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    let c = rest.chars().next()?;
    let after = &rest[c.len_utf8()..];
    let (byte, after) = match c {
        'a' => (7, after),
        'b' => (8, after),
        't' => (b'\t', after),
        'n' => (b'\n', after),
        'v' => (11, after),
        'f' => (12, after),
        'r' => (b'\r', after),
        '\\' | '"' => (c as u8, after),
        'x' => digits(after, 2, 16).and_then(|(number, after)| Some((u8::try_from(number).ok()?, after)))?,
        '0'..='7' => digits(rest, 3, 8).and_then(|(number, after)| Some((u8::try_from(number).ok()?, after)))?,
        'u' | 'U' => {
            let (number, after) = digits(after, if c == 'u' { 4 } else { 8 }, 16)?;
            let c = char::from_u32(number)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(after);
        }
        _ => return None,
    };
    out.push(byte);
    Some(after)
}

/// So many digits, and what follows them.
fn digits(text: &str, n: usize, radix: u32) -> Option<(u32, &str)> {
    let (digits, after) = text.split_at_checked(n)?;
    let all = digits.chars().all(|c| c.is_digit(radix));
    all.then(|| u32::from_str_radix(digits, radix).ok()).flatten().map(|number| (number, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> Option<String> {
        let mut lexer = Lexer::new(text).ok()?;
        match (lexer.advance().ok()?, lexer.piece()) {
            (Piece::Quoted(text), Piece::End) => Some(text),
            other => panic!("{text}: {other:?}"),
        }
    }

    const QUOTED: &[(&str, Option<&str>)] = &[
        (r#""""#, Some("")),
        (r#""a b""#, Some("a b")),
        (r#""\a\b\t\n\v\f\r\\\"""#, Some("\u{7}\u{8}\t\n\u{b}\u{c}\r\\\"")),
        (r#""\x41\101\u017e\U0001F600ž""#, Some("AAž😀ž")),
        (r#""\xc5\xbe""#, Some("ž")),
        (r#"`\n"`"#, Some("\\n\"")),
        ("``", Some("")),
        (r#""\xc5""#, None),
        (r#""\x4""#, None),
        (r#""\x+4""#, None),
        (r#""\400""#, None),
        (r#""\18""#, None),
        (r#""\ud800""#, None),
        (r#""\u00ž""#, None),
        (r#""\q""#, None),
        (r#""\'""#, None),
        (r#""\"#, None),
        (r#""a"#, None),
        ("`a", None),
    ];

    #[test]
    fn quotes() {
        for (text, want) in QUOTED {
            assert_eq!(quoted(text).as_deref(), *want, "{text}");
        }
    }

    #[test]
    fn tokens() {
        let mut lexer = Lexer::new(" a.b-c:d[\"e\"]!=x ==(^= =) \n").unwrap();
        let mut found = Vec::new();
        while *lexer.piece() != Piece::End {
            let joined = lexer.is_joined();
            found.push((lexer.advance().unwrap(), joined));
        }
        let want = [
            (Piece::Word("a.b-c:d"), false),
            (Piece::OpenBracket, true),
            (Piece::Quoted("e".into()), true),
            (Piece::CloseBracket, true),
            (Piece::Different, true),
            (Piece::Word("x"), true),
            (Piece::Equal, false),
            (Piece::Open, true),
            (Piece::Begins, true),
            (Piece::Assign, false),
            (Piece::Close, true),
        ];
        assert_eq!(found, want);
        for text in ["!", "^", "a ! b", "\u{a0}", "\u{1}"] {
            let bad = Lexer::new(text).and_then(|mut lexer| lexer.advance().and_then(|_| lexer.advance()));
            assert!(matches!(bad, Err(SyntaxError::Unexpected { .. })), "{text:?}");
        }
    }
}
