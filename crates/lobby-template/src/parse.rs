//! Text into trees, or the first thing wrong with it in the words of Go 1.19 and with its line.
//!
//! Knows more than Go 1.19 in one place: `{{else with}}`, which came with Go 1.23. Knows less in two: hostile text can
//! neither nest deeper than [`NESTING`] nor be longer than [`TEXT_BYTES`].
//! Not here: tokens (`lex`), and everything about values, which is known only when the template runs.

mod cursor;
mod pipeline;
mod scope;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, mem, sync::Arc};

use crate::{
    lex::{
        Kind, Lexer, Token,
        quote::{quote, unquote},
    },
    tree::{Branch, Node, Pos, Tree},
};
use scope::Scope;

/// Most actions and parentheses inside each other; each `{{else if}}` is inside the one before it.
///
/// A judgement: people stay below ten, and chains of `else if` below fifty. Parsing, running, printing, comparing and
/// dropping a tree call themselves once for each, which has to fit into the 2 MiB stack of a thread; parsing takes
/// about half of it in a debug build.
pub const NESTING: usize = 100;

/// Longest text, in bytes: 16 MiB, far beyond what people write, and beyond what programs generate.
pub const TEXT_BYTES: usize = 16 << 20;

/// How a text is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// What begins an action; `{{` if it is empty.
    pub left: &'a str,
    /// What ends an action; `}}` if it is empty.
    pub right: &'a str,
}

/// Why a text is no template. Nothing was done; whoever wrote the text mends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {name}:{line}: {message}")]
pub struct ParseError {
    /// The name that was given for the text.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// Go's words.
    pub message: String,
}

/// Reads a text. The first tree is the text itself and has the name given here, which errors tell too; the others are
/// those that `{{define}}` and `{{block}}` name, no name twice.
///
/// `known` tells which names are functions, built-in ones among them.
///
/// # Errors
/// The first thing in the text that is wrong.
pub fn parse(name: &str, text: &str, options: &Options<'_>, known: &dyn Fn(&str) -> bool) -> Result<Vec<Tree>, ParseError> {
    if text.len() > TEXT_BYTES {
        let message = format!("text of {} bytes, at most {TEXT_BYTES} are accepted", text.len());
        return Err(ParseError { name: name.into(), line: 1, message });
    }
    let mut parser = Parser {
        name,
        text,
        shared: text.into(),
        lexer: Lexer::new(text, options.left, options.right, known),
        known,
        ahead: Vec::new(),
        frame: Frame::default(),
        depth: 0,
        trees: Vec::new(),
        by_name: BTreeMap::new(),
    };
    parser.whole()?;
    Ok(parser.trees)
}

struct Parser<'t> {
    name: &'t str,
    text: &'t str,
    /// The same, as trees keep it.
    shared: Arc<str>,
    lexer: Lexer<'t>,
    known: &'t dyn Fn(&str) -> bool,
    /// Tokens that were looked at and put back, the next one last; three at most.
    ahead: Vec<Token<'t>>,
    frame: Frame<'t>,
    /// Actions and parentheses that are open.
    depth: usize,
    trees: Vec<Tree>,
    by_name: BTreeMap<Arc<str>, usize>,
}

/// What each definition has for itself.
#[derive(Default)]
struct Frame<'t> {
    scope: Scope<'t>,
    /// Ranges that are open.
    ranges: usize,
    /// Where the action begins that is being read.
    action: Option<usize>,
    /// Where the last token begins that was cut from the text: errors tell its line.
    last: usize,
}

/// A part of a list of nodes, or what ends the list.
enum Item {
    Node(Node),
    Stop(Stop),
}

#[derive(Clone, Copy, PartialEq)]
enum Stop {
    End,
    Else,
}

