//! DNS: where it listens, which domains it answers, whom it asks for others.
//!
//! Not here: what is answered (`lobby_dns`), binding (`crate::dns`).

use std::net::{IpAddr, SocketAddr};

use lobby_dns::{
    Resolvers, Settings, Truncate,
    name::{self, Name},
    settings,
};

use super::{ConfigError, Read};

/// Bytes of a domain at most: half of a name, so that the other half is for what is in it.
const DOMAIN_BYTES: usize = 128;

/// The port of a server that is named without one.
const PORT: u16 = 53;

/// What DNS needs.
#[derive(Debug)]
pub(crate) struct Dns {
    pub(crate) addr: SocketAddr,
    /// Nobody chose it: if it is taken, there is no DNS.
    pub(crate) default_addr: bool,
    pub(crate) settings: Settings,
    pub(crate) resolvers: Option<Resolvers>,
}

/// `None` when it is off.
pub(super) fn read(read: &Read<'_>, warnings: &mut Vec<String>) -> Result<Option<Dns>, ConfigError> {
    let resolvers = resolvers(read)?;
    let number = |name, most: u32, expected: &str| match read.parse(name, expected)? {
        number if number <= most => Ok(number),
        _ => Err(read.refuse(name, expected)),
    };
    let seconds = |name| number(name, settings::TTL_SECONDS, "whole seconds, from 0 to 86400");
    let settings = Settings {
        domains: domains(read)?,
        ttl: seconds("DNS_TTL")?,
        service_ttls: read.text("DNS_SERVICE_TTL").parse().map_err(|err| read.refuse("DNS_SERVICE_TTL", err))?,
        negative_ttl: seconds("DNS_NEGATIVE_TTL")?,
        only_passing: read.truth("DNS_ONLY_PASSING")?,
        near: read.truth("DNS_NEAR")?,
        truncate: match read.text("DNS_TRUNCATE") {
            "tell" => Truncate::Tell,
            "cut" => Truncate::Cut,
            _ => return Err(read.refuse("DNS_TRUNCATE", "tell or cut")),
        },
        node_txt: read.truth("DNS_NODE_TXT")?,
        forwards: resolvers.is_some(),
        a_record_limit: number("DNS_A_RECORD_LIMIT", settings::ADDRESSES, "a whole number, from 0 to 4096")?,
        rate: number("DNS_RATE", 10_000_000, "a whole number, from 0 to 10000000")?,
    };
    if read.text("DNS_ADDR") == "off" {
        return Ok(None);
    }
    let addr: SocketAddr = read.parse("DNS_ADDR", "off, or IP:PORT such as 127.0.0.1:8600")?;
    if let Some(Resolvers(servers)) = &resolvers {
        let is_self = |server: &&SocketAddr| {
            server.port() == addr.port() && (server.ip() == addr.ip() || addr.ip().is_unspecified() && server.ip().is_loopback())
        };
        if let Some(server) = servers.iter().find(is_self) {
            return Err(read.refuse_part("DNS_FORWARD", &server.to_string(), "other servers than this agent itself"));
        }
        if !addr.ip().is_loopback() {
            warnings.push(
                "DNS_FORWARD with a DNS_ADDR that others reach answers their questions about the whole world: let a firewall \
                 see who may ask"
                    .into(),
            );
        }
    }
    Ok(Some(Dns { addr, default_addr: read.is_default("DNS_ADDR"), settings, resolvers }))
}

fn domains(read: &Read<'_>) -> Result<Vec<Name>, ConfigError> {
    let texts = read.list("DNS_DOMAINS");
    if texts.is_empty() || texts.len() > settings::LIST {
        return Err(read.refuse("DNS_DOMAINS", format!("1 to {} domains such as lobby,consul", settings::LIST)));
    }
    let domain = |text: &String| {
        // In lower case, as the question is when answers are made: then they can point to its domain.
        let name = name::host(&text.to_ascii_lowercase()).filter(|name| name.len() < DOMAIN_BYTES);
        // Names of addresses are in there, which are answered anyway.
        let name = name.filter(|name| name.iter().next_back() != Some(b"arpa"));
        name.ok_or_else(|| read.refuse_part("DNS_DOMAINS", text, format!("a domain of at most {DOMAIN_BYTES} bytes")))
    };
    let domains: Vec<_> = texts.iter().map(domain).collect::<Result<_, _>>()?;
    match (1..domains.len()).find(|nth| domains[..*nth].contains(&domains[*nth])) {
        Some(nth) => Err(read.refuse_part("DNS_DOMAINS", &texts[nth], "each domain once")),
        None => Ok(domains),
    }
}

fn resolvers(read: &Read<'_>) -> Result<Option<Resolvers>, ConfigError> {
    let texts = read.list("DNS_FORWARD");
    if texts.is_empty() || texts.iter().any(|text| text == "off") {
        return Ok(None);
    }
    if texts.len() > settings::LIST {
        return Err(read.refuse("DNS_FORWARD", format!("at most {} servers", settings::LIST)));
    }
    let server = |text: &String| {
        let with_port = text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, PORT));
        let server = with_port.or_else(|| text.parse().ok()).filter(|server| server.port() != 0 && !server.ip().is_unspecified());
        server.ok_or_else(|| read.refuse_part("DNS_FORWARD", text, "IP or IP:PORT such as 192.0.2.1 or [2001:db8::1]:53"))
    };
    texts.iter().map(server).collect::<Result<_, _>>().map(|servers| Some(Resolvers(servers)))
}
