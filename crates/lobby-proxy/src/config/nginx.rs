//! `[proxy.nginx]`: upstream files that a hand-written configuration includes, or the whole file.

use std::time::Duration;

use super::{
    error::ConfigError,
    haproxy::least_interval,
    section::{Section, value_error},
    tree::Value,
};
use crate::settings::{Contexts, Nginx};

/// At least between two reloads, as Synapse's plugin has it: changes in between are one reload.
const INTERVAL: Duration = Duration::from_secs(2);

/// Directives, each a text of its own, which may go over several lines.
pub(crate) fn directives(section: &Section<'_>, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
    let refused = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    let one = |(path, value): (String, &Value)| match value {
        Value::Text(text) if !text.contains(refused) => Ok(text.trim_end().replace('\r', " ")),
        other => Err(value_error(path, other, "a directive: a text without control characters")),
    };
    section.list(key)?.map(|list| list.into_iter().map(one).collect()).transpose()
}

/// Words of one directive, which they must not end.
pub(crate) fn directive_words(section: &Section<'_>, key: &'static str) -> Result<String, ConfigError> {
    let text = section.text(key)?.unwrap_or_default();
    match text.contains([';', '{', '}', '#']) {
        true => Err(section.refuse(key, "words of one directive, without ; { } and #")),
        false => Ok(text),
    }
}

/// The keys of the section.
pub(super) fn read(section: Section<'_>) -> Result<Nginx, ConfigError> {
    let lines = |key| section.single_lines(key).map(Option::unwrap_or_default);
    let contexts = Contexts { main: lines("main")?, events: lines("events")?, http: lines("http")?, stream: lines("stream")? };
    let (upstreams, config) = (section.absolute("upstreams")?, section.absolute("config")?);
    if upstreams.is_some() && config.is_some() {
        return Err(section.refuse("config", "nothing beside `upstreams`: either the whole file or a folder for upstream files"));
    }
    if upstreams.is_none() && config.is_none() {
        return Err(section.missing("upstreams", "either a folder for upstream files, or `config`, the whole file"));
    }
    if config.is_none() && contexts != Contexts::default() {
        return Err(section.missing("config", "the whole file, for main, events, http or stream stand there"));
    }
    let nginx = Nginx {
        contexts: config.is_some().then_some(contexts),
        config_file_path: config,
        upstreams,
        do_writes: true,
        do_reloads: true,
        check_command: section.shell("check_command")?,
        reload_command: section.shell("reload_command")?,
        start_command: section.shell("start_command")?,
        restart_interval: least_interval(&section, "reload_interval", section.span("reload_interval", INTERVAL, Duration::ZERO)?),
        restart_jitter: section.number("reload_jitter", 0.0..=10.0)?.unwrap_or_default(),
        listen_address: section
            .unbroken("listen", "an address without blanks, such as 127.0.0.1")?
            .unwrap_or_else(|| "127.0.0.1".into()),
    };
    section.done()?;
    Ok(nginx)
}