impl Stop {
    fn shown(self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

/// Actions with a body.
#[derive(Clone, Copy, PartialEq)]
enum Control {
    If,
    Range,
    With,
}

impl Control {
    fn word(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::Range => "range",
            Self::With => "with",
        }
    }

    /// What may follow `else` without an `end` of its own.
    fn again(self) -> Option<Kind> {
        match self {
            Self::If => Some(Kind::If),
            Self::Range => None,
            Self::With => Some(Kind::With),
        }
    }

    fn node(self, branch: Branch) -> Node {
        match self {
            Self::If => Node::If(branch),
            Self::Range => Node::Range(branch),
            Self::With => Node::With(branch),
        }
    }
}

impl<'t> Parser<'t> {
    fn whole(&mut self) -> Result<(), ParseError> {
        let mut nodes = Vec::new();
        loop {
            let token = self.next();
            if token.kind == Kind::Eof {
                break;
            }
            if token.kind == Kind::LeftDelimiter {
                let word = self.next_word();
                if word.kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.put_back(word);
            }
            self.put_back(token);
            match self.item()? {
                Item::Node(node) => append(&mut nodes, node),
                Item::Stop(stop) => return Err(self.error(format!("unexpected {}", stop.shown()))),
            }
        }
        let name = Arc::from(self.name);
        self.add(Arc::clone(&name), nodes)?;
        // The text itself may be blank, and a definition have its name.
        let main = self.trees.remove(self.by_name[&name]);
        self.trees.insert(0, main);
        Ok(())
    }

    /// `{{define "name"}}…{{end}}`, of which the first two tokens are gone.
    fn definition(&mut self) -> Result<(), ParseError> {
        const CONTEXT: &str = "define clause";
        let outer = mem::take(&mut self.frame);
        let name = self.template_name(CONTEXT)?.1;
        self.expect(Kind::RightDelimiter, CONTEXT)?;
        let (nodes, stop) = self.items()?;
        if stop != Stop::End {
            return Err(self.error(format!("unexpected {} in {CONTEXT}", stop.shown())));
        }
        self.add(name, nodes)?;
        self.frame = outer;
        Ok(())
    }

    /// Keeps a tree. Of two with one name, the one that says something counts.
    fn add(&mut self, name: Arc<str>, nodes: Vec<Node>) -> Result<(), ParseError> {
        let tree = Tree { name: Arc::clone(&name), text: Arc::clone(&self.shared), nodes };
        match self.by_name.get(&name) {
            None => {
                self.by_name.insert(name, self.trees.len());
                self.trees.push(tree);
            }
            Some(idx) if is_blank(&self.trees[*idx].nodes) => self.trees[*idx] = tree,
            Some(_) if is_blank(&tree.nodes) => {}
            Some(_) => return Err(self.error(format!("template: multiple definition of template {}", quote(&name)))),
        }
        Ok(())
    }

    /// Nodes up to an `{{end}}` or `{{else}}`.
    fn items(&mut self) -> Result<(Vec<Node>, Stop), ParseError> {
        let mut nodes = Vec::new();
        while self.peek_word().kind != Kind::Eof {
            match self.item()? {
                Item::Node(node) => append(&mut nodes, node),
                Item::Stop(stop) => {
                    nodes.shrink_to_fit();
                    return Ok((nodes, stop));
                }
            }
        }
        Err(self.error("unexpected EOF".into()))
    }

