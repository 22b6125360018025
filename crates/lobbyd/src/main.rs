//! lobbyd: one on every server.
//!
//! Reads the configuration, starts the agent and its HTTP API, says so, and waits for a signal. Exit status: 0 after a
//! clean stop, 64 for what no other try makes better (a bad configuration, a damaged node.key), 1 for everything else. `lobbyd proxy`, or the name of Synapse or Nerve, is `alone`.
//! Not here: any logic. What runs is in the crate `lobby`, what is answered in `lobby-http`.

use std::{io::Write, process::ExitCode, sync::Arc};

mod alone;
mod app;
mod cli;
mod config;
mod data_dir;
mod dns;
mod log;
mod proxy;
mod reborn;
mod signal;
mod systemd;
mod template;

use app::Wanted;
use cli::{Cli, Mode};
use config::{Config, ConfigError, raw::Raw, template::Templates};
use lobby::{AgentError, seal::Keys, store::StoreError};
use lobby_http::FileError;
use reborn::Reborn;
use tokio::sync::watch;

const BAD_CONFIGURATION: u8 = 64;

fn main() -> ExitCode {
    if let Some(alone) = cli::proxy::find(std::env::args_os()) {
        return alone::run(alone);
    }
    let cli = match Cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(err) => return not_a_command(&err),
    };
    if let Some(paper) = cli.generate {
        say(&paper.text());
        return ExitCode::SUCCESS;
    }
    let raw = match read_configuration(&cli) {
        Ok(raw) => raw,
        Err(err) => return bad_configuration(&err),
    };
    let mode = cli.mode;
    let printed = (mode == Mode::Print).then(|| raw.print());
    let started_with = raw.clone();
    let (wanted, templates) = watch::channel(Templates::default());
    let (wanted_proxy, proxy) = watch::channel(None);
    let config = match Config::from_raw(raw, cli.dev) {
        Ok(mut config) => {
            let access = config.http.access.clone();
            let keys = config.exchange_keys.clone();
            wanted.send_replace(config.templates.clone());
            wanted_proxy.send_replace(config.proxy.clone());
            config.labels.read_fixed = Some(Arc::new(move || {
                let reloaded = access.reload().map_err(kept);
                let read = reread(&cli, &started_with).map_err(|err| err.to_string()).and_then(|read| {
                    // All of it or nothing: half a configuration is one that nobody has written.
                    read.templates.check().map_err(|why| format!("{why}; the configuration of before stays in use"))?;
                    wanted_proxy.send_replace(read.proxy);
                    take_keys(&keys, &read.exchange_keys.borrow());
                    // Even if nothing has changed here: the texts of templates are read again.
                    wanted.send_replace(read.templates);
                    Ok((read.labels.fixed, read.labels.refused_fixed))
                });
                reloaded.and(read)
            }));
            config
        }
        Err(err) => return bad_configuration(&err),
    };
    match mode {
        Mode::Print => say(&printed.unwrap_or_default()),
        Mode::Check => {
            let missing = config.templates.missing();
            config.warnings.iter().chain(&missing).for_each(|warning| eprintln!("lobbyd: warning: {warning}"));
            if let Err(why) = config.templates.check() {
                eprintln!("lobbyd: {why}");
                return ExitCode::from(BAD_CONFIGURATION);
            }
            say("the configuration is good\n");
        }
        Mode::Run => return run(config, Wanted { templates, proxy }),
    }
    ExitCode::SUCCESS
}

/// Help, the version, or what is wrong with the command line.
fn not_a_command(err: &clap::Error) -> ExitCode {
    // Nothing helps when even the terminal is gone.
    let _ = err.print();
    if !err.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if let Some(hint) = cli::serf::hint(std::env::args_os()) {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(BAD_CONFIGURATION)
}

/// File < environment < flags.
fn read_configuration(cli: &Cli) -> Result<Raw, ConfigError> {
    let mut raw = Raw::default();
    let file = cli.config.clone().or_else(|| std::env::var_os("LOBBY_CONFIG").map(Into::into));
    if let Some(file) = file {
        let why = |err: std::io::Error| ConfigError::File { file: file.display().to_string(), why: err.to_string() };
        let text = std::fs::read_to_string(&file).map_err(why)?;
        raw.read_file(&file, &text)?;
    }
    // A variable that is not text can be none of ours, which all are.
    raw.read_environment(
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    );
    cli.read_flags(&mut raw);
    Ok(raw)
}

/// The configuration as it is now. What has changed beside labels, templates and the proxy is named: it needs a restart.
fn reread(cli: &Cli, started_with: &Raw) -> Result<Config, ConfigError> {
    let raw = read_configuration(cli)?;
    let mut changed = raw.differences(started_with);
    changed.retain(|name| {
        !matches!(*name, "LABELS" | "template" | "proxy" | "EXCHANGE_KEY" | "EXCHANGE_UNSIGNED") && !name.starts_with("TEMPLATE_")
    });
    let config = Config::from_raw(raw, cli.dev)?;
    if !changed.is_empty() {
        tracing::warn!("changed, but in use only after a restart: {}", changed.join(", "));
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}

/// Other keys for the brokers. Whether there are any at all waits for a restart: a list that is lost must not open the door.
fn take_keys(in_use: &watch::Sender<Keys>, read: &Keys) {
    if in_use.borrow().list.is_empty() != read.list.is_empty() {
        tracing::warn!("changed, but in use only after a restart: EXCHANGE_KEY");
        return;
    }
    let is_new = in_use.send_if_modified(|keys| std::mem::replace(keys, read.clone()) != *read);
    if is_new && !read.list.is_empty() {
        tracing::info!(keys = read.list.len(), "EXCHANGE_KEY has changed");
    }
}

/// Files of access that are bad now: what they held before stays in use. Good ones among them are in use already.
fn kept(errors: Vec<FileError>) -> String {
    let errors: Vec<_> = errors.iter().map(FileError::to_string).collect();
    format!("{}; what was read before stays in use", errors.join("; "))
}

fn run(config: Config, wanted: Wanted) -> ExitCode {
    let reborn = Reborn::remember();
    let log = log::start(config.log.clone(), config.log_format);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    lobby::rlimit::take();
    rustls::crypto::ring::default_provider().install_default().expect("no other provider was installed before");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("lobbyd").build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(app::run(config, wanted, log));
        // Blocking file work may be stuck on a dead disk; the stop does not wait for it.
        runtime.shutdown_background();
        result
    });
    let Err(mut err) = result else { return ExitCode::SUCCESS };
    if matches!(err.downcast_ref(), Some(AgentError::Cloned { .. })) {
        tracing::warn!("{err:#}; starting anew");
        err = reborn.start();
    }
    eprintln!("lobbyd: {err:#}");
    match err.downcast_ref() {
        // Whoever restarts us after a failure need not: only people can say which node this is.
        Some(StoreError::Damaged(..)) => ExitCode::from(BAD_CONFIGURATION),
        _ => ExitCode::FAILURE,
    }
}

/// Prints to whoever still listens.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn bad_configuration(err: &ConfigError) -> ExitCode {
    eprintln!("lobbyd: {err}");
    ExitCode::from(BAD_CONFIGURATION)
}
