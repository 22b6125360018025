//! `nodes`: every node the daemon knows with its state, failed ones too, those of one name apart.

use std::time::Duration;

use lobby::client::{Client, Node};

use crate::{
    output::{Cell, Output, Tone, heading, plain},
    show,
};

pub(crate) async fn run(client: &Client, near: Option<&str>, selector: Option<&str>, out: Output) -> anyhow::Result<()> {
    let nodes = match (selector, near) {
        (Some(selector), near) => client.nodes_where(selector, near).await?.value,
        (None, Some(near)) => client.nodes_near(near).await?.value,
        (None, None) => client.nodes().await?.value,
    };
    out.value(&nodes, |nodes| table(nodes, near.is_some()))
}

fn table(nodes: &[Node], near: bool) -> Vec<Vec<Cell>> {
    let mut head = heading(&["NAME", "STATE", "HEARD", "EXCHANGES", "ID", "ADDRESSES", "LABELS"]);
    if near {
        head.insert(2, Cell(Tone::Heading, "DISTANCE".into()));
    }
    std::iter::once(head).chain(nodes.iter().map(|node| row(node, near))).collect()
}

fn row(node: &Node, near: bool) -> Vec<Cell> {
    let mut name = node.name.clone();
    if node.own {
        name.push_str(" (this)");
    }
    if node.conflict {
        name.push_str(" (name taken twice)");
    }
    let exchanges: Vec<_> = node.exchanges.iter().map(|presence| format!("{}:{}", presence.name, presence.state)).collect();
    let mut cells = vec![
        Cell(if node.conflict { Tone::Doubtful } else { Tone::Plain }, name),
        show::state(&node.state),
        plain(show::ago(Duration::from_millis(node.age_ms))),
        plain(show::or_dash(exchanges.join(","))),
        plain(show::short(node.id.as_deref().unwrap_or_default())),
        plain(show::or_dash(node.addresses.join(","))),
        plain(node.labels.join("  ")),
    ];
    if near {
        cells.insert(2, plain(show::or_dash(node.distance_ms.map(show::millis).unwrap_or_default())));
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_id_has_dashes() {
        let row = row(&Node { name: "go".into(), state: "failed".into(), conflict: true, ..Node::default() }, true);
        let texts: Vec<_> = row.iter().map(|Cell(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["go (name taken twice)", "failed", "-", "now", "-", "-", "-", ""]);
        assert_eq!(row[1].0, Tone::Bad);
    }
}
