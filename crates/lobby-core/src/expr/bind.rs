//! An expression bound to a kind of thing: every selector exists there, knows its operator and can read its value.
//!
//! A thing tells once which selectors it has ([`Fields::SCHEMA`]) and for each thing what stands there. All that can be wrong
//! with an expression is said before the first thing is looked at, so an empty catalog refuses what a full one refuses.
//! Not here: the form of the text (`parse`).

use std::{borrow::Cow, fmt};

use regex::Regex;

use super::{
    SyntaxError,
    parse::{At, Expr, Op, Term, path_text},
    shown,
    tree::Tree,
};
use crate::filter::{AUTOMATON_BYTES, regex_within};

/// Most regular expressions in one expression: one for each of the things that people look for at a time. What they may take
/// together when compiled is that of one pattern of a query (256 KiB), in equal parts.
pub const MOST_PATTERNS: usize = 4;

/// The selectors of a kind of thing.
pub type Schema = &'static [Group];

/// Selectors that begin with the same names: a table that several schemas share under different names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they begin with, without the dot at its end; empty if there is nothing before the names.
    pub prefix: &'static str,
    /// Their names, joined by dots, and kinds. A `*` among the names stands for any key of a map; one at most.
    pub names: &'static [(&'static str, Kind)],
}

/// What stands at a selector, which decides its operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text that is always there.
    Text,
    /// A text under a key of a map, which may be missing.
    Entry,
    /// An integer.
    Number,
    /// True or false.
    Bool,
    /// A list of texts, or a map, of which the keys count.
    List,
    /// A list of objects, of which one can only ask whether it is empty.
    Objects,
}

/// A selector of a [`Schema`] as an expression names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected<'a> {
    /// The prefix of its [`Group`].
    pub prefix: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What stands for the `*` in the name.
    pub key: Option<&'a str>,
}

/// What a thing has at a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// For [`Kind::Text`] and [`Kind::Entry`].
    Text(Cow<'a, str>),
    /// For [`Kind::Number`].
    Number(i64),
    /// For [`Kind::Bool`].
    Bool(bool),
    /// For [`Kind::List`] (the elements, or the keys of the map) and [`Kind::Objects`] (one text for each).
    List(Vec<Cow<'a, str>>),
    /// The field of each object of a list: one of them has to satisfy the operator.
    Each(Vec<Self>),
    /// The map has no such key. A field of the wrong kind counts as missing too.
    Missing,
}

/// A kind of thing that expressions choose from.
pub trait Fields {
    /// Its selectors.
    const SCHEMA: Schema;

    /// What this one has there.
    fn field(&self, selected: Selected<'_>) -> Field<'_>;
}

/// An expression over a kind of thing.
#[derive(Clone, Debug)]
pub struct Filter(Tree<Test>);

/// Why an expression is none over a kind of thing. Nothing was done; whoever wrote the text mends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The text is no expression.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// The thing has no such selector.
    #[error("at byte {at}: found selector {found}, accepted are {}", Names(accepted))]
    Selector {
        /// Where it stands, in bytes from the beginning.
        at: usize,
        /// The beginning of it.
        found: String,
        /// Those that there are.
        accepted: Schema,
    },
    /// The selector does not know the operator.
    #[error("at byte {at}: found {found} on {selector}, accepted there: {accepted}")]
    Operator {
        /// Where the selector stands, in bytes from the beginning.
        at: usize,
        /// The selector.
        selector: String,
        /// The operator.
        found: &'static str,
        /// Its operators.
        accepted: &'static str,
    },
    /// The value is none of the selector's kind.
    #[error("at byte {at}: found value {found}, accepted is {accepted}")]
    Value {
        /// Where the value stands, in bytes from the beginning.
        at: usize,
        /// The beginning of it.
        found: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// The value is no regular expression, or one that grows too large.
    #[error("at byte {at}: {found} is no regular expression that is accepted: {why}")]
    Pattern {
        /// Where the value stands, in bytes from the beginning.
        at: usize,
        /// The beginning of it.
        found: String,
        /// What is wrong with it.
        why: String,
    },
    /// There are more than [`MOST_PATTERNS`] regular expressions.
    #[error("at byte {at}: more than {MOST_PATTERNS} regular expressions")]
    Patterns {
        /// Where the first one too many stands, in bytes from the beginning.
        at: usize,
    },
}

/// The selectors of a schema as an error lists them.
struct Names<'a>(&'a Schema);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().flat_map(|group| group.names.iter().map(|(name, _)| (group.prefix, name)));
        for (idx, (prefix, name)) in names.enumerate() {
            let (comma, dot) = (if idx == 0 { "" } else { ", " }, if prefix.is_empty() { "" } else { "." });
            write!(f, "{comma}{prefix}{dot}{}", name.replace('*', "<key>"))?;
        }
        Ok(())
    }
}

impl Kind {
    /// What can be asked, in words too.
    const fn operators(self) -> (&'static [Op], &'static str) {
        match self {
            Self::Text => (&[Op::Equals, Op::Contains, Op::Matches], "==, !=, in, contains, matches"),
            Self::Entry => (&[Op::Equals, Op::Contains, Op::Matches, Op::Empty], "==, !=, in, contains, matches, is empty"),
            Self::Number | Self::Bool => (&[Op::Equals], "==, !="),
            Self::List => (&[Op::Contains, Op::Empty], "in, contains, is empty"),
            Self::Objects => (&[Op::Empty], "is empty"),
        }
    }
}

