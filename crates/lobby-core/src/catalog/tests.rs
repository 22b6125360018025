//! Scenarios: what the catalog shows after exchanges said this and time went by that.

use super::*;
use crate::{
    id::{Generation, Version},
    label::Label,
    local::LocalRecord,
    record::{Key, Stamp},
    time::WallSecond,
};

mod bounds;
mod external;
mod grace;
mod held;
mod offers;
mod services;
mod subjects;
mod tags;

const GOSSIP: ExchangeId = ExchangeId(0);
const NATS: ExchangeId = ExchangeId(1);
const TTL: Duration = Duration::from_secs(30);

/// A catalog with gossip and NATS, both up and warm, and a clock.
struct Scene {
    catalog: Catalog,
    now: Now,
    last: Arc<Snapshot>,
}

fn at(millis: u64) -> Now {
    Now { moment: Moment::from_micros(millis * 1000), wall: WallSecond(1_000_000 + millis / 1000) }
}

fn id(n: u8) -> NodeId {
    NodeId::from_bytes([n; 16])
}

fn record(n: u8, version: u64, name: &str, labels: &[&str]) -> Arc<Record> {
    let mut local = LocalRecord::new(id(n), Generation(1), name.parse().unwrap());
    local.set_labels(labels.iter().map(|label| label.parse().unwrap()));
    local.commit(Moment::ZERO);
    let mut record = (**local.record()).clone();
    record.stamp.version = Version(version);
    Arc::new(record)
}

fn bare(name: &str, labels: &[&str]) -> Arc<Record> {
    let name: Name = name.parse().unwrap();
    let mut record = Record::new(Origin::Bare(NATS, name.clone()), name, Stamp::default());
    for label in labels {
        let entry = crate::record::Entry { version: Version(0), value: Some(std::sync::Arc::default()) };
        record.entries.insert(Key::Label(label.parse().unwrap()), entry);
    }
    Arc::new(record)
}

impl Scene {
    fn new() -> Self {
        let spec = |name: &str, liveness| ExchangeSpec { name: name.into(), liveness };
        let specs = [spec("gossip", Liveness::Reported), spec("nats", Liveness::Ttl(TTL))];
        let own = record(0, 1, "own", &["own:1"]);
        let mut catalog = Catalog::new(Revision(100), specs, own, true, Duration::from_secs(60), at(0));
        for exchange in [GOSSIP, NATS] {
            catalog.apply(exchange, PeerEvent::Link(LinkState::Up), at(0));
            catalog.apply(exchange, PeerEvent::Warm, at(0));
        }
        let last = catalog.poll_snapshot().unwrap();
        Self { catalog, now: at(0), last }
    }

    fn tell(&mut self, exchange: ExchangeId, event: PeerEvent) -> Outcome {
        let outcome = self.catalog.apply(exchange, event, self.now);
        self.refresh();
        outcome
    }

    fn hear(&mut self, exchange: ExchangeId, record: &Arc<Record>) {
        self.tell(exchange, PeerEvent::Record(record.clone()));
        self.tell(exchange, PeerEvent::Seen(record.origin.clone(), Duration::ZERO));
    }

    fn wait(&mut self, millis: u64) {
        let until = at(self.now.moment.as_micros() / 1000 + millis);
        while let Some(deadline) = self.catalog.next_deadline()
            && deadline <= until.moment
        {
            self.now = at(deadline.as_micros().div_ceil(1000));
            self.catalog.handle_deadline(self.now);
        }
        self.now = until;
        self.refresh();
    }

    fn refresh(&mut self) {
        if let Some(snapshot) = self.catalog.poll_snapshot() {
            assert!(snapshot.revision >= self.last.revision);
            self.last = snapshot;
        }
    }

    fn hosts(&self) -> String {
        self.last.hosts.keys().map(Name::as_str).collect::<Vec<_>>().join(" ")
    }

    fn link_down(&mut self, exchange: ExchangeId) {
        self.tell(exchange, PeerEvent::Link(LinkState::Down { why: "test".into() }));
    }
}

#[test]
fn a_node_is_listed_when_both_its_record_and_its_life_are_known() {
    let mut scene = Scene::new();
    assert_eq!(scene.hosts(), "own");
    scene.tell(GOSSIP, PeerEvent::Record(record(1, 1, "a", &[])));
    assert_eq!(scene.hosts(), "own");
    scene.tell(GOSSIP, PeerEvent::Seen(Origin::Node(id(1)), Duration::ZERO));
    assert_eq!(scene.hosts(), "a own");
    scene.tell(GOSSIP, PeerEvent::Seen(Origin::Node(id(2)), Duration::ZERO));
    scene.tell(GOSSIP, PeerEvent::Record(record(2, 1, "b", &[])));
    assert_eq!(scene.hosts(), "a b own");
}

