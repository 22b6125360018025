//! Numeric constants by Go's rules: a constant is every kind of number that can hold it without loss.
//!
//! Not here: where a constant ends (`lex`), and what it becomes where it is used (`exec`).

use crate::{
    lex::quote::{quote, unquote_char},
    tree::Number,
};

/// Reads a number: decimal, octal, hexadecimal, binary, floating or imaginary (`2i`).
///
/// # Errors
/// Go's words for it.
pub(crate) fn plain(source: &str) -> Result<Number, String> {
    if let Some(imaginary) = source.strip_suffix('i').and_then(|digits| float(digits).ok()) {
        return Ok(from_complex(source, 0.0, imaginary));
    }
    let mut uint = unsigned(source);
    let int = signed(source);
    if int == Some(0) {
        // So that -0 is unsigned as well.
        uint = Some(0);
    }
    if let Some(float) = int.map(|int| int as f64).or(uint.map(|uint| uint as f64)) {
        return Ok(Number { int, uint, ..from_float(source, float) });
    }
    let Ok(float) = float(source) else { return Err(format!("illegal number syntax: {}", quote(source))) };
    if !source.contains(['.', 'e', 'E', 'p', 'P']) {
        return Err(format!("integer overflow: {}", quote(source)));
    }
    Ok(from_float(source, float))
}

/// Reads the sum of a real and an imaginary number: `1+2i`.
///
/// # Errors
/// Go's words for it.
pub(crate) fn complex(source: &str) -> Result<Number, String> {
    let syntax = || "syntax error scanning complex number".to_owned();
    let part = |text| float(text).map_err(|error| format!("strconv.ParseFloat: parsing {}: {}", quote(text), error.words()));
    let (real, rest) = source.split_at(float_length(source));
    if !rest.starts_with(['+', '-']) {
        return Err(syntax());
    }
    let (imaginary, rest) = rest.split_at(float_length(rest));
    // A mere sign is none: Go takes the i for the beginning of "inf".
    if rest != "i" || imaginary.len() < 2 {
        return Err(syntax());
    }
    Ok(from_complex(source, part(real)?, part(imaginary)?))
}

/// Reads a character constant, which is an integer.
///
/// # Errors
/// Go's words for it.
pub(crate) fn character(source: &str) -> Result<Number, String> {
    let (value, tail) = source.get(1..).and_then(unquote_char).ok_or("invalid syntax")?;
    if tail != "'" {
        return Err(format!("malformed character constant: {source}"));
    }
    let (int, uint) = (Some(i64::from(value)), Some(u64::from(value)));
    Ok(Number { int, uint, is_char: true, ..from_float(source, f64::from(value)) })
}

fn from_float(source: &str, float: f64) -> Number {
    from_complex(source, float, 0.0)
}

fn from_complex(source: &str, real: f64, imaginary: f64) -> Number {
    let float = (imaginary == 0.0).then_some(real);
    // Both bounds are powers of two, which floats hold exactly; `as` would put what is beyond them on the edge.
    let whole = float.filter(|float| float.trunc() == *float);
    let int = whole.filter(|float| (-(2_f64.powi(63))..2_f64.powi(63)).contains(float)).map(|float| float as i64);
    let uint = whole.filter(|float| (0.0..2_f64.powi(64)).contains(float)).map(|float| float as u64);
    Number { source: source.into(), int, uint, float, complex: Some((real, imaginary)), is_char: false }
}

fn signed(text: &str) -> Option<i64> {
    let negative = text.starts_with('-');
    let magnitude = unsigned(text.strip_prefix(['+', '-']).unwrap_or(text))?;
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() }
}

/// An integer without a sign, its base told by its beginning.
fn unsigned(text: &str) -> Option<u64> {
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'b' | b'B', _, ..] => (2, &text[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &text[2..]),
        [b'0', b'x' | b'X', _, ..] => (16, &text[2..]),
        [b'0'] => return Some(0),
        [b'0', ..] => (8, &text[1..]),
        _ => (10, text),
    };
    let digits = without_underscores(text, digits)?;
    let plain = digits.chars().all(|c| c.is_digit(radix));
    plain.then(|| u64::from_str_radix(&digits, radix).ok()).flatten()
}

/// `part` of a number without its separators. None: one does not stand between two digits of the whole.
fn without_underscores<'a>(whole: &str, part: &'a str) -> Option<std::borrow::Cow<'a, str>> {
    if !part.contains('_') {
        return Some(part.into());
    }
    let whole = whole.strip_prefix(['+', '-']).unwrap_or(whole).as_bytes();
    let (radix, digits) = match whole {
        // The prefix counts as a digit: `0x_1` is fine.
        [b'0', b'x' | b'X', ..] => (16, &whole[1..]),
        [b'0', b'b' | b'B' | b'o' | b'O', ..] => (10, &whole[1..]),
        _ => (10, whole),
    };
    let is_digit = |idx: usize, byte: u8| char::from(byte).is_digit(radix) || (idx == 0 && digits.len() < whole.len());
    let separates = |idx: usize| {
        let before = idx.checked_sub(1).is_some_and(|before| is_digit(before, digits[before]));
        before && digits.get(idx + 1).is_some_and(|after| is_digit(idx + 1, *after))
    };
    let fine = digits.iter().enumerate().all(|(idx, byte)| *byte != b'_' || separates(idx));
    fine.then(|| part.replace('_', "").into())
}

