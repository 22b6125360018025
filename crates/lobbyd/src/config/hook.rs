//! Hooks: CALLBACK, and the `[[hook]]` blocks of the file.
//!
//! ```toml
//! [[hook]]
//! name = "balancer"                      # for the log; default: the program
//! command = ["/usr/local/bin/reload", "haproxy"]   # or one text, split at blanks
//! cooldown = 5                           # seconds; the defaults are those of CALLBACK
//! first_run_delay = 10
//! timeout = 60
//! labels = "service:web"                 # only hosts with any of these; or prefixes = "service:"
//! ```

use std::time::Duration;

use lobby::hook::Hook;
use lobby_core::select::Selector;
use toml::{Table, Value};

use super::{
    ConfigError, Read,
    raw::{nearest, text_of},
};

const KEYS: &[&str] = &["name", "command", "cooldown", "first_run_delay", "timeout", "labels", "prefixes"];

/// The hook that the CALLBACK variables describe.
pub(super) fn callback(read: &Read<'_>) -> Result<Option<Hook>, ConfigError> {
    let command: Vec<String> = read.text("CALLBACK").split_whitespace().map(str::to_owned).collect();
    let hook = Hook {
        name: "callback".into(),
        command,
        cooldown: read.seconds("CALLBACK_COOLDOWN")?,
        first_delay: read.seconds("CALLBACK_FIRST_RUN_DELAY")?,
        timeout: read.positive_seconds("CALLBACK_TIMEOUT")?,
        selector: Selector::All,
    };
    Ok((!hook.command.is_empty()).then_some(hook))
}

/// The hook of one block.
pub(super) fn from_table(table: &Table) -> Result<Hook, ConfigError> {
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let nearest = format!("hook.{}", nearest(key, KEYS));
        return Err(ConfigError::UnknownKey { file: "[[hook]]".into(), key: format!("hook.{key}"), nearest });
    }
    let refuse = |key: &str, expected: &str| ConfigError::Value {
        name: format!("hook.{key}"),
        value: table.get(key).map(ToString::to_string).unwrap_or_default(),
        origin: "the file".into(),
        expected: expected.into(),
    };
    let command: Vec<String> = match table.get("command") {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        // One item that is no text spoils the command, rather than vanishing from it.
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>().unwrap_or_default()
        }
        _ => Vec::new(),
    };
    let Some(program) = command.first().cloned() else {
        return Err(refuse("command", "a program and its arguments, as one text or a list of texts"));
    };
    let seconds = |key: &str, default: u64, least: f64| match table.get(key) {
        None => Ok(Duration::from_secs(default)),
        Some(value) => {
            let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
            let number = number.filter(|number| (least..=86_400.0).contains(number));
            number.map(Duration::from_secs_f64).ok_or_else(|| refuse(key, &format!("seconds, from {least} to 86400")))
        }
    };
    let list = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(value) => text_of(value.clone()).map(Some).ok_or_else(|| refuse(key, "a text or a list of texts")),
    };
    let name = match table.get("name") {
        None => program,
        Some(value) => value.as_str().map(str::to_owned).ok_or_else(|| refuse("name", "a text"))?,
    };
    Ok(Hook {
        name,
        command,
        cooldown: seconds("cooldown", 15, 0.0)?,
        first_delay: seconds("first_run_delay", 30, 0.0)?,
        timeout: seconds("timeout", 60, 0.01)?,
        selector: Selector::from_query(list("labels")?.as_deref(), list("prefixes")?.as_deref()),
    })
}
