//! `events`: the newest user events for the daemon's node; with `--watch` then each new one as it comes.
//!
//! A daemon that goes away after the first answer is waited for, as in `watch`.

use std::time::Duration;

use lobby::client::{Client, ClientError, Event};

use crate::{
    output::{Cell, Output, Tone, heading, plain},
    show,
};

/// Time until a daemon that went away is asked again.
const RETRY: Duration = Duration::from_millis(250);

pub(crate) async fn run(client: &Client, name: Option<&str>, out: Output) -> anyhow::Result<()> {
    let events = client.events(name).await?.value;
    let head = || heading(&["TIME", "NAME", "ID", "PAYLOAD"]);
    out.value(&events, |events| std::iter::once(head()).chain(events.iter().map(row)).collect())
}

pub(crate) async fn watch(client: &Client, name: Option<&str>, out: Output) -> anyhow::Result<()> {
    let mut watch = client.watch_events(name);
    let (mut answered, mut lost) = (false, false);
    loop {
        match watch.next().await {
            Ok(events) => {
                (answered, lost) = (true, false);
                events.iter().try_for_each(|event| out.line(event, row))?;
            }
            Err(ClientError::NotReachable { url, .. }) if answered => {
                if !std::mem::replace(&mut lost, true) {
                    eprintln!("lobbyctl: {url} does not answer any more; waiting for it");
                }
                tokio::time::sleep(RETRY).await;
            }
            Err(err) => return Err(err.into()),
        }
    }
}

fn row(event: &Event) -> Vec<Cell> {
    vec![
        plain(event.ltime.to_string()),
        Cell(Tone::Good, event.name.clone()),
        plain(show::short(&event.id)),
        plain(show::payload(&event.payload)),
    ]
}
