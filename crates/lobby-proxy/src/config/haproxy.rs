//! `[proxy.haproxy]`. Decides what an HAProxy is like of which nothing but its file is said: sections that serve, sockets
//! beside the file, reloads through its master if we start it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{error::ConfigError, place, section::Section, tree::Value};
use crate::{
    haproxy::{manage, name},
    settings::Haproxy,
};

/// What is started if nothing else is said.
const PROGRAM: &str = "haproxy";
/// Where frontends listen: only programs of this machine reach them.
const LOOPBACK: &str = "127.0.0.1";
/// Of the default `defaults`: a pair of seconds to connect, minutes for slow answers, checks every two seconds.
const DEFAULTS: [&str; 9] = [
    "mode http",
    "timeout connect 5s",
    "timeout client 1m",
    "timeout server 1m",
    "timeout http-request 10s",
    "timeout queue 5s",
    "option redispatch",
    "retries 3",
    "default-server inter 2s fall 2 rise 2",
];
/// Connections of a whole HAProxy: its memory for them is some 150 MB at most, and 4096 fit under usual limits of files.
const MAX_CONNECTIONS: &str = "maxconn 2000";
/// Old processes with long connections end after this.
const HARD_STOP: &str = "hard-stop-after 30m";

/// The keys of the section.
pub(super) fn read(section: Section<'_>) -> Result<Haproxy, ConfigError> {
    let config =
        section.absolute("config")?.ok_or_else(|| section.missing("config", "the path of HAProxy's configuration file"))?;
    if config.is_dir() {
        return Err(section.refuse("config", "the path of a file, and this is a folder"));
    }
    let folder = config.parent().unwrap_or(Path::new("")).to_owned();
    let mut haproxy = Haproxy {
        global: section.single_lines("global")?.unwrap_or_default(),
        defaults: section.single_lines("defaults")?.unwrap_or_else(|| DEFAULTS.map(str::to_owned).into()),
        extra_sections: section.titled_lines("extra")?,
        shared_frontend: section.single_lines("shared_frontend")?,
        candidate_config_file_path: section.absolute("candidate")?,
        config_file_path: Some(config),
        reload_command: section.shell("reload_command")?,
        check_command: check_command(&section)?,
        bind_address: bind(&section)?,
        restart_interval: least_interval(
            &section,
            "reload_interval",
            section.span("reload_interval", Haproxy::default().restart_interval, Duration::ZERO)?,
        ),
        restart_jitter: section.number("reload_jitter", 0.0..=10.0)?.unwrap_or_default(),
        state_file_path: Some(section.absolute("state_file")?.unwrap_or_else(|| folder.join("haproxy-state.json"))),
        state_file_ttl: section.span("state_ttl", Haproxy::default().state_file_ttl, Duration::ZERO)?,
        server_order_seed: section.whole("order_seed", 0..=u64::MAX)?,
        use_nerve_weights: section.flag("weights", true)?,
        ..Haproxy::default()
    };
    let ids = section.whole("max_server_id", 1..=u64::from(i32::MAX.unsigned_abs()))?;
    haproxy.max_server_id = ids.and_then(|id| u32::try_from(id).ok()).unwrap_or(haproxy.max_server_id);
    runtime(&section, &mut haproxy)?;
    sockets(&section, &mut haproxy, &folder)?;
    short_sockets(&section, &haproxy)?;
    if haproxy.manage && haproxy.reload_command.take().is_some() {
        section.warn("reload_command", "not used: a managed HAProxy is reloaded by its master");
    }
    haproxy.do_checks = haproxy.check_command.is_some() || haproxy.program.is_some();
    if haproxy.reload_command.is_none() && !is_reloaded(&section) {
        haproxy.do_reloads = false;
        let none = "not set, nor are manage, master_socket and program: whoever watches the file has to reload";
        section.warn("reload_command", none);
    }
    section.done()?;
    Ok(haproxy)
}

/// Whether there is a way to reload besides a command. A program is one: it is started, and takes the listeners over.
pub(super) fn is_reloaded(section: &Section<'_>) -> bool {
    section.get("manage") == Some(&Value::Bool(true))
        || ["master_socket", "program"].into_iter().any(|key| section.get(key).is_some())
}

/// A reload is a whole new process, and one that fails is tried again: less than this between two is raised to it.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// The interval that is used for one that is said; one that is raised is told.
pub(crate) fn least_interval(section: &Section<'_>, key: &str, said: Duration) -> Duration {
    if said < LEAST_INTERVAL {
        section.warn(key, "less than 1s between two reloads is taken for 1s");
    }
    said.max(LEAST_INTERVAL)
}

/// How the process is reached and what it is: keys that go with a Synapse file too.
pub(super) fn runtime(section: &Section<'_>, haproxy: &mut Haproxy) -> Result<(), ConfigError> {
    haproxy.manage = section.flag("manage", haproxy.manage)?;
    haproxy.drain = section.span("drain", haproxy.drain, Duration::ZERO)?;
    haproxy.program = section.file("program")?.or(haproxy.program.take());
    if haproxy.program.as_ref().is_some_and(|program| program.is_relative() && program.components().count() > 1) {
        return Err(section.refuse("program", "an absolute path, or a name that is looked up in PATH"));
    }
    haproxy.master_socket = section.absolute("master_socket")?.or(haproxy.master_socket.take());
    haproxy.version = section.parsed("version")?.or(haproxy.version);
    if haproxy.manage {
        haproxy.program.get_or_insert_with(|| PROGRAM.into());
        haproxy.master_socket = manage::master_socket(haproxy);
    }
    Ok(())
}

