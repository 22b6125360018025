//! All keys of a configuration, with everything optional: consul-template's, and Lobby's own beside them.
//!
//! Texts, files and flags become such parts, which are merged from left to right; defaults come last (`resolve`).

use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::kind::{Command, Ignored, Owner, Perms, Signal};
use super::section::{self, Names, Pairs, Place, Read, Section, section};
use super::value::Value;
use super::{LogLevel, Secret, duration};
use crate::settings::ForEach;

section! {
    /// Everything.
    Top {
        /// Where answers come from.
        consul: ConsulPart,
        vault: Ignored,
        nomad: Ignored,
        deduplicate: Ignored,
        telemetry: Ignored,
        syslog: Ignored,
        log_file: Ignored,
        dump_signal: Ignored,
        default_delimiters: DelimitersPart,
        exec: ExecPart,
        kill_signal: Signal,
        reload_signal: Signal,
        log_level: LogLevel,
        max_stale: Duration,
        block_query_wait: Duration,
        pid_file: PathBuf,
        template_error_fatal: bool,
        err_on_failed_lookup: bool,
        wait: WaitPart,
        once: bool,
        dry: bool,
        parse_only: bool,
        /// Lobby's own: see `Process::diff`.
        diff: bool,
        template: Templates,
        /// Lobby's own: see `Settings::stagger`.
        stagger: StaggerPart,
        /// Lobby's own: see `Settings::rate`.
        rate: u32,
        /// Lobby's own: a folder whose files are the keys.
        keys_dir: PathBuf,
    }
}

section! {
    /// `consul { … }`
    ConsulPart = consul_of_text {
        address: String,
        namespace: String,
        token: Secret,
        token_file: PathBuf,
        auth: AuthPart,
        ssl: SslPart,
        retry: RetryPart,
        transport: Ignored,
    }
}

section! {
    /// `auth { … }`
    AuthPart = auth_of_text {
        enabled: bool,
        username: String,
        password: Secret,
    }
}

section! {
    /// `ssl { … }`
    SslPart {
        enabled: bool,
        verify: bool,
        cert: PathBuf,
        key: PathBuf,
        ca_cert: PathBuf,
        ca_path: PathBuf,
        server_name: String,
    }
}

section! {
    /// `retry { … }`
    RetryPart {
        enabled: bool,
        attempts: u32,
        backoff: Duration,
        max_backoff: Duration,
    }
}

section! {
    /// `default_delimiters { … }`
    DelimitersPart {
        left: String,
        right: String,
    }
}

section! {
    /// `wait { … }`
    WaitKeys = wait_of_text {
        // consul-template's own reader knows this key as `bool`, by a slip.
        enabled | bool: bool,
        min: Duration,
        max: Duration,
    }
}

section! {
    /// `exec { … }` and `check { … }`
    ExecPart = exec_of_command {
        enabled: bool,
        command: Command,
        timeout: Duration,
        env: EnvPart,
        kill_signal: Signal,
        kill_timeout: Duration,
        reload_signal: Signal,
        splay: Duration,
    }
}

section! {
    /// `env { … }`
    EnvPart {
        pristine: bool,
        custom: Pairs,
        allowlist | whitelist: Names,
        denylist | blacklist: Names,
    }
}

section! {
    /// `stagger { … }`
    StaggerPart {
        at_once: u32,
        slot: Duration,
    }
}

section! {
    /// `template { … }`
    TemplatePart {
        source: PathBuf,
        contents: String,
        destination: PathBuf,
        create_dest_dirs: bool,
        command: Command,
        command_timeout: Duration,
        exec: ExecPart,
        perms: Perms,
        user: Owner,
        group: Owner,
        uid: Owner,
        gid: Owner,
        backup: bool,
        left_delimiter: String,
        right_delimiter: String,
        wait: WaitPart,
        error_on_missing_key: bool,
        error_fatal: bool,
        function_denylist | function_blacklist: Names,
        sandbox_path: PathBuf,
        /// Lobby's own: see `TemplateSettings::check`.
        check: ExecPart,
        /// Lobby's own: see `TemplateSettings::roll_back`.
        roll_back: bool,
        /// Lobby's own: see `TemplateSettings::for_each`.
        for_each: ForEach,
    }
}

/// The templates in the order in which they were written, those of later texts after those of earlier ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Templates(pub(super) Vec<TemplatePart>);

impl Read for Templates {
    const REPEATS: bool = true;

    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        match value {
            Value::List(list) => {
                let parts: Result<_, _> = list.iter().map(|value| TemplatePart::read(value, place)).collect();
                parts.map(Self)
            }
            one => Ok(Self(vec![TemplatePart::read(one, place)?])),
        }
    }

    fn merge(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

fn consul_of_text(value: &Value, place: &mut Place<'_>) -> Result<ConsulPart, ConfigError> {
    let Value::Text(address) = value else { return Err(place.refuse(value, "a block, or an address as \"HOST:PORT\"")) };
    place.warn("= \"HOST:PORT\" is the old spelling of consul { address = \"HOST:PORT\" }");
    Ok(ConsulPart { address: Some(address.clone()), ..ConsulPart::default() })
}

fn auth_of_text(value: &Value, place: &mut Place<'_>) -> Result<AuthPart, ConfigError> {
    let Value::Text(text) = value else { return Err(place.refuse(value, "a block, or \"USER:PASSWORD\"")) };
    let (username, password) = text.split_once(':').map_or((&**text, None), |(name, word)| (name, Some(word)));
    Ok(AuthPart { enabled: Some(true), username: Some(username.into()), password: password.map(|word| Secret(word.into())) })
}

/// A pair of times: a later shortest time is not held against an earlier longest one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WaitPart(pub(super) WaitKeys);

impl Read for WaitPart {
    fn read(value: &Value, place: &mut Place<'_>) -> Result<Self, ConfigError> {
        WaitKeys::read(value, place).map(Self)
    }

    fn merge(&mut self, later: Self) {
        if later.0.min.is_some() {
            self.0.max = None;
        }
        self.0.join(later.0);
    }
}

fn wait_of_text(value: &Value, place: &mut Place<'_>) -> Result<WaitKeys, ConfigError> {
    let wait = match value {
        Value::Text(text) => duration::read_wait(text),
        _ => None,
    };
    let wait = wait.ok_or_else(|| place.refuse(value, duration::WAIT_ACCEPTED))?;
    Ok(WaitKeys { enabled: None, min: Some(wait.min), max: Some(wait.max) })
}

fn exec_of_command(value: &Value, place: &mut Place<'_>) -> Result<ExecPart, ConfigError> {
    Ok(ExecPart { enabled: Some(true), command: Some(Command::read(value, place)?), ..ExecPart::default() })
}