#[test]
fn a_broker_s_node_expires_after_ttl_and_not_a_moment_before() {
    let mut scene = Scene::new();
    scene.hear(NATS, &record(1, 1, "a", &[]));
    scene.wait(10_000);
    scene.tell(NATS, PeerEvent::Seen(Origin::Node(id(1)), Duration::ZERO));
    scene.wait(29_999);
    assert_eq!(scene.hosts(), "a own");
    scene.wait(1);
    assert_eq!(scene.hosts(), "own");
    assert_eq!(scene.last.nodes[&Origin::Node(id(1))].state, NodeState::Failed);
}

#[test]
fn nothing_expires_while_the_link_is_down_nor_for_a_ttl_after_it_is_back() {
    let mut scene = Scene::new();
    scene.hear(NATS, &record(1, 1, "a", &[]));
    scene.link_down(NATS);
    let revision = scene.last.revision;
    scene.wait(3_600_000);
    assert_eq!(scene.hosts(), "a own");
    scene.tell(NATS, PeerEvent::Link(LinkState::Up));
    scene.wait(29_000);
    assert_eq!((scene.hosts().as_str(), scene.last.revision), ("a own", revision));
    scene.wait(1_000 + 30_000);
    assert_eq!(scene.hosts(), "own");
}

#[test]
fn an_unanswered_question_fails_a_node_within_a_second() {
    let mut scene = Scene::new();
    let record = record(1, 1, "a", &[]);
    scene.hear(GOSSIP, &record);
    scene.hear(NATS, &record);
    scene.wait(5_000);
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Failed));
    assert_eq!(scene.catalog.poll_question(), Some((NATS, id(1))));
    assert_eq!(scene.hosts(), "a own");
    scene.wait(1_000);
    assert_eq!(scene.hosts(), "own");
    scene.tell(NATS, PeerEvent::Seen(Origin::Node(id(1)), Duration::ZERO));
    assert_eq!(scene.hosts(), "a own", "any later sight revives it");
}

#[test]
fn an_answered_question_keeps_a_node_without_a_change() {
    let mut scene = Scene::new();
    let record = record(1, 1, "a", &[]);
    scene.hear(GOSSIP, &record);
    scene.hear(NATS, &record);
    let revision = scene.last.revision;
    scene.wait(5_000);
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Failed));
    scene.wait(500);
    scene.tell(NATS, PeerEvent::Seen(Origin::Node(id(1)), Duration::ZERO));
    scene.wait(10_000);
    assert_eq!((scene.hosts().as_str(), scene.last.revision), ("a own", revision));
}

#[test]
fn a_witness_whose_link_is_down_cannot_contradict() {
    let mut scene = Scene::new();
    let record = record(1, 1, "a", &[]);
    scene.hear(GOSSIP, &record);
    scene.hear(NATS, &record);
    scene.link_down(NATS);
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Failed));
    assert_eq!(scene.catalog.poll_question(), None);
    assert_eq!(scene.hosts(), "own");
}

#[test]
fn a_leaving_record_removes_the_node_everywhere_and_older_ones_do_not_bring_it_back() {
    let mut scene = Scene::new();
    let alive = record(1, 5, "a", &[]);
    scene.hear(GOSSIP, &alive);
    scene.hear(NATS, &alive);
    let mut leaving = (*alive).clone();
    leaving.phase = crate::record::Phase::Left;
    leaving.stamp.version = Version(6);
    scene.tell(NATS, PeerEvent::Record(Arc::new(leaving)));
    assert_eq!(scene.hosts(), "own");
    assert!(!scene.last.nodes.contains_key(&Origin::Node(id(1))));
    scene.hear(GOSSIP, &alive);
    assert_eq!(scene.hosts(), "own");
    let mut again = (*alive).clone();
    again.stamp = Stamp { generation: Generation(2), version: Version(1) };
    scene.hear(GOSSIP, &Arc::new(again));
    assert_eq!(scene.hosts(), "a own");
}

