//! `why SERVICE [ID]`: for each instance the verdict, and the evidence that led to it.

use std::time::Duration;

use lobby::client::{Client, Evidence, NodeName, Owner, Why};

use crate::{
    output::{Cell, Output, Tone, plain},
    show,
};

pub(crate) async fn run(client: &Client, service: &str, id: Option<&str>, out: Output) -> anyhow::Result<()> {
    let instances = client.why(service, id).await?.value;
    out.value(&instances, |instances| instances.iter().flat_map(rows).collect())
}

fn rows(why: &Why) -> Vec<Vec<Cell>> {
    let mut rows = vec![vec![Cell(Tone::Heading, show::or_dash(&why.id)), show::verdict(&why.verdict), plain(owner(&why.owner))]];
    if why.from_label {
        rows.push(vec![plain("  label"), plain(""), plain("labels made it")]);
    }
    if why.owner.more.get("signed").and_then(serde_json::Value::as_bool) == Some(false) {
        rows.push(vec![plain("  unsigned"), plain(""), plain("nothing proves that the node itself says so")]);
    }
    for place in ["instance", "node"] {
        if why.more.get("drain").and_then(|drain| drain.get(place)).and_then(serde_json::Value::as_bool) == Some(true) {
            rows.push(vec![plain("  drain"), plain(""), plain(format!("the {place} takes nothing new"))]);
        }
    }
    for NodeName { id, name } in &why.conflict {
        let text = format!("{} has the same name", show::node(name.as_deref(), id));
        rows.push(vec![plain("  conflict"), plain(""), plain(text)]);
    }
    rows.extend(why.checks.iter().flat_map(evidence));
    rows
}

fn owner(owner: &Owner) -> String {
    let heard = show::ago(Duration::from_millis(owner.age_ms));
    format!("on {}, {}, heard of {heard}", owner.name, owner.state)
}

/// One line, and one for each further line of an output.
fn evidence(check: &Evidence) -> Vec<Vec<Cell>> {
    let said = if check.output.trim().is_empty() { &check.notes } else { &check.output };
    let mut lines = said.trim_end().lines();
    let first = vec![plain(format!("  {}", check.id)), show::verdict(&check.verdict), plain(lines.next().unwrap_or_default())];
    std::iter::once(first).chain(lines.map(|line| vec![plain(""), plain(""), plain(line)])).collect()
}
