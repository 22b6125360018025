//! `[proxy]`: HAProxy, nginx and files that are kept in step with the catalog.
//!
//! Its keys are those of `lobby_proxy::config`, which reads a Synapse file as well if one is named. Here is what `lobbyd` adds:
//! the file in each message, and a form without secrets. Not here: what runs (`crate::proxy`).

use std::sync::Arc;

use lobby_proxy::{Settings, nerve};
use toml::{Table, Value};

use super::{
    ConfigError,
    raw::{Raw, without_password},
};

/// Keys whose values are secrets.
const SECRETS: [&str; 3] = ["access_key", "secret_key", "token"];

/// Words of HAProxy before which a line tells no secret, and after which it may.
const BEFORE_SECRETS: [&str; 3] = ["stats auth ", "password ", "authorization "];

/// What is to be kept in step, and what is to be checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Proxies {
    pub(crate) settings: Arc<Settings>,
    /// What Nerve's file says, which the settings do not name any more.
    pub(crate) nerve: Option<Arc<nerve::Settings>>,
}

impl Proxies {
    /// Reads the file that the settings name, if they name one.
    pub(crate) fn new(
        mut settings: Settings,
        instance: Option<&str>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, lobby_proxy::config::ConfigError> {
        let file = settings.nerve.take();
        let nerve = match file.map(|file| nerve::read(&file, instance)).transpose()? {
            Some((nerve, warned)) => {
                warnings.extend(warned);
                Some(Arc::new(nerve))
            }
            None => None,
        };
        if let Some(haproxy) = &mut settings.haproxy {
            haproxy.remember_in(|name| std::env::var_os(name));
        }
        Ok(Self { settings: Arc::new(settings), nerve })
    }
}

/// What the table says, if there is one. `instance` counts before that of Nerve's file.
pub(crate) fn read(raw: &Raw, instance: Option<&str>, warnings: &mut Vec<String>) -> Result<Option<Proxies>, ConfigError> {
    let Some(table) = &raw.proxy else { return Ok(None) };
    let at = |err: lobby_proxy::config::ConfigError| ConfigError::File { file: raw.file.clone(), why: err.to_string() };
    let (settings, warned) = lobby_proxy::config::from_toml(table).map_err(at)?;
    warnings.extend(warned);
    Proxies::new(settings, instance, warnings).map(Some).map_err(at)
}

/// The table without its secrets.
pub(super) fn shown(table: &Table) -> Value {
    let show = |(key, value): (&String, &Value)| {
        let value = if SECRETS.contains(&key.as_str()) { "<hidden>".into() } else { without_secrets(value) };
        (key.clone(), value)
    };
    Value::Table(table.iter().map(show).collect())
}

fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Table(table) => shown(table),
        Value::Array(items) => Value::Array(items.iter().map(without_secrets).collect()),
        Value::String(text) => {
            let lower = text.to_ascii_lowercase();
            let end = |words: &&str| lower.find(*words).map(|at| at + words.len());
            match BEFORE_SECRETS.iter().filter_map(end).min() {
                Some(end) => format!("{}<hidden>", &text[..end]).into(),
                None if text.contains("://") => without_password(text).into(),
                None => value.clone(),
            }
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;

    const SMALL: &str = "[proxy.haproxy]\nconfig = \"/run/h.cfg\"\nmanage = true\n[proxy.service.web]\nport = 8080\n";

    fn config(text: &str) -> Result<Config, ConfigError> {
        let mut raw = Raw::default();
        raw.read_file(Path::new("lobby.toml"), text)?;
        Config::from_raw(raw, false)
    }

    #[test]
    fn six_lines_are_a_proxy_and_none_are_none() {
        assert!(config("").unwrap().proxy.is_none());
        let proxy = config(SMALL).unwrap().proxy.unwrap().settings;
        assert_eq!((proxy.services[0].name.as_str(), proxy.haproxy.as_ref().unwrap().manage), ("web", true));
    }

    #[test]
    fn mistakes_name_the_file_and_the_nearest_key() {
        for (text, words) in [
            ("[proxy.haproxi]\n", &["lobby.toml", "haproxi", "haproxy"][..]),
            (
                "[proxy.haproxy]\nconfig = \"/c\"\n[proxy.service.web]\nprt = 1\n",
                &["lobby.toml", "proxy.service.web", "prt", "`port`"],
            ),
            ("proxy = 1\n", &["lobby.toml", "[proxy]"]),
            ("[[proxy]]\n", &["lobby.toml", "[proxy]"]),
            ("[prox]\n", &["lobby.toml", "`prox`", "proxy"]),
            ("[proxy]\nnerve = \"/no/such\"\n", &["lobby.toml", "/no/such"]),
            ("[proxy]\nsynapse = \"/no/such\"\n", &["lobby.toml", "/no/such"]),
        ] {
            let message = config(text).err().unwrap_or_else(|| panic!("{text}")).to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
    }

    #[test]
    fn what_is_printed_gives_the_same_but_for_secrets() {
        let printed = |text: &str| {
            let mut raw = Raw::default();
            raw.read_file(Path::new("lobby.toml"), text).unwrap();
            raw.print()
        };
        assert_eq!(config(&printed(SMALL)).unwrap().proxy, config(SMALL).unwrap().proxy);
        let secrets = "[proxy.haproxy]\nconfig = \"/c\"\nglobal = [\"user a insecure-password s3cret\"]\n\
                       defaults = [\"stats auth me:s3cret\", \"mode tcp\"]\n\
                       [proxy.service.a.discovery]\nmethod = \"consul\"\naddress = \"http://me:s3cret@h:1\"\ntoken = \"s3cret\"\n\
                       [proxy.service.b.discovery]\nmethod = \"ec2tag\"\ntag_name = \"t\"\ntag_value = \"v\"\nport = 1\n\
                       access_key = \"id-s3cret\"\nsecret_key = \"s3cret\"\n";
        let text = printed(secrets);
        assert!(!text.contains("s3cret"), "{text}");
        for kept in ["user a insecure-password <hidden>", "stats auth <hidden>", "mode tcp", "http://<hidden>@h:1", "ec2tag"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }
}