#[test]
fn a_bare_goodbye_removes_the_bare_record_only() {
    let mut scene = Scene::new();
    scene.hear(NATS, &bare("a", &["go:1"]));
    assert_eq!(scene.last.hosts["a"].labels[0].as_str(), "go:1");
    scene.hear(GOSSIP, &record(1, 1, "a", &["ours:1"]));
    let labels: Vec<_> = scene.last.hosts["a"].labels.iter().map(Label::as_str).collect();
    assert_eq!(labels, ["ours:1"], "a bare record hides behind one with an id");
    scene.tell(NATS, PeerEvent::Gone(Origin::Bare(NATS, "a".parse().unwrap()), Gone::Left));
    assert_eq!(scene.hosts(), "a own");
}

#[test]
fn nodes_of_one_name_are_merged_and_one_s_goodbye_leaves_the_other() {
    let mut scene = Scene::new();
    scene.hear(GOSSIP, &record(1, 1, "a", &["x", "z"]));
    assert!(scene.catalog.poll_conflict().is_none());
    scene.hear(GOSSIP, &record(2, 1, "a", &["x", "y"]));
    assert_eq!(scene.catalog.poll_conflict().unwrap().nodes.len(), 2);
    assert!(scene.catalog.poll_conflict().is_none());
    let labels: Vec<_> = scene.last.hosts["a"].labels.iter().map(Label::as_str).collect();
    assert_eq!(labels, ["x", "y", "z"]);
    let mut leaving = (*record(1, 2, "a", &[])).clone();
    leaving.phase = crate::record::Phase::Left;
    scene.tell(GOSSIP, PeerEvent::Record(Arc::new(leaving)));
    let labels: Vec<_> = scene.last.hosts["a"].labels.iter().map(Label::as_str).collect();
    assert_eq!(labels, ["x", "y"]);
}

#[test]
fn our_own_name_from_a_bare_packet_is_never_merged_into_our_record() {
    let mut scene = Scene::new();
    scene.hear(NATS, &bare("own", &["forged:1"]));
    let labels: Vec<_> = scene.last.hosts["own"].labels.iter().map(Label::as_str).collect();
    assert_eq!(labels, ["own:1"]);
    assert_eq!(scene.last.nodes.len(), 2);
}

#[test]
fn our_own_id_from_outside_changes_nothing() {
    let mut scene = Scene::new();
    let revision = scene.last.revision;
    assert_eq!(scene.tell(NATS, PeerEvent::Record(record(0, 99, "other", &[]))), Outcome::Ours);
    assert_eq!(scene.tell(NATS, PeerEvent::Seen(Origin::Node(id(0)), Duration::ZERO)), Outcome::Ours);
    assert_eq!((scene.hosts().as_str(), scene.last.revision), ("own", revision));
}

#[test]
fn keep_alives_raise_last_check_but_no_revision() {
    let mut scene = Scene::new();
    let record = record(1, 1, "a", &[]);
    scene.hear(NATS, &record);
    let revision = scene.last.revision;
    let first = scene.last.hosts["a"].last_check(scene.now);
    scene.wait(7_000);
    scene.hear(NATS, &record);
    assert_eq!(scene.last.revision, revision);
    assert_eq!(scene.last.hosts["a"].last_check(scene.now).0, first.0 + 7);
}

#[test]
fn a_renamed_node_moves() {
    let mut scene = Scene::new();
    scene.hear(GOSSIP, &record(1, 1, "a", &[]));
    scene.hear(GOSSIP, &record(1, 2, "b", &[]));
    assert_eq!(scene.hosts(), "b own");
}

#[test]
fn warm_waits_for_every_exchange_but_not_for_ever() {
    let spec = |name: &str| ExchangeSpec { name: name.into(), liveness: Liveness::Ttl(TTL) };
    let own = record(0, 1, "own", &[]);
    let mut catalog = Catalog::new(Revision(1), [spec("a"), spec("b")], own, true, Duration::from_secs(60), at(0));
    catalog.apply(ExchangeId(0), PeerEvent::Warm, at(1));
    assert!(!catalog.poll_snapshot().unwrap().warm);
    catalog.handle_deadline(at(60_000));
    let snapshot = catalog.poll_snapshot().unwrap();
    assert!(snapshot.warm && snapshot.links[1].given_up && !snapshot.links[0].given_up);
}

