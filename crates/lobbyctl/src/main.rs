//! lobbyctl: asks and tells a running lobbyd from the command line.
//!
//! ```text
//! arguments ─► cli ─► cmd/<verb> ─► lobby::client ─► lobbyd
//!                        └─► output (text or JSON) ─► stdout;  failure ─► stderr and exit status
//! ```
//! Everything that goes over HTTP is `lobby::client`; here is only what people and scripts see.

use std::{ffi::OsString, path::Path, process::ExitCode};

mod cli;
mod cmd;
mod definition;
mod diff;
mod failure;
mod first;
mod handler;
mod input;
mod output;
mod program;
mod proxy;
mod registrar;
mod show;
mod sight;
mod template;

use crate::{cli::Cli, output::Output};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if is_consul_template(args.first()) {
        let door = cli::parse(["lobbyctl", "template"].map(OsString::from).into_iter()).map(|cli| cli.door);
        return cmd::template::run("consul-template", door, args.into_iter().skip(1));
    }
    if let Some((cli, words)) = cli::template(&args) {
        return cmd::template::run("lobbyctl template", Ok(cli.door), words.iter().cloned());
    }
    let cli = match cli::parse(args.into_iter()) {
        Ok(cli) => cli,
        Err(err) => {
            if !err.use_stderr() {
                // Nothing is left to tell if even this cannot be printed.
                let _ = err.print();
                return ExitCode::SUCCESS;
            }
            if err.kind() == clap::error::ErrorKind::ValueValidation {
                eprint!("{}", cli::blame::said(&err));
            } else {
                let _ = err.print();
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

/// Whether we are called through a link with the name of the program that `template` stands in for.
fn is_consul_template(name: Option<&OsString>) -> bool {
    name.and_then(|name| Path::new(name).file_name()).is_some_and(|name| name == "consul-template")
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let out = Output::new(cli.json);
    runtime.block_on(cmd::run(&cli, out))
}
