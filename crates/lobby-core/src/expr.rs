//! Filter expressions as Consul has them: the text of `?filter=`, and whether a thing is one that it takes.
//!
//! ```text
//! text ──parse──► Expr ──bind to the selectors of a thing──► Filter ──takes(thing)──► bool
//! ```
//! | operator | on | true if |
//! |---|---|---|
//! | `S == v`, `S != v` | text, number, boolean | equal, different |
//! | `S contains v`, `v in S` | text; list; map | `v` is part of it; one of its elements; one of its keys |
//! | `S matches v` | text | the regular expression `v` finds something in it |
//! | `S is empty` | list, map, value of a map | there is nothing in it |
//!
//! `not` before the word (before `empty`) negates each; `not`, `and`, `or` and parentheses join them, binding in this order.
//! Words of the language are lower case, selectors are told apart by case. What is missing in a map equals nothing, contains
//! nothing, matches nothing and is empty. Of a selector through a list of objects one element has to satisfy the operator.
//!
//! Texts come from strangers: their length, nesting and patterns have bounds, and taking time is linear in the thing. We accept
//! more than Consul in one respect: no blank is needed between a word and a parenthesis or quote.
//! Not here: which selectors a node, service or check has (`lobby-http`), Lobby's own language (`selector`).

mod bind;
pub(crate) mod lex;
mod parse;
pub(crate) mod tree;

pub use bind::{Field, Fields, Filter, FilterError, Group, Kind, MOST_PATTERNS, Schema, Selected};
pub use parse::Expr;

/// Longest text in bytes: as much as servers commonly take as a whole request line.
pub const TEXT_BYTES: usize = 8 * 1024;

/// Deepest nesting of parentheses and `not`: more than anybody can read, and far from the end of a small stack.
pub const DEPTH: usize = 64;

/// Most characters of a text that an error repeats.
const SHOWN_CHARS: usize = 40;

/// Why a text is no expression. Nothing was done; whoever wrote the text mends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// The text is longer than [`TEXT_BYTES`].
    #[error("the expression has {bytes} bytes, accepted are {TEXT_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Parentheses and `not` are nested deeper than [`DEPTH`].
    #[error("at byte {at}: nested deeper than {DEPTH}")]
    TooDeep {
        /// Where it becomes too deep, in bytes from the beginning.
        at: usize,
    },
    /// Something else stands where the language goes on.
    #[error("at byte {at}: found {found}, expected {expected}")]
    Unexpected {
        /// Where, in bytes from the beginning.
        at: usize,
        /// The beginning of what is there.
        found: String,
        /// What is accepted there.
        expected: &'static str,
    },
}

/// What stands somewhere, as an error shows it.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
