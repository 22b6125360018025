//! The top-level `haproxy` of Synapse, and that of a service. Decides what has to be there, as Synapse does.

use std::time::Duration;

use crate::{
    config::{ConfigError, haproxy::least_interval, section::Section},
    settings::{Bind, Cookie, Haproxy, HaproxyService, Order},
};

/// The whole. `is_reloaded`: also without a command.
pub(super) fn read(section: Section<'_>, is_reloaded: bool) -> Result<Haproxy, ConfigError> {
    let fallback = Haproxy::default();
    let haproxy = Haproxy {
        global: section.lines("global")?.ok_or_else(|| section.missing("global", "a list of lines"))?,
        is_global_ours: false,
        defaults: section.lines("defaults")?.ok_or_else(|| section.missing("defaults", "a list of lines"))?,
        extra_sections: section.titled_lines("extra_sections")?,
        shared_frontend: section.lines("shared_frontend")?,
        do_writes: section.flag("do_writes", true)?,
        do_reloads: section.flag("do_reloads", true)?,
        do_socket: section.flag("do_socket", true)?,
        do_checks: section.flag("do_checks", false)?,
        config_file_path: section.file("config_file_path")?,
        candidate_config_file_path: section.file("candidate_config_file_path")?,
        sockets: section.files("socket_file_path")?,
        reload_command: section.shell("reload_command")?,
        check_command: section.shell("check_command")?,
        // Not Synapse's: so that newer keywords may be written.
        version: section.parsed("haproxy_version")?,
        bind_address: section.word("bind_address")?.unwrap_or(fallback.bind_address),
        restart_interval: least_interval(
            &section,
            "restart_interval",
            section.seconds("restart_interval", fallback.restart_interval, Duration::ZERO)?,
        ),
        restart_jitter: section.number("restart_jitter", 0.0..=1000.0)?.unwrap_or_default(),
        state_file_path: section.file("state_file_path")?,
        memory_folder: None,
        state_file_ttl: section.seconds("state_file_ttl", fallback.state_file_ttl, Duration::ZERO)?,
        server_order_seed: section.whole("server_order_seed", 0..=u64::MAX)?,
        max_server_id: max_server_id(&section)?.unwrap_or(fallback.max_server_id),
        use_nerve_weights: section.flag("use_nerve_weights", false)?,
        master_socket: None,
        program: None,
        manage: false,
        drain: fallback.drain,
    };
    let needs = [
        (haproxy.do_writes && haproxy.config_file_path.is_none(), "config_file_path", "a path, for do_writes is true"),
        (
            haproxy.do_reloads && haproxy.reload_command.is_none() && !is_reloaded,
            "reload_command",
            "a command, for do_reloads is true",
        ),
        (haproxy.do_socket && haproxy.sockets.is_empty(), "socket_file_path", "a path or several, for do_socket is true"),
        (haproxy.do_checks && haproxy.check_command.is_none(), "check_command", "a command, for do_checks is true"),
        (
            haproxy.do_checks && haproxy.candidate_config_file_path.is_none(),
            "candidate_config_file_path",
            "a path that check_command checks, for do_checks is true",
        ),
    ];
    if let Some((_, key, accepted)) = needs.into_iter().find(|(is_missing, ..)| *is_missing) {
        return Err(section.missing(key, accepted));
    }
    section.done()?;
    Ok(haproxy)
}

fn max_server_id(section: &Section<'_>) -> Result<Option<u32>, ConfigError> {
    let id = section.whole("max_server_id", 1..=u64::from(i32::MAX.unsigned_abs()))?;
    Ok(id.and_then(|id| u32::try_from(id).ok()))
}

/// What a service's `haproxy` says of the service itself.
#[derive(Debug, Default)]
pub(super) struct OfService {
    /// None: disabled.
    pub(super) service: Option<HaproxyService>,
    /// `server_port_override`
    pub(super) port_override: Option<u16>,
    /// `server_backup_port`
    pub(super) backup_port: Option<u16>,
    /// `use_nerve_weights`
    pub(super) has_weights: bool,
}

/// Of one service.
pub(super) fn of_service(section: Section<'_>) -> Result<OfService, ConfigError> {
    let is_disabled = section.flag("disabled", false)?;
    let bind = match (section.raw("port"), section.port("port")?) {
        (None, _) => Bind::Nowhere,
        (Some(_), Some(port)) => Bind::Port(port),
        (Some(_), None) => Bind::Address,
    };
    let lines = |key| section.lines(key).map(Option::unwrap_or_default);
    let service = HaproxyService {
        bind,
        bind_address: section.word("bind_address")?,
        bind_options: section.text("bind_options")?.unwrap_or_default(),
        frontend: lines("frontend")?,
        backend: lines("backend")?,
        listen: lines("listen")?,
        shared_frontend: lines("shared_frontend")?,
        backend_name: section.word("backend_name")?,
        server_options: section.text("server_options")?.unwrap_or_default(),
        backend_order: order(&section, "backend_order", Order::Shuffled)?,
        cookie_value_method: section
            .choice("cookie_value_method", &[("name", Cookie::Name), ("hash", Cookie::Hash)])?
            .unwrap_or_default(),
    };
    let of_service = OfService {
        service: (!is_disabled).then_some(service),
        port_override: section.port("server_port_override")?,
        backup_port: section.port("server_backup_port")?,
        has_weights: section.flag("use_nerve_weights", false)?,
    };
    section.done()?;
    Ok(of_service)
}

/// Words that Synapse does not know are a shuffle there.
pub(super) fn order(section: &Section<'_>, key: &'static str, default: Order) -> Result<Order, ConfigError> {
    Ok(match section.text(key)?.as_deref() {
        None => default,
        Some("asc") => Order::Ascending,
        Some("desc") => Order::Descending,
        Some("no_shuffle") => Order::Found,
        Some("shuffle") => Order::Shuffled,
        Some(_) => {
            section.warn(key, "none of asc, desc, no_shuffle and shuffle, so it is shuffled");
            Order::Shuffled
        }
    })
}
