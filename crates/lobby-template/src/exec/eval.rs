//! What pipelines, commands and operands are worth. Decides how names, fields and methods are resolved, and what Go says
//! when they are not there; converting arguments and calling is `invoke`.

use std::fmt;
use std::sync::Arc;

use super::invoke::Callee;
use super::{At, Run};
use crate::bytes::of_stand_ins;
use crate::error::ExecError;
use crate::format::quote;
use crate::set::MissingKey;
use crate::tree::{Command, Number, Operand, Pipe, Pos};
use crate::value::{Map, Object, Type, Value};

/// What an evaluation gave. Go tells a value from the same value inside an `interface {}`, and both from no value at all;
/// the difference shows in what a template prints and in its errors.
#[derive(Debug, Clone)]
pub(crate) enum Got {
    /// No value: nil data, a variable that was set to nil.
    Missing,
    /// A value of a type of its own.
    Plain(Value),
    /// A value out of a container of anything, which may be nil.
    Boxed(Value),
}

/// Arguments of a command as written, and what the pipeline adds as the last one.
pub(super) struct Args<'a, 'g> {
    pub(super) written: &'a [Operand],
    pub(super) piped: Option<&'g Got>,
}

impl Got {
    /// A value out of a container; `boxed` if that holds anything.
    pub(super) fn held(value: Value, boxed: bool) -> Self {
        match value {
            Value::Nil => Self::Boxed(Value::Nil),
            value if boxed => Self::Boxed(value),
            value => Self::Plain(value),
        }
    }

    /// As a pipeline hands it on: out of its box, and nil is no value.
    pub(super) fn unboxed(self) -> Self {
        match self {
            Self::Missing | Self::Plain(Value::Nil) | Self::Boxed(Value::Nil) => Self::Missing,
            Self::Plain(value) | Self::Boxed(value) => Self::Plain(value),
        }
    }

    /// The value; nil for none.
    pub(super) fn value(&self) -> &Value {
        match self {
            Self::Missing => &Value::Nil,
            Self::Plain(value) | Self::Boxed(value) => value,
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Missing => Value::Nil,
            Self::Plain(value) | Self::Boxed(value) => value,
        }
    }

    pub(super) fn truth(&self) -> bool {
        self.value().truth()
    }

    /// The type that Go sees from outside.
    fn static_type(&self) -> Type {
        match self {
            Self::Plain(value) => value.type_of().unwrap_or(Type::Any),
            Self::Missing | Self::Boxed(_) => Type::Any,
        }
    }
}

impl Args<'_, '_> {
    pub(super) const NONE: Args<'static, 'static> = Args { written: &[], piped: None };

    fn is_empty(&self) -> bool {
        self.written.is_empty() && self.piped.is_none()
    }
}

