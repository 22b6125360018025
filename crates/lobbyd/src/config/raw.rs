//! Where values come from: file < environment < flags, all as text, each with its origin.
//!
//! ```text
//! file.toml ─┐
//! environment├─► Raw (name → text, origin) ─► Config (typed)
//! flags ─────┘
//! ```
//! Unknown keys of the file are errors that name the nearest known one; so are unknown flags (clap says it).

use std::{collections::BTreeMap, path::Path};

use toml::{Table, Value};

use super::{
    ConfigError,
    setting::{GROUPS, Kind, SETTINGS, Setting, by_name},
};

/// Of this setting an empty value is kept, to be refused.
const REFUSED_EMPTY: &str = "EXCHANGE_KEY";

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Not given: the default.
    Default,
    /// In the file.
    File,
    /// In this environment variable.
    Environment(String),
    /// As a flag.
    Flag,
}

/// All values that were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raw {
    values: BTreeMap<&'static str, (String, Origin)>,
    /// The `[[hook]]` blocks of the file.
    pub(crate) hooks: Vec<Table>,
    /// Its `[[handler]]` blocks.
    pub(crate) handlers: Vec<Table>,
    /// Its `[[template]]` blocks.
    pub(crate) templates: Vec<Table>,
    /// Its `[proxy]` table.
    pub(crate) proxy: Option<Table>,
    /// The file, for messages about its blocks.
    pub(crate) file: String,
    /// Things worth a warning.
    pub(crate) warnings: Vec<String>,
}

impl Raw {
    /// Sets a value; later calls win. Empty text counts as not given, as in the old daemon, so it wins over nothing; but
    /// EXCHANGE_KEY is kept, to be refused: a key that got lost on its way must not turn the seals off.
    pub(crate) fn set(&mut self, setting: &'static Setting, value: &str, origin: Origin) {
        let value = value.trim();
        if !value.is_empty() || setting.name == REFUSED_EMPTY {
            self.values.insert(setting.name, (value.to_owned(), origin));
        }
    }

    /// The value, or the default, and where it came from.
    pub(crate) fn value(&self, name: &'static str) -> (&str, Origin) {
        match self.values.get(name) {
            Some((value, origin)) => (value, origin.clone()),
            None => (by_name(name).map_or("", |setting| setting.default), Origin::Default),
        }
    }

