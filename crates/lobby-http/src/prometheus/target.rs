//! What `prometheus:…` labels mean: hosts and labels in, groups of targets out. Pure.
//!
//! ```text
//! prometheus:NAME               exports the host
//! prometheus:NAME:host:HOST     a target, with or without a port; repeatable; without a usable one: the host's own name
//! prometheus:NAME:port:PORT     the port of targets that name none; `-` for no port
//! prometheus:NAME:KEY:VALUE     a Prometheus label
//! ```
//! Prometheus refuses a whole document for one bad label name, so names are rewritten to `[a-zA-Z_][a-zA-Z0-9_]*`.
//! Labels are read in their sorted order; where several give the same key (or become it by rewriting) the last wins.
//! A `host` that cannot be a target (blanks, a slash) is left out, a `port` that is no port is ignored.

use std::{borrow::Borrow, collections::BTreeMap, net::Ipv6Addr};

use lobby_core::catalog::Host;
use serde::{Deserialize, Serialize};

/// One group of Prometheus' HTTP service discovery: the targets of one host and their labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Group {
    /// Labels of all targets of the group.
    pub labels: BTreeMap<String, String>,
    /// `host:port`, or `host` alone.
    pub targets: Vec<String>,
}

/// The port that targets get which name none.
#[derive(Clone, Copy)]
enum Port {
    Number(u16),
    None,
}

/// The groups of all hosts that export something under `name`, in the order of the hosts.
pub fn groups(hosts: impl IntoIterator<Item = impl Borrow<std::sync::Arc<Host>>>, name: &str, default_port: u16) -> Vec<Group> {
    let group_of = |host: &Host| group(host.name.as_str(), host.labels.iter().map(|label| label.as_str()), name, default_port);
    hosts.into_iter().filter_map(|host| group_of(host.borrow())).collect()
}

/// The group of one host; `None` when it exports nothing under `name`.
pub fn group<'a>(hostname: &str, labels: impl IntoIterator<Item = &'a str>, name: &str, default_port: u16) -> Option<Group> {
    let mut exported = false;
    let mut hosts = Vec::new();
    let mut port = Port::Number(default_port);
    let mut group = Group { labels: BTreeMap::new(), targets: Vec::new() };
    for label in labels {
        let mut parts = label.splitn(4, ':');
        if parts.next() != Some("prometheus") || parts.next() != Some(name) {
            continue;
        }
        exported = true;
        match (parts.next(), parts.next()) {
            (Some("host"), Some(host)) => hosts.push(host.trim()),
            (Some("port"), Some("-")) => port = Port::None,
            (Some("port"), Some(text)) => port = port_number(text.trim()).map_or(port, Port::Number),
            (Some(key), Some(value)) if !key.trim().is_empty() => {
                group.labels.insert(label_name(key.trim()), value.to_owned());
            }
            _ => {}
        }
    }
    group.targets = hosts.into_iter().filter_map(|host| target(host, port)).collect();
    if group.targets.is_empty() {
        group.targets.extend(target(hostname, port));
    }
    exported.then_some(group)
}

/// A label name that Prometheus accepts.
fn label_name(key: &str) -> String {
    let digit_first = key.starts_with(|c: char| c.is_ascii_digit());
    let rewritten = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    digit_first.then_some('_').into_iter().chain(rewritten).collect()
}

/// The address of one target; `None` when Prometheus would refuse it.
fn target(host: &str, port: Port) -> Option<String> {
    if host.is_empty() || host.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
        return None;
    }
    let with_port = |host: &str| match port {
        Port::Number(port) => format!("{host}:{port}"),
        Port::None => host.to_owned(),
    };
    let is_ip6 = |text: &str| text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    if is_ip6(host) {
        return Some(with_port(&format!("[{host}]")));
    }
    if let Some((address, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let own_port = rest.strip_prefix(':').and_then(port_number).is_some();
        return match rest {
            _ if !is_ip6(address) => None,
            "" => Some(with_port(host)),
            _ => own_port.then(|| host.to_owned()),
        };
    }
    match host.rsplit_once(':') {
        None => Some(with_port(host)),
        Some((name, own)) => (!name.is_empty() && !name.contains(':') && port_number(own).is_some()).then(|| host.to_owned()),
    }
}

/// A port is digits only: no sign, not zero.
fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

#[cfg(test)]
mod tests;
