//! Nodes without an agent: the latest write counts, agents come first, removal is remembered for a day.

use super::*;
use crate::{
    external::{Change, NodeData, next},
    instance::Instance,
    record::{Entry, Key, Phase, Stamp},
};

fn version(old: Option<&Record>, now: u64, changes: &[Change]) -> Arc<Record> {
    Arc::new(next(old, &"db".parse().unwrap(), id(9), now * 1_000_000, changes).unwrap().unwrap())
}

fn node(address: &str) -> Change {
    Change::Node(NodeData { address: address.into(), ..NodeData::default() })
}

fn service() -> Change {
    Change::Instance(Box::new(Instance::new("pg".parse().unwrap(), "postgres".parse().unwrap())))
}

/// The second at which scenes begin.
const START: u64 = 1_000_000;

#[test]
fn it_is_there_until_it_is_removed_and_nothing_else_ends_it() {
    let mut scene = Scene::new();
    let one = version(None, START, &[node("10.0.0.9"), service()]);
    assert_eq!(scene.tell(NATS, PeerEvent::Record(one.clone())), Outcome::Applied);
    assert_eq!(scene.tell(GOSSIP, PeerEvent::Record(one.clone())), Outcome::Stale);
    assert_eq!(scene.hosts(), "db own");
    let index = scene.last.service_index("postgres");
    for event in [
        PeerEvent::Seen(one.origin.clone(), Duration::ZERO),
        PeerEvent::Suspect(one.origin.clone()),
        PeerEvent::Gone(one.origin.clone(), Gone::Failed),
        PeerEvent::Gone(one.origin.clone(), Gone::Left),
    ] {
        assert_eq!(scene.tell(NATS, event), Outcome::Stale);
    }
    scene.wait(10 * 3600 * 1000);
    let shown = &scene.last.nodes[&one.origin];
    assert!(shown.external && shown.state == NodeState::Alive && shown.age(scene.now).is_zero());
    assert_eq!(scene.last.service_index("postgres"), index, "time is no change");
    let gone = version(Some(&one), START + 36_000, &[Change::Remove]);
    scene.tell(GOSSIP, PeerEvent::Record(gone.clone()));
    assert_eq!(scene.hosts(), "own");
    assert!(scene.last.service("postgres").is_none() && scene.last.service_index("postgres") > index);
    assert_eq!(scene.tell(NATS, PeerEvent::Record(one)), Outcome::Stale, "an agent that was away brings it back");
    assert_eq!(scene.last.externals.len(), 1);
    scene.wait(26 * 3600 * 1000);
    assert!(scene.last.externals.is_empty());
    assert_eq!(scene.tell(NATS, PeerEvent::Record(gone)), Outcome::Stale, "so old that nobody keeps it");
}

#[test]
fn an_agent_of_its_name_hides_it_and_it_hides_a_bare_record() {
    let mut scene = Scene::new();
    let bare = bare("db", &["bare:1"]);
    scene.hear(NATS, &bare);
    let one = version(None, START, &[node("10.0.0.9"), service()]);
    scene.tell(GOSSIP, PeerEvent::Record(one.clone()));
    assert_eq!(scene.last.hosts["db"].nodes.iter().map(|node| node.external).collect::<Vec<_>>(), [true]);
    let agent = record(5, 1, "db", &["agent:1"]);
    scene.hear(GOSSIP, &agent);
    assert_eq!(scene.last.hosts["db"].nodes.iter().map(|node| node.external).collect::<Vec<_>>(), [false]);
    assert!(scene.last.service("postgres").is_none(), "what is registered for an agent's name is not the agent's");
    scene.tell(GOSSIP, PeerEvent::Gone(agent.origin.clone(), Gone::Failed));
    assert!(scene.last.service("postgres").is_some());
}

#[test]
fn it_is_no_member_but_its_services_are_told() {
    use crate::change::{Kind, Watch};
    let mut scene = Scene::new();
    let mut watch = Watch::new(Kind::ALL.iter().copied());
    let mut told = |scene: &Scene| {
        watch.look(&scene.last);
        std::iter::from_fn(|| watch.take()).map(|batch| batch.kind).collect::<Vec<_>>()
    };
    assert_eq!(told(&scene), [Kind::MemberJoin]);
    let one = version(None, START, &[node("10.0.0.9"), service()]);
    scene.tell(GOSSIP, PeerEvent::Record(one.clone()));
    assert_eq!(told(&scene), [Kind::ServiceUp]);
    let agent = record(5, 1, "db", &["agent:1"]);
    scene.hear(GOSSIP, &agent);
    assert_eq!(told(&scene), [Kind::MemberJoin, Kind::ServiceDown], "it hides behind the agent");
    scene.tell(GOSSIP, PeerEvent::Gone(agent.origin.clone(), Gone::Failed));
    assert_eq!(told(&scene), [Kind::MemberFailed, Kind::ServiceUp]);
    scene.tell(GOSSIP, PeerEvent::Record(version(Some(&one), START + 1, &[node("10.0.0.8")])));
    assert_eq!(told(&scene), []);
    scene.tell(GOSSIP, PeerEvent::Record(version(Some(&one), START + 2, &[Change::Remove])));
    assert_eq!(told(&scene), [Kind::ServiceDown]);
}

