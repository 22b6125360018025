//! `discovery = { method = "…", … }` of a service: where its backends come from, if not from the catalog as it stands.

use std::time::Duration;

use super::{
    error::{ConfigError, quoted},
    part::{self, LEAST_POLL},
    section::{Section, value_error},
    tree::Value,
};
use crate::settings::{Discovery, DnsWatch, DockerServer, DockerWatch, Ec2Watch, MultiWatch};

/// Methods that there are, for errors of both forms.
pub(crate) const SUPPORTED: &str = "lobby, consul, dns, ec2tag, docker, multi, base";
/// Between two lookups of names, as Synapse has it.
pub(crate) const DNS_INTERVAL: Duration = Duration::from_secs(30);
/// Between two polls of EC2 and Docker, as Synapse has it.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(15);

/// Methods of Synapse that are still to come.
const PLANNED: [&str; 6] = ["zookeeper", "zookeeper_poll", "zookeeper_dns", "zookeeper_dns_poll", "etcd", "marathon"];

/// The keys of the table.
pub(super) fn read(section: Section<'_>, name: &str, is_outer: bool) -> Result<Discovery, ConfigError> {
    let discovery = match section.needed("method", SUPPORTED)?.as_str() {
        "base" => Discovery::Base,
        "lobby" => Discovery::Lobby(part::query(&section, name)?),
        "consul" => Discovery::Consul(part::consul(&section, name)?),
        "dns" => Discovery::Dns(dns(&section)?),
        "ec2tag" => Discovery::Ec2Tag(ec2(&section)?),
        "docker" => Discovery::Docker(docker(&section)?),
        "multi" if is_outer => Discovery::Multi(multi(&section, name)?),
        "multi" => return Err(section.refuse("method", "a method that is not itself multi")),
        other => return Err(unknown(name, other)),
    };
    section.done()?;
    Ok(discovery)
}

/// A method that is not there.
pub(crate) fn unknown(service: &str, method: &str) -> ConfigError {
    let (service, is_planned) = (service.to_owned(), PLANNED.contains(&method));
    ConfigError::Method { service, method: quoted(method), is_planned, supported: SUPPORTED }
}

fn dns(section: &Section<'_>) -> Result<DnsWatch, ConfigError> {
    let servers = part::backends(section, "servers", None)?;
    if servers.is_empty() {
        return Err(section.missing("servers", "a list of \"HOST:PORT\" or tables with host and port, one at least"));
    }
    let nameserver = part::nameserver(section)?;
    Ok(DnsWatch { servers, nameserver, interval: section.span("interval", DNS_INTERVAL, LEAST_POLL)? })
}

fn ec2(section: &Section<'_>) -> Result<Ec2Watch, ConfigError> {
    let (id, secret) = (section.word("access_key")?, section.secret("secret_key")?);
    if id.is_some() != secret.is_some() {
        return Err(section.missing(if id.is_some() { "secret_key" } else { "access_key" }, "both keys, or neither"));
    }
    Ok(Ec2Watch {
        tag_name: section.needed("tag_name", "the name of a tag")?,
        tag_value: section.needed("tag_value", "the value of the tag")?,
        region: section.word("region")?,
        credentials: id.zip(secret),
        endpoint: endpoint(section)?,
        interval: section.span("interval", POLL_INTERVAL, LEAST_POLL)?,
        port: section.port("port")?.ok_or_else(|| section.missing("port", "the port of every backend: 1 to 65535"))?,
    })
}

/// Of EC2, or of what stands for it.
fn endpoint(section: &Section<'_>) -> Result<Option<String>, ConfigError> {
    let Some(text) = section.word("endpoint")? else { return Ok(None) };
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_url =
        host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', ':']) && !host.contains(char::is_whitespace));
    if is_url { Ok(Some(text)) } else { Err(section.refuse("endpoint", "http://HOST[:PORT] or https://HOST[:PORT]")) }
}

fn docker(section: &Section<'_>) -> Result<DockerWatch, ConfigError> {
    let servers = section.list("servers")?.unwrap_or_default();
    if servers.is_empty() {
        return Err(section.missing("servers", "a list of Docker daemons: addresses, or tables with host and endpoint"));
    }
    let port = section.port("port")?;
    Ok(DockerWatch {
        servers: servers.into_iter().map(|(path, value)| daemon(path, value, section)).collect::<Result<_, _>>()?,
        image_name: section.needed("image", "the name of an image")?,
        container_port: port.ok_or_else(|| section.missing("port", "the port inside of the container: 1 to 65535"))?,
        interval: section.span("interval", POLL_INTERVAL, LEAST_POLL)?,
    })
}

/// `http://HOST:PORT`, `unix:PATH`, or a table.
fn daemon(path: String, value: &Value, section: &Section<'_>) -> Result<DockerServer, ConfigError> {
    const ACCEPTED: &str = "http://HOST:PORT, or unix:PATH of a daemon on this machine";
    if let Value::Text(text) = value {
        let host = endpoint_host(text).ok_or_else(|| value_error(path, value, ACCEPTED))?;
        return Ok(DockerServer { name: String::new(), host, endpoint: text.clone() });
    }
    let server = Section::of(path, value, section.notes)?;
    let endpoint = server.needed("endpoint", ACCEPTED)?;
    let host = endpoint_host(&endpoint).ok_or_else(|| server.refuse("endpoint", ACCEPTED))?;
    let host = server.word("host")?.unwrap_or(host);
    let server_name = server.text("name")?.unwrap_or_default();
    server.done()?;
    Ok(DockerServer { name: server_name, host, endpoint })
}

/// Where the published ports of a daemon are reached; of a local one, here.
fn endpoint_host(endpoint: &str) -> Option<String> {
    if let Some(path) = endpoint.strip_prefix("unix:") {
        return path.starts_with('/').then(|| "127.0.0.1".into());
    }
    let authority = endpoint.strip_prefix("http://")?.trim_end_matches('/');
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "2375"));
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_good = port.parse::<u16>().is_ok_and(|port| port > 0) && lobby_core::instance::address("host", host).is_ok();
    (is_good && !host.is_empty()).then(|| host.to_owned())
}

fn multi(section: &Section<'_>, name: &str) -> Result<MultiWatch, ConfigError> {
    const RESOLVERS: &str = "one of union, sequential, fallback";
    let Some(children) = section.section("watchers")?.filter(|watchers| !watchers.map.is_empty()) else {
        return Err(section.missing("watchers", "a table of discovery tables by name, one at least"));
    };
    let child = |(child, value): &(String, Value)| {
        let inner = Section::of(children.path_of(child), value, section.notes)?;
        Ok::<_, ConfigError>((child.clone(), read(inner, name, false)?))
    };
    let watchers = children.map.iter().map(child).collect::<Result<_, _>>()?;
    let word = section.word("resolver")?.unwrap_or_else(|| "union".into());
    let resolver = part::resolver(section, &word, "order", (&children.path, &watchers))?;
    // Also where it is not needed, the key is known.
    section.raw("order");
    Ok(MultiWatch { watchers, resolver: resolver.ok_or_else(|| section.refuse("resolver", RESOLVERS))? })
}
