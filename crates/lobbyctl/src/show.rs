//! Pieces of text that several verbs show: states, ages, times, names.
//!
//! Not here: how rows become lines (`output`).

use std::time::Duration;

use crate::output::{Cell, Tone};

/// The state of a node or member.
pub(crate) fn state(state: &str) -> Cell {
    let tone = match state {
        "alive" => Tone::Good,
        "failed" | "left" => Tone::Bad,
        _ => Tone::Doubtful,
    };
    Cell(tone, state.into())
}

pub(crate) fn or_dash(text: impl Into<String>) -> String {
    Some(text.into()).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".into())
}

/// The beginning of an id, which is enough for people.
pub(crate) fn short(id: &str) -> String {
    or_dash(id.chars().take(8).collect::<String>())
}

/// A node by its name, or else by its id.
pub(crate) fn node<'a>(name: Option<&'a str>, id: &'a str) -> &'a str {
    name.filter(|name| !name.is_empty()).unwrap_or(id)
}

/// How long ago, in the largest unit that fits.
pub(crate) fn ago(age: Duration) -> String {
    match age.as_secs() {
        0 => "now".into(),
        secs @ 1..120 => format!("{secs} s ago"),
        secs @ 120..7200 => format!("{} min ago", secs / 60),
        secs => format!("{} h ago", secs / 3600),
    }
}

/// Milliseconds with as many digits as mean something.
pub(crate) fn millis(millis: f64) -> String {
    let digits = if millis < 10.0 { 2 } else { 1 };
    format!("{millis:.digits$} ms")
}

/// A number and what is counted.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What somebody sent: text if it is, with what is no text replaced, without the line end that most programs add.
pub(crate) fn payload(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches(['\r', '\n']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (secs, want) in [(0, "now"), (1, "1 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago")] {
            assert_eq!(ago(Duration::from_secs(secs)), want);
        }
    }

    #[test]
    fn round_trips_have_the_digits_that_mean_something() {
        for (value, want) in [(0.0, "0.00 ms"), (0.156, "0.16 ms"), (9.9, "9.90 ms"), (12.345, "12.3 ms"), (250.0, "250.0 ms")] {
            assert_eq!(millis(value), want);
        }
    }
}
