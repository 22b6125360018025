//! `drain [ID]`: an instance of the daemon's node, or all of the node, takes nothing new; `--undo`: it does again.
//!
//! With `--wait` it returns when the agents that answer have applied it, and tells who has not within that time. Only when
//! all have is that a success.

use std::process::ExitCode;

use lobby::client::{Applied, Client};

use crate::{
    cli::service::Drain,
    output::{Cell, Output, plain},
};

pub(crate) async fn run(client: &Client, drain: &Drain, out: Output) -> anyhow::Result<ExitCode> {
    let on = !drain.undo;
    let service = match &drain.id {
        Some(id) => client.own_instance(id).await?.value.service,
        None => String::new(),
    };
    let of = drain.id.as_deref().map(|id| (service.as_str(), id));
    if let Some(wait) = drain.wait {
        let applied = client.drain_and_wait(of, on, wait).await?;
        out.value(&applied, text)?;
        return Ok(if applied.is_everywhere() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    match of {
        None => client.drain_node(on).await?,
        Some((service, id)) => client.drain(service, id, on).await?,
    }
    let what = drain.id.as_deref().unwrap_or("this node");
    out.done(&format!("{what} {}", if on { "takes nothing new" } else { "takes work again" }))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn text(applied: &Applied) -> Vec<Vec<Cell>> {
    let Applied { applied, asked, missing } = applied;
    let text = match missing.as_slice() {
        _ if *asked == 0 => "nobody was asked whether it is applied: the daemon does not gossip, or is not listed".to_owned(),
        [] => format!("applied by {applied} of {asked}"),
        missing => format!("applied by {applied} of {asked}; not by: {}", missing.join(", ")),
    };
    vec![vec![plain(text)]]
}
