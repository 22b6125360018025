//! Functions on lists: `loop`, and what is in what. Decides when two values count as the same, which is by consul-template's
//! rules and not by those of `eq`.

use lobby_template::{CallError, Type, Value};

use super::Named;
use super::arg::{self, Given, many, of, type_name};
use super::number::parse_int;

pub(super) fn funcs() -> Vec<Named> {
    const TWO: [Type; 2] = [Type::Any, Type::Any];
    vec![
        ("loop", many(&[], Type::Any, |_, args| numbers(args))),
        ("in", of(&TWO, |_, args| Ok(is_in(arg::any(args, 0), arg::any(args, 1)).into()))),
        ("contains", of(&TWO, |_, args| Ok(is_in(arg::any(args, 1), arg::any(args, 0)).into()))),
        ("containsAll", of(&TWO, |_, args| Ok(found(args)?.all(|is_there| is_there).into()))),
        ("containsAny", of(&TWO, |_, args| Ok(found(args)?.any(|is_there| is_there).into()))),
        ("containsNone", of(&TWO, |_, args| Ok((!found(args)?.any(|is_there| is_there)).into()))),
        ("containsNotAll", of(&TWO, |_, args| Ok((!found(args)?.all(|is_there| is_there)).into()))),
    ]
}

/// `loop 3` is 0, 1, 2; `loop 1 3` is 1, 2.
fn numbers(args: &[Value]) -> Given {
    let number = |value: &Value| match value {
        Value::Int(number, _) => Ok(*number),
        Value::Uint(number, _) => Ok(*number as i64),
        Value::Str(digits) => parse_int(&digits.to_text()),
        other => Err(CallError(format!("loop: bad argument type: {}", type_name(other)))),
    };
    match args {
        [stop] => Ok(Value::Range(0..number(stop)?)),
        [start, stop] => Ok(Value::Range(number(start)?..number(stop)?)),
        _ => Err(CallError(format!("loop: wrong number of arguments, expected 1 or 2, but got {}", args.len()))),
    }
}

/// For each value of the first argument, whether it is in the second. Any list will do: consul-template takes only what
/// comes from parseJSON, which nobody expects.
fn found(args: &[Value]) -> Result<impl Iterator<Item = bool> + '_, CallError> {
    let list = arg::any(args, 1);
    Ok(arg::items(args, 0)?.iter().map(move |wanted| is_in(list, wanted)))
}

/// Whether a list has an item like that, or a text contains it.
fn is_in(list: &Value, wanted: &Value) -> bool {
    match (list, wanted) {
        (Value::List(list), _) => list.items.iter().any(|item| is_same(item, wanted)),
        (Value::Str(text), Value::Str(part)) => text.to_text().contains(&*part.to_text()),
        _ => false,
    }
}

/// Integers of any widths, floats, and strings; nothing else is ever the same.
fn is_same(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Int(one, _), Value::Int(two, _)) => one == two,
        (Value::Float(one), Value::Float(two)) => one == two,
        (Value::Str(one), Value::Str(two)) => one == two,
        _ => false,
    }
}
