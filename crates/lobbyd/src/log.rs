//! The log: to stderr, as text for people or as JSON for machines.

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// The NATS library tells every event at `info`; our own lines say the same once.
const QUIET: &str = "async_nats=warn";

/// Starts logging. The configuration has checked that the filter is one.
pub(crate) fn start(filter: &str, format: LogFormat) {
    let filter = EnvFilter::new(if filter.contains("async_nats") { filter.into() } else { format!("{filter},{QUIET}") });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
