//! Tells people once that no seed answers, and once that we have joined after that.
//!
//! We have joined when gossip's first complete picture is here, from a seed or from a member that we knew before. What is known
//! of the reason is what came instead: packets of another key or cluster.
//! Not here: trying the seeds, which gossip does for ever (`lobby_gossip`), and who refused or was silent, which it does not
//! tell.

use std::{sync::Arc, time::Duration};

use lobby_core::{
    port::CatalogReader,
    stats::{PacketKind, Stats, Verdict},
};
use tokio_util::sync::CancellationToken;

use crate::{agent::ExchangeInfo, tasks::Tasks};

/// A first full round: 5 s for a name server, 3 s for a connection, and some to breathe.
const ROUND: Duration = Duration::from_secs(10);

/// Starts to watch the seeds of gossip, if there are any.
pub(crate) fn follow(
    tasks: &mut Tasks,
    seeds: Vec<String>,
    exchanges: &[ExchangeInfo],
    reader: &CatalogReader,
    stop: &CancellationToken,
) {
    if let Some(gossip) = exchanges.iter().find(|exchange| exchange.name == "gossip" && !seeds.is_empty()) {
        tasks.spawn_sure("seeds", watch(seeds, gossip.name, reader.clone(), gossip.stats.clone(), stop.clone()));
    }
}

/// Watches the seeds of this exchange until `stop`.
async fn watch(
    seeds: Vec<String>,
    exchange: &'static str,
    mut reader: CatalogReader,
    stats: Arc<Stats>,
    stop: CancellationToken,
) {
    let work = async {
        if tokio::time::timeout(ROUND, answered(&mut reader, exchange)).await.is_err() {
            let (seeds, why) = (seeds.join(" "), why(&stats));
            tracing::warn!(%exchange, %seeds, "no seed answers: {why}; they are tried again for ever");
            answered(&mut reader, exchange).await;
            tracing::info!(%exchange, "we have joined");
        }
        std::future::pending::<()>().await;
    };
    stop.run_until_cancelled(work).await;
}

/// Waits for the first complete picture.
async fn answered(reader: &mut CatalogReader, exchange: &str) {
    let mut snapshot = reader.snapshot();
    while !snapshot.links.iter().any(|link| &*link.name == exchange && link.warm) {
        match reader.changed().await {
            Ok(changed) => snapshot = changed,
            // The agent ends.
            Err(_) => std::future::pending().await,
        }
    }
}

fn why(stats: &Stats) -> &'static str {
    let came = |verdict| PacketKind::ALL.iter().any(|kind| stats.received_count(*kind, verdict) > 0);
    if came(Verdict::NoKey) {
        "what came was not sealed although we have a GOSSIP_KEY"
    } else if came(Verdict::WrongKey) {
        "what came was sealed with another GOSSIP_KEY"
    } else if came(Verdict::Foreign) {
        "what came was of another CLUSTER"
    } else {
        "nobody of our cluster and key was reached at any of them"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lobby, captured, memory::Hub};

    /// An agent whose exchange has told nothing, and the watch over it.
    async fn cold(hub: &Hub, stats: &Arc<Stats>) -> (Lobby, CancellationToken) {
        hub.set_up(false);
        let lobby = Lobby::builder().name("a".parse().unwrap()).memory(hub.join()).start().await.unwrap();
        let stop = CancellationToken::new();
        let seeds = vec!["db.example".to_owned(), "10.0.0.7:1314".to_owned()];
        tokio::spawn(watch(seeds, "memory", lobby.reader(), stats.clone(), stop.clone()));
        (lobby, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn seeds_that_do_not_answer_are_named_once_and_so_is_the_end_of_it() {
        for (verdict, why) in [
            (None, "nobody of our cluster"),
            (Some(Verdict::Foreign), "another CLUSTER"),
            (Some(Verdict::NoKey), "not sealed"),
            (Some(Verdict::WrongKey), "another GOSSIP_KEY"),
        ] {
            let (log, hub, stats) = (captured::Log::start(), Hub::new(), Arc::new(Stats::default()));
            let (lobby, _stop) = cold(&hub, &stats).await;
            verdict.into_iter().for_each(|verdict| stats.received(PacketKind::Datagram, verdict, 1));
            tokio::time::sleep(ROUND * 10).await;
            let text = log.text();
            assert_eq!(text.matches("no seed answers").count(), 1, "{text}");
            assert!(text.contains("seeds=db.example 10.0.0.7:1314") && text.contains(why), "{text}");
            hub.set_up(true);
            tokio::time::sleep(ROUND).await;
            assert_eq!(log.text().matches("we have joined").count(), 1, "{}", log.text());
            drop(lobby);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn seeds_that_answer_in_time_are_no_news() {
        let (log, hub) = (captured::Log::start(), Hub::new());
        let (lobby, _stop) = cold(&hub, &Arc::default()).await;
        tokio::time::sleep(ROUND / 2).await;
        hub.set_up(true);
        tokio::time::sleep(ROUND * 10).await;
        assert!(!log.text().contains("seed"), "{}", log.text());
        drop(lobby);
    }
}
