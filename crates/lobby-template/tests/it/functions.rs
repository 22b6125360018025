//! The functions that the cases in `fixtures/` are written for, the same as in `go/cases.go`. Decides nothing: where one
//! changes, so must the other. The values that `pick` names are in `values`.

use lobby_template::value::{Key, Type, Value, Width};
use lobby_template::{CallError, Func, Funcs};

use super::values;

/// All of them.
pub(crate) fn functions() -> Funcs {
    let constant = |value: Value| Func::new([], move |_| Ok(value.clone()));
    let same = |of: Type| Func::new([of], |args| Ok(args[0].clone()));
    let all = values::all();
    [
        ("service", Func::variadic([], Type::Str, |_| Ok(values::service()))),
        ("m", constant(values::m())),
        ("ms", constant(Value::string_map([("a", "1"), ("b", "2")]))),
        ("mi", constant(values::numbered([(2, "y"), (10, "x")]))),
        ("ints", constant(Value::list(Type::INT, [3, 1, 2].map(Value::int).into()))),
        ("empty", constant(Value::list(Type::INT, Vec::new()))),
        ("nilv", constant(Value::Nil)),
        ("named", constant(values::named("n"))),
        ("fail", Func::new([], |_| Err("boom".into()))),
        (
            "pick",
            Func::new([Type::Str], move |args| {
                let name = text(&args[0]);
                let found = all.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
                found.ok_or_else(|| CallError(format!("no value {name:?}")))
            }),
        ),
        ("add", Func::new([Type::Any, Type::Any], |args| add(&args[1], &args[0]))),
        ("adder", Func::new([Type::INT], |args| Ok(Value::Func(adder(args[0].clone()))))),
        ("dict", Func::variadic([], Type::Any, |args| Ok(dict(args)))),
        (
            "set",
            Func::new([Type::Any.string_map(), Type::Str, Type::Any], |args| {
                let Value::Map(map) = &args[0] else { return Err("no map".into()) };
                map.insert(Key::Str(text(&args[1]).into()), args[2].clone())?;
                Ok(args[0].clone())
            }),
        ),
        (
            "unset",
            Func::new([Type::Any.string_map(), Type::Str], |args| {
                let Value::Map(map) = &args[0] else { return Err("no map".into()) };
                map.remove(&Key::Str(text(&args[1]).into()))?;
                Ok(args[0].clone())
            }),
        ),
        ("split", Func::new([Type::Str, Type::Str], |args| Ok(split(&text(&args[0]), &text(&args[1]))))),
        ("join", Func::new([Type::Str, Type::Str.list()], |args| Ok(join(&text(&args[0]), &args[1])))),
        ("toUpper", Func::new([Type::Str], |args| Ok(text(&args[0]).to_uppercase().into()))),
        ("loop", Func::variadic([Type::INT], Type::INT, loop_over)),
        ("asInt", same(Type::INT)),
        ("asInt8", same(Type::Int(Width::W8))),
        ("asUint", same(Type::Uint(Width::Word))),
        ("asFloat", same(Type::Float)),
        ("asCplx", same(Type::Complex)),
        ("asBool", same(Type::Bool)),
        ("asString", same(Type::Str)),
        ("asList", same(Type::Str.list())),
        ("asMap", Func::new([Type::INT.string_map()], |args| Ok(Value::int(entries(&args[0]))))),
    ]
    .into_iter()
    .collect()
}

/// Names and values in turn.
fn dict(args: &[Value]) -> Value {
    Value::any_map(args.chunks(2).map(|pair| (text(&pair[0]), pair.get(1).cloned().unwrap_or_default())))
}

fn text(value: &Value) -> String {
    match value {
        Value::Str(text) => text.to_text().into_owned(),
        _ => String::new(),
    }
}

fn split(separator: &str, of: &str) -> Value {
    match separator {
        "" => Value::strings(of.chars().map(String::from)),
        _ => Value::strings(of.split(separator).map(str::to_owned)),
    }
}

pub(crate) fn join(separator: &str, list: &Value) -> Value {
    let Value::List(list) = list else { return "".into() };
    let mut joined = Vec::new();
    for (index, item) in list.items.iter().enumerate() {
        if index > 0 {
            joined.extend_from_slice(separator.as_bytes());
        }
        if let Value::Str(item) = item {
            joined.extend_from_slice(item.as_bytes());
        }
    }
    Value::Str(joined.into())
}

fn entries(map: &Value) -> i64 {
    match map {
        Value::Map(map) => map.len() as i64,
        _ => 0,
    }
}

fn add(one: &Value, two: &Value) -> Result<Value, CallError> {
    match (one, two) {
        (Value::Int(one, _), Value::Int(two, _)) => Ok(Value::int64(one.wrapping_add(*two))),
        _ => Err(CallError("add: unknown type".into())),
    }
}

/// A function that is a value.
fn adder(start: Value) -> Func {
    Func::variadic([Type::INT], Type::Int(Width::W8), move |args| {
        let numbers = args.iter().chain([&start]).filter_map(|arg| match arg {
            Value::Int(number, _) => Some(*number),
            _ => None,
        });
        Ok(Value::int(numbers.fold(0, i64::wrapping_add)))
    })
}

fn loop_over(args: &[Value]) -> Result<Value, CallError> {
    match args {
        [Value::Int(end, _)] => Ok(Value::Range(0..*end)),
        [Value::Int(start, _), Value::Int(end, _)] => Ok(Value::Range(*start..*end)),
        _ => Err(CallError("loop: wrong number of arguments, expected 1 or 2".into())),
    }
}
