//! What people ask of a running agent: events, queries and answers, keys and their file, coordinates.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use bytes::Bytes;
use lobby_core::port::gossip::{Filter, GossipCommand, GossipError, KeyChange, KeyOutcome, NewEvent, NewQuery, QueryNews};
use lobby_exchange::gossip::{Config, Key};
use lobby_testkit::TempDir;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    agent::{Agent, SOON, config, three},
    captured::Log,
};

/// The keys of 32 bytes 1, of 32 bytes 2, as people write them.
const ONE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const TWO: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn event(name: &str, node: Option<&str>) -> NewEvent {
    let filter = Filter { node: node.map(str::to_owned), ..Filter::default() };
    NewEvent { name: name.to_owned(), payload: Bytes::from_static(b"payload"), filter }
}

/// Lets the agents do what their node tasks would, until `done`.
async fn meanwhile<T>(agents: &mut [Agent], done: impl Future<Output = T>) -> T {
    let everybody = async {
        loop {
            let steps = agents.iter_mut().map(|agent| Box::pin(agent.step()));
            futures_util::future::select_all(steps).await;
        }
    };
    tokio::select! {
        result = timeout(SOON, done) => result.expect("not in time"),
        () = everybody => unreachable!("agents go on for ever"),
    }
}

async fn logged(agent: &Agent, n_events: u64) {
    let mut log = agent.handle.watch_events();
    timeout(SOON, log.wait_for(|log| log.n_seen >= n_events)).await.expect("not logged in time").unwrap();
}

#[tokio::test]
async fn an_event_is_logged_by_those_whom_it_is_for() {
    let [first, second, third] = three(&[1]).await;
    let fire = async |event: NewEvent| first.handle.ask(|answer| GossipCommand::Fire(event, answer)).await;
    assert_eq!(fire(event("all", None)).await.unwrap().number, 1);
    let elsewhere = fire(event("third", Some("node-3"))).await.unwrap();
    assert_eq!(elsewhere.number, 0, "it is not in the log of who fired it");
    assert_eq!(fire(event("last", None)).await.unwrap().number, 2);
    logged(&second, 2).await;
    logged(&third, 3).await;
    let names = |agent: &Agent| agent.handle.events().events.iter().map(|event| event.event.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&second), ["all", "last"]);
    assert_eq!(names(&third).len(), 3);
    let refused = fire(event("", None)).await;
    assert!(matches!(refused, Err(GossipError::Invalid { field: "name", .. })), "{refused:?}");
}

#[tokio::test]
async fn a_query_is_acknowledged_answered_and_over() {
    let [first, mut second, mut third] = three(&[1]).await;
    let (news, mut heard) = mpsc::channel(64);
    let query = NewQuery { event: event("load", Some("node-[23]")), timeout: Duration::from_secs(10), ack: true, relays: 0 };
    let asked = first.handle.ask(|answer| GossipCommand::Ask(query, news, answer)).await.unwrap();
    assert_eq!(asked, 3, "all who are there, as filters are looked at by those who are asked");
    let large = Bytes::from(vec![7; 60_000]);
    for (agent, answer) in [(&mut second, Bytes::from_static(b"0.5")), (&mut third, large.clone())] {
        let query = timeout(SOON, agent.queries.recv()).await.expect("asked in time").unwrap();
        assert_eq!((query.event.name.as_str(), query.origin), ("load", first.id));
        query.answer.send(answer).unwrap();
    }
    let mut all = Vec::new();
    while let Some(news) = timeout(SOON, heard.recv()).await.expect("over in time") {
        all.push(news);
    }
    let wanted = [
        QueryNews::Ack(second.id),
        QueryNews::Ack(third.id),
        QueryNews::Answer(second.id, Bytes::from_static(b"0.5")),
        QueryNews::Answer(third.id, large),
    ];
    assert!(all.len() == 4 && wanted.iter().all(|news| all.contains(news)), "{} news", all.len());
}

async fn change(agents: &mut [Agent], change: KeyChange) -> Result<KeyOutcome, GossipError> {
    let handle = agents[0].handle.clone();
    meanwhile(agents, async move { handle.ask(|answer| GossipCommand::ChangeKeys(change, answer)).await }).await
}

