//! What both languages have in common: terms joined by `not`, `and`, `or` and parentheses, binding in this order.
//!
//! Recursive descent that counts its depth, a printer that sets only the parentheses it must, and the evaluation. A tree is
//! as deep as its text is nested: chains of `and` and `or` are lists.
//! Not here: the terms (`parse`, `selector`).

use std::fmt;

use super::{
    SyntaxError, TEXT_BYTES,
    lex::{Lexer, Piece},
};

/// Terms and how they are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree<T> {
    /// A term.
    Leaf(T),
    /// Not this.
    Not(Box<Self>),
    /// All of them, two at least.
    All(Vec<Self>),
    /// Any of them, two at least.
    Any(Vec<Self>),
}

/// Reads one term.
type ReadTerm<T> = fn(&mut Lexer<'_>) -> Result<Tree<T>, SyntaxError>;

/// Reads a whole text.
pub(crate) fn parse<T>(text: &str, term: ReadTerm<T>) -> Result<Tree<T>, SyntaxError> {
    if text.len() > TEXT_BYTES {
        return Err(SyntaxError::TooLong { bytes: text.len() });
    }
    let mut lexer = Lexer::new(text)?;
    let tree = any(&mut lexer, term)?;
    match lexer.piece() {
        Piece::End => Ok(tree),
        _ => Err(lexer.unexpected("`and`, `or` or the end")),
    }
}

fn any<T>(lexer: &mut Lexer<'_>, term: ReadTerm<T>) -> Result<Tree<T>, SyntaxError> {
    let first = all(lexer, term)?;
    let mut trees = vec![first];
    while lexer.take_word("or")? {
        trees.push(all(lexer, term)?);
    }
    Ok(join(trees, Tree::Any))
}

fn all<T>(lexer: &mut Lexer<'_>, term: ReadTerm<T>) -> Result<Tree<T>, SyntaxError> {
    let first = not(lexer, term)?;
    let mut trees = vec![first];
    while lexer.take_word("and")? {
        trees.push(not(lexer, term)?);
    }
    Ok(join(trees, Tree::All))
}

fn not<T>(lexer: &mut Lexer<'_>, term: ReadTerm<T>) -> Result<Tree<T>, SyntaxError> {
    if lexer.take_word("not")? {
        lexer.deeper()?;
        let tree = not(lexer, term)?;
        lexer.higher();
        return Ok(Tree::Not(Box::new(tree)));
    }
    if !lexer.take(&Piece::Open)? {
        return term(lexer);
    }
    lexer.deeper()?;
    let tree = any(lexer, term)?;
    lexer.higher();
    if lexer.take(&Piece::Close)? { Ok(tree) } else { Err(lexer.unexpected("`and`, `or` or `)`")) }
}

fn join<T>(mut trees: Vec<Tree<T>>, as_list: fn(Vec<Tree<T>>) -> Tree<T>) -> Tree<T> {
    match trees.pop() {
        Some(only) if trees.is_empty() => only,
        last => {
            trees.extend(last);
            as_list(trees)
        }
    }
}

impl<T> Tree<T> {
    /// Whether it is true, given which terms are.
    pub(crate) fn holds(&self, term: &impl Fn(&T) -> bool) -> bool {
        match self {
            Self::Leaf(leaf) => term(leaf),
            Self::Not(tree) => !tree.holds(term),
            Self::All(trees) => trees.iter().all(|tree| tree.holds(term)),
            Self::Any(trees) => trees.iter().any(|tree| tree.holds(term)),
        }
    }

    /// The same tree of other terms, unless one fails.
    pub(crate) fn try_map<U, E>(&self, term: &mut impl FnMut(&T) -> Result<U, E>) -> Result<Tree<U>, E> {
        Ok(match self {
            Self::Leaf(leaf) => Tree::Leaf(term(leaf)?),
            Self::Not(tree) => Tree::Not(Box::new(tree.try_map(term)?)),
            Self::All(trees) => Tree::All(trees.iter().map(|tree| tree.try_map(term)).collect::<Result<_, E>>()?),
            Self::Any(trees) => Tree::Any(trees.iter().map(|tree| tree.try_map(term)).collect::<Result<_, E>>()?),
        })
    }

    /// How strongly it binds.
    fn strength(&self) -> u8 {
        match self {
            Self::Any(_) => 0,
            Self::All(_) => 1,
            Self::Not(_) | Self::Leaf(_) => 2,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Tree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |f: &mut fmt::Formatter<'_>, tree: &Self, least: u8| {
            if tree.strength() < least { write!(f, "({tree})") } else { write!(f, "{tree}") }
        };
        let list = |f: &mut fmt::Formatter<'_>, trees: &[Self], word: &str| {
            trees.iter().enumerate().try_for_each(|(idx, tree)| {
                f.write_str(if idx == 0 { "" } else { word })?;
                part(f, tree, self.strength() + 1)
            })
        };
        match self {
            Self::Leaf(leaf) => write!(f, "{leaf}"),
            Self::Not(tree) => f.write_str("not ").and_then(|()| part(f, tree, self.strength())),
            Self::All(trees) => list(f, trees, " and "),
            Self::Any(trees) => list(f, trees, " or "),
        }
    }
}
