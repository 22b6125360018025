//! `drain [ID]`: an instance of the daemon's node, or all of the node, takes nothing new; `--undo`: it does again.
//!
//! With `--wait` it returns when the daemon's own list shows it. Other agents apply it within a gossip round; nobody is asked
//! whether they have.

use std::{collections::BTreeSet, time::Duration};

use lobby::client::{Client, ClientError};
use tokio::time::{sleep, timeout};

use crate::{cli::service::Drain, failure::hinted, output::Output};

/// Between two looks at the list.
const TURN: Duration = Duration::from_millis(100);

/// How long the list is waited for. A daemon shows what it has confirmed at once.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(client: &Client, drain: &Drain, out: Output) -> anyhow::Result<()> {
    let on = !drain.undo;
    match &drain.id {
        None => client.drain_node(on).await?,
        Some(id) => client.drain(&client.own_instance(id).await?.value.service, id, on).await?,
    }
    let what = drain.id.as_deref().unwrap_or("this node");
    let does = if on { "takes nothing new" } else { "takes work again" };
    if !drain.wait {
        return out.done(&format!("{what} {does}"));
    }
    let shown = async {
        while !is_shown(client, drain.id.as_deref(), on).await? {
            sleep(TURN).await;
        }
        anyhow::Ok(())
    };
    match timeout(PATIENCE, shown).await {
        Ok(shown) => shown?,
        Err(_) => {
            let what = format!("{what} {does}, but after {} s the daemon's list does not show it", PATIENCE.as_secs());
            return Err(hinted(what, "an instance drains as long as its node does, and the other way round"));
        }
    }
    out.done(&format!("{what} {does}, and the daemon's list shows it"))
}

/// Whether the list shows all that it is about as draining, or not.
async fn is_shown(client: &Client, id: Option<&str>, on: bool) -> Result<bool, ClientError> {
    let node = client.health().await?.value.id;
    let own = client.own_instances().await?.value;
    let own: Vec<_> = own.into_iter().filter(|(own, _)| id.is_none_or(|id| id == own)).collect();
    let services: BTreeSet<_> = own.iter().map(|(_, instance)| instance.service.as_str()).collect();
    for service in services {
        let listed = client.service(service, None).await?.value;
        let meant = |other: &str| own.iter().any(|(id, _)| id == other);
        let mut ours = listed.iter().filter(|it| it.node_id.as_deref() == Some(&node) && meant(&it.id));
        if ours.any(|instance| instance.drain != on) {
            return Ok(false);
        }
    }
    Ok(true)
}
