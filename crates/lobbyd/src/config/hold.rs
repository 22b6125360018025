//! When silence is not believed, and for how long.
//!
//! Not here: the rule itself (`lobby_core::hold`).

use std::{ops::RangeInclusive, time::Duration};

use lobby_core::hold::Rule;

use super::{ConfigError, Read};

/// Below a second the word of a second exchange (1 s) would come too late. A failed node is forgotten after an hour.
const SECONDS: RangeInclusive<f64> = 1.0..=3600.0;

pub(super) fn rule(read: &Read<'_>) -> Result<Rule, ConfigError> {
    Ok(Rule { threshold: threshold(read)?, window: seconds(read, "HOLD_WINDOW")?, max: seconds(read, "HOLD_MAX")? })
}

/// `off` is a share that is never passed.
fn threshold(read: &Read<'_>) -> Result<u8, ConfigError> {
    let expected = "percent, a whole number from 1 to 100, or off";
    match read.text("HOLD_THRESHOLD") {
        "off" => Ok(100),
        _ => match read.parse("HOLD_THRESHOLD", expected)? {
            percent @ 1..=100 => Ok(percent),
            _ => Err(read.refuse("HOLD_THRESHOLD", expected)),
        },
    }
}

fn seconds(read: &Read<'_>, name: &'static str) -> Result<Duration, ConfigError> {
    let expected = "seconds, from 1 to 3600, fractions allowed";
    let seconds: f64 = read.parse(name, expected)?;
    if SECONDS.contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(read.refuse(name, expected)) }
}
