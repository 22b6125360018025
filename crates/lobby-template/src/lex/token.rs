//! What a template's text is cut into, and how errors name the pieces.
//!
//! Not here: the cutting (`lex`).

use std::fmt;

use super::quote::quote;

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'t> {
    pub(crate) kind: Kind,
    /// Where it begins, in bytes.
    pub(crate) pos: usize,
    /// As written.
    pub(crate) text: &'t str,
}

/// Which piece it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What is wrong is `Lexer::failure`.
    Error,
    Eof,
    /// Copied as it is.
    Text,
    LeftDelimiter,
    RightDelimiter,
    /// Blanks inside an action.
    Space,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    /// Any other sign, such as a comma.
    Char,
    Bool,
    CharConstant,
    /// `1+2i`
    Complex,
    Number,
    Quoted,
    RawQuoted,
    /// `.name`, one of them
    Field,
    /// `$` or `$name`
    Variable,
    /// A function's name.
    Identifier,
    // From here on errors name it as `<word>`.
    Dot,
    Nil,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

impl Kind {
    /// Words with a meaning of their own; all others name functions.
    pub(super) fn of_word(word: &str) -> Self {
        match word {
            "true" | "false" => Self::Bool,
            "nil" => Self::Nil,
            "block" => Self::Block,
            "break" => Self::Break,
            "continue" => Self::Continue,
            "define" => Self::Define,
            "else" => Self::Else,
            "end" => Self::End,
            "if" => Self::If,
            "range" => Self::Range,
            "template" => Self::Template,
            "with" => Self::With,
            _ => Self::Identifier,
        }
    }
}

/// As errors name it.
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longer tokens are cut, to this number of characters.
        const SHOWN: usize = 10;
        if self.kind == Kind::Eof {
            return f.write_str("EOF");
        }
        if self.kind as u8 >= Kind::Dot as u8 {
            return write!(f, "<{}>", self.text);
        }
        if self.text.len() <= SHOWN {
            return f.write_str(&quote(self.text));
        }
        let end = self.text.char_indices().nth(SHOWN).map_or(self.text.len(), |(idx, _)| idx);
        write!(f, "{}...", quote(&self.text[..end]))
    }
}
