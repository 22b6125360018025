//! `manpages`: writes a manual page for lobbyctl and one for each of its verbs, made of its grammar. For packages.

use std::path::Path;

use anyhow::Context;

use crate::cli;

pub(crate) fn run(folder: &Path) -> anyhow::Result<()> {
    clap_mangen::generate_to(cli::grammar(), folder).with_context(|| format!("cannot write into {}", folder.display()))
}