/// Changes the keys as soon as the agents know of each other that they can.
async fn change_when_ready(agents: &mut [Agent], wanted: &KeyChange) -> KeyOutcome {
    loop {
        match change(agents, wanted.clone()).await {
            Ok(outcome) => return outcome,
            Err(GossipError::Keys(_)) => agents[0].step().await,
            Err(err) => panic!("{err}"),
        }
    }
}

#[tokio::test]
async fn a_rotation_reaches_streams_and_the_file_and_outlives_a_restart() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gossip.keys");
    let kept = |join: Vec<String>| Config { folder: Some(folder.path().to_owned()), ..config(join, &[1]) };
    let first = Agent::start(1, config(Vec::new(), &[1])).await;
    let second = Agent::start(2, kept(vec![first.addr.to_string()])).await;
    let mut agents = [first, second];
    let ids = agents.each_ref().map(|agent| agent.id);
    for idx in [0, 1] {
        agents[idx].until("the other", |agent| agent.warm && agent.records.contains_key(&ids[1 - idx])).await;
    }
    assert!(!file.exists());
    for wanted in [KeyChange::Install(TWO.into()), KeyChange::Use(TWO.into()), KeyChange::Remove(ONE.into())] {
        let outcome = change_when_ready(&mut agents, &wanted).await;
        assert_eq!((outcome.done.len(), outcome.refused.len(), outcome.silent.len()), (2, 0, 0), "{outcome:?}");
    }
    let [mut first, second] = agents;
    let addr = first.addr.to_string();
    second.stop().await;
    let lines = fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().skip(1).collect::<Vec<_>>(), [TWO]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // GOSSIP_KEY is still the first key; the file knows better. A stream to the first opens with the second key only.
    let mut second = Agent::start(2, kept(vec![addr.clone()])).await;
    second.until("the first", |agent| agent.warm && agent.records.contains_key(&ids[0])).await;
    first.until("the second again", |agent| agent.alive.contains(&ids[1])).await;
    second.stop().await;

    // Whoever has only the removed key is counted and gets nothing.
    let stranger = Agent::start(3, config(vec![addr], &[1])).await;
    let counted = || first.stats.received_count(lobby_core::stats::PacketKind::Stream, lobby_core::stats::Verdict::WrongKey) > 0;
    lobby_testkit::eventually_async(SOON, || async { lobby_testkit::expect(counted(), ()) }).await;
    assert!(!stranger.warm);
}

#[tokio::test]
async fn each_change_of_the_keys_is_one_line_with_names_and_no_key() {
    let log = Log::start();
    let mut agents = [Agent::start(1, config(Vec::new(), &[1])).await];
    agents[0].until("nobody else", |agent| agent.warm).await;
    for wanted in [KeyChange::Install(TWO.into()), KeyChange::Use(TWO.into()), KeyChange::Remove(ONE.into())] {
        change_when_ready(&mut agents, &wanted).await;
        // Nothing changes the second time.
        let _ = change(&mut agents, wanted).await;
    }
    let [agent] = agents;
    agent.stop().await;
    let [one, two] = [1, 2].map(|byte| Key::from_bytes([byte; 32]).fingerprint());
    let expected = [(&one, format!("{one} {two}")), (&two, format!("{two} {one}")), (&two, two.clone())]
        .map(|(seals, accepted)| format!("INFO message=the gossip keys changed seals=\"{seals}\" accepted={accepted}"));
    let lines = log.lines();
    assert_eq!(
        lines.iter().filter(|line| line.contains("keys changed")).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    assert!(lines.iter().all(|line| ![ONE, TWO].iter().any(|key| line.contains(key))), "{lines:?}");
}

#[tokio::test]
async fn coordinates_of_members_are_found() {
    let [first, second, third] = three(&[1]).await;
    let nodes = vec![second.id, third.id];
    let found = first.handle.ask(|answer| GossipCommand::Coordinates(nodes, answer)).await.unwrap();
    assert_eq!(found.len(), 2);
}
