//! Agents without handlers, over real gossip, say when they have applied a drain.

use std::{collections::BTreeSet, time::Duration};

use lobby::{
    Lobby,
    core::{
        id::{NodeId, Version},
        port::{
            gossip::{Filter, GossipCommand, GossipError, NewEvent, NewQuery, QueryNews},
            registry::{RegistryCommand, Target},
        },
        record::meta,
        wire::applied::{QUERY, Question, YES},
    },
    gossip,
};
use lobby_testkit::{eventually_async, expect};
use tokio::{sync::mpsc, time::timeout};

/// For broken programs and slow machines only.
const SOON: Duration = Duration::from_secs(20);

async fn start(name: &str, join: &[&Lobby]) -> Lobby {
    let join = join.iter().map(|other| other.exchanges()[0].address.unwrap().to_string()).collect();
    let config = gossip::Config {
        bind: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        join,
        keys: Vec::new(),
        cluster: "lobby".into(),
        profile: gossip::Profile::Fast,
        beacon: None,
        folder: None,
    };
    Lobby::builder().name(name.parse().unwrap()).gossip(config).start().await.unwrap()
}

async fn ask(asker: &Lobby, payload: Vec<u8>, within: Duration) -> mpsc::Receiver<QueryNews> {
    let event = NewEvent { name: QUERY.into(), payload: payload.into(), filter: Filter::default() };
    let query = NewQuery { event, timeout: within, ack: true, relays: 0 };
    let (sender, news) = mpsc::channel(64);
    asker.gossip().ask(|answer| GossipCommand::Ask(query, sender, answer)).await.unwrap();
    news
}

/// The next node that answers; `None` when nobody does any more.
async fn next(news: &mut mpsc::Receiver<QueryNews>) -> Option<NodeId> {
    loop {
        match timeout(SOON, news.recv()).await.expect("it ends at its deadline")? {
            QueryNews::Answer(id, payload) => {
                assert_eq!(payload, YES);
                return Some(id);
            }
            QueryNews::Ack(_) => {}
        }
    }
}

async fn drain(agent: &Lobby, on: bool) -> Question {
    agent.registry().ask(|answer| RegistryCommand::Drain(Target::Node, on, answer)).await.unwrap();
    Question { id: agent.id(), stamp: agent.reader().snapshot().local.record.stamp }
}

fn drains(of: &Lobby, id: NodeId) -> bool {
    of.reader().snapshot().node(id).is_some_and(|node| node.record.meta(meta::DRAIN) == Some("true"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_means_that_the_drain_is_applied_there() {
    let a = start("a", &[]).await;
    let b = start("b", &[&a]).await;
    for (one, other) in [(&a, &b), (&b, &a)] {
        let known = || std::future::ready(expect(one.reader().snapshot().node(other.id()).is_some(), "not known"));
        eventually_async(SOON, known).await;
    }
    for on in [true, false, true] {
        let question = drain(&a, on).await;
        let mut news = ask(&a, question.encode(), SOON).await;
        let mut all = BTreeSet::new();
        while let Some(id) = next(&mut news).await {
            assert!(id != b.id() || drains(&b, a.id()) == on);
            all.insert(id);
        }
        assert_eq!(all, BTreeSet::from([a.id(), b.id()]), "it ends when both have answered");
    }

    // Of a version that is not there yet: no answer before it comes, and then both.
    let now = a.reader().snapshot().local.record.stamp;
    let mut later = Question { id: a.id(), stamp: now };
    later.stamp.version = Version(now.version.0 + 1);
    let mut waiting = ask(&a, later.encode(), SOON).await;
    let mut until_deadline = ask(&b, later.encode(), Duration::from_millis(300)).await;
    assert_eq!(next(&mut until_deadline).await, None);
    assert!(drain(&a, false).await.stamp >= later.stamp);
    let both = BTreeSet::from([next(&mut waiting).await.unwrap(), next(&mut waiting).await.unwrap()]);
    assert_eq!(both, BTreeSet::from([a.id(), b.id()]));

    // No question: nobody answers, and the asker does not wait for it.
    let mut bad = ask(&a, b"?".to_vec(), Duration::from_secs(600)).await;
    assert_eq!(next(&mut bad).await, None);
    let event = NewEvent { name: QUERY.into(), payload: later.encode().into(), filter: Filter::default() };
    let fired = a.gossip().ask(|answer| GossipCommand::Fire(event, answer)).await;
    assert!(matches!(fired, Err(GossipError::Invalid { field: "name", .. })), "{fired:?}");
    b.leave().await;
    a.leave().await;
}
