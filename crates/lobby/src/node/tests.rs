//! What the node task logs, and whose services stay when most nodes fall silent at once.

use std::time::Duration;

use lobby_core::{
    catalog::{NodeState, Snapshot},
    check::Status,
    hold::Rule,
};

use crate::{Lobby, captured, memory::Hub};

/// An agent whose exchange never gets warm, after its node task has done all it had to do.
async fn cold() -> Lobby {
    let hub = Hub::new();
    hub.set_up(false);
    let builder = Lobby::builder().name("cold".parse().unwrap()).warm_max(Duration::from_secs(1)).memory(hub.join());
    let lobby = builder.start().await.unwrap();
    lobby.commands().add_labels(vec!["a:1".parse().unwrap()]).await.unwrap();
    lobby
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_is_not_warm_in_time_is_named_in_the_log() {
    let log = captured::Log::start();
    let lobby = cold().await;
    let mut reader = lobby.reader();
    while !reader.changed().await.unwrap().links[0].given_up {}
    let n_warnings = || log.text().matches("not warm within WARM_MAX").count();
    assert_eq!(n_warnings(), 1, "{}", log.text());
    lobby.leave().await;
    assert_eq!(n_warnings(), 1, "later snapshots do not say it again");
}

#[tokio::test(start_paused = true)]
async fn ids_are_logged_as_people_type_them() {
    let log = captured::Log::start();
    let hub = Hub::new();
    let start = async || Lobby::builder().name("twin".parse().unwrap()).memory(hub.join()).start().await.unwrap();
    let (a, b) = (start().await, start().await);
    let mut ids = [a.id().to_string(), b.id().to_string()];
    ids.sort();
    let mut reader = a.reader();
    while reader.changed().await.unwrap().node(b.id()).is_none() {}
    assert!(log.text().contains(&format!("ids={}", ids.join(" "))), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn how_late_a_deadline_was_noticed_is_the_lag() {
    let lobby = cold().await;
    let mut reader = lobby.reader();
    // The machine stands still for ten seconds; the deadline was after one.
    tokio::time::advance(Duration::from_secs(10)).await;
    while !reader.changed().await.unwrap().links[0].given_up {}
    let lag = lobby.stats().longest_lag_us.load(std::sync::atomic::Ordering::Relaxed);
    assert!((8_900_000..=9_100_000).contains(&lag), "{lag}");
}

/// Seven agents, each of which offers `web`, as the first of them sees them.
async fn seven(hub: &Hub) -> Vec<Lobby> {
    let mut fleet = Vec::new();
    for n in 0..7 {
        let builder = Lobby::builder().name(format!("n{n}").parse().unwrap()).tags([("service", "web")]);
        fleet.push(builder.memory(hub.join()).start().await.unwrap());
    }
    until(&fleet[0], |snapshot| passing(snapshot) == 7).await;
    fleet
}

async fn until(lobby: &Lobby, holds: impl Fn(&Snapshot) -> bool) {
    let mut reader = lobby.reader();
    let wait = async { while !holds(&reader.changed().await.unwrap()) {} };
    if !holds(&lobby.reader().snapshot()) {
        tokio::time::timeout(Duration::from_secs(100), wait).await.expect("it is shown in time");
    }
}

fn passing(snapshot: &Snapshot) -> usize {
    let views = snapshot.service("web").into_iter().flat_map(|web| web.instances.values());
    views.filter(|view| view.status == Status::Passing).count()
}

fn alive(snapshot: &Snapshot) -> usize {
    snapshot.nodes.values().filter(|node| node.state == NodeState::Alive).count()
}

#[tokio::test(start_paused = true)]
async fn when_most_nodes_fall_silent_their_services_stay_for_a_minute() {
    let (log, hub) = (captured::Log::start(), Hub::new());
    let fleet = seven(&hub).await;
    let cut_off = |nodes: std::ops::Range<usize>| hub.split(fleet[nodes].iter().map(|lobby| (lobby.id(), 1)));
    let (first, start) = (&fleet[0], tokio::time::Instant::now());
    let logged = || ["their services are held", "the hold is over"].map(|text| log.text().contains(text));
    cut_off(2..7);
    until(first, |snapshot| alive(snapshot) == 2).await;
    let snapshot = first.reader().snapshot();
    assert_eq!((passing(&snapshot), snapshot.hosts.len(), snapshot.links[0].held), (7, 2, 5));
    // The other side has lost two of seven, whom it believes dead.
    until(&fleet[6], |snapshot| alive(snapshot) == 5 && passing(snapshot) == 5).await;

    cut_off(3..7);
    until(first, |snapshot| alive(snapshot) == 3).await;
    assert_eq!((passing(&first.reader().snapshot()), first.reader().snapshot().links[0].held), (7, 4));
    assert_eq!(logged(), [true, false], "{}", log.text());
    until(first, |snapshot| passing(snapshot) == 3).await;
    let lasted = start.elapsed();
    assert!((Duration::from_secs(60)..Duration::from_secs(62)).contains(&lasted), "{lasted:?}");
    assert_eq!(logged(), [true, true], "{}", log.text());
    assert_eq!(first.stats().holds.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn the_rule_is_the_builder_s() {
    let hub = Hub::new();
    let rule = Rule { threshold: 100, ..Rule::default() };
    let builder = Lobby::builder().name("strict".parse().unwrap()).hold(rule);
    let strict = builder.memory(hub.join()).start().await.unwrap();
    let fleet = seven(&hub).await;
    until(&strict, |snapshot| passing(snapshot) == 7).await;
    hub.split(fleet.iter().map(|lobby| (lobby.id(), 1)));
    until(&strict, |snapshot| alive(snapshot) == 1).await;
    assert_eq!(passing(&strict.reader().snapshot()), 0);
}
