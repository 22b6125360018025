//! `completions`: prints what a shell needs to complete the words of lobbyctl, made of its grammar.

use std::io::Write;

use clap_complete::Shell;

use crate::cli;

pub(crate) fn run(shell: Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut cli::grammar(), "lobbyctl", &mut text);
    Ok(std::io::stdout().lock().write_all(&text)?)
}
