//! What all functions need: their arguments as Rust has them, how much they may make, and how deep they may nest. Decides the
//! bounds; the words of errors that Go has are beside what they are about.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lobby_template::format::{self, Out};
use lobby_template::value::{Entries, Key, Map};
use lobby_template::{CallError, Func, Type, Value};

/// Most items that a function puts into one list or map: ten times the instances of the largest fleets.
pub(super) const MAX_ITEMS: usize = 1_000_000;

/// Deepest nesting of a value that a function makes: what serde_json reads, and far below what a thread's stack holds.
pub(super) const MAX_DEPTH: u32 = 128;

/// What a function gives.
pub(super) type Given = Result<Value, CallError>;

/// A function's work: how many bytes the text that it makes may have, and its arguments.
pub(super) type Body = fn(usize, &[Value]) -> Given;

/// A function of these parameters.
pub(super) fn of(params: &[Type], body: Body) -> Func {
    Func::scoped(params, None, move |scope, args| body(scope.room(), args))
}

/// A function of these parameters and any number of others.
pub(super) fn many(params: &[Type], rest: Type, body: Body) -> Func {
    Func::scoped(params, Some(rest), move |scope, args| body(scope.room(), args))
}

/// An argument; nil if it was not given.
pub(super) fn any(args: &[Value], index: usize) -> &Value {
    args.get(index).unwrap_or(&Value::Nil)
}

/// The bytes of an argument that is a string.
pub(super) fn bytes(args: &[Value], index: usize) -> Result<&[u8], CallError> {
    match any(args, index) {
        Value::Str(text) => Ok(text.as_bytes()),
        other => Err(wrong("string", other)),
    }
}

/// The text of an argument that is a string, with U+FFFD for what is not UTF-8.
pub(super) fn text(args: &[Value], index: usize) -> Result<Cow<'_, str>, CallError> {
    bytes(args, index).map(String::from_utf8_lossy)
}

/// An argument that is an integer.
pub(super) fn int(args: &[Value], index: usize) -> Result<i64, CallError> {
    match any(args, index) {
        Value::Int(number, _) => Ok(*number),
        Value::Uint(number, _) => Ok(*number as i64),
        other => Err(wrong("int", other)),
    }
}

/// The items of an argument that is a list; nil is one without any.
pub(super) fn items(args: &[Value], index: usize) -> Result<&[Value], CallError> {
    match any(args, index) {
        Value::List(list) => Ok(&list.items),
        Value::Nil => Ok(&[]),
        other => Err(wrong("[]interface {}", other)),
    }
}

/// The signature of a map that a function changes: Go takes no other one.
pub(super) fn changeable() -> Type {
    Type::Any.string_map()
}

/// An argument that is [`changeable`].
pub(super) fn open(args: &[Value], index: usize) -> Result<&Arc<Map>, CallError> {
    match any(args, index) {
        Value::Map(map) if map.can_change() => Ok(map),
        Value::Nil => Err("assignment to entry in nil map".into()),
        other => Err(wrong("map[string]interface {}", other)),
    }
}

/// Changes an entry of a map, if that gets neither too large nor too deep.
pub(super) fn put(map: &Map, key: Key, value: Value) -> Result<(), CallError> {
    if map.get(&key).is_none() {
        countable(map.len() + 1)?;
    }
    map.insert(key, shallow(value)?)
}

/// An argument that is a map with strings as keys; None for nil.
pub(super) fn map(args: &[Value], index: usize) -> Result<Option<&Map>, CallError> {
    match any(args, index) {
        Value::Map(map) if map.key == Type::Str => Ok(Some(map)),
        Value::Nil => Ok(None),
        other => Err(wrong("map[string]interface {}", other)),
    }
}

/// The entries of an argument that is a map with strings as keys; nil has none.
pub(super) fn entries(args: &[Value], index: usize) -> Result<Entries<'_>, CallError> {
    Ok(map(args, index)?.map_or_else(Entries::default, Map::entries))
}

/// Go's words for an argument of another type.
pub(super) fn wrong(wanted: &str, got: &Value) -> CallError {
    CallError(format!("wrong type for value; expected {wanted}; got {}", type_name(got)))
}

/// As `%T` has it.
pub(super) fn type_name(value: &Value) -> String {
    value.type_of().map_or_else(|| "<nil>".into(), |kind| kind.to_string())
}

