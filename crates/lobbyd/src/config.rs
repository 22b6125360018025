//! The configuration: from text (`raw`) to types that cannot be wrong.
//!
//! Everything that can be said about a configuration without touching the network is said here, so `--check-config`
//! and a start find the same mistakes. A mistake names the setting, its value, where it was given and what is accepted.
//! Not here: the table of settings (`setting`), flags (`cli`), what is done with it (`app`).

use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use lobby::{LabelsConfig, handler::Handler, hook::Hook, nats, redis, seal::Keys};
use lobby_core::{hold::Rule, label::Label, name::Name};
use lobby_http::Access;
use tokio::sync::watch;
use tracing_subscriber::filter::Targets;

mod access;
mod block;
pub(crate) mod dns;
mod exchange;
mod handler;
mod hold;
mod hook;
pub(crate) mod proxy;
pub(crate) mod raw;
mod seal;
pub(crate) mod setting;
pub(crate) mod template;
#[cfg(test)]
mod tests;

use proxy::Proxies;
use raw::{Origin, Raw};
use template::Templates;

use crate::log;

/// Why a configuration cannot be used. Exit status 64.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A value is not what the setting takes.
    #[error("{name} = {value:?} ({origin}) is not usable: expected {expected}")]
    Value { name: String, value: String, origin: String, expected: String },
    /// Two settings do not go together.
    #[error("{0}")]
    Together(String),
    /// The file is not TOML, or not of the expected shape.
    #[error("{file}: {why}")]
    File { file: String, why: String },
    /// The file has a key that is no setting.
    #[error("{file}: `{key}` is no setting; did you mean `{nearest}`?")]
    UnknownKey { file: String, key: String, nearest: String },
}

/// One of the ways for records to travel.
#[derive(Debug)]
pub(crate) enum Driver {
    Gossip(Box<Gossip>),
    Nats(Box<nats::Config>),
    Redis(Box<redis::Config>),
}

/// Gossip, and whether its address was chosen by somebody.
#[derive(Debug)]
pub(crate) struct Gossip {
    pub(crate) config: lobby::gossip::Config,
    /// Somebody knows that an address which others reach needs no key.
    pub(crate) insecure: bool,
    /// The address is the default: when it is taken, a free port does as well.
    pub(crate) default_addr: bool,
}

/// The HTTP API.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) cluster: String,
    pub(crate) addr: SocketAddr,
    /// The second listener.
    pub(crate) consul_addr: Option<SocketAddr>,
    pub(crate) socket: Option<(PathBuf, u32)>,
    /// TOKENS_FILE and certificates, already read.
    pub(crate) access: Access,
    pub(crate) token: Option<String>,
    pub(crate) disable_api: bool,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) operator_loopback: bool,
    pub(crate) node_exporter_port: u16,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The whole configuration.