/// Why a text is no floating-point number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FloatError {
    Syntax,
    Range,
}

impl FloatError {
    fn words(self) -> &'static str {
        match self {
            Self::Syntax => "invalid syntax",
            Self::Range => "value out of range",
        }
    }
}

/// A floating-point number, decimal or hexadecimal, with a sign or without.
fn float(text: &str) -> Result<f64, FloatError> {
    let digits = without_underscores(text, text).ok_or(FloatError::Syntax)?;
    let (negative, magnitude) = match digits.as_bytes() {
        [b'-', ..] => (true, &digits[1..]),
        [b'+', ..] => (false, &digits[1..]),
        _ => (false, &*digits),
    };
    let value = match magnitude.as_bytes() {
        [b'0', b'x' | b'X', ..] => hexadecimal(&magnitude[2..])?,
        // Rust reads words such as "inf" and a second sign.
        [b'0'..=b'9' | b'.', ..] => magnitude.parse::<f64>().map_err(|_| FloatError::Syntax)?,
        _ => return Err(FloatError::Syntax),
    };
    match value.is_infinite() {
        true => Err(FloatError::Range),
        false => Ok(if negative { -value } else { value }),
    }
}

/// `h.hhp±d` without its `0x`: the exponent is obligatory, and of two.
fn hexadecimal(text: &str) -> Result<f64, FloatError> {
    let (digits, power) = text.split_once(['p', 'P']).ok_or(FloatError::Syntax)?;
    let magnitude = power.strip_prefix(['+', '-']).unwrap_or(power);
    if magnitude.is_empty() || !magnitude.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FloatError::Syntax);
    }
    // Beyond a hundred million there is no way back to a number: texts are shorter than that.
    let magnitude = magnitude.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    let mut exponent = if power.starts_with('-') { -magnitude } else { magnitude };
    let (mut mantissa, mut lost, mut fraction, mut any) = (0_u64, false, false, false);
    for c in digits.chars() {
        if c == '.' && !fraction {
            fraction = true;
            continue;
        }
        let digit = c.to_digit(16).ok_or(FloatError::Syntax)?;
        any = true;
        if mantissa < 1 << 60 {
            mantissa = mantissa * 16 + u64::from(digit);
            exponent -= if fraction { 4 } else { 0 };
        } else {
            lost |= digit != 0;
            exponent += if fraction { 0 } else { 4 };
        }
    }
    // What was lost only breaks ties, for which the lowest of more than 60 bits serves.
    if any { Ok(scaled(mantissa | u64::from(lost), exponent)) } else { Err(FloatError::Syntax) }
}

/// The float next to `mantissa * 2^exponent`, even if there are two; infinite if there is none.
fn scaled(mantissa: u64, exponent: i64) -> f64 {
    /// Bits of a float's mantissa, and the exponent of the smallest float there is.
    const BITS: i64 = 53;
    const LEAST: i64 = -1074;
    if mantissa == 0 {
        return 0.0;
    }
    let used = i64::from(u64::BITS - mantissa.leading_zeros());
    let unit = (exponent + used - BITS).max(LEAST);
    let shift = unit - exponent;
    let rounded = match shift {
        ..=0 => mantissa << -shift,
        1..=64 => {
            let (wide, half) = (u128::from(mantissa), 1_u128 << (shift - 1));
            let (whole, rest) = (wide >> shift, wide & (half * 2 - 1));
            let up = rest > half || (rest == half && whole & 1 == 1);
            whole as u64 + u64::from(up)
        }
        _ => 0,
    };
    // A carry out of the mantissa, or from below the normal floats, lands in the exponent, where it belongs.
    let biased = (unit - LEAST) as u64;
    if biased > 2045 { f64::INFINITY } else { f64::from_bits((biased << (BITS - 1)) + rounded) }
}

