//! lobbyctl: asks and tells a running lobbyd from the command line.
//!
//! ```text
//! arguments ─► cli ─► cmd/<verb> ─► lobby::client ─► lobbyd
//!                        └─► output (text or JSON) ─► stdout;  failure ─► stderr and exit status
//! ```
//! Everything that goes over HTTP is `lobby::client`; here is only what people and scripts see.

use std::process::ExitCode;

mod cli;
mod cmd;
mod definition;
mod failure;
mod first;
mod handler;
mod input;
mod output;
mod program;
mod registrar;
mod show;
mod sight;

use crate::{cli::Cli, output::Output};

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(err) => {
            // Nothing is left to tell if even this cannot be printed.
            let _ = err.print();
            if !err.use_stderr() {
                return ExitCode::SUCCESS;
            }
            let is_unknown = err.kind() == clap::error::ErrorKind::UnknownArgument;
            if let Some(hint) = cli::serf::hint(std::env::args_os()).filter(|_| is_unknown) {
                eprintln!("hint: {hint}");
            }
            return failure::USAGE.into();
        }
    };
    match run(cli) {
        Ok(status) => status,
        Err(err) => failure::report(&err),
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let out = Output::new(cli.json);
    runtime.block_on(cmd::run(&cli, out))
}
