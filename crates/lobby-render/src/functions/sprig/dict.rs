//! sprig's functions on maps. Decides which change their map for all who hold it (`set`, `unset`, `merge`) and which give a new
//! one; keys and values are in the order of the keys.

use std::collections::BTreeMap;

use lobby_template::value::Key;
use lobby_template::{CallError, Str, Type, Value};

use super::{Named, shown};
use crate::functions::arg::{Given, MAX_DEPTH, any, changeable, countable, dict, entries, list, many, map, of, open, put, text};
use crate::functions::merge::{self, Wins};

pub(super) fn funcs() -> Vec<Named> {
    const KEYED: [Type; 2] = [Type::Any, Type::Str];
    const ONE: [Type; 1] = [Type::Any];
    vec![
        ("sprig_dict", many(&[], Type::Any, made)),
        ("sprig_get", of(&KEYED, |_, args| Ok(found(args)?.unwrap_or_else(|| "".into())))),
        (
            "sprig_set",
            of(&[changeable(), Type::Str, Type::Any], |_, args| {
                put(open(args, 0)?, key(args, 1)?, any(args, 2).clone())?;
                Ok(any(args, 0).clone())
            }),
        ),
        (
            "sprig_unset",
            of(&[changeable(), Type::Str], |_, args| {
                if !matches!(any(args, 0), Value::Nil) {
                    open(args, 0)?.remove(&key(args, 1)?)?;
                }
                Ok(any(args, 0).clone())
            }),
        ),
        ("sprig_hasKey", of(&KEYED, |_, args| Ok(found(args)?.is_some().into()))),
        ("sprig_keys", many(&[], Type::Any, |_, args| keys(args))),
        ("sprig_values", of(&ONE, |_, args| list(entries(args, 0)?.values().cloned().collect()))),
        ("sprig_pick", many(&ONE, Type::Str, |_, args| chosen(args, true))),
        ("sprig_omit", many(&ONE, Type::Str, |_, args| chosen(args, false))),
        ("sprig_merge", many(&[changeable()], Type::Any, |_, args| merge::all(args, Wins::First))),
        ("sprig_mergeOverwrite", many(&[changeable()], Type::Any, |_, args| merge::all(args, Wins::Second))),
        ("sprig_deepCopy", of(&ONE, |_, args| copied(any(args, 0), MAX_DEPTH, &mut 0))),
        ("sprig_pluck", many(&[Type::Str], Type::Any, |_, args| pluck(args))),
        ("sprig_dig", many(&[], Type::Any, |_, args| dig(args))),
    ]
}

fn key(args: &[Value], index: usize) -> Result<Key, CallError> {
    match any(args, index) {
        Value::Str(key) => Ok(Key::Str(key.clone())),
        _ => Ok(Key::Str(text(args, index)?.into_owned().into())),
    }
}

fn found(args: &[Value]) -> Result<Option<Value>, CallError> {
    let key = key(args, 1)?;
    Ok(map(args, 0)?.and_then(|map| map.get(&key)))
}

/// Keys and values in turn; a last key without one has nothing.
fn made(room: usize, args: &[Value]) -> Given {
    let mut entries = BTreeMap::new();
    for pair in args.chunks(2) {
        let key = Str::from(shown(room, any(pair, 0))?);
        entries.insert(Key::Str(key), pair.get(1).cloned().unwrap_or_else(|| "".into()));
    }
    dict(entries)
}

fn keys(args: &[Value]) -> Given {
    let mut keys = Vec::new();
    for index in 0..args.len() {
        keys.extend(entries(args, index)?.keys().map(|key| key.to_value(&Type::Str)));
        countable(keys.len())?;
    }
    Ok(Value::list(Type::Str, keys))
}

fn chosen(args: &[Value], wanted: bool) -> Given {
    let named = (1..args.len()).map(|index| key(args, index)).collect::<Result<Vec<_>, _>>()?;
    let entries = entries(args, 0)?;
    dict(
        entries
            .iter()
            .filter(|(key, _)| named.contains(key) == wanted)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    )
}

/// All that is in a value made anew, so that a change of the copy changes nothing else.
fn copied(value: &Value, most: u32, count: &mut usize) -> Given {
    *count += 1;
    countable(*count)?;
    let below = most.checked_sub(1).ok_or("nested too deep to copy")?;
    Ok(match value {
        Value::List(list) if list.element.holds_others() => {
            let items = list.items.iter().map(|item| copied(item, below, count));
            Value::list(list.element.clone(), items.collect::<Result<_, _>>()?)
        }
        Value::Map(map) if map.element.holds_others() => {
            let held = map.entries();
            let entries = held.iter().map(|(key, value)| Ok((key.clone(), copied(value, below, count)?)));
            Value::map(map.key.clone(), map.element.clone(), entries.collect::<Result<_, CallError>>()?)
        }
        // What never changes may be shared.
        other => other.clone(),
    })
}

/// What the maps have under one key.
fn pluck(args: &[Value]) -> Given {
    let key = key(args, 0)?;
    let mut found = Vec::new();
    for index in 1..args.len() {
        found.extend(map(args, index)?.and_then(|map| map.get(&key)));
    }
    list(found)
}

/// `dig "a" "b" "default" map`
fn dig(args: &[Value]) -> Given {
    let [path @ .., default, root] = args else { return Err("dig needs at least three arguments".into()) };
    if path.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let mut value = root.clone();
    for index in 0..path.len() {
        let key = key(path, index)?;
        match map(std::slice::from_ref(&value), 0)?.and_then(|map| map.get(&key)) {
            Some(below) => value = below,
            None => return Ok(default.clone()),
        }
    }
    Ok(value)
}
