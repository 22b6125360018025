//! From parts to the whole: the environment's part, defaults, and what must be there together.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use super::error::{ConfigError, TemplateProblem, quoted};
use super::model::{ConsulPart, EnvPart, ExecPart, RetryPart, SslPart, StaggerPart, TemplatePart, Top, WaitPart};
use super::section::Names;
use super::value::Value;
use super::{Auth, Config, Consul, LogLevel, Partial, Process, Retry, Tls, duration};
use crate::command::path::PLACES;
use crate::functions;
use crate::glob::Globs;
use crate::settings::{CommandSettings, Env, ExecSettings, Settings, Stagger, TemplateSettings, TemplateSource, Wait};

/// A command may take this long; consul-template's number, as are all below but for the last two.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY: Retry =
    Retry { enabled: true, attempts: 12, backoff: Duration::from_millis(250), max_backoff: Duration::from_secs(60) };
const MAX_STALE: Duration = Duration::from_secs(2);
const BLOCK_QUERY_WAIT: Duration = Duration::from_secs(60);
/// Renderings a second: ten files that follow each of the ten changes a second that sources tell at most.
const RATE: u32 = 100;
/// One agent of a fleet at a time, unless something else is said.
const AT_ONCE: u32 = 1;

/// Variables and the keys that they set; a later one of the same key wins.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("CONSUL_HTTP_ADDR", "consul.address"),
    ("CONSUL_NAMESPACE", "consul.namespace"),
    ("CONSUL_HTTP_TOKEN", "consul.token"),
    ("CONSUL_TOKEN", "consul.token"),
    ("CONSUL_HTTP_TOKEN_FILE", "consul.token_file"),
    ("CONSUL_TOKEN_FILE", "consul.token_file"),
    ("CONSUL_HTTP_AUTH", "consul.auth"),
    ("CONSUL_HTTP_SSL", "consul.ssl.enabled"),
    ("CONSUL_HTTP_SSL_VERIFY", "consul.ssl.verify"),
    ("CONSUL_CACERT", "consul.ssl.ca_cert"),
    ("CONSUL_CAPATH", "consul.ssl.ca_path"),
    ("CONSUL_CLIENT_CERT", "consul.ssl.cert"),
    ("CONSUL_CLIENT_KEY", "consul.ssl.key"),
    ("CONSUL_TLS_SERVER_NAME", "consul.ssl.server_name"),
    ("CONSUL_TEMPLATE_LOG_LEVEL", "log_level"),
    ("CONSUL_TEMPLATE_LOG", "log_level"),
    ("CT_LOG", "log_level"),
    // Lobby's own: as lobbyd's setting is called.
    ("TEMPLATE_KEYS_DIR", "keys_dir"),
    ("LOBBY_TEMPLATE_KEYS_DIR", "keys_dir"),
];

/// What variables say; an empty one says nothing.
pub(super) fn environment(env: impl Fn(&str) -> Option<String>) -> Result<Partial, ConfigError> {
    let mut whole = Partial::default();
    for (variable, path) in ENVIRONMENT {
        let Some(text) = env(variable).filter(|text| !text.is_empty()) else { continue };
        let part = Partial::from_path(path, Value::Text(text)).map_err(|error| error.within(*variable))?;
        whole = whole.merge(part);
    }
    Ok(whole)
}

/// What templates take from around them.
#[derive(Default)]
pub(super) struct ForAll {
    dry: bool,
    error_fatal: Option<bool>,
    left: Option<String>,
    right: Option<String>,
}

pub(super) fn config(partial: Partial) -> Result<Config, ConfigError> {
    let Partial { mut top, mut warnings } = partial;
    let mut seen = std::collections::HashSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    let delimiters = top.default_delimiters.take().unwrap_or_default();
    let dry = top.dry.unwrap_or(false);
    let for_all = ForAll { dry, error_fatal: top.template_error_fatal, left: delimiters.left, right: delimiters.right };
    let parts = top.template.take().unwrap_or_default().0;
    let numbered = |(number, part)| template(part, &for_all, &mut warnings).map(|it| TemplateSettings { number, ..it });
    let templates = (1..).zip(parts).map(numbered).collect::<Result<_, _>>()?;
    let settings = Settings {
        templates,
        exec: top.exec.take().and_then(exec),
        wait: wait("wait", top.wait.take())?.filter(|wait| !wait.max.is_zero()),
        once: top.once.unwrap_or(false),
        dry,
        rate: at_least_one("rate", top.rate, RATE)?,
        stagger: top.stagger.take().map(stagger).transpose()?,
    };
    let keys_dir = path(top.keys_dir.take());
    let consul = consul(top.consul.take().unwrap_or_default(), top.max_stale, top.block_query_wait);
    Ok(Config { settings, process: process(top), consul, keys_dir, warnings })
}

