//! `rtt A [B]`: the round trip between two nodes, estimated from their coordinates; nobody is probed for it.

use lobby::client::{Client, Place};
use serde::Serialize;

use crate::{
    failure::hinted,
    output::{Cell, Output, Tone, plain},
    show,
};

#[derive(Serialize)]
struct Rtt {
    from: String,
    to: String,
    rtt_ms: f64,
}

pub(crate) async fn run(client: &Client, a: &str, b: &str, out: Output) -> anyhow::Result<()> {
    let (from, to) = (place(client, a).await?, place(client, b).await?);
    let rtt_ms = from.coord.distance(&to.coord).as_secs_f64() * 1000.0;
    // Nobody is far from himself, but his height would say so.
    let same = a == b || from == to;
    let rtt = Rtt { from: from.node, to: to.node, rtt_ms: if same { 0.0 } else { rtt_ms } };
    out.value(&rtt, |rtt| vec![vec![plain(format!("{} – {}", rtt.from, rtt.to)), Cell(Tone::Good, show::millis(rtt.rtt_ms))]])
}

async fn place(client: &Client, node: &str) -> anyhow::Result<Place> {
    let mut places = client.coordinate(node).await?.value;
    match places.len() {
        1 => Ok(places.remove(0)),
        n => Err(hinted(format!("{n} nodes are called {node}"), "name one by its id, as `lobbyctl nodes --json` shows it")),
    }
}
