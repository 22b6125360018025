//! `query NAME [PAYLOAD]`: asks everybody, or whom the options name, and prints what comes back as it comes.
//!
//! That nobody answers is no failure: whether anybody should have is for the caller to say. Who did not even acknowledge a
//! query to everybody is named.

use std::collections::BTreeSet;

use lobby::client::{Audience, Client, Member, News, Query};

use crate::{
    cli::gossip,
    failure::hinted,
    input,
    output::{Cell, Output, Tone, plain},
    show,
};

pub(crate) async fn run(client: &Client, query: &gossip::Query, out: Output) -> anyhow::Result<()> {
    let payload = input::payload(query.payload.as_deref())?;
    let mut asking = client
        .ask(&Query {
            name: query.name.clone(),
            payload,
            audience: query.audience(),
            timeout: query.timeout,
            ack: !query.no_ack,
            relays: query.relay_factor,
        })
        .await?;
    let (mut n_asked, mut acked) = (0, BTreeSet::new());
    while let Some(news) = asking.next().await? {
        match &news {
            News::Asked { asked, .. } => n_asked = *asked,
            News::Ack { id, .. } => _ = acked.insert(id.clone()),
            // Of a newer daemon, which still says the rest.
            News::Other => continue,
            _ => {}
        }
        out.lines(&news, |news| text(news, n_asked, query.no_ack))?;
        if let News::End { end, .. } = &news
            && end != "complete"
        {
            return Err(hinted(format!("the query ended early: {end}"), "the daemon was stopped; ask another one"));
        }
    }
    let everybody = !query.no_ack && query.audience() == Audience::default();
    if everybody && (acked.len() as u64) < n_asked && !out.is_json() {
        return missing(client, &acked, out).await;
    }
    Ok(())
}

/// Names the members that should have acknowledged a query to everybody. To whom one with patterns went, only they know.
async fn missing(client: &Client, acked: &BTreeSet<String>, out: Output) -> anyhow::Result<()> {
    let members = client.members().await?.value;
    let missing = members.iter().filter(|member| matches!(&*member.state, "alive" | "suspect") && !acked.contains(&member.id));
    missing.into_iter().try_for_each(|member| {
        let row = |member: &Member| vec![Cell(Tone::Bad, "no ack".into()), plain(show::node(member.name.as_deref(), &member.id))];
        out.line(member, row)
    })
}

fn text(news: &News, n_asked: u64, no_ack: bool) -> Vec<Vec<Cell>> {
    match news {
        News::Ack { id, name } => vec![vec![plain("ack   "), plain(show::node(name.as_deref(), id))]],
        News::Answer { id, name, payload, .. } => {
            let name = show::node(name.as_deref(), id);
            let row = |line: &str| vec![Cell(Tone::Good, "answer".into()), plain(name), plain(line)];
            show::payload(payload).split('\n').map(row).collect()
        }
        News::End { acks, answers, .. } => {
            let acks = if no_ack { String::new() } else { format!("{acks} of {n_asked} acknowledged, ") };
            vec![vec![Cell(Tone::Heading, format!("{acks}{answers} answered"))]]
        }
        _ => Vec::new(),
    }
}
