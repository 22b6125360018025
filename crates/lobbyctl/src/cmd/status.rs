//! `status`: whether the daemon serves, is warm, and its links are up.

use lobby::client::{Client, Health, Link};

use crate::output::{Cell, Output, Tone, heading, plain};

pub(crate) async fn run(client: &Client, out: Output) -> anyhow::Result<()> {
    let health = client.health().await?.value;
    out.value(&health, |health| text(client.url(), health))
}

fn text(url: &str, health: &Health) -> Vec<Vec<Cell>> {
    let row = |name: &str, tone, text: String| vec![Cell(Tone::Heading, name.into()), Cell(tone, text)];
    let (serving, warm) = (yes_no(health.ok), yes_no(health.warm));
    let mut rows =
        vec![row("daemon", Tone::Plain, url.into()), row("serving", serving.0, serving.1), row("warm", warm.0, warm.1)];
    if health.node.is_empty() {
        rows.push(row("more", Tone::Plain, "with the daemon's token only".into()));
        return rows;
    }
    let complete = if health.age == 0 { Tone::Good } else { Tone::Doubtful };
    rows.push(row("node", Tone::Plain, format!("{} ({})", health.node, health.id)));
    rows.push(row("age", complete, format!("{} s since the picture was complete", health.age)));
    rows.push(row("revision", Tone::Plain, health.revision.to_string()));
    rows.push(Vec::new());
    rows.extend(links(&health.exchanges));
    rows
}

/// The exchanges with their links.
pub(crate) fn links(links: &[Link]) -> impl Iterator<Item = Vec<Cell>> {
    std::iter::once(heading(&["EXCHANGE", "LINK", "WARM", "WHY"])).chain(links.iter().map(link))
}

fn link(link: &Link) -> Vec<Cell> {
    let tone = match link.state.as_str() {
        "up" => Tone::Good,
        "down" => Tone::Bad,
        _ => Tone::Doubtful,
    };
    let (warm, text) = if link.given_up { (Tone::Bad, "given up".into()) } else { yes_no(link.warm) };
    vec![plain(&link.name), Cell(tone, link.state.clone()), Cell(warm, text), plain(link.why.clone().unwrap_or_default())]
}

fn yes_no(yes: bool) -> (Tone, String) {
    if yes { (Tone::Good, "yes".into()) } else { (Tone::Doubtful, "no".into()) }
}