fn process(top: Top) -> Process {
    let signal = |signal: Option<super::kind::Signal>, default: Signal| signal.map_or(Some(default.as_raw()), |signal| signal.0);
    Process {
        log_level: top.log_level.unwrap_or(LogLevel::Warn),
        pid_file: path(top.pid_file),
        kill_signal: signal(top.kill_signal, Signal::INT),
        reload_signal: signal(top.reload_signal, Signal::HUP),
        parse_only: top.parse_only.unwrap_or(false),
        diff: top.diff.unwrap_or(false),
        err_on_failed_lookup: top.err_on_failed_lookup.unwrap_or(false),
    }
}

pub(super) fn template(
    part: TemplatePart,
    for_all: &ForAll,
    warnings: &mut Vec<String>,
) -> Result<TemplateSettings, ConfigError> {
    let (source, contents) = (path(part.source), text(part.contents));
    let destination = part.destination.unwrap_or_default();
    let name = source.as_deref().unwrap_or(&destination).display().to_string();
    let problem = |problem| Err(ConfigError::Template { template: name.clone(), problem });
    let left_delimiter = text(part.left_delimiter).or_else(|| text(for_all.left.clone()));
    let source = match (source, contents) {
        (Some(file), None) => TemplateSource::File(file),
        (None, Some(contents)) => TemplateSource::Contents(contents),
        (None, None) => return problem(TemplateProblem::NoText),
        (Some(_), Some(_)) => return problem(TemplateProblem::TwoTexts),
    };
    if destination.as_os_str().is_empty() && !for_all.dry {
        return problem(TemplateProblem::NoDestination);
    }
    let (pattern, is_each) = (destination.to_string_lossy(), part.for_each.is_some());
    if is_each && !pattern.contains("{{") && !for_all.dry {
        return problem(TemplateProblem::OneDestination);
    }
    if let Some(source) = crate::unit::destination(&pattern).err().filter(|_| is_each) {
        return Err(ConfigError::Destination { template: name, source });
    }
    let right_delimiter = text(part.right_delimiter).or_else(|| text(for_all.right.clone()));
    let is_same = left_delimiter.as_deref().unwrap_or("{{") == right_delimiter.as_deref().unwrap_or("}}");
    let check = part.check.and_then(command);
    let wrong = is_same.then_some(TemplateProblem::Delimiters).or_else(|| check.as_ref().and_then(wrong_check));
    if let Some(what) = wrong {
        return problem(what);
    }
    let mut exec = part.exec.unwrap_or_default();
    let has_two = exec.command.is_some() && part.command.is_some();
    exec.command = exec.command.or(part.command);
    exec.timeout = exec.timeout.or(part.command_timeout);
    let settings = TemplateSettings {
        number: 0,
        source,
        destination,
        create_dest_dirs: part.create_dest_dirs.unwrap_or(true),
        command: command(exec),
        check,
        roll_back: part.roll_back.unwrap_or(false),
        perms: part.perms.map(|perms| perms.0),
        user: text(part.user.or(part.uid).map(|owner| owner.0)),
        group: text(part.group.or(part.gid).map(|owner| owner.0)),
        backup: part.backup.unwrap_or(false),
        left_delimiter,
        right_delimiter,
        wait: wait("template.wait", part.wait)?,
        error_on_missing_key: part.error_on_missing_key.unwrap_or(false),
        error_fatal: part.error_fatal.or(for_all.error_fatal).unwrap_or(true),
        function_denylist: names(part.function_denylist),
        sandbox_path: path(part.sandbox_path),
        for_each: part.for_each,
    };
    warnings.extend(doubts(&settings, has_two).into_iter().map(|doubt| format!("template {}: {doubt}", quoted(&name))));
    Ok(settings)
}

/// Why a file can never be checked by this.
fn wrong_check(check: &CommandSettings) -> Option<TemplateProblem> {
    let is_place = |text: &str| PLACES.iter().any(|place| text.starts_with(&place["{{".len()..]));
    if !check.argv.iter().all(|text| text.split("{{").skip(1).all(is_place)) {
        return Some(TemplateProblem::CheckPlace);
    }
    check.timeout.is_zero().then_some(TemplateProblem::CheckTimeout)
}

/// What of a template has no effect.
fn doubts(template: &TemplateSettings, has_two_commands: bool) -> Vec<String> {
    let mut doubts = Vec::new();
    if has_two_commands {
        doubts.push("command is not run: the one of exec is".to_owned());
    }
    if template.roll_back && template.command.as_ref().is_none_or(|command| command.timeout.is_zero()) {
        doubts.push("roll_back does nothing without a command that is waited for".to_owned());
    }
    let has_place = |check: &CommandSettings| check.argv.iter().any(|text| text.contains("{{"));
    if template.check.as_ref().is_some_and(|check| !has_place(check)) {
        doubts.push("check does not see the new text: write {{.Path}} where it takes a file".to_owned());
    }
    let is_unknown = |glob: &&String| {
        let glob = Globs::new([(*glob).clone()]);
        !functions::names().into_iter().any(|name| glob.take(name))
    };
    let unknown = template.function_denylist.iter().filter(is_unknown);
    doubts.extend(unknown.map(|glob| format!("function_denylist: no function is called {}", quoted(glob))));
    doubts
}

