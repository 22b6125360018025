//! What a template can call: closures with a signature. Decides how a function is made and described; checking
//! arguments against the signature and calling is `exec`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::value::{Str, Type, Value};

/// A function or a bound method; cheap to clone.
#[derive(Clone)]
pub struct Func(Arc<Inner>);

struct Inner {
    params: Vec<Type>,
    rest: Option<Type>,
    body: Box<Body>,
}

type Body = dyn Fn(&mut dyn Scope, &[Value]) -> Result<Value, CallError> + Send + Sync;

/// The template that is running, as a function may use it.
pub trait Scope {
    /// Runs the template `name` with `dot`, and gives what it would have printed.
    fn execute(&mut self, name: &str, dot: &Value) -> Result<Str, CallError>;

    /// How many bytes the output may still grow: no text that a function makes need be longer.
    fn room(&self) -> usize;

    /// Tells that a function made a text of so many bytes: there is less room from now on, so that a template cannot keep
    /// any number of long ones.
    fn made(&mut self, _bytes: usize) {}
}

/// Functions by their names; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Funcs(Arc<HashMap<Box<str>, Func>>);

impl Funcs {
    /// The function of that name.
    pub fn get(&self, name: &str) -> Option<&Func> {
        self.0.get(name)
    }
}

impl<N: Into<Box<str>>> FromIterator<(N, Func)> for Funcs {
    fn from_iter<I: IntoIterator<Item = (N, Func)>>(funcs: I) -> Self {
        Self(Arc::new(funcs.into_iter().map(|(name, func)| (name.into(), func)).collect()))
    }
}

/// Why a function did not answer: the text that follows `error calling f: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CallError(pub String);

impl Func {
    /// A function of exactly these parameters. Its arguments are of these types when it is called: constants and
    /// integers of other widths have been converted as Go does.
    pub fn new(
        params: impl Into<Vec<Type>>,
        body: impl Fn(&[Value]) -> Result<Value, CallError> + Send + Sync + 'static,
    ) -> Self {
        Self::scoped(params, None, move |_, args| body(args))
    }

    /// A function of these parameters, and any number of further arguments of the type `rest`.
    pub fn variadic(
        params: impl Into<Vec<Type>>,
        rest: Type,
        body: impl Fn(&[Value]) -> Result<Value, CallError> + Send + Sync + 'static,
    ) -> Self {
        Self::scoped(params, Some(rest), move |_, args| body(args))
    }

    /// A function that may run templates itself.
    pub fn scoped(
        params: impl Into<Vec<Type>>,
        rest: Option<Type>,
        body: impl Fn(&mut dyn Scope, &[Value]) -> Result<Value, CallError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner { params: params.into(), rest, body: Box::new(body) }))
    }

    /// The parameters that must be given.
    pub fn params(&self) -> &[Type] {
        &self.0.params
    }

    /// The type of further arguments, if there may be any.
    pub fn rest(&self) -> Option<&Type> {
        self.0.rest.as_ref()
    }

    /// Calls it with arguments that were checked.
    pub fn call(&self, scope: &mut dyn Scope, args: &[Value]) -> Result<Value, CallError> {
        (self.0.body)(scope, args)
    }

    /// Its Go type.
    pub fn type_of(&self) -> Type {
        let mut params: Vec<String> = self.0.params.iter().map(Type::to_string).collect();
        params.extend(self.0.rest.iter().map(|rest| format!("...{rest}")));
        Type::Func(format!("func({}) (interface {{}}, error)", params.join(", ")).into())
    }
}

impl fmt::Debug for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.type_of())
    }
}

impl From<&str> for CallError {
    fn from(message: &str) -> Self {
        Self(message.into())
    }
}

impl From<String> for CallError {
    fn from(message: String) -> Self {
        Self(message)
    }
}
