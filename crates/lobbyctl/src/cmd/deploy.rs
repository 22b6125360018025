//! `deploy swap SERVICE --to PORT` and `deploy status SERVICE`: which of two versions of a service takes its requests.
//!
//! ```text
//! label deploy:SERVICE:primary:PORT of a node ─► proxies with `backup_port = PORT` swap primary and backup there
//! ```
//! The label of the new port is added before that of the old one goes, so that there is never none; proxies understand both.
//! A label that no proxy takes would be no swap, so the daemon's own proxy is asked for its pair of ports first (`pair`).
//! Not here: what a proxy makes of the label (`lobby_proxy::backends`).

mod pair;

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use lobby::client::{Applied, Client, ClientError, Instance, Label, Node};
use serde::Serialize;
use tokio::{net::TcpStream, time::timeout};

use super::drain;
use crate::{
    cli::proxy::{Deploy, Swap},
    failure::{hinted, say},
    output::{Cell, Output, heading, plain},
    show,
};
use pair::Verdict;

/// A program on this machine, or one network away, accepts in a fraction of it.
const CONNECT: Duration = Duration::from_secs(2);

/// What can be done about a refusal.
const FORCE: &str = "--force does it all the same";

/// Where an instance is, and what its node says of it.
#[derive(Debug, Serialize)]
struct Place<'a> {
    node: &'a str,
    node_id: Option<&'a str>,
    id: &'a str,
    address: &'a str,
    port: u16,
    /// None: no label says so; the proxies' own setting counts.
    primary: Option<u16>,
}

#[derive(Debug, Serialize)]
struct Swapped<'a> {
    service: &'a str,
    primary: u16,
    before: Vec<u16>,
    /// None: the daemon has no proxy that could tell.
    pair: Option<&'a [u16]>,
    /// None: nobody was waited for.
    applied: Option<Applied>,
}

pub(crate) async fn run(client: &Client, verb: &Deploy, out: Output) -> anyhow::Result<ExitCode> {
    match verb {
        Deploy::Swap(swap) => self::swap(client, swap, out).await,
        Deploy::Status { service } => status(client, service, out).await.map(|()| ExitCode::SUCCESS),
    }
}

async fn swap(client: &Client, Swap { service, to, force, wait }: &Swap, out: Output) -> anyhow::Result<ExitCode> {
    let own = own(client).await?;
    let here = here(client, &own, service).await?;
    if here.is_empty() && !force {
        return Err(hinted(format!("{} does not offer {service}", own.name), FORCE));
    }
    let verdict = pair::ask(client, &own, &here, service, *to).await?;
    if let (Verdict::Refused(refusal), false) = (&verdict, *force) {
        return Err(hinted(format!("{refusal}; nothing was changed"), refusal.hint()));
    }
    if !force {
        listens(&own, &here, service, *to).await?;
    }
    let pair = match verdict {
        Verdict::Pair(pair) => Some(pair),
        Verdict::Refused(refusal) => {
            say(format_args!("{refusal}: the label is set all the same, for proxies of other machines"));
            None
        }
        Verdict::Unknown(why) => {
            say(format_args!("not checked whether any proxy swaps {service} to port {to}: {why}"));
            None
        }
    };
    let before: Vec<u16> = primaries(&own, service).collect();
    let old: Vec<Label> = before.iter().filter(|port| *port != to).map(|port| label(service, *port)).collect::<Result<_, _>>()?;
    let new = [label(service, *to)?];
    let applied = match (old.is_empty(), wait.is_zero()) {
        (true, true) => client.add_labels(&new).await.map(|()| None)?,
        (true, false) => Some(client.add_labels_and_wait(&new, *wait).await?),
        (false, true) => {
            client.add_labels(&new).await?;
            client.remove_labels(&old).await.map(|()| None)?
        }
        (false, false) => {
            client.add_labels(&new).await?;
            Some(client.remove_labels_and_wait(&old, *wait).await?)
        }
    };
    if !old.is_empty()
        && let Some(port) = primaries(&self::own(client).await?, service).find(|port| port != to)
    {
        let what = format!("the label {} is still there", label(service, port)?);
        return Err(hinted(
            what,
            "it comes from a file or the environment of the daemon: take it out there, then `lobbyctl reload`",
        ));
    }
    let swapped = Swapped { service, primary: *to, before, pair: pair.as_deref(), applied };
    out.value(&swapped, |swapped| {
        let mut rows = vec![vec![plain(format!("{service} on {}: port {to} is primary", own.name))]];
        rows.extend(swapped.applied.iter().flat_map(drain::text));
        rows
    })?;
    let is_done = swapped.applied.as_ref().is_none_or(Applied::is_everywhere);
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn status(client: &Client, service: &str, out: Output) -> anyhow::Result<()> {
    let instances = client.service(service, None).await?.value;
    let nodes = client.nodes().await?.value;
    let place = |instance: &Instance| {
        let node = nodes.iter().find(|node| node.id.is_some() && node.id == instance.node_id);
        node.and_then(|node| primaries(node, service).last())
    };
    let places: Vec<_> = instances.iter().map(|instance| to_place(instance, place(instance))).collect();
    out.value(&places, |places| {
        let head = heading(&["NODE", "ID", "ADDRESS", "PRIMARY"]);
        std::iter::once(head).chain(instances.iter().zip(places).map(|(instance, place)| row(instance, place))).collect()
    })
}

fn to_place(instance: &Instance, primary: Option<u16>) -> Place<'_> {
    let Instance { node, node_id, id, address, port, .. } = instance;
    Place { node, node_id: node_id.as_deref(), id, address, port: *port, primary }
}

