//! What both forms of configuration have in common: servers as they are written, questions to a catalog, bounds.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use lobby_core::{instance::Id, name::Name, selector::Selector};

use super::{
    error::ConfigError,
    section::{Section, value_error},
    tree::Value,
};
use crate::{
    Backend,
    settings::{ConsulWatch, Discovery, LobbyWatch, Resolver},
};

/// Services of one file: far more than ports that one would keep for them.
pub(crate) const SERVICES: usize = 4096;
/// Between two polls, at least: 100 ms; faster would only load what is asked.
pub(crate) const LEAST_POLL: Duration = Duration::from_millis(100);
/// Port of a name server.
const DNS_PORT: u16 = 53;
/// A weight of HAProxy, at most (its configuration manual, `weight`).
const WEIGHT: u64 = 256;

/// What a service may be called: it becomes part of files' names.
pub(crate) fn service_name(path: &str, name: &str) -> Result<(), ConfigError> {
    let is_name = name.parse::<Id>().is_ok() && !name.contains('/') && !matches!(name, "." | "..") && name.trim() == name;
    let refuse = || ConfigError::Value {
        key: path.into(),
        found: super::error::quoted(name),
        accepted: "a name of 1 to 256 bytes without control characters, slashes, and blanks around it".into(),
    };
    if is_name { Ok(()) } else { Err(refuse()) }
}

/// A server: `HOST:PORT`, or a map. `port` is used where it says none.
pub(crate) fn backend(path: String, value: &Value, section: &Section<'_>, port: Option<u16>) -> Result<Backend, ConfigError> {
    if let Value::Text(text) = value {
        let refuse = || value_error(&path, value, "HOST:PORT, or a map with host and port");
        let (host, port) = host_port(text).ok_or_else(refuse)?;
        return Ok(Backend { host, port, ..Backend::default() });
    }
    let server = Section::of(path, value, section.notes)?;
    let host = server.needed("host", "an address or the name of a host")?;
    let port = server.port("port")?.or(port).ok_or_else(|| server.missing("port", "a port: 1 to 65535"))?;
    let options = server.text("haproxy_server_options")?;
    let options = if section.notes.is_strict { server.text("options")?.or(options) } else { options };
    let weight = server.whole("weight", 0..=WEIGHT)?;
    let backend = Backend {
        name: server.text("name")?.unwrap_or_default(),
        host: plain_host(&host).ok_or_else(|| server.refuse("host", "an address or the name of a host"))?,
        port,
        id: server.whole("id", 0..=u64::MAX)?,
        weight: weight.and_then(|weight| u32::try_from(weight).ok()),
        haproxy_server_options: options.unwrap_or_default(),
        labels: server.labels("labels")?,
        is_backup: server.flag("backup", false)?,
        is_draining: false,
    };
    server.done()?;
    Ok(backend)
}

/// Servers in a list.
pub(crate) fn backends(section: &Section<'_>, key: &'static str, port: Option<u16>) -> Result<Vec<Backend>, ConfigError> {
    let list = section.list(key)?.unwrap_or_default();
    list.into_iter().map(|(path, value)| backend(path, value, section, port)).collect()
}

/// `10.0.0.1:80`, `[::1]:80`, `db.example.com:80`.
fn host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_bracketed = host.starts_with('[');
    let port = super::section::port(&Value::Text(port.into()))?;
    (is_bracketed || !host.contains(':')).then(|| plain_host(host)).flatten().map(|host| (host, port))
}

/// An address without brackets, or a name; empty ones and those of "all interfaces" are none.
fn plain_host(host: &str) -> Option<String> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = !bare.is_empty() && !bare.contains(['[', ']']) && lobby_core::instance::address("host", bare).is_ok();
    is_host.then(|| bare.to_owned())
}

/// A name server: an address, with a port or without.
pub(crate) fn nameserver(section: &Section<'_>) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(text) = section.word("nameserver")? else { return Ok(None) };
    let with_port = text.parse::<SocketAddr>().ok().filter(|address| address.port() > 0);
    let address = with_port.or_else(|| text.trim_matches(['[', ']']).parse().ok().map(|ip| SocketAddr::new(ip, DNS_PORT)));
    address.map(Some).ok_or_else(|| section.refuse("nameserver", "an IP address, or IP:PORT"))
}

/// The keys of a question to the catalog.
pub(crate) const QUERY: [&str; 6] = ["service", "where", "tag", "datacenter", "near", "warning"];

/// A question to the catalog.
pub(crate) fn query(section: &Section<'_>, name: &str) -> Result<LobbyWatch, ConfigError> {
    let service = section.parsed::<Id>("service")?.map_or_else(|| name.to_owned(), |id| id.as_str().to_owned());
    let selector = section.parsed::<Selector>("where")?.map(|_| section.text("where")).transpose()?.flatten();
    Ok(LobbyWatch {
        service,
        selector: selector.unwrap_or_default(),
        tag: section.word("tag")?,
        datacenter: section.word("datacenter")?,
        near: section.parsed::<Name>("near")?.map(|name| name.as_str().to_owned()),
        warning: section.flag("warning", false)?,
    })
}

/// A Consul and a question to it.
pub(crate) fn consul(section: &Section<'_>, name: &str) -> Result<ConsulWatch, ConfigError> {
    const ACCEPTED: &str = "an address of a Consul such as http://127.0.0.1:8500";
    let address = section.needed("address", ACCEPTED)?;
    let address = match address.split_once("://") {
        None => format!("http://{address}"),
        Some(("http" | "https", _)) => address,
        Some(_) => return Err(section.refuse("address", ACCEPTED)),
    };
    let has_host = address.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.starts_with('/'));
    if !has_host || address.contains(char::is_whitespace) {
        return Err(section.refuse("address", ACCEPTED));
    }
    Ok(ConsulWatch { address, token: section.secret("token")?.map(|token| token.0), query: query(section, name)? })
}

/// Which of several sources counts, by the words of both forms.
pub(crate) fn resolver(
    section: &Section<'_>,
    method: &str,
    order: &'static str,
    (watchers_path, watchers): (&str, &BTreeMap<String, Discovery>),
) -> Result<Option<Resolver>, ConfigError> {
    let names = || watchers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    Ok(Some(match method {
        "union" => Resolver::Union,
        "fallback" if !watchers.contains_key("primary") => {
            let accepted = "a watcher of this name, for the resolver is fallback".into();
            return Err(ConfigError::Missing { key: format!("{watchers_path}.primary"), accepted });
        }
        "fallback" => Resolver::Fallback,
        "sequential" => {
            let list = section.words(order)?;
            let is_all = list.len() == watchers.len() && watchers.keys().all(|name| list.contains(name));
            if !is_all {
                return Err(section.refuse(order, format!("a list of all watchers, each once: {}", names())));
            }
            Resolver::Sequential(list)
        }
        _ => return Ok(None),
    }))
}
