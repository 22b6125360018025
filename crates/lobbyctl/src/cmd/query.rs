//! `query NAME [PAYLOAD]`: asks everybody, or whom the options name, and prints what comes back as it comes.
//!
//! That nobody answers, or nobody was meant, is no failure: whether anybody should have is for the caller to say. Who did not even acknowledge is
//! named.

use lobby::client::{Client, News, NodeName, Query};

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
    let mut n_asked = None;
    while let Some(news) = asking.next().await? {
        match &news {
            News::Asked { asked, .. } => n_asked = Some(*asked),
            // Of a newer daemon, which still says the rest.
            News::Other => continue,
            _ => {}
        }
        out.lines(&news, |news| text(news, n_asked, query.no_ack))?;
        if let News::End { end, .. } = &news
            && end != "complete"
        {
            let why = if end == "stopping" { "the daemon is stopping" } else { end };
            return Err(hinted(format!("the query ended early: {why}"), "not everybody was heard; ask another daemon, or again"));
        }
    }
    Ok(())
}

fn text(news: &News, n_asked: Option<u64>, no_ack: bool) -> Vec<Vec<Cell>> {
    match news {
        News::Ack { id, name } => vec![vec![plain("ack   "), plain(show::node(name.as_deref(), id))]],
        News::Answer { id, name, payload, .. } => {
            let name = show::node(name.as_deref(), id);
            let row = |line: &str| vec![Cell(Tone::Good, "answer".into()), plain(name), plain(line)];
            show::payload(payload).split('\n').map(row).collect()
        }
        News::End { acks: 0, answers: 0, .. } if n_asked == Some(0) => vec![vec![Cell(Tone::Doubtful, "no node matches".into())]],
        News::End { acks, answers, missing, .. } => {
            // The daemon may not have known of all that acknowledge.
            let n_asked = n_asked.unwrap_or_default().max(*acks);
            let acks = if no_ack { String::new() } else { format!("{acks} of {n_asked} acknowledged, ") };
            let missing = missing.iter().flatten();
            let missing = missing
                .map(|NodeName { id, name }| vec![Cell(Tone::Bad, "no ack".into()), plain(show::node(name.as_deref(), id))]);
            std::iter::once(vec![Cell(Tone::Heading, format!("{acks}{answers} answered"))]).chain(missing).collect()
        }
        _ => Vec::new(),
    }
}