impl<'a> Run<'a> {
    /// Runs the commands from left to right, each with the one before as its last argument, then sets the variables.
    pub(super) fn pipeline(&mut self, dot: &Got, pipe: &'a Pipe) -> Result<Got, ExecError> {
        self.at = At::Pipe(pipe);
        let Some(levels) = self.budget.levels.checked_sub(1) else {
            return Err(self.error("pipelines are nested too deep"));
        };
        self.budget.levels = levels;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value.as_ref())?.unboxed());
        }
        self.budget.levels += 1;
        let value = value.unwrap_or(Got::Missing);
        for name in &pipe.variables {
            match pipe.assigns {
                true => *self.variable(name)? = value.clone(),
                false => self.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn variable(&mut self, name: &Arc<str>) -> Result<&mut Got, ExecError> {
        match self.variables.iter().rposition(|(known, _)| known == name) {
            Some(index) => Ok(&mut self.variables[index].1),
            None => Err(self.error(format!("undefined variable: {name}"))),
        }
    }

    fn command(&mut self, dot: &Got, command: &'a Command, piped: Option<&Got>) -> Result<Got, ExecError> {
        let Some((first, written)) = command.operands.split_first() else { return Ok(Got::Missing) };
        let args = Args { written, piped };
        match first {
            Operand::Function { name, .. } => {
                self.at = At::Operand(first);
                self.function(dot, name, At::Command(command), args)
            }
            Operand::Field { .. } | Operand::Chain { .. } | Operand::Variable { .. } => self.path(dot, first, args),
            Operand::Pipe(pipe) => {
                self.refuse_args(first, &args)?;
                self.pipeline(dot, pipe)
            }
            Operand::Nil { .. } => {
                self.at = At::Operand(first);
                self.refuse_args(first, &args)?;
                Err(self.error("nil is not a command"))
            }
            _ => {
                self.at = At::Operand(first);
                self.refuse_args(first, &args)?;
                self.constant(dot, first)
            }
        }
    }

    /// What stands for itself: dot, true, a number, a text.
    pub(super) fn constant(&mut self, dot: &Got, operand: &'a Operand) -> Result<Got, ExecError> {
        Ok(match operand {
            Operand::Dot { .. } => dot.clone(),
            Operand::Bool { value, .. } => Got::Plain(Value::Bool(*value)),
            Operand::Text { bytes, .. } => Got::Plain(self.literal(bytes)),
            Operand::Number { number, .. } => Got::Plain(self.number(number)?),
            _ => Got::Missing,
        })
    }

    /// A text in quotes.
    pub(super) fn literal(&self, bytes: &Arc<[u8]>) -> Value {
        let bytes = match self.template.has_stand_ins {
            true => of_stand_ins(bytes).into(),
            false => bytes.clone(),
        };
        Value::Str(bytes.into())
    }

    /// A constant where nothing says which type is wanted: its looks decide.
    fn number(&self, number: &Number) -> Result<Value, ExecError> {
        match number {
            Number { complex: Some((real, imaginary)), .. } if number.is_imaginary() => Ok(Value::Complex(*real, *imaginary)),
            Number { float: Some(float), .. } if number.looks_like_a_float() => Ok(Value::Float(*float)),
            Number { int: Some(int), .. } => Ok(Value::int(*int)),
            Number { uint: Some(_), .. } => Err(self.error(format!("{} overflows int", number.source))),
            _ => Ok(Value::Nil),
        }
    }

    fn refuse_args(&self, first: &Operand, args: &Args<'_, '_>) -> Result<(), ExecError> {
        match args.is_empty() {
            true => Ok(()),
            false => Err(self.error(format!("can't give argument to non-function {}", At::Operand(first)))),
        }
    }

    /// `.A.B`, `$x.A.B`, `(pipe).A.B` and `name.A.B`: the last step may be a method, which gets the arguments.
    pub(super) fn path(&mut self, dot: &Got, operand: &'a Operand, args: Args<'a, '_>) -> Result<Got, ExecError> {
        self.at = At::Operand(operand);
        let (mut value, path) = match operand {
            Operand::Field { path, .. } => (dot.clone(), path),
            Operand::Variable { name, path, .. } => (self.variable(name)?.clone(), path),
            Operand::Chain { operand, path, .. } => (self.argument(dot, &Type::Any, operand)?, path),
            _ => return self.constant(dot, operand),
        };
        let Some((last, steps)) = path.split_last() else {
            self.refuse_args(operand, &args)?;
            return Ok(value);
        };
        for name in steps {
            value = self.field(dot, value, name, operand, Args::NONE)?;
        }
        self.field(dot, value, last, operand, args)
    }

    fn field(&mut self, dot: &Got, of: Got, name: &str, operand: &'a Operand, args: Args<'a, '_>) -> Result<Got, ExecError> {
        let seen = of.static_type();
        match of {
            Got::Missing if self.missing_key == MissingKey::Error => {
                Err(self.error(format!("nil data; no entry for key {}", quote(name.as_bytes()))))
            }
            Got::Missing => Ok(Got::Missing),
            Got::Plain(Value::Nil) | Got::Boxed(Value::Nil) => Err(self.error(format!("nil pointer evaluating {seen}.{name}"))),
            Got::Plain(Value::Object(object)) | Got::Boxed(Value::Object(object)) => {
                if let Some(method) = object.clone().method(name) {
                    let callee = Callee { name, func: &method, at: At::Operand(operand) };
                    return self.invoke(dot, callee, args);
                }
                self.object_field(&*object, name, &seen, &args)
            }
            Got::Plain(Value::Map(map)) | Got::Boxed(Value::Map(map)) if map.key == Type::Str => {
                self.map_field(&map, name, &args)
            }
            _ => Err(self.no_field(name, &seen)),
        }
    }

    fn object_field(&self, object: &dyn Object, name: &str, seen: &Type, args: &Args<'_, '_>) -> Result<Got, ExecError> {
        match object.field(name) {
            Some(_) if !args.is_empty() => Err(self.error(format!("{name} has arguments but cannot be invoked as function"))),
            Some(value) => Ok(Got::held(value, false)),
            None => Err(self.no_field(name, seen)),
        }
    }

    fn map_field(&self, map: &Map, name: &str, args: &Args<'_, '_>) -> Result<Got, ExecError> {
        if !args.is_empty() {
            return Err(self.error(format!("{name} is not a method but has arguments")));
        }
        let boxed = map.holds_anything();
        match (map.get_str(name), self.missing_key) {
            (Some(value), _) => Ok(Got::held(value, boxed)),
            (None, MissingKey::Invalid) => Ok(Got::Missing),
            (None, MissingKey::Zero) => Ok(Got::held(map.element.zero(), boxed)),
            (None, MissingKey::Error) => Err(self.error(format!("map has no entry for key {}", quote(name.as_bytes())))),
        }
    }

    fn no_field(&self, name: &str, seen: &Type) -> ExecError {
        self.error(format!("can't evaluate field {name} in type {seen}"))
    }
}

impl At<'_> {
    pub(super) fn pos(&self) -> Pos {
        match self {
            Self::Node(node) => node.pos(),
            Self::Pipe(pipe) => pipe.pos,
            Self::Command(command) => command.pos,
            Self::Operand(operand) => operand.pos(),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Pipe(pipe) => pipe.fmt(f),
            Self::Command(command) => command.fmt(f),
            Self::Operand(Operand::Pipe(pipe)) => pipe.fmt(f),
            Self::Operand(operand) => operand.fmt(f),
        }
    }
}
