//! Runs a tree: text is copied, pipelines are printed, branches taken. Decides what is walked next, on a stack of its own
//! (a template may call itself 100 000 times without ours growing), and where a run is ended: steps, bytes, depth.
//! What a pipeline is worth is `eval`; how a value is printed `format`.

mod eval;
mod invoke;

use std::sync::Arc;

use crate::bytes::of_stand_ins;
use crate::error::ExecError;
use crate::format::{self, Out};
use crate::func::Funcs;
use crate::set::{Limits, MissingKey, Template};
use crate::tree::{Branch, Node, Pipe, Pos, Tree};
use crate::value::{List, Type, Value};
use eval::Got;

/// How deep templates may call each other: Go's own bound.
pub(crate) const MAX_DEPTH: usize = 100_000;

/// Pipelines inside each other: one more than the parser lets through, over all templates that functions run from within
/// functions. What one of them takes of the stack in a debug build, times this, fits into the 2 MiB of a thread.
const LEVELS: u32 = crate::parse::NESTING as u32 + 1;

/// One run of a template.
pub(crate) struct Run<'a> {
    template: &'a Template,
    funcs: &'a Funcs,
    missing_key: MissingKey,
    budget: &'a mut Budget,
    out: Vec<u8>,
    /// The template whose nodes are walked now.
    tree: &'a Tree,
    /// All variables in scope; the last of a name counts. The first is `$`.
    variables: Vec<(Arc<str>, Got)>,
    /// What is evaluated now, for errors.
    at: At<'a>,
    frames: Vec<Frame<'a>>,
    /// How many templates called each other to get here.
    depth: usize,
}

/// What a whole rendering may still use; shared with the templates that functions run.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) steps: u64,
    pub(crate) bytes: usize,
    /// Bytes of text that functions may still make.
    pub(crate) made: usize,
    /// How often functions may still run templates from within each other: these do grow our stack.
    pub(crate) nesting: u32,
    /// Pipelines that may still be evaluated from within each other: these grow our stack too.
    pub(crate) levels: u32,
    limits: Limits,
}

