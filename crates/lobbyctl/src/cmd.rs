//! The verbs: one file each. A verb asks the client and hands the answer to the output.

use crate::{
    cli::{Cli, Command},
    output::Output,
};

mod discoveries;
mod discovery;
mod keygen;
mod labels;
mod leave;
mod nodes;
mod reload;
mod resolve;
mod status;
mod watch;

/// Runs the verb that was typed.
pub(crate) async fn run(cli: &Cli, out: Output) -> anyhow::Result<()> {
    // Not an error before it is used: `keygen` asks no daemon.
    let client = || cli.client();
    match &cli.command {
        Command::Resolve { label } => resolve::run(&client()?, label, out).await,
        Command::Discovery => discovery::run(&client()?, out).await,
        Command::Discoveries { only } => discoveries::run(&client()?, only.as_ref(), out).await,
        Command::Labels { change } => labels::run(&client()?, change, out).await,
        Command::Nodes => nodes::run(&client()?, out).await,
        Command::Watch => watch::run(&client()?, out).await,
        Command::Status => status::run(&client()?, out).await,
        Command::Reload => reload::run(&client()?, out).await,
        Command::Leave => leave::run(&client()?, out).await,
        Command::Keygen => keygen::run(out),
    }
}
