//! The verbs: one file each. A verb asks the client and hands the answer to the output.

use crate::{
    cli::{Cli, Command},
    output::Output,
};

mod discoveries;
mod discovery;
mod event;
mod events;
mod force_leave;
mod info;
mod join;
mod keygen;
mod keys;
mod labels;
mod leave;
mod members;
mod nodes;
mod query;
mod reload;
mod resolve;
mod rtt;
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
        Command::Nodes { near } => nodes::run(&client()?, near.as_deref(), out).await,
        Command::Members(only) => members::run(&client()?, only, out).await,
        Command::Info => info::run(&client()?, out).await,
        Command::Event(event) => event::run(&client()?, event, out).await,
        Command::Events { watch: false, name } => events::run(&client()?, name.as_deref(), out).await,
        Command::Events { watch: true, name } => events::watch(&client()?, name.as_deref(), out).await,
        Command::Query(query) => query::run(&client()?, query, out).await,
        Command::Rtt { a, b } => rtt::run(&client()?, a, b, out).await,
        Command::Join { addresses } => join::run(&client()?, addresses, out).await,
        Command::ForceLeave { node, prune } => force_leave::run(&client()?, node, *prune, out).await,
        Command::Keys { verb } => keys::run(&client()?, verb, out).await,
        Command::Watch => watch::run(&client()?, out).await,
        Command::Status => status::run(&client()?, out).await,
        Command::Reload => reload::run(&client()?, out).await,
        Command::Leave => leave::run(&client()?, out).await,
        Command::Keygen => keygen::run(out),
    }
}
