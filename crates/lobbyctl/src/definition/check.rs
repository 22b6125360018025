//! The grammar of `--check`: of which kind a check is, where it asks, and how often.
//!
//! ```text
//! tcp    tcp:HOST:PORT    http:/health    http://HOST:PORT/    grpc:/SERVICE    ttl:10s    script:COMMAND    alias:ID
//!        └ 127.0.0.1 and the instance's port, where no other is named       then ,interval=1s,timeout=500ms,…
//! ```
//! A comma in a target is written `%2C`; that of a script may have any, since options are taken from its end.
//! Not here: whether the daemon accepts it (its own words say why not), asking for the first time (`first`).

use std::str::FromStr;

use lobby::client::Status;
use serde_json::{Map, Value};

use crate::cli::time;

/// How often a check is run of which that is not said: what it asks is on this machine as a rule.
const INTERVAL: &str = "1s";

/// Where a check asks that names no host.
const HOST: &str = "127.0.0.1";

const KINDS: &str = "tcp[:HOST:PORT], udp[:HOST:PORT], http[:/PATH], http://HOST[:PORT]/PATH, https://HOST[:PORT]/PATH, \
                     grpc[:HOST:PORT][/SERVICE], ttl:TIME, script:COMMAND or alias:ID";

/// What may be said of every check, and the field of it.
const OF_ALL: &[(&str, &str)] = &[("deregister", "DeregisterCriticalServiceAfter"), ("id", "CheckID"), ("name", "Name")];

/// The same of those that have an initial status.
const OF_JUDGED: &[(&str, &str)] = &[("status", "Status")];

/// The same of those that are run.
const OF_RUN: &[(&str, &str)] = &[("failures", "FailuresBeforeCritical"), ("interval", "Interval"), ("timeout", "Timeout")];

/// A check as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    typed: String,
    kind: Kind,
    /// Fields and their values.
    options: Vec<(&'static str, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Where; `None`: at the instance's port. The same below.
    Tcp(Option<String>),
    Udp(Option<String>),
    /// A path at the instance's port.
    HttpPath(String),
    HttpUrl(String),
    /// Where, and the service with its slash.
    Grpc(Option<String>, String),
    Ttl(String),
    Script(String),
    Alias(String),
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (spec, options) = split(text);
        let kind = kind(spec)?;
        let mut check = Self { typed: text.to_owned(), kind, options: Vec::new() };
        for option in options {
            let (field, value) = check.option(option)?;
            if check.options.iter().any(|(other, _)| *other == field) {
                return Err(format!("{option:?}: the option is given twice"));
            }
            check.options.push((field, value));
        }
        Ok(check)
    }
}

impl Check {
    /// As the daemon is told it.
    pub(crate) fn body(&self, port: Option<u16>) -> Result<Value, String> {
        let mut body = Map::new();
        let mut set = |field: &str, value: Value| drop(body.insert(field.into(), value));
        match &self.kind {
            Kind::Tcp(at) => set("TCP", self.address(at.as_ref(), port)?.into()),
            Kind::Udp(at) => set("UDP", self.address(at.as_ref(), port)?.into()),
            Kind::HttpPath(path) => set("HTTP", format!("http://{}{path}", self.address(None, port)?).into()),
            Kind::HttpUrl(url) => set("HTTP", url.as_str().into()),
            Kind::Grpc(at, service) => set("GRPC", format!("{}{service}", self.address(at.as_ref(), port)?).into()),
            Kind::Ttl(ttl) => set("TTL", ttl.as_str().into()),
            Kind::Script(command) => set("Args", vec!["/bin/sh", "-c", command].into()),
            Kind::Alias(id) => set("AliasService", id.as_str().into()),
        }
        if self.is_run() {
            set("Interval", INTERVAL.into());
        }
        for (field, value) in &self.options {
            let number = (*field == "FailuresBeforeCritical").then(|| value.parse::<u32>().ok()).flatten();
            set(field, number.map_or_else(|| value.as_str().into(), Value::from));
        }
        Ok(body.into())
    }

    /// Whether it says itself how it begins.
    pub(crate) fn has_status(&self) -> bool {
        self.options.iter().any(|(field, _)| *field == "Status")
    }

    /// Whether it is run, and not told or derived.
    pub(crate) const fn is_run(&self) -> bool {
        !matches!(self.kind, Kind::Ttl(_) | Kind::Alias(_))
    }

    fn address(&self, at: Option<&String>, port: Option<u16>) -> Result<String, String> {
        match (at, port) {
            (Some(at), _) => Ok(at.clone()),
            (None, Some(port)) => Ok(format!("{HOST}:{port}")),
            (None, None) => Err(format!("--check {:?}: no port to ask at: give --port, or say here where", self.typed)),
        }
    }

