//! `info`: who the daemon is, its links, and the numbers of its gossip.

use std::collections::BTreeMap;

use lobby::client::{Client, Info};

use crate::{
    cmd::status,
    output::{Cell, Output, Tone, heading, plain},
    show,
};

pub(crate) async fn run(client: &Client, out: Output) -> anyhow::Result<()> {
    let info = client.info().await?.value;
    out.value(&info, text)
}

fn text(info: &Info) -> Vec<Vec<Cell>> {
    let row = |name: &str, text: String| vec![Cell(Tone::Heading, name.into()), plain(show::or_dash(text))];
    let agent = &info.agent;
    let mut rows = vec![
        row("node", format!("{} ({})", agent.name, agent.id)),
        row("lobbyd", agent.lobbyd.clone()),
        row("cluster", agent.cluster.clone()),
        row("datacenter", agent.datacenter.clone().unwrap_or_default()),
        row("addresses", agent.addresses.clone().unwrap_or_default()),
        row("record", format!("generation {}, version {}", agent.generation, agent.version)),
        row("labels", info.labels.join("  ")),
        row("nodes", counts(&info.nodes)),
    ];
    if let Some(gossip) = &info.gossip {
        rows.push(row("gossip", gossip.address.clone().unwrap_or_default()));
        rows.push(row("members", counts(&gossip.members)));
    }
    if let Some(events) = &info.events {
        let text = format!("{} held, {} since the start, Lamport time {}", events.held, events.seen, events.ltime);
        rows.push(row("events", text));
    }
    rows.push(Vec::new());
    rows.extend(status::links(&info.exchanges));
    if let Some(gossip) = info.gossip.as_ref().filter(|gossip| !gossip.numbers.is_empty()) {
        rows.push(Vec::new());
        rows.push(heading(&["GOSSIP", "NUMBER"]));
        rows.extend(gossip.numbers.iter().map(|(name, number)| vec![plain(name), plain(number.to_string())]));
    }
    rows
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ")
}
