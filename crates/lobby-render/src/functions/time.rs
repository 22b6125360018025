//! `timestamp`: the time of this evaluation in UTC, in the layouts of Go's package time. Decides which parts of a layout stand
//! for what; time itself comes from the pass.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lobby_template::{CallError, Func, Type, Value};

use super::arg::{Given, fits, text};
use super::{Named, Pass};

/// What `timestamp` prints without a layout.
const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

pub(super) fn funcs(pass: &Arc<Pass>) -> Vec<Named> {
    let pass = pass.clone();
    let timestamp = move |room: usize, args: &[Value]| timestamp(room, pass.time(), args);
    vec![("timestamp", Func::scoped([], Some(Type::Str), move |scope, args| timestamp(scope.room(), args)))]
}

fn timestamp(room: usize, now: SystemTime, args: &[Value]) -> Given {
    let time = Civil::of(now);
    match args {
        [] => Ok(time.format(RFC3339).into()),
        [_] => match &*text(args, 0)? {
            "unix" => Ok(time.unix.to_string().into()),
            layout => {
                // The longest that a character becomes: "September" for "Jan".
                fits(room, layout.len().checked_mul(3))?;
                Ok(time.format(layout).into())
            }
        },
        _ => Err(CallError(format!("timestamp: wrong number of arguments, expected 0 or 1, but got {}", args.len()))),
    }
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// A moment in UTC.
struct Civil {
    unix: i64,
    nanos: u32,
    year: i64,
    /// From 0.
    month: usize,
    day: i64,
    /// From 1.
    day_of_year: i64,
    /// From 0, which was a Thursday.
    weekday: usize,
    second_of_day: i64,
}

impl Civil {
    fn of(time: SystemTime) -> Self {
        let (unix, nanos) = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => (since.as_secs() as i64, since.subsec_nanos()),
            Err(before) => (-(before.duration().as_secs() as i64), 0),
        };
        let days = unix.div_euclid(86_400);
        // Years begin in March here, so that the day that some have more is the last one; 400 of them have 146,097 days.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let month = (month_from_march + 2) % 12;
        let year = year_of_era + era * 400 + i64::from(month < 2);
        let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let day_of_year = if month < 2 { day_from_march - 305 } else { day_from_march + 60 + i64::from(is_leap) };
        Self {
            unix,
            nanos,
            year,
            month: month as usize,
            day: day_from_march - (153 * month_from_march + 2) / 5 + 1,
            day_of_year,
            weekday: days.rem_euclid(7) as usize,
            second_of_day: unix.rem_euclid(86_400),
        }
    }

    /// As Go's `Time.Format`.
    fn format(&self, layout: &str) -> String {
        let mut text = String::new();
        let mut rest = layout;
        while let Some(c) = rest.chars().next() {
            match self.part(rest) {
                Some((part, length)) => {
                    text.push_str(&part);
                    rest = &rest[length..];
                }
                None => {
                    text.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        text
    }

    /// What the beginning of a layout stands for, and how long that beginning is; None: for itself.
    fn part(&self, layout: &str) -> Option<(String, usize)> {
        let starts = |part: &str| layout.starts_with(part);
        let is_word = |length: usize| !layout[length..].starts_with(|c: char| c.is_ascii_lowercase());
        let (month, weekday) = (MONTHS[self.month], DAYS[self.weekday]);
        let (hour, minute, second) = (self.second_of_day / 3600, self.second_of_day / 60 % 60, self.second_of_day % 60);
        let half = (hour + 11) % 12 + 1;
        let found = match layout.as_bytes().first()? {
            b'J' if starts("January") => (month.into(), 7),
            b'J' if starts("Jan") && is_word(3) => (month[..3].into(), 3),
            b'M' if starts("Monday") => (weekday.into(), 6),
            b'M' if starts("Mon") && is_word(3) => (weekday[..3].into(), 3),
            b'M' if starts("MST") => ("UTC".into(), 3),
            b'0' if starts("002") => (format!("{:03}", self.day_of_year), 3),
            b'0' if starts("01") => (format!("{:02}", self.month + 1), 2),
            b'0' if starts("02") => (format!("{:02}", self.day), 2),
            b'0' if starts("03") => (format!("{half:02}"), 2),
            b'0' if starts("04") => (format!("{minute:02}"), 2),
            b'0' if starts("05") => (format!("{second:02}"), 2),
            b'0' if starts("06") => (format!("{:02}", self.year.rem_euclid(100)), 2),
            b'1' if starts("15") => (format!("{hour:02}"), 2),
            b'1' => ((self.month + 1).to_string(), 1),
            b'2' if starts("2006") => (format!("{:04}", self.year), 4),
            b'2' => (self.day.to_string(), 1),
            b'_' if starts("_2006") => (format!("_{:04}", self.year), 5),
            b'_' if starts("__2") => (format!("{:3}", self.day_of_year), 3),
            b'_' if starts("_2") => (format!("{:2}", self.day), 2),
            b'3' => (half.to_string(), 1),
            b'4' => (minute.to_string(), 1),
            b'5' => (second.to_string(), 1),
            b'P' if starts("PM") => (if hour < 12 { "AM" } else { "PM" }.into(), 2),
            b'p' if starts("pm") => (if hour < 12 { "am" } else { "pm" }.into(), 2),
            b'-' | b'Z' => return zone(layout),
            b'.' | b',' => return self.fraction(layout),
            _ => return None,
        };
        Some(found)
    }

    /// `.000` has all digits, `.999` none that are only zeros.
    fn fraction(&self, layout: &str) -> Option<(String, usize)> {
        let digit = layout.as_bytes().get(1).copied().filter(|digit| matches!(digit, b'0' | b'9'))?;
        let count = layout.bytes().skip(1).take_while(|byte| *byte == digit).count();
        if layout.as_bytes().get(1 + count).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let nanos = format!("{:09}", self.nanos);
        let digits = &nanos[..count.min(9)];
        let text = match digit {
            b'9' => digits.trim_end_matches('0'),
            _ => digits,
        };
        let separator = if text.is_empty() { "" } else { &layout[..1] };
        Some((format!("{separator}{text}"), 1 + count))
    }
}

/// UTC as a zone.
fn zone(layout: &str) -> Option<(String, usize)> {
    const ZONES: [(&str, &str); 10] = [
        ("Z070000", "Z"),
        ("Z07:00:00", "Z"),
        ("Z0700", "Z"),
        ("Z07:00", "Z"),
        ("Z07", "Z"),
        ("-070000", "+000000"),
        ("-07:00:00", "+00:00:00"),
        ("-0700", "+0000"),
        ("-07:00", "+00:00"),
        ("-07", "+00"),
    ];
    let (zone, text) = ZONES.into_iter().find(|(zone, _)| layout.starts_with(zone))?;
    Some((text.into(), zone.len()))
}