fn row(instance: &Instance, place: &Place<'_>) -> Vec<Cell> {
    let primary = place.primary.map_or("as configured".into(), |port| port.to_string());
    vec![plain(place.node), plain(place.id), plain(show::endpoint(instance)), plain(primary)]
}

/// The daemon's own node.
async fn own(client: &Client) -> anyhow::Result<Node> {
    let nodes = client.nodes().await?.value;
    let own = nodes.into_iter().find(|node| node.own);
    own.ok_or_else(|| {
        hinted("the daemon does not list its own node".into(), "labels of a node that is not listed reach no proxy")
    })
}

/// What its labels say, in the order in which the last one counts.
fn primaries(node: &Node, service: &str) -> impl Iterator<Item = u16> {
    let prefix = format!("deploy:{service}:primary:");
    node.labels.iter().filter_map(move |label| label.strip_prefix(&prefix)?.trim().parse().ok())
}

fn label(service: &str, port: u16) -> anyhow::Result<Label> {
    Ok(format!("deploy:{service}:primary:{port}").parse()?)
}

/// The instances of the daemon's own node.
async fn here(client: &Client, own: &Node, service: &str) -> anyhow::Result<Vec<Instance>> {
    let mut instances = match client.service(service, None).await {
        Ok(answer) => answer.value,
        // Nobody offers it, which may be so for a moment.
        Err(ClientError::Refused { status: 404, .. }) => Vec::new(),
        Err(err) => return Err(err.into()),
    };
    instances.retain(|instance| instance.node_id.is_some() && instance.node_id == own.id);
    Ok(instances)
}

/// Fails unless somebody accepts connections where the proxies will make them.
async fn listens(own: &Node, here: &[Instance], service: &str, port: u16) -> anyhow::Result<()> {
    let hosts: BTreeSet<&str> =
        here.iter().map(|instance| instance.address.trim_matches(['[', ']'])).filter(|host| !host.is_empty()).collect();
    if hosts.is_empty() {
        return Err(hinted(format!("{} does not offer {service}", own.name), FORCE));
    }
    for host in hosts {
        let why = match timeout(CONNECT, TcpStream::connect((host, port))).await {
            Ok(Ok(_)) => continue,
            Ok(Err(err)) => err.to_string(),
            Err(_) => format!("no answer within {} s", CONNECT.as_secs()),
        };
        return Err(hinted(format!("nobody listens on port {port} of {host}: {why}; nothing was changed"), FORCE));
    }
    Ok(())
}
