//! Pieces of text that several verbs show: states, ages, times, names.
//!
//! Not here: how rows become lines (`output`).

use std::time::Duration;

use lobby::client::Instance;

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

/// What is made of an instance, in the words of `why`.
pub(crate) fn verdict(word: &str) -> Cell {
    let tone = match word {
        "passing" => Tone::Good,
        "critical" | "failed" => Tone::Bad,
        _ => Tone::Doubtful,
    };
    Cell(tone, word.into())
}

/// The status of an instance, and what else keeps work from it.
pub(crate) fn status(instance: &Instance) -> Cell {
    let Cell(tone, mut text) = verdict(if instance.maintenance { "maintenance" } else { &instance.status });
    if !instance.drain {
        return Cell(tone, text);
    }
    text.push_str(", draining");
    Cell(if tone == Tone::Good { Tone::Doubtful } else { tone }, text)
}

/// Where an instance is reached.
pub(crate) fn endpoint(instance: &Instance) -> String {
    let Instance { address, port, .. } = instance;
    match (address.as_str(), port) {
        ("", _) => "-".into(),
        (address, 0) => address.into(),
        (address, port) if address.contains(':') => format!("[{address}]:{port}"),
        (address, port) => format!("{address}:{port}"),
    }
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
    fn instances_in_short() {
        let instance = |address: &str, port, status: &str, maintenance, drain| Instance {
            address: address.into(),
            port,
            status: status.into(),
            maintenance,
            drain,
            ..Instance::default()
        };
        for (instance, address, text, tone) in [
            (instance("", 7, "passing", false, false), "-", "passing", Tone::Good),
            (instance("h", 0, "passing", false, true), "h", "passing, draining", Tone::Doubtful),
            (instance("h", 7, "critical", false, true), "h:7", "critical, draining", Tone::Bad),
            (instance("::1", 7, "critical", true, false), "[::1]:7", "maintenance", Tone::Doubtful),
        ] {
            let Cell(got, word) = status(&instance);
            assert_eq!((endpoint(&instance).as_str(), word.as_str(), got), (address, text, tone));
        }
    }

    #[test]
    fn round_trips_have_the_digits_that_mean_something() {
        for (value, want) in [(0.0, "0.00 ms"), (0.156, "0.16 ms"), (9.9, "9.90 ms"), (12.345, "12.3 ms"), (250.0, "250.0 ms")] {
            assert_eq!(millis(value), want);
        }
    }
}
