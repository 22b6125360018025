//! `why SERVICE [ID]`: for each instance the verdict, and the evidence that led to it.

use lobby::client::{Client, Evidence, Why};

use crate::{
    output::{Cell, Output, Tone, plain},
    show,
};

pub(crate) async fn run(client: &Client, service: &str, id: Option<&str>, out: Output) -> anyhow::Result<()> {
    let instances = client.why(service, id).await?.value;
    out.value(&instances, |instances| instances.iter().flat_map(rows).collect())
}

fn rows(why: &Why) -> Vec<Vec<Cell>> {
    let title = vec![Cell(Tone::Heading, show::or_dash(&why.id)), plain(format!("on {}", why.node)), show::verdict(&why.verdict)];
    std::iter::once(title).chain(why.reasons.iter().flat_map(evidence)).collect()
}

/// One line each, and one for each further line of an output.
fn evidence(evidence: &Evidence) -> impl Iterator<Item = Vec<Cell>> {
    let lines = if evidence.says.is_empty() { vec![""] } else { evidence.says.lines().collect() };
    let what = |nth| if nth == 0 { format!("  {}", evidence.what) } else { String::new() };
    let rows: Vec<_> = lines.into_iter().enumerate().map(|(nth, line)| vec![plain(what(nth)), plain(line)]).collect();
    rows.into_iter()
}
