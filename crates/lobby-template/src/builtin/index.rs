//! `index`, `slice` and `len`: parts of values. Decides bounds and Go's words for what has no parts.

use crate::func::CallError;
use crate::value::{Key, Type, Value, Width};

/// `index x 1 "a"` is `x[1]["a"]`. A key that a map has not gives the zero value of its elements.
pub(super) fn index(item: &Value, indexes: &[Value]) -> Result<Value, CallError> {
    if matches!(item, Value::Nil) {
        return Err("index of untyped nil".into());
    }
    let mut item = item.clone();
    for index in indexes {
        item = match &item {
            Value::Nil => return Err("index of nil pointer".into()),
            Value::List(list) => {
                let at = position(index, list.items.len())?;
                list.items.get(at).cloned().ok_or("reflect: slice index out of range")?
            }
            Value::Str(text) => {
                let at = position(index, text.len())?;
                let byte = text.as_bytes().get(at).ok_or("reflect: string index out of range")?;
                Value::Uint(u64::from(*byte), Width::W8)
            }
            Value::Map(map) => match key(&fit(index, &map.key)?).and_then(|key| map.get(&key)) {
                Some(value) => value,
                None => map.element.zero(),
            },
            other => return Err(CallError(format!("can't index item of type {}", pointed_to(other)))),
        };
    }
    Ok(item)
}

/// `slice x 1 2` is `x[1:2]`.
pub(super) fn slice(item: &Value, indexes: &[Value]) -> Result<Value, CallError> {
    if matches!(item, Value::Nil) {
        return Err("slice of untyped nil".into());
    }
    if indexes.len() > 3 {
        return Err(CallError(format!("too many slice indexes: {}", indexes.len())));
    }
    let length = match item {
        Value::Str(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::Str(text) => text.len(),
        Value::List(list) => list.items.len(),
        other => return Err(CallError(format!("can't slice item of type {}", name(other)))),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [from, to, end] = bounds;
    if from > to {
        return Err(CallError(format!("invalid slice index: {from} > {to}")));
    }
    if to > end {
        return Err(CallError(format!("invalid slice index: {to} > {end}")));
    }
    Ok(match item {
        Value::List(list) => Value::list(list.element.clone(), list.items[from..to].to_vec()),
        Value::Str(text) => Value::Str(text.as_bytes()[from..to].into()),
        _ => Value::Nil,
    })
}

/// Items, entries or bytes.
pub(super) fn len(item: &Value) -> Result<Value, CallError> {
    let length = match item {
        Value::Nil => return Err("len of nil pointer".into()),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.len(),
        Value::Str(text) => text.len(),
        // What waits in an unbuffered channel.
        Value::Range(_) => 0,
        other => return Err(CallError(format!("len of type {}", pointed_to(other)))),
    };
    Ok(Value::int(length as i64))
}

/// A value where one of type `wants` is expected: integers take its width.
pub(super) fn fit(value: &Value, wants: &Type) -> Result<Value, CallError> {
    match (value, wants, value.type_of()) {
        (_, Type::Any, _) => Ok(value.clone()),
        (_, _, Some(has)) if has == *wants => Ok(value.clone()),
        (_, _, None) if wants.can_be_nil() => Ok(Value::Nil),
        (_, _, None) => Err(CallError(format!("value is nil; should be of type {wants}"))),
        (Value::Int(number, _), Type::Int(width), _) => Ok(Value::Int(width.wrap(*number), *width)),
        (Value::Uint(number, _), Type::Uint(width), _) => Ok(Value::Uint(width.wrap_unsigned(*number), *width)),
        (Value::Int(number, _), Type::Uint(width), _) => Ok(Value::Uint(width.wrap_unsigned(*number as u64), *width)),
        (Value::Uint(number, _), Type::Int(width), _) => Ok(Value::Int(width.wrap(*number as i64), *width)),
        (_, _, Some(has)) => Err(CallError(format!("value has type {has}; should be {wants}"))),
    }
}

/// A position in a list or string of that length; its end counts as one.
fn position(index: &Value, length: usize) -> Result<usize, CallError> {
    let number = match index {
        Value::Int(number, _) => *number,
        Value::Uint(number, _) => *number as i64,
        Value::Nil => return Err("cannot index slice/array with nil".into()),
        other => return Err(CallError(format!("cannot index slice/array with type {}", name(other)))),
    };
    match usize::try_from(number).ok().filter(|at| *at <= length) {
        Some(at) => Ok(at),
        None => Err(CallError(format!("index out of range: {number}"))),
    }
}

fn key(value: &Value) -> Option<Key> {
    match value {
        Value::Bool(value) => Some(Key::Bool(*value)),
        Value::Int(value, _) => Some(Key::Int(*value)),
        Value::Uint(value, _) => Some(Key::Uint(*value)),
        Value::Str(value) => Some(Key::Str(value.clone())),
        _ => None,
    }
}

fn name(value: &Value) -> String {
    value.type_of().map_or_else(|| "interface {}".into(), |kind| kind.to_string())
}

/// The name of what a pointer points to.
fn pointed_to(value: &Value) -> String {
    name(value).trim_start_matches('*').into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format;

    fn said(answer: Result<Value, CallError>) -> Result<String, String> {
        answer.map(|value| format::value(&value)).map_err(|CallError(message)| message)
    }

    #[test]
    fn parts_are_inside_their_bounds() {
        let list = Value::strings(["a", "b", "c"]);
        assert_eq!(said(index(&list, &[Value::int(2)])), Ok("c".into()));
        assert_eq!(said(index(&list, &[Value::int(3)])), Err("reflect: slice index out of range".into()));
        assert_eq!(said(index(&list, &[Value::int(-1)])), Err("index out of range: -1".into()));
        assert_eq!(said(slice(&list, &[Value::int(1), Value::int(3)])), Ok("[b c]".into()));
        assert_eq!(said(slice(&list, &[Value::int(2), Value::int(1)])), Err("invalid slice index: 2 > 1".into()));
        assert_eq!(said(slice(&"abc".into(), &[Value::int(1)])), Ok("bc".into()));
    }

    #[test]
    fn keys_that_are_missing_give_zeros() {
        let map = Value::string_map([("a", "x")]);
        assert_eq!(said(index(&map, &["a".into()])), Ok("x".into()));
        assert_eq!(said(index(&map, &["b".into()])), Ok(String::new()));
        assert_eq!(said(index(&map, &[Value::int(1)])), Err("value has type int; should be string".into()));
    }
}