#[test]
fn age_counts_from_the_start_and_from_each_lost_link() {
    let spec = ExchangeSpec { name: "nats".into(), liveness: Liveness::Ttl(TTL) };
    let own = record(0, 1, "own", &[]);
    let mut catalog = Catalog::new(Revision(1), [spec], own, true, Duration::from_secs(60), at(1_000));
    assert_eq!(catalog.poll_snapshot().unwrap().age(at(4_000)).as_secs(), 3);
    catalog.apply(ExchangeId(0), PeerEvent::Link(LinkState::Up), at(5_000));
    catalog.apply(ExchangeId(0), PeerEvent::Warm, at(5_000));
    assert_eq!(catalog.poll_snapshot().unwrap().age(at(9_000)).as_secs(), 0);
    catalog.apply(ExchangeId(0), PeerEvent::Link(LinkState::Down { why: "cut".into() }), at(10_000));
    assert_eq!(catalog.poll_snapshot().unwrap().age(at(12_000)).as_secs(), 2);
}

#[test]
fn an_unlisted_own_node_is_in_no_list() {
    let own = record(0, 1, "own", &[]);
    let mut catalog = Catalog::new(Revision(1), [], own, false, Duration::from_secs(60), at(0));
    let snapshot = catalog.poll_snapshot().unwrap();
    assert!(snapshot.hosts.is_empty() && snapshot.nodes.is_empty() && snapshot.warm);
    assert_eq!(snapshot.local.record.name.as_str(), "own");
}

#[test]
fn a_restart_with_the_same_labels_is_no_change() {
    let mut scene = Scene::new();
    let first = record(1, 1, "a", &["x"]);
    scene.hear(GOSSIP, &first);
    let revision = scene.last.revision;
    let mut again = (*first).clone();
    again.stamp = Stamp { generation: Generation(2), version: Version(1) };
    scene.hear(GOSSIP, &Arc::new(again));
    assert_eq!(scene.last.revision, revision);
    assert_eq!(scene.last.nodes[&Origin::Node(id(1))].record.stamp.generation, Generation(2));
}

#[test]
fn an_exchange_that_was_given_up_counts_again_once_it_is_warm() {
    let spec = ExchangeSpec { name: "nats".into(), liveness: Liveness::Ttl(TTL) };
    let own = record(0, 1, "own", &[]);
    let mut catalog = Catalog::new(Revision(1), [spec], own, false, Duration::from_secs(60), at(0));
    catalog.handle_deadline(at(60_000));
    assert_eq!(catalog.poll_snapshot().unwrap().age(at(70_000)).as_secs(), 70, "a link that never came up completes nothing");
    catalog.apply(ExchangeId(0), PeerEvent::Link(LinkState::Up), at(3_600_000));
    catalog.apply(ExchangeId(0), PeerEvent::Warm, at(3_600_000));
    assert_eq!(catalog.poll_snapshot().unwrap().age(at(3_600_500)).as_secs(), 0);
    catalog.apply(ExchangeId(0), PeerEvent::Link(LinkState::Down { why: "cut".into() }), at(3_601_000));
    assert_eq!(catalog.poll_snapshot().unwrap().age(at(3_602_000)).as_secs(), 1, "counted from the loss of the link");
}

#[test]
fn a_wall_clock_that_is_set_back_sets_last_check_back() {
    let mut scene = Scene::new();
    let go = bare("go", &[]);
    scene.now.wall = WallSecond(9_000_000);
    scene.hear(NATS, &go);
    scene.now = at(5_000);
    scene.hear(NATS, &go);
    assert_eq!(scene.last.hosts["go"].last_check(scene.now), scene.now.wall);
}

#[test]
fn what_an_answer_tells_of_the_past_counts_against_the_ttl() {
    let mut scene = Scene::new();
    scene.wait(100_000);
    scene.tell(NATS, PeerEvent::Record(record(1, 1, "a", &[])));
    scene.tell(NATS, PeerEvent::Seen(Origin::Node(id(1)), Duration::from_secs(25)));
    assert_eq!(scene.hosts(), "a own");
    scene.wait(5_000);
    assert_eq!(scene.hosts(), "own");
}

#[test]
fn a_member_that_gossip_suspects_was_heard_of_until_then() {
    let mut scene = Scene::new();
    scene.hear(GOSSIP, &record(1, 1, "a", &[]));
    scene.wait(3_600_000);
    assert_eq!(scene.last.hosts["a"].last_check(scene.now), scene.now.wall);
    scene.tell(GOSSIP, PeerEvent::Suspect(Origin::Node(id(1))));
    let suspected = scene.now.wall;
    scene.wait(3_000);
    assert_eq!(scene.last.hosts["a"].last_check(scene.now), suspected);
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Failed));
    assert_eq!(scene.last.nodes[&Origin::Node(id(1))].age(scene.now), Duration::from_secs(3));
}
