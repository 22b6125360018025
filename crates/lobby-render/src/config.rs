//! What to render, as people write it: consul-template's flags, its HCL or JSON files, the same in TOML, and lobbyd's
//! `[[template]]` blocks.
//!
//! ```text
//! environment ─┐
//! CT_LOCAL_…  ─┤ text ─► tree (`value`) ─► Partial (`model`: all optional) ─► merged, the last wins ─► Config
//! files       ─┤                                                                                     (`resolve`)
//! flags       ─┘
//! ```
//! Unknown keys are errors. What consul-template has and Lobby has not is accepted with one warning each.
//! Not here: what any of it does; a program asks for nothing but [`Settings`] and its own part, [`Process`].

use std::path::PathBuf;
use std::time::Duration;

use crate::settings::{Settings, TemplateSettings};

mod duration;
pub mod error;
mod exit;
pub mod flags;
pub mod hcl;
mod kind;
mod load;
mod machine;
mod model;
mod resolve;
mod section;
mod signal;
mod usage;
pub mod value;

pub use self::error::ConfigError;
pub use self::exit::Exit;
pub use self::flags::{FlagError, Flags};
pub use self::load::{FILE_BYTES, FILES, FOLDERS, load};
pub use self::machine::missing;

use self::model::{TemplatePart, Templates, Top};
use self::section::{Place, Read as _, read_block};
use self::value::{Block, Value};

/// A configuration, or a part of one, in which everything is optional.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partial {
    top: Top,
    warnings: Vec<String>,
}

/// A whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// For the runner.
    pub settings: Settings,
    /// For the program around it.
    pub process: Process,
    /// For the source.
    pub consul: Consul,
    /// A folder whose files are the keys; None: there is none.
    pub keys_dir: Option<PathBuf>,
    /// What is accepted but does nothing or should be written otherwise, once each, for people.
    pub warnings: Vec<String>,
}

/// What the program does that runs the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// What it logs; `warn` unless something else was said.
    pub log_level: LogLevel,
    /// Holds the process' number while it runs.
    pub pid_file: Option<PathBuf>,
    /// Ends it, as SIGTERM does always; SIGINT unless something else was said, None: no other signal does.
    pub kill_signal: Option<i32>,
    /// Reads the configuration again; SIGHUP unless something else was said, None: no signal does.
    pub reload_signal: Option<i32>,
    /// Templates are parsed, and that is all.
    pub parse_only: bool,
    /// A dry run also shows how each file differs from the one that is there.
    pub diff: bool,
    /// An answer that is not there is an error, instead of waited for.
    pub err_on_failed_lookup: bool,
}

/// The least important lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What developers want to know.
    Debug,
    /// What happens.
    Info,
    /// What should not happen.
    Warn,
    /// What fails.
    Err,
}

impl LogLevel {
    fn of_name(name: &str) -> Option<Self> {
        Some(match &*name.to_ascii_lowercase() {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "err" | "error" => Self::Err,
            _ => return None,
        })
    }
}

/// Where answers come from, if not from the agent beside us.
#[derive(Debug, Clone, PartialEq)]
pub struct Consul {
    /// `HOST:PORT`, a URL, or `unix://PATH`; None: nobody named one.
    pub address: Option<String>,
    /// Sent along; Lobby has none itself.
    pub namespace: Option<String>,
    /// Sent along.
    pub token: Option<Secret>,
    /// Holds the token, if none is given.
    pub token_file: Option<PathBuf>,
    /// Basic authentication.
    pub auth: Option<Auth>,
    /// None: in plain text, unless the address is a URL that says otherwise.
    pub tls: Option<Tls>,
    /// After failures.
    pub retry: Retry,
    /// How old an answer of a follower may be; 2 s unless something else was said.
    pub max_stale: Duration,
    /// How long a question waits for a change; 60 s unless something else was said.
    pub block_query_wait: Duration,
}

/// Basic authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The user.
    pub username: String,
    /// May be empty.
    pub password: Secret,
}

/// How a connection is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The other side's certificate has to be right.
    pub verify: bool,
    /// Our own, PEM.
    pub cert: Option<PathBuf>,
    /// Of our own; None: in the same file.
    pub key: Option<PathBuf>,
    /// Whom we trust, PEM; None: whom the system trusts.
    pub ca_cert: Option<PathBuf>,
    /// A folder of those.
    pub ca_path: Option<PathBuf>,
    /// Who the other side has to be, if not who was called.
    pub server_name: Option<String>,
}

/// What happens after a failed question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Whether it is asked again.
    pub enabled: bool,
    /// How often; 0: without end.
    pub attempts: u32,
    /// Before the first attempt; doubled with each.
    pub backoff: Duration,
    /// Never more than this; 0: without bound.
    pub max_backoff: Duration,
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Partial {
    /// Of HCL 1 or JSON.
    pub fn from_hcl(text: &str) -> Result<Self, ConfigError> {
        Self::from_block(&hcl::parse(text)?)
    }

    /// Of TOML, with the same keys: `[consul]`, `[[template]]`.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(Box::new)?;
        Self::from_block(&Block::from(&table))
    }

    /// Of a tree.
    pub fn from_block(block: &Block) -> Result<Self, ConfigError> {
        let mut warnings = Vec::new();
        let top = read_block::<Top>(block, &mut Place::top(&mut warnings))?;
        Ok(Self { top, warnings })
    }

    /// One key with dots, as flags and variables of the environment set it.
    fn from_path(path: &str, value: Value) -> Result<Self, ConfigError> {
        let mut keys = path.rsplit('.');
        let last = Block::of(keys.next().unwrap_or_default(), value);
        Self::from_block(&keys.fold(last, |inner, key| Block::of(key, Value::Block(inner))))
    }

    /// One more template.
    fn from_template(part: TemplatePart) -> Self {
        Self { top: Top { template: Some(Templates(vec![part])), ..Top::default() }, warnings: Vec::new() }
    }

    /// A later part over this one: single values and blocks' fields are replaced, templates are added.
    pub fn merge(mut self, later: Self) -> Self {
        self.top.merge(later.top);
        self.warnings.extend(later.warnings);
        self
    }

    /// The whole: the environment below everything that was written, defaults below that.
    pub fn resolve(self, env: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let below = resolve::environment(env)?;
        resolve::config(below.merge(self))
    }
}

/// One template of lobbyd's own configuration: the keys of a `template` block, and what people should know about them.
pub fn template_from_toml(table: &toml::Table) -> Result<(TemplateSettings, Vec<String>), ConfigError> {
    let mut warnings = Vec::new();
    let part = read_block::<TemplatePart>(&table.into(), &mut Place::top(&mut warnings))?;
    let settings = resolve::template(part, &resolve::ForAll::default(), &mut warnings)?;
    Ok((settings, warnings))
}