/// A term whose selector, operator and value fit together.
#[derive(Clone, Debug)]
struct Test {
    prefix: &'static str,
    name: &'static str,
    key: Option<String>,
    ask: Ask,
    negated: bool,
}

#[derive(Clone, Debug)]
enum Ask {
    Equals(String),
    Number(i64),
    Bool(bool),
    Contains(String),
    Matches(Regex),
    Empty,
}

impl Expr {
    /// Binds it to a kind of thing.
    pub fn bind<T: Fields>(&self) -> Result<Filter, FilterError> {
        // Counted first: nothing is compiled of what has too many, and how many there are decides how large each may grow.
        let mut n_patterns = 0;
        self.0.try_map(&mut |term: &Term| {
            n_patterns += usize::from(term.op == Op::Matches);
            if n_patterns > MOST_PATTERNS { Err(FilterError::Patterns { at: term.value_at.0 }) } else { Ok(()) }
        })?;
        let most_bytes = AUTOMATON_BYTES / n_patterns.max(1);
        self.0.try_map(&mut |term: &Term| Test::new(term, T::SCHEMA, most_bytes)).map(Filter)
    }
}

impl Filter {
    /// Reads an expression over a kind of thing.
    pub fn parse<T: Fields>(text: &str) -> Result<Self, FilterError> {
        text.parse::<Expr>()?.bind::<T>()
    }

    /// Whether it takes this thing, which is of the kind that it was bound to.
    pub fn takes(&self, thing: &impl Fields) -> bool {
        self.0.holds(&|test: &Test| {
            let selected = Selected { prefix: test.prefix, name: test.name, key: test.key.as_deref() };
            test.takes(&thing.field(selected))
        })
    }
}

impl Test {
    fn new(term: &Term, schema: Schema, most_bytes: usize) -> Result<Self, FilterError> {
        let At(at) = term.path_at;
        let Some((Selected { prefix, name, key }, kind)) = find(schema, &term.path) else {
            return Err(FilterError::Selector { at, found: shown(&path_text(&term.path)), accepted: schema });
        };
        let (known, accepted) = kind.operators();
        if !known.contains(&term.op) {
            let found = match term.op {
                Op::Equals => "==, !=",
                Op::Contains => "in, contains",
                Op::Matches => "matches",
                Op::Empty => "is empty",
            };
            return Err(FilterError::Operator { at, selector: shown(&path_text(&term.path)), found, accepted });
        }
        Ok(Self { prefix, name, key: key.map(str::to_owned), ask: Ask::new(term, kind, most_bytes)?, negated: term.negated })
    }

    fn takes(&self, field: &Field<'_>) -> bool {
        match field {
            Field::Each(fields) => fields.iter().any(|field| self.takes(field)),
            field => self.ask.is_true_of(field) != self.negated,
        }
    }
}

/// The selector of a schema with these names, and its kind.
fn find(schema: Schema, path: &[String]) -> Option<(Selected<'_>, Kind)> {
    let rows = schema.iter().flat_map(|group| group.names.iter().map(|(name, kind)| (group.prefix, *name, *kind)));
    rows.into_iter().find_map(|(prefix, name, kind)| {
        let names = prefix.split('.').filter(|name| !name.is_empty()).chain(name.split('.'));
        let (mut key, mut n_names) = (None, 0);
        for name in names {
            let given = path.get(n_names)?;
            match name {
                "*" => key = Some(given.as_str()),
                name if name == given => {}
                _ => return None,
            }
            n_names += 1;
        }
        (n_names == path.len()).then_some((Selected { prefix, name, key }, kind))
    })
}

impl Ask {
    fn new(term: &Term, kind: Kind, most_bytes: usize) -> Result<Self, FilterError> {
        let (value, At(at)) = (&term.value, term.value_at);
        let bad = |accepted| FilterError::Value { at, found: shown(value), accepted };
        Ok(match (term.op, kind) {
            (Op::Equals, Kind::Number) => Self::Number(value.parse().map_err(|_| bad("an integer"))?),
            (Op::Equals, Kind::Bool) => match value.as_str() {
                "1" | "t" | "T" | "true" | "True" | "TRUE" => Self::Bool(true),
                "0" | "f" | "F" | "false" | "False" | "FALSE" => Self::Bool(false),
                _ => return Err(bad("true or false")),
            },
            (Op::Equals, _) => Self::Equals(value.clone()),
            (Op::Contains, _) => Self::Contains(value.clone()),
            (Op::Matches, _) => {
                let bad = |why| FilterError::Pattern { at, found: shown(value), why };
                Self::Matches(regex_within(value, most_bytes).map_err(bad)?)
            }
            (Op::Empty, _) => Self::Empty,
        })
    }

    fn is_true_of(&self, field: &Field<'_>) -> bool {
        match (self, field) {
            (Self::Equals(value), Field::Text(text)) => text == value,
            (Self::Number(value), Field::Number(number)) => number == value,
            (Self::Bool(value), Field::Bool(truth)) => truth == value,
            (Self::Contains(value), Field::Text(text)) => text.contains(value.as_str()),
            (Self::Contains(value), Field::List(list)) => list.iter().any(|item| item == value),
            (Self::Matches(regex), Field::Text(text)) => regex.is_match(text),
            (Self::Empty, Field::Text(text)) => text.is_empty(),
            (Self::Empty, Field::List(list)) => list.is_empty(),
            (Self::Empty, Field::Missing) => true,
            _ => false,
        }
    }
}
