//! lobbyd: one on every server.
//!
//! Reads the configuration, starts the agent and its HTTP API, says so, and waits for a signal. Exit status: 0 after a
//! clean stop, 64 for a bad configuration, 1 for everything else.
//! Not here: any logic. What runs is in the crate `lobby`, what is answered in `lobby-http`.

use std::{process::ExitCode, sync::Arc};

mod app;
mod cli;
mod config;
mod data_dir;
mod log;
mod signal;

use cli::{Cli, Mode};
use config::{Config, ConfigError, raw::Raw};

const BAD_CONFIGURATION: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(err) => {
            // Nothing helps when even the terminal is gone.
            let _ = err.print();
            return if err.use_stderr() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    let raw = match read_configuration(&cli) {
        Ok(raw) => raw,
        Err(err) => return bad_configuration(&err),
    };
    let mode = cli.mode;
    let printed = (mode == Mode::Print).then(|| raw.print());
    let config = match Config::from_raw(raw, cli.dev) {
        Ok(mut config) => {
            let read = move || read_configuration(&cli).and_then(|raw| Config::from_raw(raw, cli.dev));
            config.labels.read_fixed = Some(Arc::new(move || Ok(read().map_err(|err| err.to_string())?.labels.fixed)));
            config
        }
        Err(err) => return bad_configuration(&err),
    };
    match mode {
        Mode::Print => print!("{}", printed.unwrap_or_default()),
        Mode::Check => {
            config.warnings.iter().for_each(|warning| eprintln!("lobbyd: warning: {warning}"));
            println!("the configuration is good");
        }
        Mode::Run => return run(config),
    }
    ExitCode::SUCCESS
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

fn run(config: Config) -> ExitCode {
    if let Err(err) = log::start(&config.log, config.log_format) {
        let err = ConfigError::Together(format!("LOG = {:?} is not usable: {err}", config.log));
        return bad_configuration(&err);
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    lobby::rlimit::raise();
    rustls::crypto::ring::default_provider().install_default().expect("no other provider was installed before");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("lobbyd").build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(app::run(config));
        // Blocking file work may be stuck on a dead disk; the stop does not wait for it.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("lobbyd: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn bad_configuration(err: &ConfigError) -> ExitCode {
    eprintln!("lobbyd: {err}");
    ExitCode::from(BAD_CONFIGURATION)
}
