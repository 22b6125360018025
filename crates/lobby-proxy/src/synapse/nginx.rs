//! The top-level `nginx` of Synapse's plugin, and that of a service.

use std::time::Duration;

use crate::{
    config::{
        ConfigError,
        haproxy::least_interval,
        nginx::{directive_words, directives},
        section::Section,
    },
    settings::{Contexts, Nginx, NginxService, Order},
};

/// The plugin's seconds between two restarts.
const INTERVAL: Duration = Duration::from_secs(2);

/// The whole.
pub(super) fn read(section: Section<'_>) -> Result<Nginx, ConfigError> {
    let contexts = section.section("contexts")?.ok_or_else(|| section.missing("contexts", "a map with main and events"))?;
    let needed = |key| directives(&contexts, key)?.ok_or_else(|| contexts.missing(key, "a list of directives without `;`"));
    let nginx = Nginx {
        contexts: Some(Contexts {
            main: needed("main")?,
            events: needed("events")?,
            http: directives(&contexts, "http")?.unwrap_or_default(),
            stream: directives(&contexts, "stream")?.unwrap_or_default(),
        }),
        config_file_path: section.file("config_file_path")?,
        upstreams: None,
        do_writes: section.flag("do_writes", true)?,
        do_reloads: section.flag("do_reloads", true)?,
        check_command: section.shell("check_command")?,
        reload_command: section.shell("reload_command")?,
        start_command: section.shell("start_command")?,
        restart_interval: least_interval(
            &section,
            "restart_interval",
            section.seconds("restart_interval", INTERVAL, Duration::ZERO)?,
        ),
        restart_jitter: section.number("restart_jitter", 0.0..=1000.0)?.unwrap_or_default(),
        listen_address: section.word("listen_address")?.unwrap_or_else(|| "localhost".into()),
    };
    let needs = [
        (nginx.do_writes && nginx.config_file_path.is_none(), "config_file_path", "a path, for do_writes is true"),
        (nginx.do_writes && nginx.check_command.is_none(), "check_command", "a command, for do_writes is true"),
        (nginx.do_reloads && nginx.reload_command.is_none(), "reload_command", "a command, for do_reloads is true"),
        (nginx.do_reloads && nginx.start_command.is_none(), "start_command", "a command, for do_reloads is true"),
    ];
    if let Some((_, key, accepted)) = needs.into_iter().find(|(is_missing, ..)| *is_missing) {
        return Err(section.missing(key, accepted));
    }
    contexts.done()?;
    section.done()?;
    Ok(nginx)
}

/// Of one service; None: disabled.
pub(super) fn of_service(section: Section<'_>) -> Result<Option<NginxService>, ConfigError> {
    let is_disabled = section.flag("disabled", false)?;
    let service = NginxService {
        port: section.port("port")?,
        is_tcp: section.choice("mode", &[("http", false), ("tcp", true)])?.unwrap_or_default(),
        upstream: directives(&section, "upstream")?.unwrap_or_default(),
        server: directives(&section, "server")?.unwrap_or_default(),
        listen_address: section.word("listen_address")?,
        listen_options: directive_words(&section, "listen_options")?,
        upstream_order: super::haproxy::order(&section, "upstream_order", Order::Ascending)?,
        upstream_name: section.word("upstream_name")?,
        server_options: directive_words(&section, "server_options")?,
    };
    section.done()?;
    Ok((!is_disabled).then_some(service))
}
