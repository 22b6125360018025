//! Texts as numbers, by the rules and with the words of Go's strconv. Decides what an empty text is: nothing, which is zero
//! and no error.

use lobby_template::format::quote;
use lobby_template::{CallError, Type, Value};

use super::Named;
use super::arg::{of, text};

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Str];
    vec![
        ("parseBool", of(&ONE, |_, args| parse_bool(&text(args, 0)?).map(Value::from))),
        ("parseFloat", of(&ONE, |_, args| parse_float(&text(args, 0)?).map(Value::from))),
        ("parseInt", of(&ONE, |_, args| parse_int(&text(args, 0)?).map(Value::int64))),
        ("parseUint", of(&ONE, |_, args| parse_uint(&text(args, 0)?).map(Value::uint64))),
    ]
}

const SYNTAX: &str = "invalid syntax";
const RANGE: &str = "value out of range";

/// A decimal `int64`.
pub(super) fn parse_int(text: &str) -> Result<i64, CallError> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    text.parse().map_err(|_| refused("parseInt", "ParseInt", text, if is_digits(digits) { RANGE } else { SYNTAX }))
}

fn parse_uint(text: &str) -> Result<u64, CallError> {
    if text.is_empty() {
        return Ok(0);
    }
    match text.parse() {
        // Rust takes a plus sign.
        Ok(number) if is_digits(text) => Ok(number),
        _ => Err(refused("parseUint", "ParseUint", text, if is_digits(text) { RANGE } else { SYNTAX })),
    }
}

fn parse_float(text: &str) -> Result<f64, CallError> {
    if text.is_empty() {
        return Ok(0.0);
    }
    let plain = if text.contains('_') { without_underscores(text) } else { text.into() };
    match plain.parse::<f64>() {
        Ok(number) if number.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) => {
            Err(refused("parseFloat", "ParseFloat", text, RANGE))
        }
        // Go has no sign before what is not a number.
        Ok(number) if number.is_nan() && text.len() > 3 => Err(refused("parseFloat", "ParseFloat", text, SYNTAX)),
        Ok(number) => Ok(number),
        Err(_) => Err(refused("parseFloat", "ParseFloat", text, SYNTAX)),
    }
}

/// Go lets them stand between digits of a float.
fn without_underscores(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_digit = |index: Option<usize>| index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_digit);
    let separates = |index: usize| is_digit(index.checked_sub(1)) && is_digit(Some(index + 1));
    let kept = text.char_indices().filter(|(index, c)| *c != '_' || !separates(*index));
    kept.map(|(_, c)| c).collect()
}

fn parse_bool(text: &str) -> Result<bool, CallError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(refused("parseBool", "ParseBool", text, SYNTAX)),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn refused(name: &str, go: &str, text: &str, why: &str) -> CallError {
    CallError(format!("{name}: strconv.{go}: parsing {}: {why}", quote(text.as_bytes())))
}
