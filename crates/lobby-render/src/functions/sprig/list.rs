//! sprig's functions on lists. Decides that a list never changes: `append` gives a new one.

use lobby_template::{CallError, Type, Value};

use super::{Comparer, Named};
use crate::functions::arg::{Given, any, countable, int, list, many, of, type_name};

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Any];
    const TWO: [Type; 2] = [Type::Any, Type::Any];
    vec![
        ("sprig_list", many(&[], Type::Any, |_, args| list(args.to_vec()))),
        ("sprig_first", of(&ONE, |_, args| Ok(items("first", args, 0)?.first().cloned().unwrap_or_default()))),
        ("sprig_last", of(&ONE, |_, args| Ok(items("last", args, 0)?.last().cloned().unwrap_or_default()))),
        ("sprig_rest", of(&ONE, |_, args| list(items("rest", args, 0)?.get(1..).unwrap_or_default().to_vec()))),
        (
            "sprig_initial",
            of(&ONE, |_, args| {
                list(items("initial", args, 0)?.split_last().map_or_else(Vec::new, |(_, initial)| initial.to_vec()))
            }),
        ),
        ("sprig_push", of(&TWO, |_, args| list([items("push", args, 0)?, &[any(args, 1).clone()]].concat()))),
        ("sprig_prepend", of(&TWO, |_, args| list([&[any(args, 1).clone()], items("prepend", args, 0)?].concat()))),
        ("sprig_concat", many(&[], Type::Any, |_, args| concat(args))),
        ("sprig_uniq", of(&ONE, |_, args| uniq(items("uniq", args, 0)?))),
        (
            "sprig_without",
            many(&ONE, Type::Any, |_, args| without(items("without", args, 0)?, args.get(1..).unwrap_or_default())),
        ),
        (
            "sprig_has",
            of(&TWO, |_, args| match any(args, 1) {
                Value::Nil => Ok(false.into()),
                _ => Ok(is_among(&mut Comparer::new(), any(args, 0), items("has", args, 1)?)?.into()),
            }),
        ),
        ("sprig_reverse", of(&ONE, |_, args| list(items("reverse", args, 0)?.iter().rev().cloned().collect()))),
        ("sprig_slice", many(&ONE, Type::Any, |_, args| slice(args))),
        (
            "sprig_compact",
            of(&ONE, |_, args| list(items("compact", args, 0)?.iter().filter(|item| item.truth()).cloned().collect())),
        ),
        (
            "sprig_chunk",
            of(&[Type::INT, Type::Any], |_, args| {
                let size = usize::try_from(int(args, 0)?).ok().filter(|size| *size > 0).ok_or("chunk: size must be positive")?;
                let chunks = items("chunk", args, 1)?.chunks(size).map(|chunk| Value::list(Type::Any, chunk.to_vec()));
                list(chunks.collect())
            }),
        ),
    ]
}

/// The items of an argument that is a list.
fn items<'v>(name: &str, args: &'v [Value], index: usize) -> Result<&'v [Value], CallError> {
    match any(args, index) {
        Value::List(list) => Ok(&list.items),
        Value::Nil => Err(CallError(format!("Cannot {name} on type <nil>"))),
        other => {
            let verb =
                if matches!(name, "first" | "last" | "rest" | "initial" | "uniq" | "without" | "has") { "find " } else { "" };
            Err(CallError(format!("Cannot {verb}{name} on type {}", type_name(other))))
        }
    }
}

fn concat(args: &[Value]) -> Given {
    let mut all = Vec::new();
    for index in 0..args.len() {
        let more = items("concat", args, index)?;
        countable(all.len() + more.len())?;
        all.extend_from_slice(more);
    }
    list(all)
}

fn is_among(comparer: &mut Comparer, wanted: &Value, items: &[Value]) -> Result<bool, CallError> {
    for item in items {
        if comparer.equal(wanted, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq(items: &[Value]) -> Given {
    let mut comparer = Comparer::new();
    let mut kept = Vec::new();
    for item in items {
        if !is_among(&mut comparer, item, &kept)? {
            kept.push(item.clone());
        }
    }
    list(kept)
}

fn without(items: &[Value], omitted: &[Value]) -> Given {
    let mut comparer = Comparer::new();
    let mut kept = Vec::new();
    for item in items {
        if !is_among(&mut comparer, item, omitted)? {
            kept.push(item.clone());
        }
    }
    list(kept)
}

/// `slice list 1 3`: from there until before there.
fn slice(args: &[Value]) -> Given {
    let items = items("slice", args, 0)?;
    let bound = |index: usize, default: usize| match args.get(index) {
        Some(_) => int(args, index).map(|bound| usize::try_from(bound).unwrap_or(usize::MAX)),
        None => Ok(default),
    };
    let (start, end) = (bound(1, 0)?, bound(2, items.len())?);
    match items.get(start..end) {
        Some(part) => list(part.to_vec()),
        None => Err(CallError(format!("slice: index out of range: {} items", items.len()))),
    }
}
