//! The terms of Consul's filter language, and how they are read and printed.
//!
//! A term names a selector, an operator and a value, all as text; positions are kept for errors and do not count when
//! expressions are compared. `v in S` and `S contains v` are one and the same term.
//! Not here: whether the selector exists and knows the operator (`bind`).

use std::{fmt, str::FromStr};

use super::{
    SyntaxError,
    lex::{Lexer, Piece, quote},
    shown,
    tree::{self, Tree},
};

/// A filter expression that was read, of which nothing is known but its form. Prints as a text that reads as the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr(pub(super) Tree<Term>);

impl FromStr for Expr {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        tree::parse(text, term).map(Self)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where something stood in the text, in bytes. All are equal: what was written does not depend on where.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct At(pub(super) usize);

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for At {}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// The selector, part by part.
    pub(super) path: Vec<String>,
    /// Where the selector stands.
    pub(super) path_at: At,
    /// What is asked.
    pub(super) op: Op,
    /// Whether the answer is turned around.
    pub(super) negated: bool,
    /// What it is compared with; empty for [`Op::Empty`].
    pub(super) value: String,
    /// Where the value stands.
    pub(super) value_at: At,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// `==`, `!=`
    Equals,
    /// `contains`, `in`
    Contains,
    /// `matches`
    Matches,
    /// `is empty`
    Empty,
}

const OPERATOR: &str =
    "==, !=, `in`, `not in`, `contains`, `not contains`, `matches`, `not matches`, `is empty` or `is not empty`";
const SELECTOR: &str = "a selector: names of letters, digits and _, joined by dots or as [\"name\"]";
const VALUE: &str = "a value: a quoted text, a number, or a word of letters, digits, _, / and dots";

/// Reads one comparison.
fn term(lexer: &mut Lexer<'_>) -> Result<Tree<Term>, SyntaxError> {
    let first = Operand::read(lexer)?;
    let (op, negated) = operator(lexer)?;
    let Some(op) = op else {
        let (value, value_at) = first.into_value()?;
        let (path, path_at) = Operand::read(lexer)?.into_path()?;
        return Ok(Tree::Leaf(Term { path, path_at, op: Op::Contains, negated, value, value_at }));
    };
    let (path, path_at) = first.into_path()?;
    let (value, value_at) = if op == Op::Empty { Default::default() } else { value(lexer)? };
    Ok(Tree::Leaf(Term { path, path_at, op, negated, value, value_at }))
}

/// Reads an operator, and whether it is negated. None is `in`: the value stood before it, the selector follows.
fn operator(lexer: &mut Lexer<'_>) -> Result<(Option<Op>, bool), SyntaxError> {
    if lexer.take(&Piece::Equal)? {
        return Ok((Some(Op::Equals), false));
    }
    if lexer.take(&Piece::Different)? {
        return Ok((Some(Op::Equals), true));
    }
    if lexer.take_word("is")? {
        let negated = lexer.take_word("not")?;
        let is_empty = lexer.take_word("empty")?;
        return if is_empty { Ok((Some(Op::Empty), negated)) } else { Err(lexer.unexpected("`empty` or `not empty`")) };
    }
    let negated = lexer.take_word("not")?;
    for (word, op) in [("contains", Some(Op::Contains)), ("matches", Some(Op::Matches)), ("in", None)] {
        if lexer.take_word(word)? {
            return Ok((op, negated));
        }
    }
    Err(lexer.unexpected(OPERATOR))
}

/// What stands beside an operator, before it is known whether it is a selector or a value.
struct Operand {
    at: usize,
    text: String,
    path: Option<Vec<String>>,
    is_value: bool,
}

impl Operand {
    fn read(lexer: &mut Lexer<'_>) -> Result<Self, SyntaxError> {
        let at = lexer.at();
        match lexer.piece().clone() {
            Piece::Quoted(text) => {
                lexer.advance()?;
                Ok(Self { at, text, path: None, is_value: true })
            }
            // A selector of this name would read as a negation.
            Piece::Word("not") => Err(lexer.unexpected("a selector or a value; `not` only in quotes")),
            Piece::Word(word) => {
                lexer.advance()?;
                let mut path = split(word);
                let is_plain = !(lexer.is_joined() && *lexer.piece() == Piece::OpenBracket);
                if let Some(path) = &mut path {
                    brackets(lexer, path)?;
                }
                let is_value = is_plain && (path.is_some() || is_number(word));
                Ok(Self { at, text: word.into(), path, is_value })
            }
            _ => Err(lexer.unexpected("a selector, a value, `not` or `(`")),
        }
    }