#[test]
fn more_than_there_may_be_are_refused() {
    let mut scene = Scene::new();
    let record = |n: usize| {
        let name = format!("db-{n}").parse().unwrap();
        Arc::new(next(None, &name, id(9), 1, &[node("10.0.0.9")]).unwrap().unwrap())
    };
    for n in 0..limits::EXTERNALS {
        assert_eq!(scene.catalog.put_external(record(n), scene.now), Outcome::Applied);
    }
    assert_eq!(scene.catalog.put_external(record(limits::EXTERNALS), scene.now), Outcome::Refused);
    assert_eq!(scene.catalog.put_external(super::record(1, 1, "a", &[]), scene.now), Outcome::Refused, "an agent's");
}

fn numbered(n: usize, now: u64, old: Option<&Record>, changes: &[Change]) -> Arc<Record> {
    let name = format!("db-{n}").parse().unwrap();
    Arc::new(next(old, &name, id(9), now * 1_000_000, changes).unwrap().unwrap())
}

#[test]
fn a_removal_by_a_clock_that_is_days_late_ends_what_is_known_and_is_remembered_from_here_on() {
    let mut scene = Scene::new();
    let day = 86_400;
    let one = version(None, START - 3 * day, &[node("10.0.0.9")]);
    let gone = version(Some(&one), START - 2 * day, &[Change::Remove]);
    assert_eq!(scene.tell(NATS, PeerEvent::Record(gone.clone())), Outcome::Stale, "nobody knows the node");
    scene.tell(NATS, PeerEvent::Record(one.clone()));
    assert_eq!(scene.hosts(), "db own");
    assert_eq!(scene.tell(NATS, PeerEvent::Record(gone)), Outcome::Applied);
    assert_eq!(scene.hosts(), "own");
    scene.wait(23 * 3600 * 1000);
    assert_eq!(scene.tell(NATS, PeerEvent::Record(one)), Outcome::Stale, "an agent that was away brings it back");
    scene.wait(3 * 3600 * 1000);
    assert!(scene.last.externals.is_empty());
}

#[test]
fn removed_ones_make_room_for_others_the_oldest_first() {
    let mut scene = Scene::new();
    let mut put = |n, old: Option<&Record>, changes: &[Change], millis| {
        let now = at(millis);
        scene.catalog.put_external(numbered(n, START, old, changes), now)
    };
    for n in 0..limits::EXTERNALS {
        assert_eq!(put(n, None, &[node("10.0.0.9")], 0), Outcome::Applied);
    }
    for (n, millis) in [(7, 20), (9, 10)] {
        let old = numbered(n, START, None, &[node("10.0.0.9")]);
        assert_eq!(put(n, Some(&old), &[Change::Remove], millis), Outcome::Applied);
    }
    let (last, more) = (limits::EXTERNALS, limits::EXTERNALS + 1);
    assert_eq!(put(last, None, &[node("10.0.0.9")], 30), Outcome::Applied);
    assert_eq!(put(more, None, &[node("10.0.0.9")], 30), Outcome::Applied);
    assert_eq!(put(more + 1, None, &[node("10.0.0.9")], 30), Outcome::Refused, "all of them are there");
    let known = |n| scene.catalog.externals().contains_key(&NodeId::external(&format!("db-{n}").parse().unwrap()));
    assert!(!known(7) && !known(9) && known(last) && known(more) && !known(more + 1));
    assert_eq!(scene.catalog.externals().len(), limits::EXTERNALS);
}

#[test]
fn what_nobody_could_follow_and_what_has_labels_is_refused() {
    let mut scene = Scene::new();
    let (edge, ahead) = (START + 86_400, START + 86_401);
    assert_eq!(scene.tell(NATS, PeerEvent::Record(version(None, ahead, &[node("10.0.0.9")]))), Outcome::Refused);
    assert_eq!(scene.tell(NATS, PeerEvent::Record(version(None, edge, &[node("10.0.0.9")]))), Outcome::Applied);
    let plain = numbered(1, START, None, &[node("10.0.0.9")]);
    let label = (Key::Label("a:1".parse().unwrap()), Entry { version: plain.stamp.version, value: Some(Vec::new().into()) });
    let entries = plain.entries().map(|(key, entry)| (key.clone(), entry.clone())).chain([label]);
    let version = plain.stamp.version;
    let labelled =
        Record::from_parts(plain.origin.clone(), plain.name.clone(), plain.stamp, version, plain.phase, entries).unwrap();
    assert!(labelled.is_external());
    assert_eq!(scene.tell(NATS, PeerEvent::Record(Arc::new(labelled))), Outcome::Refused);
    assert_eq!(scene.hosts(), "db own");
}

#[test]
fn nobody_claims_to_be_the_process_of_a_node_without_an_agent() {
    let mut scene = Scene::new();
    let one = version(None, START, &[node("10.0.0.9")]);
    scene.tell(NATS, PeerEvent::Record(one.clone()));
    let later = Stamp { generation: crate::id::Generation(u64::MAX), version: one.stamp.version };
    let mut unmarked = Record::new(one.origin.clone(), one.name.clone(), later);
    assert_eq!(scene.tell(NATS, PeerEvent::Record(Arc::new(unmarked.clone()))), Outcome::Refused);
    unmarked.phase = Phase::Left;
    assert_eq!(scene.tell(NATS, PeerEvent::Record(Arc::new(unmarked))), Outcome::Refused);
    assert_eq!(*scene.last.nodes[&one.origin].record, *one);
}