    /// The field of an option, and its value as the daemon reads it.
    fn option(&self, option: &str) -> Result<(&'static str, String), String> {
        let of_run = if self.is_run() { OF_RUN } else { &[] };
        let of_judged = if matches!(self.kind, Kind::Alias(_)) { &[] } else { OF_JUDGED };
        let known: Vec<_> = OF_ALL.iter().chain(of_judged).chain(of_run).collect();
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let Some((_, field)) = known.iter().find(|(name, _)| *name == key) else {
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            return Err(format!(
                "{option:?} is no option of this check: expected {names} with a value; a comma in a target is %2C"
            ));
        };
        let want = match *field {
            "Interval" | "Timeout" | "DeregisterCriticalServiceAfter" => match duration(value) {
                Some(time) => return Ok((field, time)),
                None => "a time such as 500ms or 10s",
            },
            "FailuresBeforeCritical" if value.parse::<u32>().is_err() => "a number",
            "Status" if value.parse::<Status>().is_err() => "passing, warning or critical",
            _ if value.is_empty() => "a text",
            _ => return Ok((field, value.to_owned())),
        };
        Err(format!("{key} {value:?}: expected {want}"))
    }
}

/// The check, and its options.
fn split(text: &str) -> (&str, Vec<&str>) {
    if !text.starts_with("script:") {
        let mut parts = text.split(',');
        return (parts.next().unwrap_or_default(), parts.collect());
    }
    let (mut rest, mut options) = (text, Vec::new());
    let known = |option: &str| {
        let key = option.split_once('=').map(|(key, _)| key);
        OF_ALL.iter().chain(OF_JUDGED).chain(OF_RUN).any(|(name, _)| key == Some(name))
    };
    while let Some((before, option)) = rest.rsplit_once(',').filter(|(_, option)| known(option)) {
        rest = before;
        options.push(option);
    }
    (rest, options)
}

fn kind(spec: &str) -> Result<Kind, String> {
    if spec.starts_with("http://") || spec.starts_with("https://") {
        return Ok(Kind::HttpUrl(spec.to_owned()));
    }
    let (word, target) = match spec.split_once(':') {
        Some((word, target)) => (word, Some(target)),
        None => (spec, None),
    };
    let bad = |want: &str| Err(format!("{word} {:?}: expected {want}", target.unwrap_or_default()));
    match (word, target) {
        ("tcp", None) => Ok(Kind::Tcp(None)),
        ("tcp", Some(at)) if is_address(at) => Ok(Kind::Tcp(Some(at.to_owned()))),
        ("udp", None) => Ok(Kind::Udp(None)),
        ("udp", Some(at)) if is_address(at) => Ok(Kind::Udp(Some(at.to_owned()))),
        ("tcp" | "udp", _) => bad("HOST:PORT"),
        ("http", None) => Ok(Kind::HttpPath("/".into())),
        ("http", Some(path)) if path.starts_with('/') => Ok(Kind::HttpPath(path.to_owned())),
        ("http" | "https", _) => bad("/PATH, or a whole URL such as http://127.0.0.1:8080/health"),
        ("grpc", target) => {
            let target = target.unwrap_or_default();
            let (at, service) = target.split_at(target.find('/').unwrap_or(target.len()));
            match at {
                "" => Ok(Kind::Grpc(None, service.to_owned())),
                at if is_address(at) => Ok(Kind::Grpc(Some(at.to_owned()), service.to_owned())),
                _ => bad("HOST:PORT, HOST:PORT/SERVICE or /SERVICE"),
            }
        }
        ("ttl", target) => match target.and_then(duration) {
            Some(ttl) => Ok(Kind::Ttl(ttl)),
            None => bad("a time such as 10s"),
        },
        ("script", Some(command)) if !command.trim().is_empty() => Ok(Kind::Script(command.to_owned())),
        ("script", _) => bad("a command for the shell"),
        ("alias", Some(id)) if !id.is_empty() => Ok(Kind::Alias(id.to_owned())),
        ("alias", _) => bad("the id of an instance"),
        _ => Err(format!("kind {word:?}: expected {KINDS}")),
    }
}

fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A time above zero, with its unit.
fn duration(text: &str) -> Option<String> {
    time::parse(text).filter(|time| !time.is_zero())?;
    Some(if text.ends_with(|c: char| c.is_ascii_alphabetic()) { text.to_owned() } else { format!("{text}s") })
}

#[cfg(test)]
mod tests;
