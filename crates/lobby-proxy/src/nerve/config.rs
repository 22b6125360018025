//! Nerve's files. Decides which keys they have and what holds where one is absent: what Nerve reads is read here, and what
//! would do something else than it says is refused with its path and what is accepted.
//!
//! JSON, JSON with comments, or YAML. Not here: text to tree and tree to values (`crate::config`), the model (`settings`).

mod check;

use std::{collections::BTreeMap, path::Path, time::Duration};

use super::{
    Payload,
    payload::meta_key,
    settings::{CHECK_INTERVAL, REPORT_FAILURES, Rate, Reporter, Service, Settings},
};
use crate::{
    config::{
        ConfigError,
        error::quoted,
        part::{SERVICES, service_name},
        section::{Notes, Section, value_error},
        text,
        tree::{Cost, Value, cost},
    },
    synapse::{ServiceFile, read_folder, read_text, with_files},
};

/// Between two rounds, at least: that of the check machine of the core.
const INTERVAL_LEAST: Duration = Duration::from_millis(10);
/// A weight of the catalog.
const WEIGHT: u64 = u16::MAX as u64;
/// Keys for ZooKeeper and etcd, which a file for both may have.
const OF_EXCHANGES: [&str; 8] =
    ["zk_hosts", "zk_path", "node_type", "use_path_encoding", "ttl_seconds", "etcd_host", "etcd_port", "etcd_path"];

/// Reads a file and what it names, and says what people should know about it. `instance_id` (`-i`) counts before the file's.
pub fn read(path: &Path, instance_id: Option<&str>) -> Result<(Settings, Vec<String>), ConfigError> {
    let inside = |err: ConfigError| err.within(path.display().to_string());
    let text = read_text(path).map_err(inside)?;
    parse_with(&text, instance_id, read_folder).map_err(inside)
}

/// The same of a text, which may not name a folder with further files.
pub fn parse(text: &str, instance_id: Option<&str>) -> Result<(Settings, Vec<String>), ConfigError> {
    let no_folder = |path: &Path| {
        let accepted = "nothing, for a text has no folder".into();
        Err(ConfigError::Value { key: "service_conf_dir".into(), found: path.display().to_string(), accepted })
    };
    parse_with(text, instance_id, no_folder)
}

fn parse_with(
    text: &str,
    instance_id: Option<&str>,
    folder: impl FnOnce(&Path) -> Result<Vec<ServiceFile>, ConfigError>,
) -> Result<(Settings, Vec<String>), ConfigError> {
    let mut warnings = Vec::new();
    let tree = text::parse(text, &mut warnings)?;
    let notes = Notes::new(false);
    warnings.into_iter().for_each(|warning| notes.warn(warning));
    let Value::Map(map) = &tree else {
        return Err(value_error("the file", &tree, "a map with instance_id and services"));
    };
    let top = Section::new("", map, &notes);
    let accepted = "what tells this machine from others, here or behind -i";
    let in_file = top.word("instance_id")?;
    let instance_id = instance_id.map(str::to_owned).or(in_file).ok_or_else(|| top.missing("instance_id", accepted))?;
    if top.get("statsd").is_some() {
        top.warn("statsd", "accepted, but nothing is sent there: counters are served by Lobby itself");
    }
    let failures = top.whole("max_repeated_report_failures", 1..=u64::from(u32::MAX))?;
    let failures = failures.and_then(|failures| u32::try_from(failures).ok()).unwrap_or(REPORT_FAILURES);
    let own = top.section("services")?.map(|section| section.map.to_vec());
    let files = top.file("service_conf_dir")?.map(|path| folder(&path)).transpose()?;
    if own.is_none() && files.is_none() {
        return Err(top.missing("services", "a map of services, or service_conf_dir with a file for each"));
    }
    let map = with_files(own.unwrap_or_default(), files.unwrap_or_default(), &notes)?;
    let services = all(&Section::new("services", &map, &notes), &instance_id, failures)?;
    let heartbeat_path = top.file("heartbeat_path")?;
    top.done()?;
    Ok((Settings { services, heartbeat_path, max_repeated_report_failures: failures }, notes.into_warnings()))
}

