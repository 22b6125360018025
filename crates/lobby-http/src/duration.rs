//! Durations as Consul's clients write them: Go's `1h30m`, `1.5s`, `20ms`, `0`.
//!
//! A bare number is none, but for zero. Negative ones are refused: nothing here lasts less than nothing.

use std::time::Duration;

/// The units and their nanoseconds; `ms` before `m`, which is its beginning.
const UNITS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Digits of a whole number or of a fraction that are looked at: enough for 31 years in nanoseconds, too few to overflow.
const DIGITS: usize = 18;

/// Reads a duration. `None`: it is none, or longer than centuries.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = 0_u128;
    loop {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        let (unit, nanos) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > DIGITS || fraction.len() > DIGITS {
            return None;
        }
        total += number(whole) * nanos + number(fraction) * nanos / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        rest = &after[unit.len()..];
        if rest.is_empty() {
            return u64::try_from(total).ok().map(Duration::from_nanos);
        }
        if !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn number(digits: &str) -> u128 {
    digits.bytes().fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("0", 0.0),
            ("0s", 0.0),
            ("20ms", 20.0),
            ("1.5s", 1500.0),
            (".5s", 500.0),
            ("2.s", 2000.0),
            ("5m", 300_000.0),
            ("1h30m", 5_400_000.0),
            ("1m1ms", 60_001.0),
            ("+3s", 3000.0),
            ("1500us", 1.5),
            ("1500\u{b5}s", 1.5),
            ("1500\u{3bc}s", 1.5),
            ("2000ns", 0.002),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs_f64(millis / 1000.0)), "{text:?}");
        }
        for text in ["", "5", "s", ".s", "-1s", "1x", "1s ", " 1s", "1s5", "1e3s", "1sm", "9999999999h", &"9".repeat(400)] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn no_number_overflows(text in "([0-9]{0,40}\\.?[0-9]{0,40}(ns|us|ms|s|m|h)){1,40}") {
            let _ = parse(&text);
        }
    }
}
