//! sprig's functions on maps. Decides that a map never changes: `set` gives a new one, so `{{$m = sprig_set $m "a" 1}}` is needed
//! where sprig's changes it in place. Keys and values are in the order of the keys.

use std::collections::BTreeMap;

use lobby_template::value::Key;
use lobby_template::{CallError, Str, Type, Value};

use super::{Named, shown};
use crate::functions::arg::{Given, any, countable, dict, entries, list, many, map, of, shallow, text};
use crate::functions::grouping::{Wins, merged};

pub(super) fn funcs() -> Vec<Named> {
    const KEYED: [Type; 2] = [Type::Any, Type::Str];
    const ONE: [Type; 1] = [Type::Any];
    vec![
        ("sprig_dict", many(&[], Type::Any, made)),
        ("sprig_get", of(&KEYED, |_, args| Ok(found(args)?.unwrap_or_else(|| "".into())))),
        (
            "sprig_set",
            of(&[Type::Any, Type::Str, Type::Any], |_, args| {
                let mut entries = entries(args, 0)?.into_owned();
                entries.insert(key(args, 1)?, any(args, 2).clone());
                dict(entries)
            }),
        ),
        (
            "sprig_unset",
            of(&KEYED, |_, args| {
                let mut entries = entries(args, 0)?.into_owned();
                entries.remove(&key(args, 1)?);
                dict(entries)
            }),
        ),
        ("sprig_hasKey", of(&KEYED, |_, args| Ok(found(args)?.is_some().into()))),
        ("sprig_keys", many(&[], Type::Any, |_, args| keys(args))),
        ("sprig_values", of(&ONE, |_, args| list(entries(args, 0)?.values().cloned().collect()))),
        ("sprig_pick", many(&ONE, Type::Str, |_, args| chosen(args, true))),
        ("sprig_omit", many(&ONE, Type::Str, |_, args| chosen(args, false))),
        ("sprig_merge", many(&ONE, Type::Any, |_, args| all_merged(args, Wins::First))),
        ("sprig_mustMerge", many(&ONE, Type::Any, |_, args| all_merged(args, Wins::First))),
        ("sprig_mergeOverwrite", many(&ONE, Type::Any, |_, args| all_merged(args, Wins::Second))),
        ("sprig_deepCopy", of(&ONE, |_, args| Ok(any(args, 0).clone()))),
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
    Ok(map(args, 0)?.and_then(|map| map.get(&key)).cloned())
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

fn all_merged(args: &[Value], wins: Wins) -> Given {
    let mut whole = Value::any_map::<&str>([]);
    for index in 0..args.len() {
        let next = Value::map(Type::Str, Type::Any, entries(args, index)?.into_owned());
        whole = merged(&whole, &next, wins);
    }
    shallow(whole)
}

/// What the maps have under one key.
fn pluck(args: &[Value]) -> Given {
    let key = key(args, 0)?;
    let mut found = Vec::new();
    for index in 1..args.len() {
        found.extend(map(args, index)?.and_then(|map| map.get(&key)).cloned());
    }
    list(found)
}

/// `dig "a" "b" "default" map`
fn dig(args: &[Value]) -> Given {
    let [path @ .., default, root] = args else { return Err("dig needs at least three arguments".into()) };
    if path.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let mut value = root;
    for index in 0..path.len() {
        match map(std::slice::from_ref(value), 0)?.and_then(|map| key(path, index).ok().and_then(|key| map.get(&key))) {
            Some(below) => value = below,
            None => return Ok(default.clone()),
        }
    }
    Ok(value.clone())
}
