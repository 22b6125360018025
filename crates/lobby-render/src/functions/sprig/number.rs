//! sprig's arithmetic and its lists of numbers. Decides what counts as a number: what is none is 0, as sprig has it.

use lobby_template::{CallError, Type, Value, value::Width};

use super::{Named, shown};
use crate::functions::arg::{Given, MAX_ITEMS, any, countable, int, many, of, text};

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Any];
    const TWO: [Type; 2] = [Type::Any, Type::Any];
    vec![
        ("sprig_atoi", of(&[Type::Str], |_, args| Ok(Value::int(text(args, 0)?.parse().unwrap_or(0))))),
        ("sprig_int", of(&ONE, |_, args| Ok(Value::Int(whole(any(args, 0)), Width::Word)))),
        ("sprig_int64", of(&ONE, |_, args| Ok(Value::int64(whole(any(args, 0)))))),
        (
            "sprig_toDecimal",
            of(&ONE, |room, args| Ok(Value::int64(i64::from_str_radix(&shown(room, any(args, 0))?, 8).unwrap_or(0)))),
        ),
        ("sprig_float64", of(&ONE, |_, args| Ok(float(any(args, 0)).into()))),
        ("sprig_add", many(&[], Type::Any, |_, args| Ok(fold(0, args, i64::wrapping_add)))),
        ("sprig_add1", of(&ONE, |_, args| Ok(Value::int64(whole(any(args, 0)).wrapping_add(1))))),
        ("sprig_sub", of(&TWO, |_, args| Ok(Value::int64(whole(any(args, 0)).wrapping_sub(whole(any(args, 1))))))),
        ("sprig_mul", many(&ONE, Type::Any, |_, args| Ok(fold(1, args, i64::wrapping_mul)))),
        ("sprig_div", of(&TWO, |_, args| divided(args, i64::wrapping_div))),
        ("sprig_mod", of(&TWO, |_, args| divided(args, i64::wrapping_rem))),
        ("sprig_max", many(&ONE, Type::Any, |_, args| Ok(fold(i64::MIN, args, i64::max)))),
        ("sprig_min", many(&ONE, Type::Any, |_, args| Ok(fold(i64::MAX, args, i64::min)))),
        ("sprig_floor", of(&ONE, |_, args| Ok(float(any(args, 0)).floor().into()))),
        ("sprig_ceil", of(&ONE, |_, args| Ok(float(any(args, 0)).ceil().into()))),
        ("sprig_round", many(&[Type::Any, Type::INT], Type::Float, |_, args| rounded(args))),
        (
            "sprig_until",
            of(&[Type::INT], |_, args| {
                let end = int(args, 0)?;
                Ok(ints(steps(0, end, if end < 0 { -1 } else { 1 })?))
            }),
        ),
        (
            "sprig_untilStep",
            of(&[Type::INT, Type::INT, Type::INT], |_, args| Ok(ints(steps(int(args, 0)?, int(args, 1)?, int(args, 2)?)?))),
        ),
        ("sprig_seq", many(&[], Type::INT, |_, args| seq(args))),
    ]
}

/// As a whole number: what is none is 0.
fn whole(value: &Value) -> i64 {
    match value {
        Value::Int(number, _) => *number,
        Value::Uint(number, _) => *number as i64,
        Value::Float(number) => *number as i64,
        Value::Bool(value) => i64::from(*value),
        Value::Str(text) => read(&text.to_text()),
        _ => 0,
    }
}

/// `12`, `0x1f`, `017`, `12.0`.
fn read(text: &str) -> i64 {
    let (sign, size) = text.strip_prefix('-').map_or(("", text.strip_prefix('+').unwrap_or(text)), |size| ("-", size));
    let size = match size.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => size,
    };
    let (radix, digits) = match size.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &size[2..]),
        [b'0', b'o' | b'O', ..] => (8, &size[2..]),
        [b'0', b'b' | b'B', ..] => (2, &size[2..]),
        [b'0', _, ..] => (8, &size[1..]),
        _ => (10, size),
    };
    let is_number = digits.chars().all(|c| c.is_digit(radix));
    is_number.then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()).flatten().unwrap_or(0)
}

pub(super) fn float(value: &Value) -> f64 {
    match value {
        Value::Float(number) => *number,
        Value::Uint(number, _) => *number as f64,
        Value::Str(text) => text.to_text().parse().unwrap_or(0.0),
        other => whole(other) as f64,
    }
}

fn fold(start: i64, args: &[Value], step: fn(i64, i64) -> i64) -> Value {
    Value::int64(args.iter().map(whole).fold(start, step))
}

fn divided(args: &[Value], divide: fn(i64, i64) -> i64) -> Given {
    match whole(any(args, 1)) {
        0 => Err("runtime error: integer divide by zero".into()),
        by => Ok(Value::int64(divide(whole(any(args, 0)), by))),
    }
}

/// `round 1.234 2`, and from which part on it goes up: 0.5.
fn rounded(args: &[Value]) -> Given {
    let up_from = args.get(2).map_or(0.5, float);
    let scale = 10_f64.powf(int(args, 1)? as f64);
    let digits = scale * float(any(args, 0));
    let whole = if digits.fract() >= up_from { digits.ceil() } else { digits.floor() };
    Ok(Value::Float(whole / scale))
}

/// Numbers from one until before another.
fn steps(start: i64, stop: i64, step: i64) -> Result<Vec<i64>, CallError> {
    let mut numbers = Vec::new();
    let mut next = Some(start);
    if (stop < start && step >= 0) || (stop >= start && step <= 0) {
        return Ok(numbers);
    }
    while let Some(number) = next.filter(|number| if step > 0 { *number < stop } else { *number > stop }) {
        countable(numbers.len() + 1)?;
        numbers.push(number);
        next = number.checked_add(step);
    }
    Ok(numbers)
}

fn ints(numbers: Vec<i64>) -> Value {
    Value::list(Type::INT, numbers.into_iter().map(Value::int).collect())
}

/// `seq 3`, `seq 1 3`, `seq 1 2 9`: as the command, with blanks between.
fn seq(args: &[Value]) -> Given {
    let number = |index| int(args, index);
    let (start, end, step) = match args.len() {
        1 => (1, number(0)?, None),
        2 => (number(0)?, number(1)?, None),
        3 => (number(0)?, number(2)?, Some(number(1)?)),
        _ => return Ok("".into()),
    };
    let direction = if end < start { -1 } else { 1 };
    let step = step.unwrap_or(direction);
    if end < start && step > 0 {
        return Ok("".into());
    }
    let numbers = steps(start, end.saturating_add(direction), step)?;
    debug_assert!(numbers.len() <= MAX_ITEMS);
    Ok(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ").into())
}