fn command(part: ExecPart) -> Option<CommandSettings> {
    let argv = part.command.filter(|command| !command.0.is_empty() && part.enabled != Some(false))?.0;
    Some(CommandSettings { argv, timeout: part.timeout.unwrap_or(COMMAND_TIMEOUT), env: env(part.env) })
}

fn exec(part: ExecPart) -> Option<ExecSettings> {
    let argv = part.command.filter(|command| !command.0.is_empty() && part.enabled != Some(false))?.0;
    Some(ExecSettings {
        argv,
        env: env(part.env),
        reload_signal: part.reload_signal.and_then(|signal| signal.0),
        // No signal at all is the one that does nothing: the program is given its time, then killed.
        kill_signal: part.kill_signal.map_or(Signal::INT.as_raw(), |signal| signal.0.unwrap_or(0)),
        kill_timeout: part.kill_timeout.unwrap_or(KILL_TIMEOUT),
        splay: part.splay.unwrap_or_default(),
    })
}

fn env(part: Option<EnvPart>) -> Env {
    let part = part.unwrap_or_default();
    Env {
        pristine: part.pristine.unwrap_or(false),
        custom: part.custom.unwrap_or_default().0.0,
        allowlist: names(part.allowlist),
        denylist: names(part.denylist),
    }
}

/// None: nothing was said. A wait that was turned off is one of no time.
fn wait(key: &str, part: Option<WaitPart>) -> Result<Option<Wait>, ConfigError> {
    let Some(WaitPart(part)) = part else { return Ok(None) };
    if part.enabled == Some(false) {
        return Ok(duration::wait(Duration::ZERO, None));
    }
    let min = part.min.unwrap_or_default();
    let wait = duration::wait(min, part.max).ok_or_else(|| {
        let show = lobby_core::duration::text;
        let found = format!("\"{}:{}\"", show(min), show(part.max.unwrap_or_default()));
        ConfigError::Value { key: key.to_owned(), line: 0, found, accepted: duration::WAIT_ACCEPTED }
    })?;
    Ok(Some(wait))
}

fn stagger(part: StaggerPart) -> Result<Stagger, ConfigError> {
    let slot = part.slot.unwrap_or(COMMAND_TIMEOUT);
    if slot.is_zero() {
        let (key, found) = ("stagger.slot".to_owned(), "0s".to_owned());
        return Err(ConfigError::Value { key, line: 0, found, accepted: "a duration above 0, as \"30s\"" });
    }
    Ok(Stagger { at_once: at_least_one("stagger.at_once", part.at_once, AT_ONCE)?, slot })
}

fn at_least_one(key: &str, number: Option<u32>, default: u32) -> Result<u32, ConfigError> {
    let refused = || ConfigError::Value { key: key.to_owned(), line: 0, found: "0".into(), accepted: "a whole number above 0" };
    Some(number.unwrap_or(default)).filter(|number| *number > 0).ok_or_else(refused)
}

fn consul(part: ConsulPart, max_stale: Option<Duration>, block_query_wait: Option<Duration>) -> Consul {
    let auth = part.auth.unwrap_or_default();
    let username = text(auth.username).filter(|_| auth.enabled != Some(false));
    Consul {
        address: text(part.address),
        namespace: text(part.namespace),
        token: part.token.filter(|token| !token.0.is_empty()),
        token_file: path(part.token_file),
        auth: username.map(|username| Auth { username, password: auth.password.unwrap_or_default() }),
        tls: part.ssl.and_then(tls),
        retry: retry(part.retry.unwrap_or_default()),
        max_stale: max_stale.unwrap_or(MAX_STALE),
        block_query_wait: block_query_wait.unwrap_or(BLOCK_QUERY_WAIT),
    }
}

/// Any key of the block turns it on, unless one says no.
fn tls(part: SslPart) -> Option<Tls> {
    let enabled = part.enabled.unwrap_or(part != SslPart::default());
    enabled.then(|| Tls {
        verify: part.verify.unwrap_or(true),
        cert: path(part.cert),
        key: path(part.key),
        ca_cert: path(part.ca_cert),
        ca_path: path(part.ca_path),
        server_name: text(part.server_name),
    })
}

fn retry(part: RetryPart) -> Retry {
    Retry {
        enabled: part.enabled.unwrap_or(RETRY.enabled),
        attempts: part.attempts.unwrap_or(RETRY.attempts),
        backoff: part.backoff.unwrap_or(RETRY.backoff),
        max_backoff: part.max_backoff.unwrap_or(RETRY.max_backoff),
    }
}

/// Empty is the same as not set, as in consul-template.
fn text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn path(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

fn names(names: Option<Names>) -> Vec<String> {
    names.unwrap_or_default().0
}
