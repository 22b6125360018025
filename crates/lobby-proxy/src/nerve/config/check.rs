//! Checks as Nerve's files have them, and where something is. Not here: what a check does (`nerve::check`).

use std::time::Duration;

use crate::{
    config::{ConfigError, section::Section},
    nerve::settings::{Check, CheckKind, Http, OPEN_TIMEOUT, TIMEOUT},
    settings::Secret,
};

/// Checks of one service: more would not fit between two rounds.
const CHECKS: usize = 64;
/// Results in a row that may be asked for; whoever wants more wants another interval.
const IN_A_ROW: u64 = 1000;
/// The shortest timeout: less than that is no time.
const TIMEOUT_LEAST: Duration = Duration::from_millis(1);
const KINDS: &str = "one of tcp, http, redis, rabbitmq, noop";

/// Host and port; where they are not given, those of the service.
pub(super) fn place(section: &Section<'_>, of_service: Option<(&str, u16)>) -> Result<(String, u16), ConfigError> {
    const HOST: &str = "an address or the name of a host";
    let host = match (section.word("host")?, of_service) {
        (Some(host), _) => bare(&host).ok_or_else(|| section.refuse("host", HOST))?,
        (None, Some((host, _))) => host.to_owned(),
        (None, None) => return Err(section.missing("host", HOST)),
    };
    let port = section.port("port")?.or(of_service.map(|(_, port)| port));
    Ok((host, port.ok_or_else(|| section.missing("port", "a port: 1 to 65535"))?))
}

/// Without brackets, if it is one.
fn bare(host: &str) -> Option<String> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = !bare.is_empty() && !bare.contains(['[', ']']) && lobby_core::instance::address("host", bare).is_ok();
    is_host.then(|| bare.to_owned())
}

/// All of a service, in order.
pub(super) fn all(section: &Section<'_>, of_service: (&str, u16)) -> Result<Vec<Check>, ConfigError> {
    let list = section.list("checks")?.unwrap_or_default();
    if list.len() > CHECKS {
        return Err(ConfigError::TooMuch { limit: CHECKS, what: "checks of a service" });
    }
    list.into_iter().map(|(path, value)| one(Section::of(path, value, section.notes)?, of_service)).collect()
}

fn one(section: Section<'_>, of_service: (&str, u16)) -> Result<Check, ConfigError> {
    let word = section.needed("type", KINDS)?;
    if section.get("module").is_some() {
        return Err(section.refuse("module", "nothing, for checks in Ruby are not run"));
    }
    let (host, port) = place(&section, Some(of_service))?;
    let timeout = section.seconds("timeout", TIMEOUT, TIMEOUT_LEAST)?;
    let kind = match word.as_str() {
        "noop" => CheckKind::Noop,
        "tcp" => CheckKind::Tcp,
        "redis" => CheckKind::Redis,
        "http" => CheckKind::Http(http(&section, timeout)?),
        "rabbitmq" => CheckKind::Rabbitmq {
            username: section.word("username")?.unwrap_or_else(|| "guest".into()),
            password: section.secret("password")?.unwrap_or_else(|| Secret("guest".into())),
        },
        _ => return Err(section.refuse("type", KINDS)),
    };
    let in_a_row = |key| Ok(section.whole(key, 1..=IN_A_ROW)?.and_then(|n| u32::try_from(n).ok()).unwrap_or(1));
    let check = Check {
        name: section.word("name")?.unwrap_or_else(|| format!("{word} {host}:{port}")),
        timeout,
        rise: in_a_row("rise")?,
        fall: in_a_row("fall")?,
        host,
        port,
        kind,
    };
    section.done()?;
    Ok(check)
}

fn http(section: &Section<'_>, timeout: Duration) -> Result<Http, ConfigError> {
    const URI: &str = "what stands behind host and port, such as /health";
    let uri = section.needed("uri", URI)?;
    let is_tls = section.flag("ssl", false)?;
    let open = section.seconds("open_timeout", OPEN_TIMEOUT, TIMEOUT_LEAST)?;
    let read = section.seconds("read_timeout", timeout, TIMEOUT_LEAST)?;
    let shake = section.seconds("ssl_timeout", OPEN_TIMEOUT, TIMEOUT_LEAST)?;
    if uri.contains(char::is_whitespace) {
        return Err(section.refuse("uri", URI));
    }
    Ok(Http {
        uri: if uri.starts_with('/') { uri } else { format!("/{uri}") },
        is_tls,
        headers: section.labels("headers")?,
        expect: section.text("expect")?.filter(|part| !part.is_empty()),
        timeout: open + read + if is_tls { shake } else { Duration::ZERO },
    })
}