fn bind(section: &Section<'_>) -> Result<String, ConfigError> {
    const ACCEPTED: &str = "an address without blanks, such as 127.0.0.1, or the name of a host";
    let bind = section.unbroken("bind", ACCEPTED)?.unwrap_or_else(|| LOOPBACK.into());
    match place::is_place(&name::address(&bind, 1)) {
        true => Ok(bind),
        false => Err(section.refuse("bind", ACCEPTED)),
    }
}

/// HAProxy opens no longer ones.
fn short_sockets(section: &Section<'_>, haproxy: &Haproxy) -> Result<(), ConfigError> {
    let is_long = |path: &PathBuf| path.as_os_str().len() > place::SOCKET_BYTES;
    let is_masters = haproxy.manage && haproxy.master_socket.iter().any(is_long);
    let key = match haproxy.sockets.iter().any(is_long) {
        true if section.get("socket").is_some() => "socket",
        true if !haproxy.is_global_ours => "global",
        false if is_masters && section.get("master_socket").is_some() => "master_socket",
        false if !is_masters => return Ok(()),
        _ => "config",
    };
    let bytes = place::SOCKET_BYTES;
    Err(section.refuse(key, format!("sockets with paths of {bytes} bytes at most; by default they are beside `config`")))
}

/// The stats sockets: those that are named, or that of `global`, or our own in the default `global`.
fn sockets(section: &Section<'_>, haproxy: &mut Haproxy, folder: &Path) -> Result<(), ConfigError> {
    let is_off = section.get("socket") == Some(&Value::Bool(false));
    if is_off && haproxy.manage {
        return Err(section.refuse("socket", "a path, or nothing, beside `manage`: what we start takes changes over its socket"));
    }
    haproxy.do_socket = !is_off;
    haproxy.sockets = if is_off { Vec::new() } else { section.files("socket")? };
    let is_empty = matches!(section.get("socket"), Some(Value::List(list)) if list.is_empty());
    if is_empty || haproxy.sockets.iter().any(|path| path.is_relative()) {
        return Err(section.refuse("socket", "an absolute path, a list of them (one at least), or false for none"));
    }
    if haproxy.global.is_empty() {
        haproxy.is_global_ours = true;
        haproxy.global = vec![MAX_CONNECTIONS.into(), HARD_STOP.into()];
        if haproxy.do_socket && haproxy.sockets.is_empty() {
            haproxy.sockets = vec![folder.join("haproxy.sock")];
        }
        // Each process of a group has the socket; who may use it is who may use the folder, and its group.
        let line = |path: &PathBuf| format!("stats socket {} mode 660 level admin expose-fd listeners", path.display());
        haproxy.global.extend(haproxy.sockets.iter().map(line));
        if haproxy.sockets.iter().any(|path| path.to_string_lossy().contains(char::is_whitespace)) {
            return Err(section.refuse("socket", "a path without blanks, also of `config`, beside which it is by default"));
        }
    } else if haproxy.do_socket && haproxy.sockets.is_empty() {
        haproxy.sockets = haproxy.global.iter().filter_map(|line| socket_of(line)).collect();
        if haproxy.sockets.is_empty() {
            haproxy.do_socket = false;
            section.warn("global", "has no `stats socket PATH level admin`, and `socket` is not set: each change takes a reload");
        }
    } else if haproxy.do_socket && !haproxy.sockets.iter().any(|path| haproxy.global.iter().any(|line| opens(line, path))) {
        section.warn("socket", "no `stats socket` line of `global` has this path: unless HAProxy has it, nothing answers there");
    }
    Ok(())
}

/// For the shell, with the candidate's path; other braces of templates would be left in it.
fn check_command(section: &Section<'_>) -> Result<Option<String>, ConfigError> {
    let command = section.shell("check_command")?;
    let is_left = |text: &String| text.replace("{{.Path}}", "").replace("{{ .Path }}", "").contains("{{");
    match command.as_ref().is_some_and(is_left) {
        true => Err(section.refuse("check_command", "{{.Path}}, the candidate's path, and no other braces of that kind")),
        false => Ok(command),
    }
}

/// Whether it is a stats socket with this path.
fn opens(line: &str, path: &Path) -> bool {
    let words: Vec<_> = line.split_whitespace().collect();
    matches!(&words[..], ["stats", "socket", named, ..] if Path::new(named.strip_prefix("unix@").unwrap_or(named)) == path)
}

/// The path of a stats socket that takes commands.
fn socket_of(line: &str) -> Option<PathBuf> {
    let words: Vec<_> = line.split_whitespace().collect();
    let ["stats", "socket", path, options @ ..] = &words[..] else { return None };
    let is_admin = options.windows(2).any(|pair| pair == ["level", "admin"]);
    let path = path.strip_prefix("unix@").unwrap_or(path);
    (is_admin && path.starts_with('/')).then(|| path.into())
}
