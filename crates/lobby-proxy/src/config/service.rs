//! `[proxy.service.NAME]`: one service that programs here reach through a local port. Not here: where its backends come
//! from, if that is not the catalog (`discovery`).

use super::{
    discovery,
    error::{ConfigError, hint, nearest},
    nginx::directive_words,
    part::{self, SERVICES, backends, query},
    place,
    section::{Section, value_error},
    tree::Value,
};
use crate::haproxy::{name, words};
use crate::settings::{Bind, Cookie, Discovery, HaproxyService, LabelFilter, NginxService, Order, Service, Settings};

/// Each server is checked if nothing else is said.
const SERVER_OPTIONS: &str = "check";
/// Words that people write there, for those that are misspelt.
const SERVER_WORDS: [&str; 20] = [
    "addr",
    "backup",
    "ca-file",
    "check",
    "cookie",
    "disabled",
    "downinter",
    "fall",
    "fastinter",
    "inter",
    "maxconn",
    "observe",
    "port",
    "rise",
    "send-proxy",
    "slowstart",
    "sni",
    "ssl",
    "verify",
    "weight",
];
const ORDERS: [(&str, Order); 4] =
    [("shuffled", Order::Shuffled), ("ascending", Order::Ascending), ("descending", Order::Descending), ("found", Order::Found)];

/// All of them.
pub(super) fn all(section: &Section<'_>, settings: &Settings) -> Result<Vec<Service>, ConfigError> {
    if section.map.len() > SERVICES {
        return Err(ConfigError::TooMuch { limit: SERVICES, what: "services" });
    }
    let mut services = Vec::new();
    for (name, value) in section.map {
        let path = section.path_of(name);
        part::service_name(&path, name)?;
        let section = Section::of(path, value, section.notes)?;
        let service = one(&section, name, settings)?;
        section.done()?;
        services.push(service);
    }
    Ok(services)
}

fn one(section: &Section<'_>, name: &str, settings: &Settings) -> Result<Service, ConfigError> {
    let discovery = discovery(section, name)?;
    let is_near = matches!(&discovery, Discovery::Lobby(watch) if watch.near.is_some())
        || matches!(&discovery, Discovery::Consul(watch) if watch.query.near.is_some());
    let order = section.choice("order", &ORDERS)?.unwrap_or(if is_near { Order::Found } else { Order::Shuffled });
    let mode = section.choice("mode", &[("http", "mode http"), ("tcp", "mode tcp")])?;
    // Read in any case, so that its keys are known.
    let in_haproxy = in_haproxy(section, mode, order)?;
    let is_there = section.flag("haproxy", settings.haproxy.is_some())?;
    if is_there && settings.haproxy.is_none() {
        return Err(section.refuse("haproxy", "false, or a section [proxy.haproxy]"));
    }
    let (port_override, backup_port) = (section.port("port_override")?, section.port("backup_port")?);
    if backup_port.is_some() && backup_port == port_override {
        return Err(section.refuse("backup_port", "another port than that of the service itself"));
    }
    let file_output = section.flag("files", settings.file_output.is_some())?;
    if file_output && settings.file_output.is_none() {
        return Err(section.refuse("files", "false, or a section [proxy.files]"));
    }
    Ok(Service {
        name: name.to_owned(),
        discovery,
        default_servers: backends(section, "default_servers", None)?,
        keep_default_servers: section.flag("keep_default_servers", false)?,
        use_previous_backends: section.flag("use_previous_backends", true)?,
        backend_port_override: port_override,
        backup_port,
        leader_election: section.flag("leader_election", false)?,
        label_filters: filters(section)?,
        haproxy: is_there.then_some(in_haproxy),
        nginx: nginx(section, settings, mode == Some("mode tcp"), order)?,
        file_output,
    })
}

/// `discovery`, or else the catalog.
fn discovery(section: &Section<'_>, name: &str) -> Result<Discovery, ConfigError> {
    if section.get("discovery").is_some_and(|value| !matches!(value, Value::Map(_))) {
        return Err(section.refuse("discovery", "a table such as { method = \"dns\", servers = [\"HOST:PORT\"] }"));
    }
    let Some(inner) = section.section("discovery")? else { return query(section, name).map(Discovery::Lobby) };
    // Asked for, so that they are known.
    if let Some(key) = part::QUERY.into_iter().find(|key| section.raw(key).is_some()) {
        return Err(section.refuse(key, "nothing beside `discovery`: write it in there"));
    }
    discovery::read(inner, name, true)
}

