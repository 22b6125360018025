//! What is said on standard error, in consul-template's form: `2026-11-22T14:32:52.123Z [WARN] (runner) message key=value`.
//!
//! Not a library: one form, one output, and the level is the only setting. Others' libraries are not heard.

use std::{
    error::Error,
    fmt::{self, Write as _},
    io::{self, Write as _},
    sync::atomic::{AtomicU8, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use lobby_render::config::LogLevel;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};

/// The least important lines that are shown.
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Warn as u8);

struct Log;

/// Lines of this process are shown from now on.
pub(crate) fn begin() {
    // Only a second call could fail, and would change nothing.
    let _ = tracing::subscriber::set_global_default(Log);
}

/// Shows lines of this level and above.
pub(crate) fn show(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "no test of this program moves the clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// An error and its causes in one line. Some name their cause themselves.
pub(crate) fn chain(err: &(dyn Error + 'static)) -> String {
    let mut said = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let text = err.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = err.source();
    }
    said
}

impl Subscriber for Log {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level changes when the configuration is read.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("lobby")
            && of(*metadata.level()) as u8 >= LEVEL.load(Ordering::Relaxed)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line::default();
        event.record(&mut line);
        let (time, level, part) = (stamp(now()), name(of(*metadata.level())), part(metadata.target()));
        // That nobody reads it ends nothing.
        let _ = writeln!(io::stderr(), "{time} [{level}] ({part}) {}{}", line.message, line.fields);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message of an event, and its other fields behind it.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

fn of(level: Level) -> LogLevel {
    match level {
        Level::TRACE => LogLevel::Trace,
        Level::DEBUG => LogLevel::Debug,
        Level::INFO => LogLevel::Info,
        Level::WARN => LogLevel::Warn,
        Level::ERROR => LogLevel::Err,
    }
}

fn name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "TRACE",
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warn => "WARN",
        LogLevel::Err => "ERR",
    }
}

/// Who speaks: a module of lobby-render, or this program.
fn part(target: &str) -> &str {
    target.strip_prefix("lobby_render::").map_or("cli", |module| module.split("::").next().unwrap_or(module))
}

/// A time in UTC with milliseconds; times before 1970 are its beginning.
fn stamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years begin with March here, so that a leap day is the last one; 719 468 days before 1970 a cycle of 400 years began.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let of_year = |year: u64| of_era - (365 * year + year / 4 - year / 100);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let month = (5 * of_year(year) + 2) / 153;
    let day = of_year(year) - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next_year;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        for (millis, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_001, "2000-03-01T00:00:00.001Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(stamp(UNIX_EPOCH + Duration::from_millis(millis)), want);
        }
    }

    #[test]
    fn parts_are_modules_of_the_runner() {
        let got = ["lobby_render::runner::pass", "lobby_render::unit", "lobbyctl::cmd::template"].map(part);
        assert_eq!(got, ["runner", "unit", "cli"]);
    }
}
