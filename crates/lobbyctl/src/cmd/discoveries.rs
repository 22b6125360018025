//! `discoveries`: every server and its labels; with a filter, matching servers and their matching labels.

use lobby::client::{Client, Filter, Label, Packet};

use crate::{
    cli::Only,
    output::{Cell, Output, heading, plain},
};

pub(crate) async fn run(client: &Client, only: Option<&Only>, out: Output) -> anyhow::Result<()> {
    let packets = match only {
        None => client.discoveries(Filter::All).await?,
        Some(Only::Labels { labels }) => {
            let labels: Vec<_> = labels.iter().map(Label::as_str).collect();
            client.discoveries(Filter::Labels(&labels)).await?
        }
        Some(Only::Search { prefixes }) => {
            let prefixes: Vec<_> = prefixes.iter().map(String::as_str).collect();
            client.discoveries(Filter::Prefixes(&prefixes)).await?
        }
    };
    out.value(&packets.value, |packets| table(packets))
}

/// One server a line, so that the text can be searched by line.
pub(crate) fn table(packets: &[Packet]) -> Vec<Vec<Cell>> {
    let row = |packet: &Packet| vec![plain(&packet.hostname), plain(packet.labels.join("  "))];
    std::iter::once(heading(&["HOSTNAME", "LABELS"])).chain(packets.iter().map(row)).collect()
}