fn in_haproxy(section: &Section<'_>, mode: Option<&str>, order: Order) -> Result<HaproxyService, ConfigError> {
    let (port, bind) = (
        section.port("port")?,
        section.unbroken("bind", "an address or a path without blanks: what follows it is `bind_options`")?,
    );
    if port.is_some() && bind.as_deref().is_some_and(|bind| bind.contains('/') || bind.parse::<std::net::SocketAddr>().is_ok()) {
        return Err(section.refuse("bind", "an address without a port, for `port` says it"));
    }
    let is_place = |bind: &String| place::is_place(&port.map_or_else(|| bind.clone(), |port| name::address(bind, port)));
    if !bind.as_ref().is_none_or(is_place) {
        let accepted = match port {
            Some(_) => "an IP address, or the name of a host",
            None => "ADDRESS:PORT (or `port` beside it), or the path of a socket, 97 bytes at most",
        };
        return Err(section.refuse("bind", accepted));
    }
    let mut backend = section.single_lines("backend")?.unwrap_or_default();
    if let Some(balance) = section.word("balance")? {
        backend.insert(0, format!("balance {balance}"));
    }
    Ok(HaproxyService {
        bind: match (port, &bind) {
            (Some(port), _) => Bind::Port(port),
            (None, Some(_)) => Bind::Address,
            (None, None) => Bind::Nowhere,
        },
        bind_address: bind,
        bind_options: section.text("bind_options")?.unwrap_or_default(),
        frontend: section.single_lines("frontend")?.unwrap_or_default(),
        backend,
        listen: mode.into_iter().map(str::to_owned).chain(section.single_lines("listen")?.unwrap_or_default()).collect(),
        shared_frontend: section.single_lines("shared_frontend")?.unwrap_or_default(),
        backend_name: section.word("backend_name")?,
        server_options: server_options(section)?,
        backend_order: order,
        cookie_value_method: section.choice("cookie", &[("name", Cookie::Name), ("hash", Cookie::Hash)])?.unwrap_or_default(),
    })
}

/// Words that we do not know are left: HAProxy may be newer.
fn server_options(section: &Section<'_>) -> Result<String, ConfigError> {
    let Some(text) = section.text("server_options")? else { return Ok(SERVER_OPTIONS.into()) };
    // Only of unknown words: a catalog's bounds are not those of settings.
    if let Err(why) = words::check(&words::fill(&text, "host", 1, "name"), None)
        && why.contains("is no option")
    {
        let word = why.split('"').nth(1).unwrap_or_default();
        section.warn("server_options", &format!("{why}{}", hint(nearest(word, &SERVER_WORDS))));
    }
    Ok(text)
}

fn nginx(section: &Section<'_>, settings: &Settings, is_tcp: bool, order: Order) -> Result<Option<NginxService>, ConfigError> {
    let value = section.get("nginx");
    let empty = Vec::new();
    let map = match (value, &settings.nginx) {
        (Some(Value::Bool(false)), _) | (None, None) => return Ok(None),
        (Some(Value::Map(map)), Some(_)) => map,
        (None | Some(Value::Bool(true)), Some(_)) => &empty,
        (Some(Value::Map(_) | Value::Bool(_)), None) => {
            return Err(section.refuse("nginx", "false, or a section [proxy.nginx]"));
        }
        (Some(other), _) => return Err(value_error(section.path_of("nginx"), other, "true, false or a table")),
    };
    let inner = Section::new(section.path_of("nginx"), map, section.notes);
    let service = NginxService {
        port: inner.port("port")?,
        is_tcp,
        upstream: inner.single_lines("upstream")?.unwrap_or_default(),
        server: inner.single_lines("server")?.unwrap_or_default(),
        listen_address: inner.unbroken("listen", "an address without blanks: what follows it is `listen_options`")?,
        listen_options: directive_words(&inner, "listen_options")?,
        // A different order would be a reload for nothing.
        upstream_order: inner.choice("order", &ORDERS)?.unwrap_or(if order == Order::Found { order } else { Order::Ascending }),
        upstream_name: inner.word("name")?,
        server_options: directive_words(&inner, "server_options")?,
    };
    inner.done()?;
    Ok(Some(service))
}

/// `labels = ["rack=a", "canary!=yes"]`
fn filters(section: &Section<'_>) -> Result<Vec<LabelFilter>, ConfigError> {
    let filter = |text: String| {
        let (label, value) = text.split_once('=')?;
        let (label, is_equal) = label.strip_suffix('!').map_or((label, true), |label| (label, false));
        let (label, value) = (label.trim(), value.trim());
        (!label.is_empty()).then(|| LabelFilter { label: label.into(), value: value.into(), is_equal })
    };
    let (path, accepted) = (section.path_of("labels"), "\"LABEL=VALUE\" or \"LABEL!=VALUE\"");
    let texts = section.words("labels")?.into_iter().enumerate();
    let read = |(at, text): (usize, String)| {
        filter(text.clone()).ok_or_else(|| value_error(format!("{path}[{at}]"), &Value::Text(text), accepted))
    };
    texts.map(read).collect()
}
