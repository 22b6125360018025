//! `nodes`: every node the daemon knows with its state, failed ones too, those of one name apart.

use std::time::Duration;

use lobby::client::{Client, Node};

use crate::output::{Cell, Output, Tone, heading, plain};

pub(crate) async fn run(client: &Client, out: Output) -> anyhow::Result<()> {
    let nodes = client.nodes().await?.value;
    out.value(&nodes, |nodes| table(nodes))
}

fn table(nodes: &[Node]) -> Vec<Vec<Cell>> {
    let head = heading(&["NAME", "STATE", "HEARD", "EXCHANGES", "ID", "ADDRESSES", "LABELS"]);
    std::iter::once(head).chain(nodes.iter().map(row)).collect()
}

fn row(node: &Node) -> Vec<Cell> {
    let mut name = node.name.clone();
    if node.own {
        name.push_str(" (this)");
    }
    if node.conflict {
        name.push_str(" (name taken twice)");
    }
    let tone = match node.state.as_str() {
        "alive" => Tone::Good,
        "failed" | "left" => Tone::Bad,
        _ => Tone::Doubtful,
    };
    let exchanges: Vec<_> = node.exchanges.iter().map(|presence| format!("{}:{}", presence.name, presence.state)).collect();
    vec![
        Cell(if node.conflict { Tone::Doubtful } else { Tone::Plain }, name),
        Cell(tone, node.state.clone()),
        plain(ago(Duration::from_millis(node.age_ms))),
        plain(or_dash(exchanges.join(","))),
        plain(or_dash(node.id.iter().flat_map(|id| id.chars().take(8)).collect())),
        plain(or_dash(node.addresses.join(","))),
        plain(node.labels.join("  ")),
    ]
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

/// How long ago, in the largest unit that fits.
fn ago(age: Duration) -> String {
    match age.as_secs() {
        0 => "now".into(),
        secs @ 1..120 => format!("{secs} s ago"),
        secs @ 120..7200 => format!("{} min ago", secs / 60),
        secs => format!("{} h ago", secs / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (secs, want) in [(0, "now"), (1, "1 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago")] {
            assert_eq!(ago(Duration::from_secs(secs)), want);
        }
    }

    #[test]
    fn a_node_without_id_has_dashes() {
        let row = row(&Node { name: "go".into(), state: "failed".into(), conflict: true, ..Node::default() });
        let texts: Vec<_> = row.iter().map(|Cell(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["go (name taken twice)", "failed", "now", "-", "-", "-", ""]);
        assert_eq!(row[1].0, Tone::Bad);
    }
}