pub(crate) struct Config {
    pub(crate) hostname: Option<Name>,
    pub(crate) register: bool,
    pub(crate) datacenter: Name,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) warm_max: Duration,
    pub(crate) agent_grace: Duration,
    pub(crate) hold: Rule,
    pub(crate) labels: LabelsConfig,
    pub(crate) ttl: Duration,
    pub(crate) drivers: Vec<Driver>,
    /// What the drivers of brokers follow.
    pub(crate) exchange_keys: watch::Sender<Keys>,
    pub(crate) http: Http,
    pub(crate) dns: Option<dns::Dns>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) templates: Templates,
    /// What `[proxy]` says; None: there is none.
    pub(crate) proxy: Option<Proxies>,
    pub(crate) script_checks: bool,
    pub(crate) services_path: Option<PathBuf>,
    pub(crate) log: Targets,
    pub(crate) log_format: LogFormat,
    /// A throw-away agent: temporary folder, free ports where none is given, a name of its own.
    pub(crate) dev: bool,
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// Checks and converts everything.
    pub(crate) fn from_raw(mut raw: Raw, dev: bool) -> Result<Self, ConfigError> {
        if dev {
            for (name, value) in [("PORT", "0"), ("GOSSIP_ADDR", "127.0.0.1:0"), ("DNS_ADDR", "127.0.0.1:0")] {
                if raw.value(name).1 == Origin::Default {
                    let setting = setting::by_name(name).expect("these settings are in the table");
                    raw.set(setting, value, Origin::Flag);
                }
            }
        }
        let mut warnings = std::mem::take(&mut raw.warnings);
        // A throw-away agent reads no labels and services of the machine, and keeps those it is given in its own folder.
        let is_machines = |name| dev && raw.value(name).1 == Origin::Default;
        let (own_labels_only, own_services_only) = (is_machines("LABELS_PATH"), is_machines("SERVICES_PATH"));
        let read = Read { raw: &raw };
        let (exchange_keys, keys) = watch::channel(seal::keys(&read, &mut warnings)?);
        let log = log::filter(read.text("LOG"))
            .map_err(|err| read.refuse("LOG", format!("a filter such as info or lobby_http=debug,warn ({err})")))?;
        read.seconds("CLEAN_EVERY")?;
        let (ttl, keep_alive) = (read.positive_seconds("TTL")?, read.positive_seconds("KEEP_ALIVE")?);
        if ttl <= keep_alive {
            warnings.push("TTL is not longer than KEEP_ALIVE: nodes of a broker will expire between two packets".into());
        }
        let http = http(&read, &mut warnings)?;
        warnings.extend(raw.exposed());
        warnings.extend(exposed_files(&raw));
        let mut hooks: Vec<_> = hook::callback(&read)?.into_iter().collect();
        for table in &raw.hooks {
            hooks.push(hook::from_table(table)?);
        }
        let dns = dns::read(&read, &mut warnings)?;
        let templates = template::all(&read, &mut warnings)?;
        let proxy = proxy::read(&raw, None, &mut warnings)?;
        Ok(Self {
            hostname: read.optional("HOSTNAME", "a name of at most 128 bytes without blanks")?,
            register: read.truth("REGISTER")?,
            datacenter: read.parse("DATACENTER", "a name of at most 128 bytes without blanks")?,
            data_dir: data_dir(&read, &mut warnings),
            warm_max: read.seconds("WARM_MAX")?,
            agent_grace: read.seconds("AGENT_GRACE")?,
            hold: hold::rule(&read)?,
            labels: labels(&read, own_labels_only, &mut warnings)?,
            ttl,
            drivers: exchange::drivers(&read, &keys, &mut warnings)?,
            exchange_keys,
            http,
            dns,
            hooks,
            handlers: handler::all(&read)?,
            templates,
            proxy,
            script_checks: read.truth("ENABLE_SCRIPT_CHECKS")?,
            services_path: read.path("SERVICES_PATH").filter(|_| !own_services_only),
            log,
            log_format: match read.text("LOG_FORMAT") {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(read.refuse("LOG_FORMAT", "text or json")),
            },
            dev,
            warnings,
        })
    }
}

fn http(read: &Read<'_>, warnings: &mut Vec<String>) -> Result<Http, ConfigError> {
    let host: IpAddr = if read.text("HOST") == "localhost" {
        Ipv4Addr::LOCALHOST.into()
    } else {
        read.parse("HOST", "an IP address or localhost")?
    };
    let http = Http {
        cluster: read.text("CLUSTER").to_owned(),
        addr: SocketAddr::new(host, read.parse("PORT", "a port from 0 to 65535")?),
        consul_addr: access::consul_addr(read)?,
        access: access::read(read)?,
        socket: read.path("SOCKET").map(|path| socket(read, path)).transpose()?,
        token: read.some_text("TOKEN"),
        disable_api: read.truth("DISABLE_API")?,
        allowed_hosts: read.list("ALLOWED_HOSTS"),
        operator_loopback: read.truth("OPERATOR_LOOPBACK")?,
        node_exporter_port: read.parse("NODE_EXPORTER_PORT", "a port from 0 to 65535")?,
    };
    warnings.extend(http.access.warnings());
    warnings.extend(access::open(read, &http)?);
    Ok(http)
}

/// The data folder. A relative one is another one, and this another node, when the process starts elsewhere.
fn data_dir(read: &Read<'_>, warnings: &mut Vec<String>) -> Option<PathBuf> {
    let folder = read.path("DATA_DIR")?;
    if folder.is_relative() {
        let now = std::path::absolute(&folder).unwrap_or_else(|_| folder.clone());
        warnings.push(format!(
            "DATA_DIR = {folder:?} is a relative path, now {now:?}: started in another folder this is another node, \
             so give an absolute one"
        ));
    }
    Some(folder)
}

fn labels(read: &Read<'_>, without_folder: bool, warnings: &mut Vec<String>) -> Result<LabelsConfig, ConfigError> {
    let (mut fixed, mut refused_fixed) = (Vec::new(), 0);
    for label in Label::split_list(read.text("LABELS")) {
        match label {
            Ok(label) => fixed.push(label),
            Err((item, err)) => {
                refused_fixed += 1;
                warnings.push(format!("LABELS: {:?} is skipped: {err}", item.chars().take(64).collect::<String>()));
            }
        }
    }
    let runtime_filename = read.text("RUNTIME_LABELS_FILENAME").to_owned();
    if runtime_filename.contains('/') || runtime_filename.starts_with('.') || runtime_filename.ends_with('~') {
        return Err(
            read.refuse("RUNTIME_LABELS_FILENAME", "a file name that starts with no dot, ends with no ~ and has no slash")
        );
    }
    let folder = read.path("LABELS_PATH").filter(|_| !without_folder);
    Ok(LabelsConfig { fixed, refused_fixed, folder, runtime_filename, ..LabelsConfig::default() })
}