fn all(section: &Section<'_>, instance_id: &str, failures: u32) -> Result<Vec<Service>, ConfigError> {
    let too_many = || ConfigError::TooMuch { limit: SERVICES, what: "services, with their clones" };
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    let mut copies = Cost::default();
    for (name, value) in section.map {
        let path = section.path_of(name);
        service_name(&path, name)?;
        let section = Section::of(path, value, section.notes)?;
        let n_clones = section.whole("load_test_concurrency", 1..=SERVICES as u64)?;
        let names: Vec<_> = match n_clones {
            None => vec![name.clone()],
            Some(n_clones) => (0..n_clones).map(|number| format!("{name}_{number}")).collect(),
        };
        if services.len() + names.len() > SERVICES {
            return Err(too_many());
        }
        copies.add(cost(value).saturating_mul(names.len()))?;
        let service = one(&section, name, instance_id, failures)?;
        section.done()?;
        for clone in names {
            let payload = Payload { id: format!("{clone}_{instance_id}"), ..service.payload.clone() };
            payload.instance().map_err(|err| ConfigError::Value {
                key: format!("services.{clone}"),
                found: quoted(&payload.id),
                accepted: format!("what the catalog takes ({err})"),
            })?;
            if services.insert(clone.clone(), Service { name: clone.clone(), payload, ..service.clone() }).is_some() {
                let accepted = format!("clones with names of their own, but {clone} is there twice");
                return Err(ConfigError::Missing { key: format!("services.{name}.load_test_concurrency"), accepted });
            }
        }
    }
    Ok(services.into_values().collect())
}

fn one(section: &Section<'_>, name: &str, instance_id: &str, failures: u32) -> Result<Service, ConfigError> {
    for key in OF_EXCHANGES {
        section.get(key);
    }
    let reporter = reporter(section, name)?;
    let (host, port) = check::place(section, None)?;
    let labels = section.get("labels").map(|_| section.labels("labels")).transpose()?;
    for label in labels.iter().flatten().map(|(label, _)| label).filter(|label| meta_key(label) != **label) {
        section.warn("labels", &format!("{} is {} in the catalog", quoted(label), quoted(&meta_key(label))));
    }
    let payload = Payload {
        service: section.word("service")?.unwrap_or_else(|| name.to_owned()),
        id: String::new(),
        host: host.clone(),
        port,
        name: instance_id.to_owned(),
        weight: weight(section)?,
        haproxy_server_options: section.text("haproxy_server_options")?,
        labels,
    };
    Ok(Service {
        name: name.to_owned(),
        reporter,
        payload,
        check_interval: section.seconds("check_interval", CHECK_INTERVAL, INTERVAL_LEAST)?,
        is_mocked: section.flag("check_mocked", false)?,
        checks: check::all(section, (&host, port))?,
        rate: rate(section)?,
        max_repeated_report_failures: failures,
    })
}

/// Digits, in quotes or not.
fn weight(section: &Section<'_>) -> Result<Option<u16>, ConfigError> {
    let Some(value) = section.get("weight") else { return Ok(None) };
    let number = match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        Value::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    number.map(Some).ok_or_else(|| section.refuse("weight", format!("a whole number, 0 to {WEIGHT}")))
}

fn rate(section: &Section<'_>) -> Result<Rate, ConfigError> {
    let Some(section) = section.section("rate_limiting")? else { return Ok(Rate::default()) };
    let default = Rate::default();
    let rate = Rate {
        // One report in a day is a limit; none at all is none.
        average: section.number("average_rate", 1e-5..=f64::INFINITY)?.unwrap_or(default.average),
        burst: section.number("max_burst", 1.0..=f64::INFINITY)?.unwrap_or(default.burst),
        is_shadow: section.flag("shadow_mode", default.is_shadow)?,
    };
    section.done()?;
    Ok(rate)
}

/// Nerve's own default is ZooKeeper, so that who leaves it out means that.
fn reporter(section: &Section<'_>, name: &str) -> Result<Reporter, ConfigError> {
    let word = section.word("reporter_type")?;
    match word.as_deref() {
        Some("lobby") => Ok(Reporter::Lobby),
        Some("noop") => Ok(Reporter::Noop),
        // Without a word about ZooKeeper it is written for us.
        None if section.get("zk_hosts").is_none() && section.get("zk_path").is_none() => Ok(Reporter::Lobby),
        found => Err(ConfigError::Reporter {
            service: name.to_owned(),
            reporter: quoted(found.unwrap_or("zookeeper")),
            is_planned: matches!(found, None | Some("zookeeper" | "etcd")),
            supported: "lobby, noop",
        }),
    }
}

#[cfg(test)]
mod tests;
