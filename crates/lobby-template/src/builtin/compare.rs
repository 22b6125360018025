//! `eq` and `lt`. Decides what can be compared with what, in Go's words: values of one basic kind, integers of any sign.

use std::cmp::Ordering;
use std::mem::discriminant;
use std::sync::Arc;

use crate::format::{self, Out};
use crate::func::CallError;
use crate::value::Value;

/// What Go tells apart when it compares.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Kind {
    Bool,
    Complex,
    Int,
    Float,
    Str,
    Uint,
    /// What has no order and is not a plain value.
    Other,
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Complex(..) => Kind::Complex,
        Value::Int(..) => Kind::Int,
        Value::Float(_) => Kind::Float,
        Value::Str(_) => Kind::Str,
        Value::Uint(..) => Kind::Uint,
        _ => Kind::Other,
    }
}

/// Whether the first equals any of the others.
pub(super) fn eq(one: &Value, others: &[Value]) -> Result<bool, CallError> {
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if equal(one, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(one: &Value, two: &Value) -> Result<bool, CallError> {
    match (one, two) {
        (Value::Bool(one), Value::Bool(two)) => Ok(one == two),
        (Value::Complex(a, b), Value::Complex(c, d)) => Ok(a == c && b == d),
        (Value::Float(one), Value::Float(two)) => Ok(one == two),
        (Value::Str(one), Value::Str(two)) => Ok(one == two),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        _ if kind(one) == Kind::Other && kind(two) == Kind::Other => same(one, two),
        _ => match integers(one, two) {
            Some(order) => Ok(order.is_eq()),
            None => Err("incompatible types for comparison".into()),
        },
    }
}

/// Structs behind pointers are equal if they are the same one; lists, maps and functions cannot be compared.
fn same(one: &Value, two: &Value) -> Result<bool, CallError> {
    match (one, two) {
        (Value::Object(one), Value::Object(two)) => Ok(Arc::ptr_eq(one, two)),
        (Value::Range(one), Value::Range(two)) => Ok(one == two),
        _ if discriminant(one) != discriminant(two) => {
            let (one, two, types) = (shown(b"%s", one), shown(b"%v", two), [name(one), name(two)]);
            Err(CallError(format!("non-comparable types {one}: {}, {}: {two}", types[0], types[1])))
        }
        _ => Err(CallError(format!("non-comparable type {}: {}", shown(b"%s", two), name(two)))),
    }
}

fn name(value: &Value) -> String {
    value.type_of().map(|kind| kind.to_string()).unwrap_or_default()
}

/// The value under a verb, for an error.
fn shown(verb: &[u8], value: &Value) -> String {
    let mut shown = Out::new(4096);
    format::printf(&mut shown, verb, std::slice::from_ref(value));
    shown.into_bytes().map_or_else(|| "...".into(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The order of two integers, whatever their signs.
fn integers(one: &Value, two: &Value) -> Option<Ordering> {
    let wide = |value: &Value| match value {
        Value::Int(value, _) => Some(i128::from(*value)),
        Value::Uint(value, _) => Some(i128::from(*value)),
        _ => None,
    };
    Some(wide(one)?.cmp(&wide(two)?))
}

/// Whether the first is less.
pub(super) fn lt(one: &Value, two: &Value) -> Result<bool, CallError> {
    if kind(one) == Kind::Other || kind(two) == Kind::Other {
        return Err("invalid type for comparison".into());
    }
    match (one, two) {
        (Value::Float(one), Value::Float(two)) => Ok(one < two),
        (Value::Str(one), Value::Str(two)) => Ok(one < two),
        _ => match integers(one, two) {
            Some(order) => Ok(order.is_lt()),
            None if kind(one) == kind(two) => Err("invalid type for comparison".into()),
            None => Err("incompatible types for comparison".into()),
        },
    }
}

/// Whether the first is less or equal.
pub(super) fn le(one: &Value, two: &Value) -> Result<bool, CallError> {
    Ok(lt(one, two)? || equal(one, two)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_compare_whatever_their_signs() {
        let (minus, most) = (Value::int(-1), Value::uint64(u64::MAX));
        assert_eq!(eq(&minus, std::slice::from_ref(&most)), Ok(false));
        assert_eq!((lt(&minus, &most), lt(&most, &minus), le(&most, &most)), (Ok(true), Ok(false), Ok(true)));
    }

    #[test]
    fn kinds_do_not_mix() {
        let said = |answer: Result<bool, CallError>| answer.expect_err("they cannot be compared").0;
        assert_eq!(said(eq(&Value::int(1), &["1".into()])), "incompatible types for comparison");
        assert_eq!(said(lt(&true.into(), &true.into())), "invalid type for comparison");
        assert_eq!(said(eq(&Value::Nil, &[])), "missing argument for comparison");
        assert_eq!(eq(&Value::Nil, &["".into(), Value::Nil]), Ok(true));
        let list = Value::strings(["a"]);
        assert_eq!(said(eq(&list, std::slice::from_ref(&list))), "non-comparable type [a]: []string");
    }
}