    fn into_path(self) -> Result<(Vec<String>, At), SyntaxError> {
        let Self { at, text, path, .. } = self;
        let path = path.ok_or_else(|| SyntaxError::Unexpected { at, found: shown(&text), expected: SELECTOR })?;
        Ok((path, At(at)))
    }

    fn into_value(self) -> Result<(String, At), SyntaxError> {
        let Self { at, text, is_value, .. } = self;
        if is_value { Ok((text, At(at))) } else { Err(SyntaxError::Unexpected { at, found: shown(&text), expected: VALUE }) }
    }
}

/// Reads what follows the first names of a selector: `["name"]`, and dotted names after it.
fn brackets(lexer: &mut Lexer<'_>, path: &mut Vec<String>) -> Result<(), SyntaxError> {
    while lexer.is_joined() && lexer.take(&Piece::OpenBracket)? {
        match lexer.piece().clone() {
            Piece::Quoted(name) => path.push(name),
            _ => return Err(lexer.unexpected("a quoted name")),
        }
        lexer.advance()?;
        if !lexer.take(&Piece::CloseBracket)? {
            return Err(lexer.unexpected("`]`"));
        }
        if let (true, Piece::Word(word)) = (lexer.is_joined(), lexer.piece()) {
            let names =
                word.strip_prefix('.').filter(|names| names.split('.').all(is_name)).ok_or_else(|| lexer.unexpected(SELECTOR))?;
            path.extend(names.split('.').map(str::to_owned));
            lexer.advance()?;
        }
    }
    Ok(())
}

/// Reads the value after an operator, and where it stands.
fn value(lexer: &mut Lexer<'_>) -> Result<(String, At), SyntaxError> {
    let at = At(lexer.at());
    let text = match lexer.piece().clone() {
        Piece::Quoted(text) => text,
        Piece::Word(word) if split(word).is_some() || is_number(word) => word.into(),
        _ => return Err(lexer.unexpected(VALUE)),
    };
    lexer.advance()?;
    Ok((text, at))
}

/// The names of a dotted selector, if it is one.
fn split(word: &str) -> Option<Vec<String>> {
    let begins_well = word.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins_well && word.split('.').all(is_name)).then(|| word.split('.').map(str::to_owned).collect())
}

/// A name after a dot; the first one of a selector also begins with a letter.
fn is_name(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_ident = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/'));
    !text.is_empty() && (is_number || is_ident)
}

/// A decimal number as the language has it: no plus, no leading zero, digits around the point.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = text.split_once('.').map_or((text, None), |(whole, part)| (whole, Some(part)));
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && part.is_none_or(digits)
}

/// The selector as it is written.
pub(super) fn path_text(path: &[String]) -> String {
    let mut text = String::new();
    for (idx, name) in path.iter().enumerate() {
        match name {
            name if idx == 0 => text.push_str(name),
            name if is_name(name) => text.extend([".", name]),
            name => text.extend(["[", &quote(name), "]"]),
        }
    }
    text
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, value) = (path_text(&self.path), quote(&self.value));
        match (self.op, self.negated) {
            (Op::Equals, false) => write!(f, "{path} == {value}"),
            (Op::Equals, true) => write!(f, "{path} != {value}"),
            (Op::Contains, false) => write!(f, "{value} in {path}"),
            (Op::Contains, true) => write!(f, "{value} not in {path}"),
            (Op::Matches, false) => write!(f, "{path} matches {value}"),
            (Op::Matches, true) => write!(f, "{path} not matches {value}"),
            (Op::Empty, false) => write!(f, "{path} is empty"),
            (Op::Empty, true) => write!(f, "{path} is not empty"),
        }
    }
}
