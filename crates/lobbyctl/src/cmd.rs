//! The verbs: one file each. A verb asks the client and hands the answer to the output.

use std::process::ExitCode;

use crate::{
    cli::{Cli, Command},
    failure::usage,
    output::Output,
};

mod check;
mod completions;
mod deploy;
mod deregister;
mod discoveries;
mod discovery;
mod drain;
mod event;
mod events;
mod force_leave;
mod info;
mod join;
mod keygen;
mod keys;
mod labels;
mod leave;
mod maint;
mod manpages;
mod members;
mod nodes;
mod proxy;
mod query;
mod register;
mod reload;
mod resolve;
mod rtt;
mod run;
mod service;
mod services;
mod status;
pub(crate) mod template;
mod watch;
mod why;

/// Runs the verb that was typed.
pub(crate) async fn run(cli: &Cli, out: Output) -> anyhow::Result<ExitCode> {
    // Not an error before it is used: `keygen` asks no daemon.
    let client = || cli.door.client();
    let done = match &cli.command {
        // Ends as its program does.
        Command::Run(run) => return run::run(&client()?, run).await,
        // Waited for, it succeeds only if all have applied it.
        Command::Drain(drain) => return drain::run(&client()?, drain, out).await,
        // Applied, it succeeds only if all is in step.
        Command::Proxy { verb } => return proxy::run(&cli.door, verb, out).await,
        Command::Deploy { verb } => return deploy::run(&client()?, verb, out).await,
        Command::Services { selector } => services::run(&client()?, selector.as_deref(), out).await,
        Command::Service { name, selector } => service::run(&client()?, name, selector.as_deref(), out).await,
        Command::Register(register) => register::run(&client()?, register, out).await,
        Command::Deregister { id } => deregister::run(&client()?, id, out).await,
        Command::Check(report) => check::run(&client()?, report, out).await,
        Command::Maint(maint) => maint::run(&client()?, maint, out).await,
        Command::Why { service, id } => why::run(&client()?, service, id.as_deref(), out).await,
        Command::Resolve { label } => resolve::run(&client()?, label, out).await,
        Command::Discovery => discovery::run(&client()?, out).await,
        Command::Discoveries { only } => discoveries::run(&client()?, only.as_ref(), out).await,
        Command::Labels { change } => labels::run(&client()?, change, out).await,
        Command::Nodes { near, selector } => nodes::run(&client()?, near.as_deref(), selector.as_deref(), out).await,
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
        Command::Watch(args) => match &args.service {
            Some(service) => watch::service::run(&client()?, service, args, out).await,
            None => watch::run(&client()?, out).await,
        },
        Command::Status => status::run(&client()?, out).await,
        Command::Reload => reload::run(&client()?, out).await,
        Command::Leave => leave::run(&client()?, out).await,
        Command::Keygen => keygen::run(out),
        Command::Completions { shell } => completions::run(*shell),
        Command::Manpages { folder } => manpages::run(folder),
        // `cli::template` finds it before.
        Command::Template => Err(usage("template has flags of its own: lobbyctl template -h".into())),
    };
    done.map(|()| ExitCode::SUCCESS)
}