/// How much of the beginning of a text Go's scanner takes for a floating-point number.
fn float_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let one = |at: usize, of: &[u8]| at + usize::from(bytes.get(at).is_some_and(|byte| of.contains(byte)));
    let run = |at: usize, of: &[u8]| at + bytes[at..].iter().take_while(|byte| of.contains(byte)).count();
    let sign = one(0, b"+-");
    let (begin, digits, powers): (usize, &[u8], &[u8]) = match &bytes[sign..] {
        [b'0', b'x' | b'X', ..] => (sign + 2, b"0123456789abcdefABCDEF_", b"pP"),
        _ => (sign, b"0123456789_", b"eEpP"),
    };
    let mut end = run(begin, digits);
    let point = one(end, b".");
    if point > end {
        end = run(point, digits);
    }
    let power = one(end, powers);
    if power > end { run(one(power, b"+-"), b"0123456789_") } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a number is: int, uint, float.
    type Is = (Option<i64>, Option<u64>, Option<f64>);

    #[test]
    fn constants_are_all_that_can_hold_them() {
        let whole = |int: i64| (Some(int), u64::try_from(int).ok(), Some(int as f64));
        let float = |float: f64| (None, None, Some(float));
        let cases: &[(&str, Is)] = &[
            ("0", whole(0)),
            ("-0", whole(0)),
            ("-3", whole(-3)),
            ("+5", (Some(5), None, Some(5.0))),
            ("1_000", whole(1000)),
            ("0x_1F", whole(31)),
            ("0b101", whole(5)),
            ("0o17", whole(15)),
            ("017", whole(15)),
            ("-0x10", whole(-16)),
            ("1e3", whole(1000)),
            ("3.0", whole(3)),
            ("-2.0", whole(-2)),
            ("3.5", float(3.5)),
            (".5", float(0.5)),
            ("0x1p4", whole(16)),
            ("0x1.8p-2", float(0.375)),
            ("9223372036854775807", (Some(i64::MAX), Some(i64::MAX as u64), Some(i64::MAX as f64))),
            ("9223372036854775808", (None, Some(1 << 63), Some(2_f64.powi(63)))),
            ("-9223372036854775808", (Some(i64::MIN), None, Some(-(2_f64.powi(63))))),
            ("9223372036854775808.0", (None, Some(1 << 63), Some(2_f64.powi(63)))),
            ("18446744073709551616.0", float(2_f64.powi(64))),
            ("1e300", float(1e300)),
            ("0i", whole(0)),
            ("1i", (None, None, None)),
        ];
        for (source, want) in cases {
            let number = plain(source).expect(source);
            assert_eq!((number.int, number.uint, number.float), *want, "{source}");
            assert_eq!(number.source, *source);
            assert_eq!(number.is_imaginary(), source.ends_with('i'));
        }
        assert_eq!(plain("-2.5i").map(|number| number.complex), Ok(Some((0.0, -2.5))));
        assert_eq!(plain("7").map(|number| number.complex), Ok(Some((7.0, 0.0))));
    }

    #[test]
    fn hexadecimal_floats_are_the_nearest_ones() {
        let cases = [
            ("0x1p-1074", f64::from_bits(1)),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", f64::from_bits(1)),
            ("0x0.fffffffffffffp-1022", f64::from_bits((1 << 52) - 1)),
            ("0x0.fffffffffffff8p-1022", f64::MIN_POSITIVE),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000000000000001p0", 1.0 + f64::EPSILON),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
            ("0x10000000000000000000000p-88", 1.0),
            ("0x0p99999999999999999999", 0.0),
            ("0x1p-99999999999999999999", 0.0),
        ];
        for (source, want) in cases {
            assert_eq!(float(source).map(f64::to_bits), Ok(want.to_bits()), "{source}");
        }
        assert_eq!(float("0x1.fffffffffffff8p1023"), Err(FloatError::Range));
        assert_eq!(float("0x1p99999999999999999999"), Err(FloatError::Range));
    }

    #[test]
    fn what_is_no_number_is_told_in_gos_words() {
        let cases = [
            (".", "illegal number syntax: \".\""),
            ("1e400", "illegal number syntax: \"1e400\""),
            ("0x", "illegal number syntax: \"0x\""),
            ("1__2", "illegal number syntax: \"1__2\""),
            ("1_", "illegal number syntax: \"1_\""),
            ("0b", "illegal number syntax: \"0b\""),
            ("0x1i", "illegal number syntax: \"0x1i\""),
            ("+i", "illegal number syntax: \"+i\""),
            ("99999999999999999999", "integer overflow: \"99999999999999999999\""),
            ("089", "integer overflow: \"089\""),
        ];
        for (source, want) in cases {
            assert_eq!(plain(source).expect_err(source), want);
        }
    }

    #[test]
    fn sums_are_complex() {
        let parts = |source| complex(source).map(|number| number.complex.expect("all have it"));
        assert_eq!(parts("1+2i"), Ok((1.0, 2.0)));
        assert_eq!(parts("-1.5e1-0x1p2i"), Ok((-15.0, -4.0)));
        assert_eq!(complex("1+0i").map(|number| number.int), Ok(Some(1)));
        let syntax = "syntax error scanning complex number";
        for (source, want) in [
            ("1i+2i", syntax),
            ("0b1+2i", syntax),
            ("1+i", syntax),
            ("0x10+2i", "strconv.ParseFloat: parsing \"0x10\": invalid syntax"),
            ("1e400+2i", "strconv.ParseFloat: parsing \"1e400\": value out of range"),
        ] {
            assert_eq!(complex(source).expect_err(source), want);
        }
    }

    #[test]
    fn characters_are_integers() {
        let number = character("'ž'").expect("a character");
        assert_eq!((number.int, number.uint, number.float, number.is_char), (Some(382), Some(382), Some(382.0), true));
        assert!(!character("'i'").expect("a character").is_imaginary());
        assert_eq!(character("''"), Err("invalid syntax".into()));
        assert_eq!(character("'ab'"), Err("malformed character constant: 'ab'".into()));
    }
}
