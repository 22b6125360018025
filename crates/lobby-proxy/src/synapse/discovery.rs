//! `discovery` and `discovery_multi` of a service of Synapse: where its backends come from, and which of them count.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    config::{
        ConfigError,
        discovery::{DNS_INTERVAL, POLL_INTERVAL, SUPPORTED, unknown},
        part::{self, LEAST_POLL},
        section::{Section, plain, value_error},
        tree::Value,
    },
    settings::{Discovery, DnsWatch, DockerServer, DockerWatch, Ec2Watch, LabelFilter, MultiWatch, Resolver},
};

/// Where a Docker daemon listens, by Synapse.
const DOCKER_PORT: u16 = 4243;
/// How Synapse calls the service's own `discovery` among several.
const PRIMARY: &str = "primary";

/// Where backends come from, and what they must be like.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) discovery: Discovery,
    pub(super) label_filters: Vec<LabelFilter>,
}

/// What all methods of one service have in common.
#[derive(Clone, Copy)]
struct Around<'n> {
    name: &'n str,
    /// Replaces the port of each backend.
    port: Option<u16>,
}

/// Of a service.
pub(super) fn of_service(section: &Section<'_>, name: &str, port: Option<u16>) -> Result<Found, ConfigError> {
    let around = Around { name, port };
    let own = section.section("discovery")?;
    let Some(several) = section.section("discovery_multi")? else {
        let own = own.ok_or_else(|| section.missing("discovery", "a map with a method, and what that needs"))?;
        return one(own, around, true);
    };
    if several.text("method")?.is_some_and(|method| method != "multi") {
        return Err(several.refuse("method", "multi, or nothing"));
    }
    let own = own.map(|own| one(own, around, false)).transpose()?;
    let found = multi(&several, around, own)?;
    several.done()?;
    Ok(found)
}

fn one(section: Section<'_>, around: Around<'_>, is_outer: bool) -> Result<Found, ConfigError> {
    let discovery = match section.needed("method", SUPPORTED)?.as_str() {
        "base" => Discovery::Base,
        "ec2tag" | "awstag" => Discovery::Ec2Tag(ec2(&section, around)?),
        "dns" => Discovery::Dns(dns(&section, around)?),
        "docker" => Discovery::Docker(docker(&section)?),
        "lobby" => Discovery::Lobby(part::query(&section, around.name)?),
        "consul" => Discovery::Consul(part::consul(&section, around.name)?),
        "multi" if is_outer => {
            let found = multi(&section, around, None)?;
            section.done()?;
            return Ok(found);
        }
        "multi" => return Err(section.refuse("method", "a method that is not itself multi")),
        other => return Err(unknown(around.name, other)),
    };
    let label_filters = filters(&section)?;
    section.done()?;
    Ok(Found { discovery, label_filters })
}

fn interval(section: &Section<'_>, default: Duration) -> Result<Duration, ConfigError> {
    section.seconds("check_interval", default, LEAST_POLL)
}

fn ec2(section: &Section<'_>, around: Around<'_>) -> Result<Ec2Watch, ConfigError> {
    let (id, secret) = (section.word("aws_access_key_id")?, section.secret("aws_secret_access_key")?);
    if id.is_some() != secret.is_some() {
        let absent = if id.is_some() { "aws_secret_access_key" } else { "aws_access_key_id" };
        return Err(section.missing(absent, "both keys, or neither: then environment, file or role"));
    }
    let no_port = || ConfigError::Missing {
        key: format!("services.{}.backend_port_override", around.name),
        accepted: "a port (or haproxy.server_port_override), for EC2 knows none".into(),
    };
    Ok(Ec2Watch {
        tag_name: section.needed("tag_name", "the name of a tag")?,
        tag_value: section.needed("tag_value", "the value of the tag")?,
        region: section.word("aws_region")?,
        credentials: id.zip(secret),
        // Not Synapse's.
        endpoint: section.word("aws_endpoint")?,
        interval: interval(section, POLL_INTERVAL)?,
        port: around.port.ok_or_else(no_port)?,
    })
}

fn dns(section: &Section<'_>, around: Around<'_>) -> Result<DnsWatch, ConfigError> {
    let servers = part::backends(section, "servers", around.port)?;
    if servers.is_empty() {
        return Err(section.missing("servers", "a list of maps with host and port, one at least"));
    }
    Ok(DnsWatch { servers, nameserver: part::nameserver(section)?, interval: interval(section, DNS_INTERVAL)? })
}

