//! Calling functions and methods. Decides how arguments are counted and fitted to parameters (a constant takes the type
//! that is wanted, a value must have it), and what Go says when they do not fit.

use super::eval::{Args, Got};
use super::{At, Budget, Run};
use crate::builtin;
use crate::error::ExecError;
use crate::format::quote;
use crate::func::{CallError, Func, Funcs, Scope};
use crate::set::{MissingKey, Template};
use crate::tree::Operand;
use crate::value::{Str, Type, Value};

/// What is called, and the node that an error in it is about.
pub(super) struct Callee<'c, 'a> {
    pub(super) name: &'c str,
    pub(super) func: &'c Func,
    pub(super) at: At<'a>,
}

impl<'a> Run<'a> {
    pub(super) fn function(&mut self, dot: &Got, name: &str, at: At<'a>, args: Args<'a, '_>) -> Result<Got, ExecError> {
        if let Some(func) = self.funcs.get(name) {
            return self.invoke(dot, Callee { name, func, at }, args);
        }
        match (name, builtin::find(name)) {
            ("and" | "or", _) => self.short_circuit(dot, name, args),
            (_, Some(func)) => self.invoke(dot, Callee { name, func, at }, args),
            (_, None) => Err(self.error(format!("{} is not a defined function", quote(name.as_bytes())))),
        }
    }

    /// `and` and `or` give the argument that decides, and evaluate no further.
    fn short_circuit(&mut self, dot: &Got, name: &str, args: Args<'a, '_>) -> Result<Got, ExecError> {
        self.spend()?;
        if args.written.is_empty() && args.piped.is_none() {
            return Err(self.error(format!("wrong number of args for {name}: want at least 1 got 0")));
        }
        let mut last = Got::Missing;
        for operand in args.written {
            last = self.argument(dot, &Type::Any, operand)?;
            if last.truth() == (name == "or") {
                return Ok(last);
            }
        }
        Ok(args.piped.cloned().unwrap_or(last))
    }

    pub(super) fn invoke(&mut self, dot: &Got, callee: Callee<'_, 'a>, args: Args<'a, '_>) -> Result<Got, ExecError> {
        let Callee { name, func, at } = callee;
        self.spend()?;
        let given = args.written.len() + usize::from(args.piped.is_some());
        self.check_count(name, func, &args, given)?;
        let wants = |index: usize| func.params().get(index).or(func.rest()).unwrap_or(&Type::Any);
        let mut values = Vec::with_capacity(given);
        for (index, operand) in args.written.iter().enumerate() {
            values.push(self.argument(dot, wants(index), operand)?.into_value());
        }
        if let Some(piped) = args.piped {
            values.push(self.fit(piped.clone(), wants(given - 1))?.into_value());
        }
        let (template, funcs, missing_key) = (self.template, self.funcs, self.missing_key);
        let mut scope = Inside { template, funcs, missing_key, budget: self.budget };
        match func.call(&mut scope, &values) {
            Ok(value) => Ok(Got::held(value, false)),
            Err(CallError(message)) => {
                self.at = at;
                Err(self.error(format!("error calling {name}: {message}")))
            }
        }
    }

    fn check_count(&self, name: &str, func: &Func, args: &Args<'_, '_>, given: usize) -> Result<(), ExecError> {
        let wanted = func.params().len();
        match func.rest() {
            // Go counts only what is written here.
            Some(_) if given < wanted => {
                let got = args.written.len();
                Err(self.error(format!("wrong number of args for {name}: want at least {wanted} got {got}")))
            }
            None if given != wanted => Err(self.error(format!("wrong number of args for {name}: want {wanted} got {given}"))),
            _ => Ok(()),
        }
    }

