//! Any text as a template, run with any data: it ends within its limits, with an output no longer than it may be, and the
//! same one every time.
//!
//! ```text
//! input = text 0 data
//! data  = kind[1] …; what is missing is nil. The kinds are those of `value`.
//! ```
#![no_main]

use libfuzzer_sys::fuzz_target;
use lobby_template::value::Width;
use lobby_template::{Func, Funcs, Limits, MissingKey, Settings, Template, Type, Value};

const LIMITS: Limits = Limits { steps: 20_000, bytes: 64 << 10, nesting: 8 };

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let Ok(text) = std::str::from_utf8(&input[..end]) else { return };
    let dot = value(&mut input.get(end + 1..).unwrap_or_default(), 0);
    let funcs = functions();
    let Ok(template) = Template::parse("t", text, &Default::default(), &funcs) else { return };
    for missing_key in [MissingKey::Invalid, MissingKey::Zero, MissingKey::Error] {
        let settings = Settings { missing_key, limits: LIMITS };
        let run = || template.execute(&funcs, &dot, &settings);
        match (run(), run()) {
            (Ok(out), again) => {
                assert!(out.len() <= LIMITS.bytes);
                assert_eq!(Ok(out), again);
            }
            (Err(error), again) => {
                assert!((1..=text.split('\n').count()).contains(&error.line), "{error}");
                assert_eq!(Err(error), again);
            }
        }
    }
});

/// What wraps values, runs templates and gives numbers without end.
fn functions() -> Funcs {
    let wrap = Func::variadic([], Type::Any, |args| Ok(Value::list(Type::Any, args.to_vec())));
    let run = Func::scoped([Type::Str, Type::Any], None, |scope, args| {
        let Value::Str(name) = &args[0] else { return Ok(Value::Nil) };
        scope.execute(&name.to_text(), &args[1]).map(Value::Str)
    });
    let count = Func::new([Type::INT], |args| match args[0] {
        Value::Int(end, _) => Ok(Value::Range(0..end)),
        _ => Ok(Value::Nil),
    });
    [("wrap", wrap), ("run", run), ("count", count)].into_iter().collect()
}

/// A value, no deeper than 8.
fn value(data: &mut &[u8], depth: usize) -> Value {
    let kind = byte(data);
    let width = [Width::W8, Width::W16, Width::W32, Width::W64][usize::from(kind >> 4) % 4];
    match kind % 10 {
        1 => (kind > 127).into(),
        2 => Value::Int(number(data) as i64, width),
        3 => Value::Uint(number(data), width),
        4 => f64::from_bits(number(data)).into(),
        5 => Value::Complex(f64::from_bits(number(data)), 1.0),
        6 => text(data),
        7 if depth < 8 => Value::list(Type::Any, (0..kind >> 4).map(|_| value(data, depth + 1)).collect()),
        8 if depth < 8 => {
            Value::any_map((b'a'..).take(kind.into()).take(8).map(|key| (char::from(key).to_string(), value(data, depth + 1))))
        }
        9 => Value::strings((0..kind >> 4).map(|n| n.to_string())),
        _ => Value::Nil,
    }
}

fn byte(data: &mut &[u8]) -> u8 {
    let Some((first, rest)) = data.split_first() else { return 0 };
    *data = rest;
    *first
}

fn number(data: &mut &[u8]) -> u64 {
    (0..8).fold(0, |number, _| number << 8 | u64::from(byte(data)))
}

fn text(data: &mut &[u8]) -> Value {
    let length = usize::from(byte(data)).min(data.len());
    let (text, rest) = data.split_at(length);
    *data = rest;
    Value::Str(text.into())
}