    fn item(&mut self) -> Result<Item, ParseError> {
        let token = self.next_word();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text { pos: Pos(token.pos), text: token.text.into() })),
            Kind::LeftDelimiter => {
                self.frame.action = Some(token.pos);
                let item = self.action()?;
                self.frame.action = None;
                Ok(item)
            }
            _ => Err(self.unexpected(token, "input")),
        }
    }

    /// What follows a left delimiter, up to its right one or to the end that belongs to it.
    fn action(&mut self) -> Result<Item, ParseError> {
        let token = self.next_word();
        let pos = Pos(token.pos);
        let node = match token.kind {
            Kind::Block => self.nested(Self::block)?,
            Kind::Break => self.leave("break", Node::Break { pos })?,
            Kind::Continue => self.leave("continue", Node::Continue { pos })?,
            Kind::If => self.control(Control::If)?,
            Kind::Range => self.control(Control::Range)?,
            Kind::With => self.control(Control::With)?,
            Kind::Template => self.template()?,
            Kind::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Item::Stop(Stop::End));
            }
            Kind::Else => {
                // An `if` or `with` behind it is looked for by the action that it belongs to.
                if !matches!(self.peek_word().kind, Kind::If | Kind::With) {
                    self.expect(Kind::RightDelimiter, "else")?;
                }
                return Ok(Item::Stop(Stop::Else));
            }
            _ => {
                self.put_back(token);
                Node::Action { pos, pipe: self.pipeline("command", Kind::RightDelimiter)? }
            }
        };
        Ok(Item::Node(node))
    }

    fn leave(&mut self, word: &str, node: Node) -> Result<Node, ParseError> {
        self.expect(Kind::RightDelimiter, &format!("{{{{{word}}}}}"))?;
        if self.frame.ranges > 0 { Ok(node) } else { Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}"))) }
    }

    fn control(&mut self, control: Control) -> Result<Node, ParseError> {
        self.nested(|parser| {
            let declared = parser.frame.scope.len();
            let pipe = parser.pipeline(control.word(), Kind::RightDelimiter)?;
            let ranges = parser.frame.ranges;
            parser.frame.ranges += usize::from(control == Control::Range);
            let (then, stop) = parser.items()?;
            parser.frame.ranges = ranges;
            let otherwise = match stop {
                Stop::End => None,
                Stop::Else => Some(parser.otherwise(control)?),
            };
            parser.frame.scope.truncate(declared);
            Ok(control.node(Branch { pos: pipe.pos, pipe, then, otherwise }))
        })
    }

    /// What follows an `{{else` of this action.
    fn otherwise(&mut self, control: Control) -> Result<Vec<Node>, ParseError> {
        if control.again() == Some(self.peek().kind) {
            self.next();
            return Ok(vec![self.control(control)?]);
        }
        match self.items()? {
            (nodes, Stop::End) => Ok(nodes),
            (_, stop) => Err(self.error(format!("expected end; found {}", stop.shown()))),
        }
    }

    /// `{{block "name" pipe}}…{{end}}`: a definition, and its template here.
    fn block(&mut self) -> Result<Node, ParseError> {
        const CONTEXT: &str = "block clause";
        let (pos, name) = self.template_name(CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
        let outer = mem::take(&mut self.frame);
        let (nodes, stop) = self.items()?;
        if stop != Stop::End {
            self.frame = outer;
            return Err(self.error(format!("unexpected {} in {CONTEXT}", stop.shown())));
        }
        self.add(Arc::clone(&name), nodes)?;
        self.frame = outer;
        Ok(Node::Template { pos, name, pipe: Some(pipe) })
    }

    fn template(&mut self) -> Result<Node, ParseError> {
        const CONTEXT: &str = "template clause";
        let (pos, name) = self.template_name(CONTEXT)?;
        let token = self.next_word();
        let mut pipe = None;
        if token.kind != Kind::RightDelimiter {
            self.put_back(token);
            pipe = Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?);
        }
        Ok(Node::Template { pos, name, pipe })
    }

    /// A name between quotes. Bytes of it that are no UTF-8 all become the same sign.
    fn template_name(&mut self, context: &str) -> Result<(Pos, Arc<str>), ParseError> {
        let token = self.next_word();
        if !matches!(token.kind, Kind::Quoted | Kind::RawQuoted) {
            return Err(self.unexpected(token, context));
        }
        let bytes = unquote(token.text).ok_or_else(|| self.error("invalid syntax".into()))?;
        Ok((Pos(token.pos), String::from_utf8_lossy(&bytes).into()))
    }

    /// Runs a part of the parser one level deeper.
    fn nested<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.depth == NESTING {
            return Err(self.error(format!("more than {NESTING} actions and parentheses inside each other")));
        }
        self.depth += 1;
        let made = part(self)?;
        self.depth -= 1;
        Ok(made)
    }
}

/// Adds a node; texts with nothing but a comment between them are one.
fn append(nodes: &mut Vec<Node>, node: Node) {
    match (nodes.last_mut(), node) {
        (Some(Node::Text { text, .. }), Node::Text { text: more, .. }) => text.push_str(&more),
        (_, node) => nodes.push(node),
    }
}

/// Whether there is nothing but white space.
fn is_blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text { text, .. } if text.trim().is_empty()))
}
