//! `join ADDR…`: makes the daemon contact these agents now, and again for as long as it runs.
//!
//! Done if anybody of the cluster answered; the daemon refuses otherwise.

use lobby::client::{Client, Joined};

use crate::{
    output::{Cell, Output, Tone, plain},
    show,
};

pub(crate) async fn run(client: &Client, addresses: &[String], out: Output) -> anyhow::Result<()> {
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let joined = client.join(&addresses).await?;
    out.value(&joined, text)
}

fn text(joined: &Joined) -> Vec<Vec<Cell>> {
    let mut rows = vec![vec![plain(format!("joined {}", show::count(joined.reached.len(), "agent", "agents")))]];
    rows.extend(joined.failed.iter().map(|failed| vec![Cell(Tone::Doubtful, failed.address.clone()), plain(&failed.why)]));
    rows
}