fn docker(section: &Section<'_>) -> Result<DockerWatch, ConfigError> {
    let servers = section.list("servers")?.unwrap_or_default();
    if servers.is_empty() {
        return Err(section.missing("servers", "a list of maps with name and host, one at least"));
    }
    let port = section.port("container_port")?;
    Ok(DockerWatch {
        servers: servers.into_iter().map(|(path, value)| daemon(path, value, section)).collect::<Result<_, _>>()?,
        image_name: section.needed("image_name", "the name of an image")?,
        container_port: port.ok_or_else(|| section.missing("container_port", "the port inside of the container: 1 to 65535"))?,
        interval: interval(section, POLL_INTERVAL)?,
    })
}

fn daemon(path: String, value: &Value, section: &Section<'_>) -> Result<DockerServer, ConfigError> {
    let server = Section::of(path, value, section.notes)?;
    let host = server.needed("host", "an address or the name of a host")?;
    if lobby_core::instance::address("host", &host).is_err() {
        return Err(server.refuse("host", "an address or the name of a host"));
    }
    let port = server.port("port")?.unwrap_or(DOCKER_PORT);
    let host = host.trim_matches(['[', ']']).to_owned();
    let endpoint = if host.contains(':') { format!("http://[{host}]:{port}") } else { format!("http://{host}:{port}") };
    let name = server.text("name")?.unwrap_or_default();
    server.done()?;
    Ok(DockerServer { name, host, endpoint })
}

/// `own`: what `discovery` has beside `discovery_multi`.
fn multi(section: &Section<'_>, around: Around<'_>, own: Option<Found>) -> Result<Found, ConfigError> {
    let (mut watchers, mut filters_of) = (BTreeMap::new(), Vec::new());
    if let Some(found) = own {
        watchers.insert(PRIMARY.to_owned(), found.discovery);
        filters_of.push(found.label_filters);
    }
    let children = section.section("watchers")?;
    let path = children.as_ref().map_or_else(|| section.path_of("watchers"), |children| children.path.clone());
    for (name, value) in children.iter().flat_map(|children| children.map) {
        let found = one(Section::of(format!("{path}.{name}"), value, section.notes)?, around, false)?;
        if watchers.insert(name.clone(), found.discovery).is_some() {
            return Err(value_error(format!("{path}.{name}"), value, "another name: `discovery` itself is called so"));
        }
        filters_of.push(found.label_filters);
    }
    if watchers.is_empty() {
        return Err(section.missing("watchers", "a map of discoveries by name, one at least"));
    }
    if filters_of.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(ConfigError::Unsupported {
            key: path,
            what: "label_filters of only some watchers",
            instead: "write the same for all, or write them in the one map that has `watchers`",
        });
    }
    let mut label_filters = filters(section)?;
    label_filters.extend(filters_of.pop().unwrap_or_default());
    let discovery = Discovery::Multi(MultiWatch { resolver: resolver(section, (&path, &watchers))?, watchers });
    Ok(Found { discovery, label_filters })
}

fn resolver(section: &Section<'_>, watchers: (&str, &BTreeMap<String, Discovery>)) -> Result<Resolver, ConfigError> {
    const RESOLVERS: &str = "one of union, sequential, fallback";
    let inner = section.section("resolver")?.ok_or_else(|| section.missing("resolver", "a map with a method"))?;
    let method = inner.needed("method", RESOLVERS)?;
    if method == "s3_toggle" {
        return Err(ConfigError::Unsupported {
            key: inner.path_of("method"),
            what: "the resolver s3_toggle",
            instead: "expected one of union, sequential, fallback",
        });
    }
    let resolver = part::resolver(&inner, &method, "sequential_order", watchers)?;
    // Also where it is not needed, the key is known.
    inner.raw("sequential_order");
    let resolver = resolver.ok_or_else(|| inner.refuse("method", RESOLVERS))?;
    inner.done()?;
    Ok(resolver)
}

/// `label_filters`, and the older `label_filter`.
fn filters(section: &Section<'_>) -> Result<Vec<LabelFilter>, ConfigError> {
    let mut filters = Vec::new();
    if let Some(value) = section.get("label_filter") {
        filters.push(filter(section.path_of("label_filter"), value, section)?);
    }
    for (path, value) in section.list("label_filters")?.unwrap_or_default() {
        filters.push(filter(path, value, section)?);
    }
    Ok(filters)
}

fn filter(path: String, value: &Value, section: &Section<'_>) -> Result<LabelFilter, ConfigError> {
    let filter = Section::of(path, value, section.notes)?;
    let wanted = filter.get("value").ok_or_else(|| filter.missing("value", "the text that the label is compared with"))?;
    let is_equal = filter.choice("condition", &[("equals", true), ("not-equals", false)])?;
    let read = LabelFilter {
        label: filter.needed("label", "the name of a label")?,
        value: plain(wanted).ok_or_else(|| filter.refuse("value", "a text or a number"))?,
        is_equal: is_equal.ok_or_else(|| filter.missing("condition", "one of equals, not-equals"))?,
    };
    filter.done()?;
    Ok(read)
}