/// As `printf` has it; what is too long is cut off.
pub(super) fn printf(format: &str, args: &[Value]) -> String {
    /// What error texts show at most.
    const MAX_SHOWN: usize = 4096;
    let mut out = Out::new(MAX_SHOWN);
    format::printf(&mut out, format.as_bytes(), args);
    out.into_bytes().map_or_else(|| "…".into(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// An error of the function `name`, as consul-template wraps them.
pub(super) fn wrapped(name: &str) -> impl Fn(CallError) -> CallError {
    move |err| CallError(format!("{name}: {err}"))
}

/// Some new text of at most `room` bytes, which `write` writes.
pub(super) fn written(room: usize, write: impl FnOnce(&mut Out) -> Result<(), CallError>) -> Result<Vec<u8>, CallError> {
    let mut out = Out::new(room);
    write(&mut out)?;
    out.into_bytes().ok_or_else(|| too_long(room))
}

/// That so much is not made.
pub(super) fn too_long(room: usize) -> CallError {
    CallError(format!("more than {room} bytes"))
}

/// Refuses texts of so many bytes.
pub(super) fn fits(room: usize, length: Option<usize>) -> Result<(), CallError> {
    match length {
        Some(length) if length <= room => Ok(()),
        _ => Err(too_long(room)),
    }
}

/// Refuses so many items.
pub(super) fn countable(count: usize) -> Result<(), CallError> {
    match count <= MAX_ITEMS {
        true => Ok(()),
        false => Err(CallError(format!("more than {MAX_ITEMS} items"))),
    }
}

/// A new list of anything, if it is not too long or too deep.
pub(super) fn list(items: Vec<Value>) -> Given {
    countable(items.len())?;
    shallow(Value::list(Type::Any, items))
}

/// A new map of anything, if it is not too large or too deep.
pub(super) fn dict(entries: BTreeMap<Key, Value>) -> Given {
    countable(entries.len())?;
    shallow(Value::map(Type::Str, Type::Any, entries))
}

/// A list of texts, if they are not too many.
pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Given {
    let items: Vec<Value> = texts.into_iter().take(MAX_ITEMS + 1).map(Value::from).collect();
    countable(items.len())?;
    Ok(Value::list(Type::Str, items))
}

/// The value, if it does not nest too deep: dropping and printing walk down in it.
pub(super) fn shallow(value: Value) -> Given {
    match depth(&value, MAX_DEPTH, &mut HashMap::new()) {
        Some(_) => Ok(value),
        None => Err(CallError(format!("nested deeper than {MAX_DEPTH}"))),
    }
}

/// How deep lists and maps nest; None: deeper than `most`. What is shared is walked once, or a small value could take for ever.
fn depth(value: &Value, most: u32, seen: &mut HashMap<*const (), u32>) -> Option<u32> {
    let (place, is_shared) = match value {
        Value::List(list) if list.element.holds_others() => (Arc::as_ptr(list).cast(), Arc::strong_count(list) > 1),
        Value::Map(map) if map.element.holds_others() => (Arc::as_ptr(map).cast(), Arc::strong_count(map) > 1),
        Value::List(_) | Value::Map(_) => return Some(1),
        _ => return Some(0),
    };
    let known = if is_shared { seen.get(&place).copied() } else { None };
    let below = most.checked_sub(1)?;
    let depth_here = match (known, value) {
        (Some(known), _) => known,
        (None, Value::List(list)) => deepest(list.items.iter(), below, seen)? + 1,
        (None, Value::Map(map)) => deepest(map.entries().values(), below, seen)? + 1,
        (None, _) => 0,
    };
    if is_shared {
        seen.insert(place, depth_here);
    }
    (depth_here <= most).then_some(depth_here)
}

fn deepest<'v>(values: impl Iterator<Item = &'v Value>, most: u32, seen: &mut HashMap<*const (), u32>) -> Option<u32> {
    let mut deepest = 0;
    for value in values {
        deepest = deepest.max(depth(value, most, seen)?);
    }
    Some(deepest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_grows_to_its_bound_and_what_it_has_still_changes() {
        let key = |number: usize| Key::Str(number.to_string().into());
        let full = (0..MAX_ITEMS - 1).map(|number| (key(number), Value::Nil));
        let map = Map::new(Type::Str, Type::Any, full.collect());
        put(&map, key(MAX_ITEMS), Value::Nil).unwrap();
        assert_eq!(put(&map, Key::Str("one more".into()), Value::Nil), Err(CallError(format!("more than {MAX_ITEMS} items"))));
        put(&map, key(0), true.into()).unwrap();
        assert_eq!((map.len(), map.get_str("0").is_some_and(|value| value.truth())), (MAX_ITEMS, true));
    }

    #[test]
    fn what_is_put_into_a_map_is_not_deep() {
        let nested = |depth: u32| (0..depth).fold(Value::Nil, |value, _| Value::list(Type::Any, vec![value]));
        let map = Map::new(Type::Str, Type::Any, BTreeMap::new());
        put(&map, Key::Str("a".into()), nested(MAX_DEPTH)).unwrap();
        assert!(put(&map, Key::Str("b".into()), nested(MAX_DEPTH + 1)).is_err());
    }
}
