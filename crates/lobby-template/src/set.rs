//! A template with all that it defines, ready to run any number of times. Decides the options of parsing and running.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bytes;
use crate::error::ExecError;
use crate::exec::{Budget, Run};
use crate::func::Funcs;
use crate::parse::{self, Options, ParseError};
use crate::tree::Tree;
use crate::value::Value;

/// A parsed template and those that it defines.
#[derive(Debug, Clone)]
pub struct Template {
    name: Arc<str>,
    trees: BTreeMap<Arc<str>, Arc<Tree>>,
    /// Characters of its texts stand for bytes.
    pub(crate) has_stand_ins: bool,
}

/// What a map answers when a field names a key that it has not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// No value: prints `<no value>`. Go's default.
    #[default]
    Invalid,
    /// The zero value of its elements.
    Zero,
    /// An error.
    Error,
}

/// What one run may use, so that no template runs away.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nodes walked and functions called.
    pub steps: u64,
    /// Bytes of output, and of any text that a built-in function makes.
    pub bytes: usize,
    /// Templates that functions run from within functions.
    pub nesting: u32,
}

/// How a template is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// What a map answers about a key that it has not.
    pub missing_key: MissingKey,
    /// Where a run is ended.
    pub limits: Limits,
}

impl Default for Limits {
    /// A thousand times what a large configuration file needs: 100 million steps, 256 MiB, 64 levels.
    fn default() -> Self {
        Self { steps: 100_000_000, bytes: 256 << 20, nesting: 64 }
    }
}

impl Template {
    /// Parses `text`. Functions that it names must be in `funcs` or built in.
    pub fn parse(name: &str, text: &str, options: &Options<'_>, funcs: &Funcs) -> Result<Self, ParseError> {
        let known = |name: &str| funcs.get(name).is_some() || crate::builtin::is_known(name);
        let trees = parse::parse(name, text, options, &known)?;
        let trees = trees.into_iter().map(|tree| (tree.name.clone(), Arc::new(tree))).collect();
        Ok(Self { name: name.into(), trees, has_stand_ins: false })
    }

    /// The same of bytes: those that are no UTF-8 are printed as they are, as in Go.
    pub fn parse_bytes(name: &str, text: &[u8], options: &Options<'_>, funcs: &Funcs) -> Result<Self, ParseError> {
        match std::str::from_utf8(text) {
            Ok(text) => Self::parse(name, text, options, funcs),
            Err(_) => Ok(Self { has_stand_ins: true, ..Self::parse(name, &bytes::stand_ins(text), options, funcs)? }),
        }
    }

    /// What the text was called when it was parsed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One of the templates by its name.
    pub fn tree(&self, name: &str) -> Option<&Tree> {
        self.trees.get(name).map(|tree| &**tree)
    }

    /// Runs it with `dot` as its data; what it printed.
    pub fn execute(&self, funcs: &Funcs, dot: &Value, settings: &Settings) -> Result<Vec<u8>, ExecError> {
        let Some(tree) = self.trees.get(&self.name) else { return Ok(Vec::new()) };
        let mut budget = Budget::new(settings.limits);
        Run::new(self, tree, funcs, settings.missing_key, &mut budget).walk(dot)
    }
}
