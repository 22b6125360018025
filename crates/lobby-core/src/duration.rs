//! Durations as Consul and its clients write them, in Go's words: `1h30m`, `1.5s`, `20ms`, `0`.
//!
//! A bare number is none, but for zero. Negative ones are refused: nothing here lasts less than nothing. What is printed
//! is read back as the same. Not here: numbers of nanoseconds in bodies (`wire::definition`).

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
pub fn parse(text: &str) -> Option<Duration> {
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

/// Prints a duration as Go does: `10s`, `1m0s`, `1h0m30s`, `20ms`, `0s`.
pub fn text(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 {
        return match nanos {
            0 => "0s".into(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => with_fraction(nanos / 1_000, nanos % 1_000, 3, "\u{b5}s"),
            _ => with_fraction(nanos / 1_000_000, nanos % 1_000_000, 6, "ms"),
        };
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = with_fraction(seconds % 60, nanos, 9, "s");
    match (hours, minutes) {
        (0, 0) => rest,
        (0, _) => format!("{minutes}m{rest}"),
        _ => format!("{hours}h{minutes}m{rest}"),
    }
}

fn with_fraction(whole: impl std::fmt::Display, fraction: u32, digits: usize, unit: &str) -> String {
    if fraction == 0 {
        return format!("{whole}{unit}");
    }
    let fraction = format!("{fraction:0digits$}");
    format!("{whole}.{}{unit}", fraction.trim_end_matches('0'))
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

    #[test]
    fn printed() {
        for (nanos, want) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (20_000_000, "20ms"),
            (1_000_001, "1.000001ms"),
            (1_500_000_000, "1.5s"),
            (10_000_000_000, "10s"),
            (60_000_000_000, "1m0s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_001, "1h0m0.000000001s"),
            (5_400_000_000_000, "1h30m0s"),
        ] {
            assert_eq!(text(Duration::from_nanos(nanos)), want);
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

        #[test]
        fn what_is_printed_is_read_back(nanos: u64, shift in 0_u32..64) {
            let duration = Duration::from_nanos(nanos >> shift);
            prop_assert_eq!(parse(&text(duration)), Some(duration));
        }
    }
}
