//! Lobby's own selector: which nodes or services somebody means, as a text that people type into a URL (`where=…`).
//!
//! | form | takes what |
//! |---|---|
//! | `label=zone:eu` | carries exactly this label |
//! | `label^=zone:` | carries a label that begins like this |
//! | `label:zone` | carries `zone`, or `zone:` with any value |
//! | `service=web` | is, or offers, this service |
//! | `tag=v2` | is, or offers, an instance with this tag |
//! | `status=critical` | is in this state: `passing`, `warning` or `critical` |
//!
//! `!=` stands for `not …=…`. `not`, `and`, `or` (lower case) and parentheses join them, binding in this order:
//! `label=zone:eu and (service=web or not status=critical)`. Blanks around operators are optional. A value with a blank,
//! quote, parenthesis, bracket or one of `= ! ^` is quoted: `label="with blank"`, in double quotes with escapes as in Go, or
//! `` `as it is` ``.
//!
//! Bounds are those of `expr`, whose lexer and tree these are. Not here: the lists `labels=` and `prefixes=` (`select`),
//! Consul's `filter=` (`expr`), what a node or a service answers ([`Subject`] is theirs).

use std::{fmt, str::FromStr};

use crate::{
    check::Status,
    expr::{
        SyntaxError,
        lex::{Lexer, Piece, is_word, quote},
        tree::{self, Tree},
    },
    filter::is_or_goes_on,
    label::Label,
    limits,
};

/// A selector. Prints as a text that reads as the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Tree<Term>);

/// What selectors choose from.
pub trait Subject {
    /// Whether one of its labels is wanted.
    fn any_label(&self, wanted: &dyn Fn(&str) -> bool) -> bool;
    /// Whether it is, or offers, the service of this name.
    fn has_service(&self, name: &str) -> bool;
    /// Whether it is, or offers, an instance with this tag.
    fn has_tag(&self, tag: &str) -> bool;
    /// Its state, if it has one: that of an instance, the worst of a node.
    fn status(&self) -> Option<Status>;
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Label(Label),
    Prefix(String),
    Exists(String),
    Service(String),
    Tag(String),
    Status(Status),
}

const CONDITION: &str = "`not`, `(` or a condition: label=…, label^=…, label:…, service=…, tag=… or status=…, also with !=";
const LABEL: &str = "a label: 1 to 1024 bytes without control characters";
const PREFIX: &str = "the beginning of a label: 1 to 1024 bytes without control characters";
const NAME: &str = "a name: 1 to 1024 bytes without control characters";
const STATUS: &str = "passing, warning or critical";

impl Selector {
    /// Whether it takes this one.
    pub fn takes(&self, subject: &impl Subject) -> bool {
        self.0.holds(&|term: &Term| match term {
            Term::Label(label) => subject.any_label(&|carried| carried == label.as_str()),
            Term::Prefix(prefix) => subject.any_label(&|carried| carried.starts_with(prefix.as_str())),
            Term::Exists(name) => subject.any_label(&|carried| is_or_goes_on(carried, name)),
            Term::Service(name) => subject.has_service(name),
            Term::Tag(tag) => subject.has_tag(tag),
            Term::Status(status) => subject.status() == Some(*status),
        })
    }
}

impl FromStr for Selector {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        tree::parse(text, term).map(Self)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads the text of a condition, unless it is a bad one.
type ReadText = fn(&str) -> Option<Term>;

/// Reads one condition.
fn term(lexer: &mut Lexer<'_>) -> Result<Tree<Term>, SyntaxError> {
    let Piece::Word(field) = *lexer.piece() else { return Err(lexer.unexpected(CONDITION)) };
    let (read, expected): (ReadText, _) = match field {
        "label" => (|text| text.parse().ok().map(Term::Label), LABEL),
        "service" => (|text| plain(text).map(Term::Service), NAME),
        "tag" => (|text| plain(text).map(Term::Tag), NAME),
        "status" => (|text| text.parse().ok().map(Term::Status), STATUS),
        _ => return exists(lexer, field),
    };
    lexer.advance()?;
    if field == "label" && lexer.take(&Piece::Begins)? {
        return text(lexer, |text| plain(text).map(Term::Prefix), PREFIX);
    }
    if lexer.take(&Piece::Assign)? {
        return text(lexer, read, expected);
    }
    if !lexer.take(&Piece::Different)? {
        let is_label = field == "label";
        return Err(lexer.unexpected(if is_label { "=, != or ^=, or : without a blank before it" } else { "= or !=" }));
    }
    // It prints with `not`, which must not be too deep then.
    lexer.deeper()?;
    let term = text(lexer, read, expected)?;
    lexer.higher();
    Ok(Tree::Not(Box::new(term)))
}

/// Reads `label:NAME`, in which the name may be quoted.
fn exists(lexer: &mut Lexer<'_>, field: &str) -> Result<Tree<Term>, SyntaxError> {
    let read: ReadText = |text| plain(text.trim_end_matches(':')).map(Term::Exists);
    match field.strip_prefix("label:") {
        Some("") => {
            lexer.advance()?;
            if lexer.is_joined() { text(lexer, read, LABEL) } else { Err(lexer.unexpected(LABEL)) }
        }
        Some(name) => {
            let term = read(name).ok_or_else(|| lexer.unexpected(LABEL))?;
            lexer.advance()?;
            Ok(Tree::Leaf(term))
        }
        None => Err(lexer.unexpected(CONDITION)),
    }
}

/// Reads a word or a quoted text.
fn text(lexer: &mut Lexer<'_>, read: ReadText, expected: &'static str) -> Result<Tree<Term>, SyntaxError> {
    let term = match lexer.piece() {
        Piece::Word(text) => read(text),
        Piece::Quoted(text) => read(text),
        _ => None,
    };
    let term = term.ok_or_else(|| lexer.unexpected(expected))?;
    lexer.advance()?;
    Ok(Tree::Leaf(term))
}

/// A text as labels and names can have it.
fn plain(text: &str) -> Option<String> {
    let is_plain = !text.is_empty() && text.len() <= limits::LABEL_BYTES && !text.contains(char::is_control);
    is_plain.then(|| text.to_owned())
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (form, text) = match self {
            Self::Label(label) => ("label=", label.as_str()),
            Self::Prefix(prefix) => ("label^=", prefix.as_str()),
            Self::Exists(name) => ("label:", name.as_str()),
            Self::Service(name) => ("service=", name.as_str()),
            Self::Tag(tag) => ("tag=", tag.as_str()),
            Self::Status(status) => ("status=", status.as_str()),
        };
        f.write_str(form)?;
        if is_word(text) { f.write_str(text) } else { f.write_str(&quote(text)) }
    }
}

#[cfg(test)]
mod tests;
