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
    rows.push(row("node", Tone::Plain, format!("{} ({})", health.node, health.id)));
    let (tone, age) = age(health);
    rows.push(row("age", tone, age));
    rows.push(row("revision", Tone::Plain, health.revision.to_string()));
    rows.push(Vec::new());
    rows.extend(links(&health.exchanges));
    rows
}

/// How old the picture is. Before every exchange has told everything once there was none, and the time is that of waiting.
fn age(health: &Health) -> (Tone, String) {
    let was_complete = health.exchanges.iter().all(|link| link.warm);
    match health.age {
        0 if was_complete => (Tone::Good, "0 s since the picture was complete".into()),
        age if was_complete => (Tone::Doubtful, format!("{age} s since the picture was complete")),
        age => (Tone::Doubtful, format!("no complete picture yet, {age} s after the start")),
    }
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
