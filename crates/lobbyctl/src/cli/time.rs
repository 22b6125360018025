//! Times as people type them: a number and its unit.
//!
//! Not here: how long each may be (where it is used).

use std::time::Duration;

/// A number of seconds, or with the unit ms, s, m or h.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// The same for an option that may be anything up to an hour.
pub(crate) fn option(text: &str) -> Result<Duration, String> {
    let time = parse(text).filter(|time| *time <= Duration::from_secs(3600));
    time.ok_or_else(|| "expected a time up to 1h, such as 500ms or 2s".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_its_unit() {
        for (text, millis) in [("0", 0), ("2s", 2000), ("500ms", 500), ("1.5m", 90_000), ("1h", 3_600_000)] {
            assert_eq!(option(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1 s", "1d", "NaN", "inf", "1e300", "61m", "1m30s"] {
            assert!(option(text).is_err(), "{text}");
        }
    }
}
