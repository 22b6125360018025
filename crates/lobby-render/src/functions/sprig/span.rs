//! sprig's functions on spans of time that need no clock. Decides how spans read: as Go prints them.

use lobby_template::{CallError, Type, Value, value::Width};

use super::Named;
use crate::functions::arg::{Given, any, of};

pub(super) fn funcs() -> Vec<Named> {
    vec![
        ("sprig_duration", of(&[Type::Any], |_, args| span(any(args, 0)))),
        ("sprig_durationRound", of(&[Type::Any], |_, args| Ok(rounded(any(args, 0)).into()))),
    ]
}

/// Seconds as `1h1m1s`; as sprig, of a text or an `int64` only.
fn span(value: &Value) -> Given {
    let seconds: i64 = match value {
        Value::Str(text) => text.to_text().parse().unwrap_or(0),
        Value::Int(seconds, Width::W64) => *seconds,
        _ => 0,
    };
    if seconds.checked_mul(1_000_000_000).is_none() {
        return Err(CallError(format!("duration: {seconds} seconds are more than 292 years")));
    }
    let sign = if seconds < 0 { "-" } else { "" };
    let all = seconds.unsigned_abs();
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    Ok(match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
    .into())
}

/// The largest unit of which there is more than one whole, as `2h`; as sprig, without the sign.
fn rounded(value: &Value) -> String {
    const SECOND: u128 = 1_000_000_000;
    const DAY: u128 = 86_400 * SECOND;
    const UNITS: [(u128, &str); 6] =
        [(365 * DAY, "y"), (30 * DAY, "mo"), (DAY, "d"), (3600 * SECOND, "h"), (60 * SECOND, "m"), (SECOND, "s")];
    let nanos = match value {
        Value::Str(text) => {
            let text = text.to_text();
            let text = text.strip_prefix(['+', '-']).unwrap_or(&text);
            lobby_core::duration::parse(text).map_or(0, |span| span.as_nanos())
        }
        Value::Int(nanos, Width::W64) => nanos.unsigned_abs().into(),
        _ => 0,
    };
    let unit = UNITS.into_iter().find(|(unit, _)| nanos > *unit);
    unit.map_or_else(|| "0s".into(), |(unit, name)| format!("{}{name}", nanos / unit))
}
