//! What a plain word of YAML is, by YAML 1.1 and yaml.v2. Decides for both directions: what reads as something else than a
//! text must be written in quotes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lobby_template::{CallError, Value};

/// The value that a plain word stands for. Dates are texts: that is what yaml.v2 gives for `interface {}`.
pub(super) fn resolved(word: &str) -> Value {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Nil,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return false.into(),
        ".nan" | ".NaN" | ".NAN" => return f64::NAN.into(),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return f64::INFINITY.into(),
        "-.inf" | "-.Inf" | "-.INF" => return f64::NEG_INFINITY.into(),
        _ => {}
    }
    match word.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-') => number(&word.replace('_', "")).unwrap_or_else(|| word.into()),
        Some(b'.') => float(word).unwrap_or_else(|| word.into()),
        _ => word.into(),
    }
}

fn number(digits: &str) -> Option<Value> {
    let (sign, size) = match digits.as_bytes().first()? {
        b'-' => ("-", &digits[1..]),
        b'+' => ("", &digits[1..]),
        _ => ("", digits),
    };
    let (radix, size) = match size.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &size[2..]),
        [b'0', b'b' | b'B', ..] => (2, &size[2..]),
        [b'0', b'o' | b'O', ..] => (8, &size[2..]),
        [b'0', _, ..] => (8, &size[1..]),
        _ => (10, size),
    };
    let whole = size.bytes().all(|byte| char::from(byte).is_digit(radix)) && !size.is_empty();
    let int = whole.then(|| i64::from_str_radix(&format!("{sign}{size}"), radix).ok()).flatten().map(Value::int);
    let uint = || (whole && sign.is_empty()).then(|| u64::from_str_radix(size, radix).ok()).flatten().map(Value::uint64);
    int.or_else(uint).or_else(|| float(digits))
}

/// `1.5`, `.5`, `1e3`: no `inf`, nothing hexadecimal.
fn float(word: &str) -> Option<Value> {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_float = is_digits(whole)
        && is_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| is_digits(exponent) && !exponent.is_empty());
    is_float.then(|| word.parse().ok()).flatten().filter(|number: &f64| number.is_finite()).map(Value::Float)
}

/// Base64, over several lines or not.
pub(super) fn binary(text: &str) -> Result<Value, CallError> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = STANDARD.decode(digits).map_err(|_| CallError::from("yaml: !!binary value contains invalid base64 data"))?;
    Ok(Value::Str(bytes.into()))
}

/// `1:30:00`, which other readers of YAML 1.1 take for a number.
pub(super) fn is_base_60(word: &str) -> bool {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    let mut parts = digits.split(':');
    let starts = parts.next().is_some_and(|first| {
        first.starts_with(|c: char| c.is_ascii_digit()) && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
    });
    let mut count = 0;
    let is_rest = parts.all(|part| {
        count += 1;
        let whole = part.split_once('.').map_or(part, |(whole, _)| whole);
        matches!(whole.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
            && part[whole.len()..].bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'_' | b'.'))
    });
    starts && is_rest && count > 0
}

/// Bytes as base64.
pub(super) fn to_binary(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// `2001-12-14` with or without a time: reads as a date where a program asks for one.
pub(super) fn is_date(word: &str) -> bool {
    let is_number = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let (date, time) = match word.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (word, None),
    };
    let mut parts = date.splitn(3, '-');
    let is_date = parts.next().is_some_and(|year| year.len() == 4 && is_number(year, 4))
        && parts.next().is_some_and(|month| is_number(month, 2))
        && parts.next().is_some_and(|day| is_number(day, 2));
    let is_time = |time: &str| {
        let zone = time.find(['Z', '+', '-']).unwrap_or(time.len());
        let (clock, _) = time[..zone].split_once('.').unwrap_or((&time[..zone], ""));
        clock.split(':').count() == 3 && clock.split(':').all(|part| is_number(part, 2))
    };
    is_date && time.is_none_or(is_time)
}
