//! Arithmetic. Decides the type of a result: whole numbers stay whole (and wrap around, as Go's do), a float makes floats.
//! The *second* argument is the left operand, so that `5 | subtract 2` reads well.

use std::cmp::Ordering;

use lobby_template::{CallError, Type, Value};

use super::Named;
use super::arg::{Given, any, of, printf, type_name};

pub(super) fn funcs() -> Vec<Named> {
    const TWO: [Type; 2] = [Type::Any, Type::Any];
    vec![
        ("add", of(&TWO, |_, args| compute("add", args))),
        ("subtract", of(&TWO, |_, args| compute("subtract", args))),
        ("multiply", of(&TWO, |_, args| compute("multiply", args))),
        ("divide", of(&TWO, |_, args| compute("divide", args))),
        ("modulo", of(&TWO, |_, args| compute("modulo", args))),
        ("minimum", of(&TWO, |_, args| pick("minimum", args, Ordering::Less))),
        ("maximum", of(&TWO, |_, args| pick("maximum", args, Ordering::Greater))),
    ]
}

/// A number of one of the three kinds that Go's reflection knows.
#[derive(Debug, Clone, Copy)]
enum Number {
    Int(i64),
    Uint(u64),
    Float(f64),
}

/// Two numbers as the kind that they are computed in.
enum Pair {
    Int(i64, i64),
    Uint(u64, u64),
    Float(f64, f64),
}

impl Number {
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Int(number, _) => Self::Int(*number),
            Value::Uint(number, _) => Self::Uint(*number),
            Value::Float(number) => Self::Float(*number),
            _ => return None,
        })
    }

    /// As Go converts: what is too large for an int64 wraps around.
    fn int(self) -> i64 {
        match self {
            Self::Int(number) => number,
            Self::Uint(number) => number as i64,
            Self::Float(number) => number as i64,
        }
    }

    fn float(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Uint(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Int(number) => Value::int64(number),
            Self::Uint(number) => Value::uint64(number),
            Self::Float(number) => number.into(),
        }
    }

    fn pair(self, other: Self) -> Pair {
        match (self, other) {
            (Self::Float(_), _) | (_, Self::Float(_)) => Pair::Float(self.float(), other.float()),
            (Self::Uint(one), Self::Uint(two)) => Pair::Uint(one, two),
            _ => Pair::Int(self.int(), other.int()),
        }
    }
}

/// Both operands, the left one first.
fn operands(name: &str, args: &[Value]) -> Result<(Number, Number), CallError> {
    let (left, right) = (any(args, 1), any(args, 0));
    let number = |value: &Value| Number::of(value).ok_or_else(|| unknown(name, value));
    let left = number(left)?;
    if let (Number::Float(_), "modulo") = (left, name) {
        return Err(unknown(name, any(args, 1)));
    }
    match (number(right)?, name) {
        (Number::Float(_), "modulo") => Err(unknown(name, right)),
        (right, _) => Ok((left, right)),
    }
}

fn unknown(name: &str, value: &Value) -> CallError {
    CallError(format!("{name}: unknown type for {} ({})", printf("%q", std::slice::from_ref(value)), type_name(value)))
}

/// Go panics, and text/template says so.
fn by_zero() -> CallError {
    "runtime error: integer divide by zero".into()
}

fn compute(name: &str, args: &[Value]) -> Given {
    let (left, right) = operands(name, args)?;
    Ok(match left.pair(right) {
        Pair::Int(_, 0) | Pair::Uint(_, 0) if matches!(name, "divide" | "modulo") => return Err(by_zero()),
        Pair::Int(left, right) => Value::int64(match name {
            "add" => left.wrapping_add(right),
            "subtract" => left.wrapping_sub(right),
            "multiply" => left.wrapping_mul(right),
            "divide" => left.wrapping_div(right),
            _ => left.wrapping_rem(right),
        }),
        Pair::Uint(left, right) => Value::uint64(match name {
            "add" => left.wrapping_add(right),
            "subtract" => left.wrapping_sub(right),
            "multiply" => left.wrapping_mul(right),
            "divide" => left / right,
            _ => left % right,
        }),
        Pair::Float(left, right) => Value::Float(match name {
            "add" => left + right,
            "subtract" => left - right,
            "multiply" => left * right,
            _ => left / right,
        }),
    })
}

/// The left operand if it comes first, else the right one; each keeps its kind.
fn pick(name: &str, args: &[Value], first: Ordering) -> Given {
    let (left, right) = operands(name, args)?;
    let ordering = match left.pair(right) {
        Pair::Int(left, right) => Some(left.cmp(&right)),
        Pair::Uint(left, right) => Some(left.cmp(&right)),
        Pair::Float(left, right) => left.partial_cmp(&right),
    };
    Ok(if ordering == Some(first) { left.value() } else { right.value() })
}