    /// An operand where a value of the type `wants` is expected.
    pub(super) fn argument(&mut self, dot: &Got, wants: &Type, operand: &'a Operand) -> Result<Got, ExecError> {
        self.at = At::Operand(operand);
        let value = match operand {
            Operand::Dot { .. } => dot.clone(),
            Operand::Nil { .. } if wants.can_be_nil() => Got::held(wants.zero(), false),
            Operand::Nil { .. } => return Err(self.error(format!("cannot assign nil to {wants}"))),
            Operand::Field { .. } | Operand::Variable { .. } | Operand::Chain { .. } => self.path(dot, operand, Args::NONE)?,
            Operand::Pipe(pipe) => self.pipeline(dot, pipe)?,
            Operand::Function { name, .. } => self.function(dot, name, At::Operand(operand), Args::NONE)?,
            Operand::Bool { .. } | Operand::Number { .. } | Operand::Text { .. } => {
                return self.fit_constant(dot, wants, operand);
            }
        };
        self.fit(value, wants)
    }

    /// A constant takes the type that is wanted, if it can without loss.
    fn fit_constant(&mut self, dot: &Got, wants: &Type, operand: &'a Operand) -> Result<Got, ExecError> {
        let value = match (wants, operand) {
            (Type::Any, _) => return self.constant(dot, operand),
            (Type::Bool, Operand::Bool { value, .. }) => Some(Value::Bool(*value)),
            (Type::Str, Operand::Text { bytes, .. }) => Some(self.literal(bytes)),
            (Type::Int(width), Operand::Number { number, .. }) => number.int.map(|it| Value::Int(width.wrap(it), *width)),
            (Type::Uint(width), Operand::Number { number, .. }) => {
                number.uint.map(|it| Value::Uint(width.wrap_unsigned(it), *width))
            }
            (Type::Float, Operand::Number { number, .. }) => number.float.map(Value::Float),
            (Type::Complex, Operand::Number { number, .. }) if number.is_imaginary() => {
                number.complex.map(|(real, imaginary)| Value::Complex(real, imaginary))
            }
            _ => None,
        };
        let expected = match wants {
            Type::Bool => "bool",
            Type::Str => "string",
            Type::Int(_) => "integer",
            Type::Uint(_) => "unsigned integer",
            Type::Float => "float",
            Type::Complex => "complex",
            _ => return Err(self.error(format!("can't handle {operand} for arg of type {wants}"))),
        };
        value.map(Got::Plain).ok_or_else(|| self.error(format!("expected {expected}; found {operand}")))
    }

    /// A value must have the type that is wanted.
    fn fit(&self, got: Got, wants: &Type) -> Result<Got, ExecError> {
        match &got {
            _ if *wants == Type::Any => Ok(got),
            Got::Missing if wants.can_be_nil() => Ok(Got::held(wants.zero(), false)),
            Got::Missing => Err(self.error(format!("invalid value; expected {wants}"))),
            Got::Plain(value) | Got::Boxed(value) => match value.type_of() {
                Some(has) if has == *wants => Ok(got),
                Some(has) => Err(self.error(format!("wrong type for value; expected {wants}; got {has}"))),
                None => Err(self.error(format!("wrong type for value; expected {wants}; got interface {{}}"))),
            },
        }
    }
}

/// What a function sees of the run that calls it.
struct Inside<'r> {
    template: &'r Template,
    funcs: &'r Funcs,
    missing_key: MissingKey,
    budget: &'r mut Budget,
}

impl Scope for Inside<'_> {
    fn execute(&mut self, name: &str, dot: &Value) -> Result<Str, CallError> {
        let Some(tree) = self.template.tree(name) else {
            return Err(CallError(format!("template {} not defined", quote(name.as_bytes()))));
        };
        let Some(nesting) = self.budget.nesting.checked_sub(1) else {
            return Err(CallError("templates run each other too deep".into()));
        };
        self.budget.nesting = nesting;
        let run = Run::new(self.template, tree, self.funcs, self.missing_key, self.budget);
        let out = run.walk(dot).map_err(|error| CallError(error.to_string()));
        self.budget.nesting += 1;
        out.map(Str::from)
    }

    fn room(&self) -> usize {
        self.budget.bytes.min(self.budget.made)
    }

    fn made(&mut self, bytes: usize) {
        self.budget.made = self.budget.made.saturating_sub(bytes);
    }
}
