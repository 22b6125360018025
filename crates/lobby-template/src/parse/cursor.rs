//! The parser's place in the tokens: looking ahead, and errors with the line where the parser stands.
//!
//! Not here: what the tokens mean (`parse`, `pipeline`).

use super::{ParseError, Parser};
use crate::{
    lex::{Kind, Token},
    tree::{Pos, line_and_column},
};

impl<'t> Parser<'t> {
    pub(super) fn next(&mut self) -> Token<'t> {
        if let Some(token) = self.ahead.pop() {
            return token;
        }
        let token = self.lexer.token();
        self.frame.last = token.pos;
        token
    }

    /// The next token that is no blank; blanks before it are gone.
    pub(super) fn next_word(&mut self) -> Token<'t> {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    pub(super) fn put_back(&mut self, token: Token<'t>) {
        self.ahead.push(token);
    }

    pub(super) fn peek(&mut self) -> Token<'t> {
        let token = self.next();
        self.put_back(token);
        token
    }

    pub(super) fn peek_word(&mut self) -> Token<'t> {
        let token = self.next_word();
        self.put_back(token);
        token
    }

    pub(super) fn expect(&mut self, kind: Kind, context: &str) -> Result<(), ParseError> {
        let token = self.next_word();
        if token.kind == kind { Ok(()) } else { Err(self.unexpected(token, context)) }
    }

    pub(super) fn error(&self, message: String) -> ParseError {
        ParseError { name: self.name.into(), line: self.line(self.frame.last), message }
    }

    pub(super) fn unexpected(&self, token: Token<'_>, context: &str) -> ParseError {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {token} in {context}"));
        }
        let failure = self.lexer.failure();
        match self.frame.action.map(|pos| self.line(pos)) {
            Some(line) if line != self.line(token.pos) => {
                let joint = if failure.ends_with(" action") { "" } else { " in action" };
                self.error(format!("{failure}{joint} started at {}:{line}", self.name))
            }
            _ => self.error(failure.into()),
        }
    }

    fn line(&self, pos: usize) -> usize {
        line_and_column(self.text, Pos(pos)).0
    }
}
