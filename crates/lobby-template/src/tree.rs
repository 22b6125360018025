//! What a template says once it is parsed: nodes, pipelines, operands. Decides which trees there are and when two are
//! equal; making them from text is `parse`, printing them `print`, running them `exec`.

use std::sync::Arc;

/// Where something begins: bytes from the start of the template's text.
///
/// Two positions are always equal, so that trees are compared by what they say and not by where it stands: the law
/// `parse(print(tree)) == tree` needs just that.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pos(pub usize);

impl PartialEq for Pos {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The line, from 1, and the column, in bytes from 0, of a place in a text, as Go's errors tell them.
pub fn line_and_column(text: &str, pos: Pos) -> (usize, usize) {
    let before = &text.as_bytes()[..pos.0.min(text.len())];
    let lines = before.iter().filter(|byte| **byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
    (lines + 1, column)
}

/// One named template: the text it was made from (errors tell lines and columns of it), and its nodes.
#[derive(Debug, Clone)]
pub struct Tree {
    /// `""`, or what `{{define "name"}}` and `{{block "name"}}` call it.
    pub name: Arc<str>,
    /// The whole text handed to the parser, of which this may be a part.
    pub text: Arc<str>,
    /// What it consists of, in order. As the parser makes them, two texts never follow each other, and none is empty.
    pub nodes: Vec<Node>,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.nodes == other.nodes
    }
}

/// A part of a template, in the order of the text.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "`pos` is where it begins, and the variant says what the other fields are")]
pub enum Node {
    /// Copied as it is.
    Text { pos: Pos, text: String },
    /// `{{pipe}}`: printed, unless it declares or assigns variables.
    Action { pos: Pos, pipe: Pipe },
    /// One of two parts, as the value of the pipeline is true or not.
    If(Branch),
    /// The same, with the value as `.` in the first part.
    With(Branch),
    /// The first part for each element of the value, the other one if there is none.
    Range(Branch),
    /// `{{template "name" pipe}}`; `{{block}}` is one of these as well.
    Template { pos: Pos, name: Arc<str>, pipe: Option<Pipe> },
    /// `{{break}}`, which stands only inside a range.
    Break { pos: Pos },
    /// `{{continue}}`, which stands only inside a range.
    Continue { pos: Pos },
}

/// `{{if pipe}} then {{else}} otherwise {{end}}`, and the same for `with` and `range`.
///
/// `{{else if x}}` and `{{else with x}}` are an `otherwise` of exactly one node of that kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// That of its pipeline, as in Go.
    pub pos: Pos,
    /// What is decided on.
    pub pipe: Pipe,
    /// If the value is true, or once for each element of it.
    pub then: Vec<Node>,
    /// None: there is no `{{else}}`.
    pub otherwise: Option<Vec<Node>>,
}

/// `$a, $b := command | command`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipe {
    /// Where its first word begins.
    pub pos: Pos,
    /// Variables in front, with their `$`.
    pub variables: Vec<Arc<str>>,
    /// `=` instead of `:=`.
    pub assigns: bool,
    /// At least one; the value of each is the last argument of the next.
    pub commands: Vec<Command>,
}

/// Operands separated by blanks: a function, method or field with its arguments, or one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// That of its first operand.
    pub pos: Pos,
    /// At least one.
    pub operands: Vec<Operand>,
}

/// A value, or what gives one.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "`pos` is where it begins, and the variant says what the other fields are")]
pub enum Operand {
    /// `.`
    Dot { pos: Pos },
    /// `nil`, which cannot be a command.
    Nil { pos: Pos },
    /// `true` or `false`
    Bool { pos: Pos, value: bool },
    /// Any numeric constant, characters among them.
    Number { pos: Pos, number: Number },
    /// `source` is as written, with its quotes; `bytes` what it means.
    Text { pos: Pos, source: String, bytes: Arc<[u8]> },
    /// `.A.B`. Here and below: a path that was written after a value is at the place of its first field.
    Field { pos: Pos, path: Vec<Arc<str>> },
    /// `$x.A.B`: the name with its `$`, then fields.
    Variable { pos: Pos, name: Arc<str>, path: Vec<Arc<str>> },
    /// The name of a function.
    Function { pos: Pos, name: Arc<str> },
    /// `(pipe)`
    Pipe(Box<Pipe>),
    /// Fields of something that is not a field or a variable: `(pipe).A`, `name.A`.
    Chain { pos: Pos, operand: Box<Operand>, path: Vec<Arc<str>> },
}

/// A numeric constant: everything that it can be without loss, as Go's constants have no type until they are used.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// As written.
    pub source: String,
    /// If it is whole and in range, even when written as `1e3` or `3.0`.
    pub int: Option<i64>,
    /// If it is whole, not negative and in range; not if it is written with a `+`.
    pub uint: Option<u64>,
    /// If it has no imaginary part; the nearest float.
    pub float: Option<f64>,
    /// Set for imaginary constants (`1i`), and for all others as well.
    pub complex: Option<(f64, f64)>,
    /// `'x'`
    pub is_char: bool,
}

impl Number {
    /// Whether it is written as a float: `1.0`, `1e3`, `0x1p4`; not `0xe`, not `'e'`. As Go has it, `-0xe` is.
    pub fn looks_like_a_float(&self) -> bool {
        let hex = self.source.starts_with("0x") || self.source.starts_with("0X");
        let marks: &[char] = if hex { &['p', 'P'] } else { &['.', 'e', 'E', 'p', 'P'] };
        !self.is_char && self.source.contains(marks)
    }

    /// Whether it is written as an imaginary or complex number, which it then is by default, even if it is `0i`.
    pub fn is_imaginary(&self) -> bool {
        self.source.ends_with('i')
    }
}

impl Node {
    /// Where it begins.
    pub fn pos(&self) -> Pos {
        match self {
            Self::Text { pos, .. } | Self::Action { pos, .. } | Self::Template { pos, .. } => *pos,
            Self::Break { pos } | Self::Continue { pos } => *pos,
            Self::If(branch) | Self::With(branch) | Self::Range(branch) => branch.pos,
        }
    }
}

impl Operand {
    /// Where it begins; a chain at its first dot.
    pub fn pos(&self) -> Pos {
        match self {
            Self::Dot { pos } | Self::Nil { pos } | Self::Bool { pos, .. } | Self::Number { pos, .. } => *pos,
            Self::Text { pos, .. } | Self::Field { pos, .. } | Self::Variable { pos, .. } => *pos,
            Self::Function { pos, .. } | Self::Chain { pos, .. } => *pos,
            Self::Pipe(pipe) => pipe.pos,
        }
    }
}
