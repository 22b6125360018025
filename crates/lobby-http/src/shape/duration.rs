//! Durations as Go writes them, which is how Consul shows those of checks.
//!
//! Not here: reading them (the module `duration` of the crate).

use std::{fmt::Write, time::Duration};

/// A duration as Go writes it, such as `10s`, `1m30s`, `20ms`; empty for none.
pub(crate) fn duration(duration: Duration) -> String {
    let mut text = String::new();
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    // Parts of a unit are written with as many digits as they need.
    let parts = |whole: u64, part: u32, digits: usize, unit: &str| {
        let fraction = format!("{part:0digits$}");
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { format!("{whole}{unit}") } else { format!("{whole}.{fraction}{unit}") }
    };
    match (seconds, nanos) {
        (0, 0) => return text,
        (0, 1..1_000) => return format!("{nanos}ns"),
        (0, 1_000..1_000_000) => return parts(u64::from(nanos / 1_000), nanos % 1_000, 3, "\u{b5}s"),
        (0, _) => return parts(u64::from(nanos / 1_000_000), nanos % 1_000_000, 6, "ms"),
        _ => {}
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    // Writing to a text does not fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if seconds >= 60 {
        let _ = write!(text, "{minutes}m");
    }
    text + &parts(seconds % 60, nanos, 9, "s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        for (nanos, want) in [
            (0, ""),
            (7, "7ns"),
            (1_500, "1.5\u{b5}s"),
            (20_000_000, "20ms"),
            (1_500_000, "1.5ms"),
            (999_999_999, "999.999999ms"),
            (10_000_000_000, "10s"),
            (1_000_000_001, "1.000000001s"),
            (90_000_000_000, "1m30s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_400_500_000_000, "1h30m0.5s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), want, "{nanos}");
        }
    }
}
