//! Trees as text: what is printed reads as the same tree, with the delimiters `{{` and `}}` whatever they were.
//!
//! Pipelines, commands and operands print as Go prints them, because errors show them.
//! Not here: output of templates (`exec`).

use std::fmt::{self, Display, Formatter, Write as _};

use crate::{
    lex::quote::quote,
    tree::{Branch, Command, Node, Operand, Pipe, Tree},
};

/// Between two braces that would begin an action: a comment which takes the blanks around it with it.
const JOINT: &str = " {{- /**/ -}} ";
/// After a brace that would begin an action with what follows it.
const JOINT_AT_END: &str = " {{- /**/}}";

/// The text that [`parse`](crate::parse::parse) makes these trees of: the first as it is, definitions of the others.
pub fn print(trees: &[Tree]) -> String {
    let mut text = String::new();
    for (idx, tree) in trees.iter().enumerate() {
        // Writing to a string never fails.
        let _ = match idx {
            0 => write!(text, "{tree}"),
            _ => write!(text, "{{{{define {}}}}}{tree}{{{{end}}}}", quote(&tree.name)),
        };
    }
    text
}

/// What it consists of, without its name.
impl Display for Tree {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        nodes(&self.nodes, f)
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { text, .. } => copied(text, f),
            Self::Action { pipe, .. } => write!(f, "{{{{{pipe}}}}}"),
            Self::If(branch) => control("if", branch, f),
            Self::With(branch) => control("with", branch, f),
            Self::Range(branch) => control("range", branch, f),
            Self::Template { name, pipe: None, .. } => write!(f, "{{{{template {}}}}}", quote(name)),
            Self::Template { name, pipe: Some(pipe), .. } => write!(f, "{{{{template {} {pipe}}}}}", quote(name)),
            Self::Break { .. } => f.write_str("{{break}}"),
            Self::Continue { .. } => f.write_str("{{continue}}"),
        }
    }
}

impl Display for Pipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        joined(self.variables.iter(), ", ", f)?;
        if !self.variables.is_empty() {
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        joined(self.commands.iter(), " | ", f)
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        joined(self.operands.iter(), " ", f)
    }
}

/// A pipeline with the parentheses that it has among operands; errors show it without, as the [`Pipe`].
impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let path = match self {
            Self::Dot { .. } => return f.write_str("."),
            Self::Nil { .. } => return f.write_str("nil"),
            Self::Bool { value, .. } => return write!(f, "{value}"),
            Self::Number { number, .. } => return f.write_str(&number.source),
            Self::Text { source, .. } => return f.write_str(source),
            Self::Function { name, .. } => return f.write_str(name),
            Self::Pipe(pipe) => return write!(f, "({pipe})"),
            Self::Field { path, .. } => path,
            Self::Variable { name, path, .. } => {
                f.write_str(name)?;
                path
            }
            Self::Chain { operand, path, .. } => {
                write!(f, "{operand}")?;
                path
            }
        };
        path.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}

fn joined<T: Display>(parts: impl Iterator<Item = T>, separator: &str, f: &mut Formatter<'_>) -> fmt::Result {
    for (idx, part) in parts.enumerate() {
        if idx > 0 {
            f.write_str(separator)?;
        }
        part.fmt(f)?;
    }
    Ok(())
}

fn nodes(nodes: &[Node], f: &mut Formatter<'_>) -> fmt::Result {
    nodes.iter().try_for_each(|node| node.fmt(f))
}

/// Text without anything in it that would begin an action, whatever follows.
fn copied(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let mut rest = text;
    while let Some(idx) = rest.find("{{") {
        f.write_str(&rest[..=idx])?;
        f.write_str(JOINT)?;
        rest = &rest[idx + 1..];
    }
    f.write_str(rest)?;
    f.write_str(if rest.ends_with('{') { JOINT_AT_END } else { "" })
}

fn control(word: &str, branch: &Branch, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{{{{{word} {}}}}}", branch.pipe)?;
    nodes(&branch.then, f)?;
    let mut otherwise = branch.otherwise.as_deref();
    // A chain has one end.
    while let ("if", Some([Node::If(next)])) | ("with", Some([Node::With(next)])) = (word, otherwise) {
        write!(f, "{{{{else {word} {}}}}}", next.pipe)?;
        nodes(&next.then, f)?;
        otherwise = next.otherwise.as_deref();
    }
    if let Some(otherwise) = otherwise {
        f.write_str("{{else}}")?;
        nodes(otherwise, f)?;
    }
    f.write_str("{{end}}")
}
