//! The log: to stderr, as text for people or as JSON for machines, and to whoever monitors it over HTTP; and what its filter
//! may say.
//!
//! Monitors have levels of their own, which may be lower than that of stderr. What they want is known to the tracing library
//! itself: while nobody wants it, an event that stderr does not show costs no more than without them.
//! Not here: who listens, and how many (`lobby_core::port::log`).

use std::io;

use lobby_core::port::log::{Form, Level, Log};
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt, ParseError, Targets, filter_fn},
    fmt::{self, MakeWriter},
    layer::{Context, Filter, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::LogFormat;

/// The NATS library tells every event at `info`; our own lines say the same once.
const QUIET: &str = "async_nats=warn";

/// What it tells in more detail has the password of the server's address in it.
const TELLS_PASSWORDS: &str = "async_nats";

/// What the targets of our own crates begin with.
const OURS: &str = "lobby";

/// Reads a filter: levels, modules and `module=level`, with commas between them.
pub(crate) fn filter(text: &str) -> Result<Targets, ParseError> {
    let mut parts: Vec<_> = text.split(',').filter(|part| !part.is_empty()).collect();
    if !text.contains("async_nats") {
        parts.push(QUIET);
    }
    parts.join(",").parse()
}

/// Starts logging.
pub(crate) fn start(filter: Targets, format: LogFormat) -> Log {
    let stderr = fmt::layer().with_writer(io::stderr).with_target(false);
    let stderr = match format {
        LogFormat::Text => stderr.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Json => stderr.json().flatten_event(true).boxed(),
    };
    let log = Log::new(tracing::callsite::rebuild_interest_cache);
    monitored(tracing_subscriber::registry().with(stderr.with_filter(filter.and(filter_fn(tells_no_password)))), &log).init();
    log
}

/// Whether an event may be shown, whatever the filter says.
fn tells_no_password(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= tracing::Level::INFO || !metadata.target().starts_with(TELLS_PASSWORDS)
}

/// The same, with all monitors.
fn monitored<S>(subscriber: S, log: &Log) -> impl Subscriber + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    subscriber.with(monitors(log, Form::Text)).with(monitors(log, Form::Json))
}

/// Writes for all monitors that want this form.
fn monitors<S: Subscriber + for<'a> LookupSpan<'a>>(log: &Log, form: Form) -> impl Layer<S> + use<S> {
    let lines = Lines { log: log.clone(), form };
    let layer = fmt::layer().with_writer(lines.clone()).with_target(false).with_ansi(false);
    let layer = match form {
        Form::Text => layer.boxed(),
        Form::Json => layer.json().flatten_event(true).boxed(),
    };
    layer.with_filter(lines)
}

/// The lines of one form.
#[derive(Clone)]
struct Lines {
    log: Log,
    form: Form,
}

/// One line on its way.
struct Line<'a> {
    lines: &'a Lines,
    level: Level,
}

impl Lines {
    /// Whether anybody wants this. Of other libraries only what is urgent: what they say of each write would be written by
    /// them too, without end.
    fn wants(&self, event: &Metadata<'_>) -> bool {
        let level = level(*event.level());
        let is_of_interest = level <= Level::Warn || event.target().starts_with(OURS);
        event.is_event() && is_of_interest && self.log.wanted(self.form) >= Some(level)
    }
}

impl<S> Filter<S> for Lines {
    fn enabled(&self, event: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(event)
    }

    fn callsite_enabled(&self, event: &'static Metadata<'static>) -> Interest {
        if self.wants(event) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.log.wanted(self.form) {
            None => LevelFilter::OFF,
            Some(Level::Error) => LevelFilter::ERROR,
            Some(Level::Warn) => LevelFilter::WARN,
            Some(Level::Info) => LevelFilter::INFO,
            Some(Level::Debug) => LevelFilter::DEBUG,
            Some(Level::Trace) => LevelFilter::TRACE,
        })
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, level: Level::Error }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, level: level(*event.level()) }
    }
}

impl io::Write for Line<'_> {
    /// The library writes each line in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.log.put(self.lines.form, self.level, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

#[cfg(test)]
mod tests {
    use tracing::event_enabled;

    use super::*;

    #[test]
    fn what_nobody_listens_to_is_not_even_made() {
        let log = Log::new(tracing::callsite::rebuild_interest_cache);
        let quiet = fmt::layer().with_writer(io::sink).with_filter(LevelFilter::ERROR);
        let subscriber = monitored(tracing_subscriber::registry().with(quiet), &log);
        tracing::subscriber::with_default(subscriber, || {
            let is_made = || {
                [
                    event_enabled!(tracing::Level::ERROR),
                    event_enabled!(tracing::Level::INFO),
                    event_enabled!(tracing::Level::DEBUG),
                    event_enabled!(target: "hyper", tracing::Level::WARN),
                    event_enabled!(target: "hyper", tracing::Level::INFO),
                ]
            };
            assert_eq!(is_made(), [true, false, false, false, false]);
            let info = log.monitor(Form::Json, Level::Info);
            assert_eq!(is_made(), [true, true, false, true, false]);
            let debug = log.monitor(Form::Text, Level::Debug);
            assert_eq!(is_made(), [true, true, true, true, false]);
            drop(debug);
            assert_eq!(is_made(), [true, true, false, true, false]);
            drop(info);
            assert_eq!((is_made(), LevelFilter::current()), ([true, false, false, false, false], LevelFilter::ERROR));
        });
    }

    #[test]
    fn a_library_that_tells_passwords_is_not_heard_in_detail_whatever_the_filter_says() {
        let quiet = fmt::layer().with_writer(io::sink);
        let filter = filter("trace,async_nats=trace").unwrap().and(filter_fn(tells_no_password));
        let subscriber = tracing_subscriber::registry().with(quiet.with_filter(filter));
        tracing::subscriber::with_default(subscriber, || {
            assert!(event_enabled!(target: "async_nats::connector", tracing::Level::INFO));
            assert!(!event_enabled!(target: "async_nats::connector", tracing::Level::DEBUG));
            assert!(event_enabled!(target: "lobby", tracing::Level::TRACE));
        });
    }

    #[test]
    fn modules_and_levels_are_picked_and_nats_is_quiet_unless_named() {
        let cases = [
            ("info", "lobby", tracing::Level::INFO, true),
            ("info", "lobby", tracing::Level::DEBUG, false),
            ("info", "async_nats::connector", tracing::Level::INFO, false),
            ("info,async_nats=debug", "async_nats::connector", tracing::Level::DEBUG, true),
            ("lobby_http=debug,warn", "lobby_http::serve", tracing::Level::DEBUG, true),
            ("lobby_http=debug,warn", "lobby", tracing::Level::INFO, false),
            // A comma too many says nothing.
            ("info,", "lobby", tracing::Level::INFO, true),
            (",,info", "lobby", tracing::Level::INFO, true),
            ("lobby_gossip", "lobby_gossip::engine", tracing::Level::TRACE, true),
            ("off", "lobby", tracing::Level::ERROR, false),
        ];
        for (text, module, level, want) in cases {
            assert_eq!(filter(text).unwrap().would_enable(module, &level), want, "{text:?} {module} {level}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in ["a=b=c", "lobby=loud"] {
            assert!(filter(text).is_err(), "{text:?}");
        }
    }
}