/// `PATH` or `PATH:MODE`.
fn socket(read: &Read<'_>, path: PathBuf) -> Result<(PathBuf, u32), ConfigError> {
    let text = read.text("SOCKET");
    let Some((before, mode)) = text.rsplit_once(':') else { return Ok((path, 0o660)) };
    match u32::from_str_radix(mode, 8) {
        Ok(mode) if mode <= 0o777 && !before.is_empty() => Ok((before.into(), mode)),
        _ => Err(read.refuse("SOCKET", "a path, or a path, a colon and an octal mode such as 0660")),
    }
}

/// Reads typed values and says what is wrong with them.
struct Read<'a> {
    raw: &'a Raw,
}

impl Read<'_> {
    fn text(&self, name: &'static str) -> &str {
        self.raw.value(name).0
    }

    fn is_default(&self, name: &'static str) -> bool {
        self.raw.value(name).1 == Origin::Default
    }

    fn some_text(&self, name: &'static str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn path(&self, name: &'static str) -> Option<PathBuf> {
        self.some_text(name).map(PathBuf::from)
    }

    fn list(&self, name: &'static str) -> Vec<String> {
        let items = self.text(name).split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn parse<T: std::str::FromStr>(&self, name: &'static str, expected: &str) -> Result<T, ConfigError> {
        self.text(name).parse().map_err(|_| self.refuse(name, expected))
    }

    fn optional<T: std::str::FromStr>(&self, name: &'static str, expected: &str) -> Result<Option<T>, ConfigError> {
        if self.text(name).is_empty() { Ok(None) } else { self.parse(name, expected).map(Some) }
    }

    /// Words as Go's ParseBool takes them, and a few more.
    fn truth(&self, name: &'static str) -> Result<bool, ConfigError> {
        match self.text(name).to_ascii_lowercase().as_str() {
            "1" | "t" | "true" | "yes" | "on" => Ok(true),
            "0" | "f" | "false" | "no" | "off" => Ok(false),
            _ => Err(self.refuse(name, "true or false")),
        }
    }

    fn seconds(&self, name: &'static str) -> Result<Duration, ConfigError> {
        let expected = "seconds, from 0 to 86400, fractions allowed";
        let seconds: f64 = self.parse(name, expected)?;
        if !(0.0..=86_400.0).contains(&seconds) {
            return Err(self.refuse(name, expected));
        }
        Ok(Duration::from_secs_f64(seconds))
    }

    fn positive_seconds(&self, name: &'static str) -> Result<Duration, ConfigError> {
        let duration = self.seconds(name)?;
        if duration < Duration::from_millis(10) { Err(self.refuse(name, "seconds, at least 0.01")) } else { Ok(duration) }
    }

    fn refuse(&self, name: &'static str, expected: impl Display) -> ConfigError {
        self.refuse_part(name, self.text(name), expected)
    }

    /// Refuses one item of a list.
    fn refuse_part(&self, name: &'static str, value: &str, expected: impl Display) -> ConfigError {
        let is_secret = setting::by_name(name).is_some_and(|setting| setting.kind.is_secret());
        self.refuse_as(name, if is_secret { "<hidden>" } else { value }, expected)
    }

    /// Refuses a value that may be shown like this.
    fn refuse_as(&self, name: &'static str, shown: &str, expected: impl Display) -> ConfigError {
        let (_, origin) = self.raw.value(name);
        let setting = setting::by_name(name).expect("only settings of the table are read");
        let origin = match origin {
            Origin::Default => "the default".into(),
            Origin::File => format!("`{}` in the file", setting.path),
            Origin::Environment(name) => format!("the variable {name}"),
            Origin::Flag => format!("the flag --{}", setting.flag()),
        };
        ConfigError::Value { name: name.into(), value: shown.into(), origin, expected: expected.to_string() }
    }
}

/// Warnings about files with keys of brokers that others on this machine can use.
fn exposed_files(raw: &Raw) -> Vec<String> {
    let files = ["NATS_CREDS", "NATS_NKEY", "NATS_KEY", "REDIS_KEY"].map(|name| (name, raw.value(name).0));
    let files = files.into_iter().filter(|(_, path)| path.contains('/'));
    files.filter_map(|(name, path)| lobby_http::exposure(&format!("{name} {path}"), Path::new(path))).collect()
}