/// The node that an error is about.
#[derive(Clone, Copy)]
enum At<'a> {
    Node(&'a Node),
    Pipe(&'a Pipe),
    Command(&'a crate::tree::Command),
    Operand(&'a crate::tree::Operand),
}

/// A list of nodes that is being walked.
struct Frame<'a> {
    nodes: &'a [Node],
    next: usize,
    dot: Got,
    then: Then<'a>,
}

/// What happens when a list of nodes is done.
enum Then<'a> {
    /// Variables declared in it are forgotten.
    Forget { keep: usize },
    /// The same, of the `{{else}}` of a range: a break in it ends that, and not the range around both, as Go has it.
    Otherwise { keep: usize },
    /// The next item is taken.
    Again(Loop<'a>),
    /// The template that called goes on, with its own variables.
    Return { tree: &'a Tree, variables: Vec<(Arc<str>, Got)> },
}

/// A `{{range}}` under way.
struct Loop<'a> {
    branch: &'a Branch,
    items: Items,
    /// Variables from before the range, and those of its body.
    keep: usize,
    keep_in_body: usize,
}

/// What is ranged over: the items that are left.
enum Items {
    List { list: Arc<List>, next: usize },
    Pairs { pairs: std::vec::IntoIter<(Value, Value)>, boxed: bool },
    Numbers { numbers: std::ops::Range<i64>, next: i64, of: fn(i64) -> Value },
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        let Limits { steps, bytes, nesting } = limits;
        Self { steps, bytes, made: bytes, nesting, levels: LEVELS, limits }
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        template: &'a Template,
        tree: &'a Tree,
        funcs: &'a Funcs,
        missing_key: MissingKey,
        budget: &'a mut Budget,
    ) -> Self {
        let at = At::Node(tree.nodes.first().unwrap_or(&NOTHING));
        let (out, variables, frames) = (Vec::new(), Vec::new(), Vec::new());
        Self { template, funcs, missing_key, budget, out, tree, variables, at, frames, depth: 0 }
    }

    /// Walks the whole template; what it printed.
    pub(crate) fn walk(mut self, dot: &Value) -> Result<Vec<u8>, ExecError> {
        let dot = Got::Plain(dot.clone()).unboxed();
        self.variables.push(("$".into(), dot.clone()));
        self.frames.push(Frame { nodes: &self.tree.nodes, next: 0, dot, then: Then::Forget { keep: 1 } });
        while let Some(frame) = self.frames.last_mut() {
            match frame.nodes.get(frame.next) {
                Some(node) => {
                    frame.next += 1;
                    let dot = frame.dot.clone();
                    self.step(node, dot)?;
                }
                None => self.end_of_list()?,
            }
        }
        Ok(self.out)
    }

    fn step(&mut self, node: &'a Node, dot: Got) -> Result<(), ExecError> {
        self.at = At::Node(node);
        self.spend()?;
        match node {
            Node::Text { text, .. } if self.template.has_stand_ins => self.write(&of_stand_ins(text.as_bytes())),
            Node::Text { text, .. } => self.write(text.as_bytes()),
            Node::Action { pipe, .. } => {
                let value = self.pipeline(&dot, pipe)?;
                if !pipe.variables.is_empty() {
                    return Ok(());
                }
                self.at = At::Node(node);
                self.print(&value)
            }
            Node::If(branch) => self.branch(branch, dot, false),
            Node::With(branch) => self.branch(branch, dot, true),
            Node::Range(branch) => self.range(branch, dot),
            Node::Template { name, pipe, .. } => self.call_template(node, name, pipe.as_ref(), &dot),
            Node::Break { .. } => {
                self.leave(|then| matches!(then, Then::Again(_) | Then::Otherwise { .. }));
                if let Some(Frame { then: Then::Again(Loop { keep, .. }) | Then::Otherwise { keep }, .. }) = self.frames.pop() {
                    self.variables.truncate(keep);
                }
                Ok(())
            }
            Node::Continue { .. } => {
                self.leave(|then| matches!(then, Then::Again(_)));
                if let Some(frame) = self.frames.last_mut() {
                    frame.next = frame.nodes.len();
                }
                Ok(())
            }
        }
    }

    /// Ends the lists of nodes inside the innermost such one; the parser saw to it that there is one.
    fn leave(&mut self, ends_at: fn(&Then<'_>) -> bool) {
        while self.frames.last().is_some_and(|frame| !ends_at(&frame.then)) {
            self.frames.pop();
        }
    }

    fn end_of_list(&mut self) -> Result<(), ExecError> {
        let Some(mut frame) = self.frames.pop() else { return Ok(()) };
        match frame.then {
            Then::Forget { keep } | Then::Otherwise { keep } => self.variables.truncate(keep),
            Then::Return { tree, variables } => {
                (self.tree, self.variables) = (tree, variables);
                self.depth -= 1;
            }
            Then::Again(mut round) => {
                // A body may be empty.
                self.spend()?;
                self.variables.truncate(round.keep_in_body);
                match round.items.next() {
                    Some((index, item)) => {
                        self.set_loop_variables(round.branch, index, &item);
                        (frame.next, frame.dot, frame.then) = (0, item, Then::Again(round));
                        self.frames.push(frame);
                    }
                    None => self.variables.truncate(round.keep),
                }
            }
        }
        Ok(())
    }

    /// `{{if}}` and `{{with}}`, which alone sets the dot.
    fn branch(&mut self, branch: &'a Branch, dot: Got, sets_dot: bool) -> Result<(), ExecError> {
        let keep = self.variables.len();
        let value = self.pipeline(&dot, &branch.pipe)?;
        let (nodes, dot) = match value.truth() {
            true => (Some(&branch.then), if sets_dot { value } else { dot }),
            false => (branch.otherwise.as_ref(), dot),
        };
        match nodes {
            Some(nodes) => self.frames.push(Frame { nodes, next: 0, dot, then: Then::Forget { keep } }),
            None => self.variables.truncate(keep),
        }
        Ok(())
    }

    fn range(&mut self, branch: &'a Branch, dot: Got) -> Result<(), ExecError> {
        let keep = self.variables.len();
        let value = self.pipeline(&dot, &branch.pipe)?;
        let Some(mut items) = Items::of(&value) else {
            return Err(self.error(format!("range can't iterate over {}", format::value(value.value()))));
        };
        let keep_in_body = self.variables.len();
        match (items.next(), &branch.otherwise) {
            (Some((index, item)), _) => {
                self.set_loop_variables(branch, index, &item);
                let then = Then::Again(Loop { branch, items, keep, keep_in_body });
                self.frames.push(Frame { nodes: &branch.then, next: 0, dot: item, then });
            }
            (None, Some(nodes)) => self.frames.push(Frame { nodes, next: 0, dot, then: Then::Otherwise { keep } }),
            (None, None) => self.variables.truncate(keep),
        }
        Ok(())
    }

    /// `$item`, or `$index, $item`, which the pipeline has just declared or assigned.
    fn set_loop_variables(&mut self, branch: &Branch, index: Value, item: &Got) {
        let values = match branch.pipe.variables.len() {
            0 => return,
            1 => vec![item.clone()],
            _ => vec![Got::Plain(index), item.clone()],
        };
        for (name, value) in branch.pipe.variables.iter().zip(values) {
            if let Some((_, variable)) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                *variable = value;
            }
        }
    }

    fn call_template(&mut self, node: &'a Node, name: &str, pipe: Option<&'a Pipe>, dot: &Got) -> Result<(), ExecError> {
        let Some(tree) = self.template.tree(name) else {
            return Err(self.error(format!("template {} not defined", format::quote(name.as_bytes()))));
        };
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("exceeded maximum template depth ({MAX_DEPTH})")));
        }
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Got::Missing,
        };
        self.at = At::Node(node);
        self.depth += 1;
        let variables = std::mem::replace(&mut self.variables, vec![("$".into(), dot.clone())]);
        let then = Then::Return { tree: std::mem::replace(&mut self.tree, tree), variables };
        self.frames.push(Frame { nodes: &tree.nodes, next: 0, dot, then });
        Ok(())
    }

    fn print(&mut self, value: &Got) -> Result<(), ExecError> {
        match value {
            Got::Missing => self.write(b"<no value>"),
            Got::Plain(Value::Str(text)) | Got::Boxed(Value::Str(text)) => self.write(text.as_bytes()),
            Got::Plain(value @ (Value::Func(_) | Value::Range(_))) | Got::Boxed(value @ (Value::Func(_) | Value::Range(_))) => {
                let kind = value.type_of().unwrap_or(Type::Any);
                Err(self.error(format!("can't print {} of type {kind}", self.at)))
            }
            Got::Plain(value) | Got::Boxed(value) => {
                let mut out = Out::new(self.budget.bytes);
                format::write_value(&mut out, value);
                match out.into_bytes() {
                    Some(bytes) => self.write(&bytes),
                    None => Err(self.too_long()),
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ExecError> {
        self.budget.bytes = self.budget.bytes.checked_sub(bytes.len()).ok_or_else(|| self.too_long())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn too_long(&self) -> ExecError {
        self.error(format!("the output is longer than {} bytes", self.budget.limits.bytes))
    }

    fn spend(&mut self) -> Result<(), ExecError> {
        match self.budget.steps.checked_sub(1) {
            Some(left) => {
                self.budget.steps = left;
                Ok(())
            }
            None => Err(self.error(format!("more than {} steps", self.budget.limits.steps))),
        }
    }

    /// What went wrong where we are.
    fn error(&self, message: impl Into<String>) -> ExecError {
        ExecError::new(self.template.name(), self.tree, self.at.pos(), self.at.to_string(), message.into())
    }
}

static NOTHING: Node = Node::Text { pos: Pos(0), text: String::new() };

impl Items {
    /// `None` for what cannot be ranged over. Nil is empty.
    fn of(value: &Got) -> Option<Self> {
        Some(match value.value() {
            Value::Nil => Self::Numbers { numbers: 0..0, next: 0, of: Value::int },
            Value::List(list) => Self::List { list: list.clone(), next: 0 },
            Value::Map(map) => {
                let pairs = map.entries();
                let pairs = pairs.iter().map(|(key, value)| (key.to_value(&map.key), value.clone()));
                Self::Pairs { pairs: pairs.collect::<Vec<_>>().into_iter(), boxed: map.holds_anything() }
            }
            Value::Range(numbers) => Self::Numbers { numbers: numbers.clone(), next: 0, of: Value::int64 },
            Value::Int(end, _) => Self::Numbers { numbers: 0..*end, next: 0, of: Value::int },
            _ => return None,
        })
    }

    /// The next index or key, and its item.
    fn next(&mut self) -> Option<(Value, Got)> {
        match self {
            Self::List { list, next } => {
                let item = Got::held(list.items.get(*next)?.clone(), list.holds_anything());
                *next += 1;
                Some((Value::int(*next as i64 - 1), item))
            }
            Self::Pairs { pairs, boxed } => pairs.next().map(|(key, value)| (key, Got::held(value, *boxed))),
            Self::Numbers { numbers, next, of } => {
                let item = Got::Plain(of(numbers.next()?));
                *next += 1;
                Some((Value::int(*next - 1), item))
            }
        }
    }
}
