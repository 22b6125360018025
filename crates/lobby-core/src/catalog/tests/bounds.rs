//! How much the catalog remembers, for how long, and what it does when it is full.

use super::*;

#[test]
fn a_catalog_full_of_living_nodes_refuses_strangers_and_one_with_a_dead_node_forgets_that() {
    let mut scene = Scene::new();
    let origin = |n: usize| Origin::Bare(NATS, format!("n{n}").parse().unwrap());
    for n in 0..limits::NODES {
        scene.catalog.apply(NATS, PeerEvent::Record(bare(&format!("n{n}"), &[])), scene.now);
        scene.catalog.apply(NATS, PeerEvent::Seen(origin(n), Duration::ZERO), scene.now);
    }
    let stranger = Origin::Bare(NATS, "stranger".parse().unwrap());
    assert_eq!(scene.tell(NATS, PeerEvent::Record(bare("stranger", &[]))), Outcome::Refused);
    assert_eq!(scene.tell(NATS, PeerEvent::Seen(stranger.clone(), Duration::ZERO)), Outcome::Refused);
    assert_eq!(scene.tell(NATS, PeerEvent::Seen(origin(7), Duration::ZERO)), Outcome::Applied);
    scene.tell(NATS, PeerEvent::Gone(origin(7), Gone::Failed));
    assert_eq!(scene.tell(NATS, PeerEvent::Seen(stranger, Duration::ZERO)), Outcome::Applied);
    assert!(!scene.last.nodes.contains_key(&origin(7)));
}

#[test]
fn a_record_that_nobody_ever_hears_of_is_forgotten_after_an_hour() {
    let mut scene = Scene::new();
    scene.tell(GOSSIP, PeerEvent::Record(record(1, 1, "a", &[])));
    assert_eq!(scene.last.nodes.len(), 2);
    scene.wait(3_600_000);
    assert_eq!(scene.last.nodes.len(), 1);
}

#[test]
fn departures_are_remembered_for_an_hour_however_many_there_are() {
    let mut scene = Scene::new();
    let leaving = |n: u32| {
        let mut record = (*record(1, 5, "a", &[])).clone();
        let mut id = [1; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        record.origin = Origin::Node(NodeId::from_bytes(id));
        record.phase = crate::record::Phase::Left;
        Arc::new(record)
    };
    for n in 0..limits::NODES as u32 + 5 {
        scene.catalog.apply(NATS, PeerEvent::Record(leaving(n)), at(1_000 + u64::from(n) / 100));
    }
    let mut old = (*leaving(limits::NODES as u32 + 4)).clone();
    old.phase = crate::record::Phase::Running;
    let old = Arc::new(old);
    assert_eq!(scene.tell(NATS, PeerEvent::Record(old.clone())), Outcome::Stale);
    scene.wait(3_700_000);
    assert_eq!(scene.tell(NATS, PeerEvent::Record(old)), Outcome::Applied);
}

#[test]
fn a_node_that_comes_and_goes_has_one_timer() {
    let mut scene = Scene::new();
    let go = bare("go", &[]);
    for _ in 0..100 {
        scene.hear(NATS, &go);
        scene.tell(NATS, PeerEvent::Gone(go.origin.clone(), Gone::Left));
    }
    scene.hear(NATS, &go);
    for _ in 0..20 {
        scene.wait(5_000);
        scene.hear(NATS, &go);
    }
    let n_expiries = scene.catalog.timers.values().filter(|timer| matches!(timer, Timer::Expire(..))).count();
    assert_eq!(n_expiries, 1);
}

#[test]
fn a_failed_node_is_forgotten_after_an_hour() {
    let mut scene = Scene::new();
    scene.hear(NATS, &record(1, 1, "a", &[]));
    scene.wait(30_000);
    assert_eq!(scene.last.nodes.len(), 2);
    scene.wait(3_600_000);
    assert_eq!(scene.last.nodes.len(), 1);
}