    /// The exchange that runs when DRIVER names none, as in the old daemon if that is what the settings are for.
    pub(crate) fn default_driver(&self) -> &'static str {
        if self.value("NATS_URL").0.is_empty() { "gossip" } else { "nats" }
    }

    /// The settings whose values differ, hooks, handlers, templates and the proxy among them.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let differs = |setting: &&Setting| self.value(setting.name).0 != other.value(setting.name).0;
        let hooks = (self.hooks != other.hooks).then_some("hook");
        let handlers = (self.handlers != other.handlers).then_some("handler");
        let templates = (self.templates != other.templates).then_some("template");
        let proxy = (self.proxy != other.proxy).then_some("proxy");
        let blocks = hooks.into_iter().chain(handlers).chain(templates).chain(proxy);
        SETTINGS.iter().filter(differs).map(|setting| setting.name).chain(blocks).collect()
    }

    /// Reads the file's text.
    pub(crate) fn read_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let file = || path.display().to_string();
        // Without the offending line, which may hold a secret.
        let table: Table = text.parse().map_err(|err: toml::de::Error| {
            let line = err.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            ConfigError::File { file: file(), why: format!("line {line}: {}", err.message()) }
        })?;
        self.file = file();
        for (group, value) in table {
            let blocks = match group.as_str() {
                "hook" => Some(&mut self.hooks),
                "handler" => Some(&mut self.handlers),
                "template" => Some(&mut self.templates),
                _ => None,
            };
            if let Some(blocks) = blocks {
                let why = || format!("{group}s are written as [[{group}]] blocks");
                *blocks = tables(value).ok_or_else(|| ConfigError::File { file: file(), why: why() })?;
                continue;
            }
            let known: Vec<_> = GROUPS.iter().map(|(group, _)| *group).chain(["hook", "handler", "template", "proxy"]).collect();
            if !known.contains(&group.as_str()) {
                // A key without its table is the likelier mistake when its name is a known one.
                let key = SETTINGS.iter().find(|setting| setting.key() == group).map(|setting| setting.path.to_owned());
                let nearest = key.unwrap_or_else(|| nearest(&group, &known));
                return Err(ConfigError::UnknownKey { file: file(), nearest, key: group });
            }
            let Value::Table(keys) = value else {
                return Err(ConfigError::File { file: file(), why: format!("`{group}` is a table: write [{group}]") });
            };
            if group == "proxy" {
                self.proxy = Some(keys);
                continue;
            }
            for (key, value) in keys {
                let in_group = || SETTINGS.iter().filter(|setting| setting.group() == group);
                let Some(setting) = in_group().find(|setting| setting.key() == key) else {
                    let known: Vec<_> = in_group().map(Setting::key).collect();
                    let nearest = format!("{group}.{}", nearest(&key, &known));
                    return Err(ConfigError::UnknownKey { file: file(), key: format!("{group}.{key}"), nearest });
                };
                let text = text_of(value, setting.kind.separator()).ok_or_else(|| ConfigError::File {
                    file: file(),
                    why: format!("`{}` takes a text, a number, a truth value or a list of texts", setting.path),
                })?;
                self.set(setting, &text, Origin::File);
            }
        }
        Ok(())
    }

    /// Reads the environment. LOBBY_NAME wins over NAME; LOBBY_ with an unknown rest is a warning.
    pub(crate) fn read_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        let mut variables: Vec<_> = variables.collect();
        variables.sort_by_key(|(name, _)| name.starts_with("LOBBY_"));
        for (name, value) in variables {
            let short = name.strip_prefix("LOBBY_");
            match by_name(short.unwrap_or(&name)) {
                Some(setting) => self.set(setting, &value, Origin::Environment(name)),
                None => {
                    // LOBBY_CONFIG names the file, LOBBY_REBORN counts, LOBBY_SIM_… and LOBBY_TEST_… belong to the tests.
                    let ours = ["CONFIG", "REBORN", "SIM_", "TEST_"];
                    if let Some(short) = short.filter(|short| !ours.iter().any(|start| short.starts_with(start))) {
                        let known: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
                        self.warnings.push(format!("{name} is no setting; did you mean LOBBY_{}?", nearest(short, &known)));
                    }
                }
            }
        }
    }

    /// Warnings about secrets that others on this machine can read: those on the command line, those in an open file.
    pub(crate) fn exposed(&self) -> Vec<String> {
        let is_secret = |setting: &&Setting| {
            let (value, _) = self.value(setting.name);
            // An absolute path is that of a file with the secret in it.
            !value.is_empty()
                && !value.starts_with('/')
                && (setting.kind.is_secret() || setting.kind == Kind::Url && without_password(value) != value)
        };
        let given =
            |origin: Origin| SETTINGS.iter().filter(is_secret).filter(move |setting| self.value(setting.name).1 == origin);
        let told = |setting: &Setting| {
            format!(
                "{} is on the command line, which everybody on this machine can read: give it in the file or the environment",
                setting.name
            )
        };
        let mut warnings: Vec<_> = given(Origin::Flag).map(told).collect();
        let of_proxy = self.proxy.as_ref().is_some_and(|table| super::proxy::shown(table) != Value::Table(table.clone()));
        if of_proxy || given(Origin::File).next().is_some() {
            warnings.extend(lobby_http::exposure(&format!("{} holds secrets and", self.file), Path::new(&self.file)));
        }
        warnings
    }

    /// The settings as `--print-config` shows them: a file that would give the same, secrets hidden.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        for (group, heading) in GROUPS {
            text.push_str(&format!("[{group}] # {heading}\n"));
            for setting in SETTINGS.iter().filter(|setting| setting.group() == *group) {
                let (mut value, origin) = self.value(setting.name);
                if setting.name == "DRIVER" && value.is_empty() {
                    value = self.default_driver();
                }
                let shown: Value = match setting.kind {
                    Kind::Secret if !value.is_empty() => "<hidden>".into(),
                    Kind::Url => without_password(value).into(),
                    Kind::Lines => value.lines().map(str::to_owned).collect::<Vec<_>>().into(),
                    _ => value.into(),
                };
                // Written as it is, it would be refused.
                if setting.name == REFUSED_EMPTY && origin == Origin::Default {
                    text.push_str("# ");
                }
                let from = match origin {
                    Origin::Default => "default".into(),
                    Origin::File => "file".into(),
                    Origin::Environment(name) => name,
                    Origin::Flag => format!("--{}", setting.flag()),
                };
                text.push_str(&format!("{} = {} # {from}\n", setting.key(), shown));
            }
            text.push('\n');
        }
        for (name, blocks) in [("hook", &self.hooks), ("handler", &self.handlers), ("template", &self.templates)] {
            if !blocks.is_empty() {
                let blocks = blocks.iter().cloned().map(Value::Table).collect();
                text.push_str(&Table::from_iter([(name.to_owned(), Value::Array(blocks))]).to_string());
            }
        }
        if let Some(proxy) = &self.proxy {
            text.push_str(&Table::from_iter([("proxy".to_owned(), super::proxy::shown(proxy))]).to_string());
        }
        text
    }
}

/// A list of addresses without what stands before their `@`. A password may hold a comma, so the list is not split at those.
pub(super) fn without_password(value: &str) -> String {
    let hide = |part: &str| match part.rsplit_once('@') {
        Some((_, host)) => format!("<hidden>@{host}"),
        None => part.to_owned(),
    };
    value.split("://").map(hide).collect::<Vec<_>>().join("://")
}

fn tables(value: Value) -> Option<Vec<Table>> {
    let Value::Array(items) = value else { return None };
    items.into_iter().map(|item| if let Value::Table(table) = item { Some(table) } else { None }).collect()
}

/// A value of the file as the text that a variable would hold.
pub(crate) fn text_of(value: Value, separator: &str) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<_>> = items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect();
            Some(items?.join(separator))
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// The known key that looks most like this one.
pub(crate) fn nearest(key: &str, known: &[&str]) -> String {
    let key = key.to_ascii_lowercase();
    let alike = |known: &&&str| (strsim::jaro_winkler(&key, &known.to_ascii_lowercase()) * 1e6) as u64;
    known.iter().max_by_key(alike).copied().unwrap_or_default().to_owned()
}
