//! What stands inside an action: declarations, commands and their operands.
//!
//! Not here: actions with a body (`parse`), and what operands come to (`exec`).

use std::sync::Arc;

use super::{ParseError, Parser};
use crate::{
    lex::{
        Kind, Token,
        quote::{quote, unquote},
    },
    number,
    tree::{Command, Operand, Pipe, Pos},
};

/// The action whose pipeline may declare two variables.
const RANGE: &str = "range";

impl<'t> Parser<'t> {
    /// A pipeline up to `end`, which is consumed. `context` is what errors call it.
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, ParseError> {
        let pos = Pos(self.peek_word().pos);
        let mut pipe = Pipe { pos, variables: Vec::new(), assigns: false, commands: Vec::new() };
        while self.declaration(&mut pipe, context)? {}
        loop {
            let token = self.next_word();
            if token.kind == end {
                break;
            }
            if !begins_operand(token.kind) {
                return Err(self.unexpected(token, context));
            }
            self.put_back(token);
            let command = self.command()?;
            if pipe.commands.is_empty() {
                // Nearly always there is just one.
                pipe.commands.reserve_exact(1);
            }
            pipe.commands.push(command);
        }
        if pipe.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        let stage = pipe.commands.iter().skip(1).position(|command| command.operands.first().is_some_and(is_plain));
        match stage {
            Some(idx) => Err(self.error(format!("non executable command in pipeline stage {}", idx + 2))),
            None => Ok(pipe),
        }
    }

    /// `$x :=`, `$x =` or the `$x,` of a range. True: another one may follow.
    fn declaration(&mut self, pipe: &mut Pipe, context: &str) -> Result<bool, ParseError> {
        let variable = self.peek_word();
        if variable.kind != Kind::Variable {
            return Ok(false);
        }
        self.next();
        let behind = self.peek();
        let sign = self.peek_word();
        let is_comma = sign.kind == Kind::Char && sign.text == ",";
        if !is_comma && !matches!(sign.kind, Kind::Assign | Kind::Declare) {
            // An operand; the blank behind it separates it from the next one.
            if behind.kind == Kind::Space {
                self.put_back(behind);
            }
            self.put_back(variable);
            return Ok(false);
        }
        self.next();
        pipe.variables.push(variable.text.into());
        self.frame.scope.declare(variable.text);
        if !is_comma {
            pipe.assigns = sign.kind == Kind::Assign;
            return Ok(false);
        }
        if context != RANGE || pipe.variables.len() > 1 {
            return Err(self.error(format!("too many declarations in {context}")));
        }
        match self.peek_word().kind {
            Kind::Variable | Kind::RightDelimiter | Kind::RightParen => Ok(true),
            _ => Err(self.error("range can only initialize variables".into())),
        }
    }

    /// Operands up to a `|`, which is consumed, or to the end of the pipeline, which is not.
    fn command(&mut self) -> Result<Command, ParseError> {
        let pos = Pos(self.peek_word().pos);
        let mut operands = Vec::with_capacity(1);
        loop {
            self.peek_word();
            operands.extend(self.operand()?);
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::Pipe => break,
                Kind::RightDelimiter | Kind::RightParen => {
                    self.put_back(token);
                    break;
                }
                _ => return Err(self.unexpected(token, "operand")),
            }
        }
        if operands.is_empty() {
            return Err(self.error("empty command".into()));
        }
        Ok(Command { pos, operands })
    }

    /// A term and the fields right behind it. None: here is no operand.
    fn operand(&mut self) -> Result<Option<Operand>, ParseError> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        let field = self.peek();
        if field.kind != Kind::Field {
            return Ok(Some(operand));
        }
        let mut more = Vec::new();
        while self.peek().kind == Kind::Field {
            more.push(field_name(self.next()));
        }
        if is_plain(&operand) {
            return Err(self.error(format!("unexpected . after term {}", quote(&operand.to_string()))));
        }
        // Errors at a longer path tell the place of what was added to it, as Go's do.
        let chained = Pos(field.pos);
        match &mut operand {
            Operand::Field { pos, path } | Operand::Variable { pos, path, .. } => {
                *pos = chained;
                path.append(&mut more);
            }
            _ => operand = Operand::Chain { pos: chained, operand: Box::new(operand), path: more },
        }
        Ok(Some(operand))
    }

    /// An operand without the fields of it. None: here is none.
    fn term(&mut self) -> Result<Option<Operand>, ParseError> {
        let token = self.next_word();
        let pos = Pos(token.pos);
        let read = match token.kind {
            Kind::CharConstant => number::character,
            Kind::Complex => number::complex,
            _ => number::plain,
        };
        let operand = match token.kind {
            Kind::Dot => Operand::Dot { pos },
            Kind::Nil => Operand::Nil { pos },
            Kind::Bool => Operand::Bool { pos, value: token.text == "true" },
            Kind::CharConstant | Kind::Complex | Kind::Number => {
                Operand::Number { pos, number: read(token.text).map_err(|message| self.error(message))? }
            }
            Kind::Quoted | Kind::RawQuoted => {
                let bytes = unquote(token.text).ok_or_else(|| self.error("invalid syntax".into()))?;
                Operand::Text { pos, source: token.text.into(), bytes: bytes.into() }
            }
            Kind::Field => Operand::Field { pos, path: vec![field_name(token)] },
            Kind::Variable if self.frame.scope.sees(token.text) => {
                Operand::Variable { pos, name: token.text.into(), path: Vec::new() }
            }
            Kind::Variable => return Err(self.error(format!("undefined variable {}", quote(token.text)))),
            Kind::Identifier if (self.known)(token.text) => Operand::Function { pos, name: token.text.into() },
            Kind::Identifier => return Err(self.error(format!("function {} not defined", quote(token.text)))),
            Kind::LeftParen => {
                let pipe = self.nested(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                Operand::Pipe(Box::new(pipe))
            }
            _ => {
                self.put_back(token);
                return Ok(None);
            }
        };
        Ok(Some(operand))
    }
}

/// The name of a field without its dot.
fn field_name(token: Token<'_>) -> Arc<str> {
    token.text.strip_prefix('.').unwrap_or(token.text).into()
}

fn begins_operand(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Bool
            | Kind::CharConstant
            | Kind::Complex
            | Kind::Dot
            | Kind::Field
            | Kind::Identifier
            | Kind::Number
            | Kind::Nil
            | Kind::RawQuoted
            | Kind::Quoted
            | Kind::Variable
            | Kind::LeftParen
    )
}

/// Values that cannot be called and have no fields.
fn is_plain(operand: &Operand) -> bool {
    match operand {
        Operand::Dot { .. } | Operand::Nil { .. } | Operand::Bool { .. } | Operand::Number { .. } | Operand::Text { .. } => true,
        Operand::Field { .. }
        | Operand::Variable { .. }
        | Operand::Function { .. }
        | Operand::Pipe(_)
        | Operand::Chain { .. } => false,
    }
}
