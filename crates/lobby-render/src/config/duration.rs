//! Spans of time as configurations have them: Go's words, or a number of nanoseconds; and pairs of them for `wait`.
//!
//! The words themselves are read by `lobby_core::duration`.

use std::time::Duration;

use super::value::Value;
use crate::settings::Wait;

/// What a span may be, for errors.
pub(super) const ACCEPTED: &str = "a duration as \"1h2m\" or \"300ms\", or a number of nanoseconds, not negative";
/// What a wait may be, for errors.
pub(super) const WAIT_ACCEPTED: &str = "\"MIN\" or \"MIN:MAX\" in durations as \"5s:10s\", with MAX not below MIN";
/// A wait without a longest time takes this many times the shortest; consul-template's number.
const MAX_FACTOR: u32 = 4;

/// A span of a value.
pub(super) fn read(value: &Value) -> Option<Duration> {
    match value {
        Value::Text(text) => lobby_core::duration::parse(text.trim()),
        Value::Int(nanos) => u64::try_from(*nanos).ok().map(Duration::from_nanos),
        _ => None,
    }
}

/// `MIN[:MAX]`
pub(super) fn read_wait(text: &str) -> Option<Wait> {
    let (min, max) = text.split_once(':').map_or((text, None), |(min, max)| (min, Some(max)));
    let min = lobby_core::duration::parse(min.trim())?;
    let max = max.map(|max| lobby_core::duration::parse(max.trim()).ok_or(())).transpose().ok()?;
    wait(min, max)
}

/// A wait of its two times. `None`: the longest is below the shortest.
pub(super) fn wait(min: Duration, max: Option<Duration>) -> Option<Wait> {
    let max = max.unwrap_or_else(|| min.saturating_mul(MAX_FACTOR));
    (max >= min).then_some(Wait { min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let text = |text: &str| Value::Text(text.into());
        for (value, want) in [
            (text("1h2m"), Some(Duration::from_secs(3720))),
            (text("300ms"), Some(Duration::from_millis(300))),
            (text(" 0s "), Some(Duration::ZERO)),
            (Value::Int(250_000_000), Some(Duration::from_millis(250))),
            (Value::Int(0), Some(Duration::ZERO)),
            (Value::Int(-1), None),
            (Value::Float(1.0), None),
            (Value::Bool(true), None),
            (text("-1s"), None),
            (text("10"), None),
            (text(""), None),
        ] {
            assert_eq!(read(&value), want, "{value:?}");
        }
    }

    #[test]
    fn waits() {
        let wait = |min, max| Some(Wait { min: Duration::from_secs(min), max: Duration::from_secs(max) });
        for (text, want) in [
            ("5s", wait(5, 20)),
            ("5s:10s", wait(5, 10)),
            ("5s : 5s", wait(5, 5)),
            ("0", wait(0, 0)),
            ("10s:5s", None),
            ("-5s", None),
            ("5s:-1s", None),
            ("5s:", None),
            (":5s", None),
            ("5s:10s:15s", None),
            ("", None),
        ] {
            assert_eq!(read_wait(text), want, "{text:?}");
        }
    }
}
