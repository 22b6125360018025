//! The change watch: what each kind means, and the law that whoever believes its events knows the members.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness},
    change::{Batch, Kind, Watch},
    id::{ExchangeId, Generation, NodeId, Origin, Revision},
    local::LocalRecord,
    name::Name,
    port::{Gone, LinkState, PeerEvent},
    record::{Key, Record, Stamp, meta},
    time::{Moment, Now, WallSecond},
};
use proptest::prelude::*;

use crate::catalog_laws::{Run, steps};

const NET: ExchangeId = ExchangeId(0);

/// A catalog and a watch over it.
struct Scene {
    catalog: Catalog,
    watch: Watch,
    now: Now,
}

fn local(n: u8, generation: u64, name: &str, labels: &[&str]) -> LocalRecord {
    let mut local = LocalRecord::new(NodeId::from_bytes([n; 16]), Generation(generation), name.parse().unwrap());
    local.set_labels(labels.iter().map(|label| label.parse().unwrap()));
    local.commit(Moment::ZERO);
    local
}

fn bare(name: &str) -> Arc<Record> {
    let name: Name = name.parse().unwrap();
    Arc::new(Record::new(Origin::Bare(NET, name.clone()), name, Stamp::default()))
}

impl Scene {
    fn new() -> Self {
        let spec = ExchangeSpec { name: "net".into(), liveness: Liveness::Reported };
        let own = local(0, 1, "own", &[]);
        let catalog = Catalog::new(Revision(1), [spec], own.record().clone(), true, Duration::from_secs(60), Now::default());
        let mut scene = Self { catalog, watch: Watch::new(Kind::ALL.iter().copied()), now: Now::default() };
        scene.apply(PeerEvent::Link(LinkState::Up));
        scene.apply(PeerEvent::Warm);
        assert_eq!(scene.told(), "member-join own");
        scene
    }

    fn apply(&mut self, event: PeerEvent) {
        self.catalog.apply(NET, event, self.now);
    }

    fn hear(&mut self, record: &Arc<Record>) {
        self.apply(PeerEvent::Record(record.clone()));
        self.apply(PeerEvent::Seen(record.origin.clone(), Duration::ZERO));
    }

    fn gone(&mut self, n: u8, gone: Gone) {
        self.apply(PeerEvent::Gone(Origin::Node(NodeId::from_bytes([n; 16])), gone));
    }

    fn wait(&mut self, seconds: u64) {
        let until = self.now.moment + Duration::from_secs(seconds);
        while let Some(deadline) = self.catalog.next_deadline().filter(|deadline| *deadline <= until) {
            self.now.moment = deadline;
            self.catalog.handle_deadline(self.now);
        }
        self.now = Now { moment: until, wall: WallSecond(0) };
    }

    /// All events since the last call: `KIND [SERVICE] NAMES`, a line each.
    fn told(&mut self) -> String {
        if let Some(snapshot) = self.catalog.poll_snapshot() {
            self.watch.look(&snapshot);
        }
        let text = |batch: Batch| {
            let names: Vec<_> = batch.changes.iter().map(|change| change.node.record.name.as_str()).collect();
            let service = batch.service.map(|service| format!("[{service}] ")).unwrap_or_default();
            format!("{} {service}{}", batch.kind.as_str(), names.join(","))
        };
        std::iter::from_fn(|| self.watch.take()).map(text).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn a_life() {
    let mut scene = Scene::new();
    let mut a = local(1, 1, "a", &["x:1"]);
    scene.hear(a.record());
    scene.hear(local(2, 1, "b", &[]).record());
    assert_eq!(scene.told(), "member-join a,b");
    a.set_labels(["x:2".parse().unwrap()]);
    scene.hear(&a.commit(Moment::ZERO).unwrap());
    assert_eq!(scene.told(), "member-update a");
    a.set_meta(meta::ADDRESSES, "192.0.2.7");
    scene.hear(&a.commit(Moment::ZERO).unwrap());
    assert_eq!(scene.told(), "member-update a");
    a.set_meta("gossip-keys", "ab,cd");
    scene.hear(&a.commit(Moment::ZERO).unwrap());
    assert_eq!(scene.told(), "", "other properties are nobody's business");
    scene.apply(PeerEvent::Suspect(a.record().origin.clone()));
    assert_eq!(scene.told(), "");
    scene.gone(1, Gone::Failed);
    assert_eq!(scene.told(), "member-failed a");
    scene.hear(a.record());
    assert_eq!(scene.told(), "member-join a");
    a.leave();
    scene.apply(PeerEvent::Record(a.commit(Moment::ZERO).unwrap()));
    assert_eq!(scene.told(), "member-leave a");
    scene.gone(2, Gone::Failed);
    scene.wait(3_600);
    assert_eq!(scene.told(), "member-leave b", "who looks that late has no hour to wait for");
}

#[test]
fn a_failed_member_is_reaped_when_it_is_forgotten() {
    for forced in [false, true] {
        let mut scene = Scene::new();
        scene.hear(local(1, 1, "a", &[]).record());
        assert_eq!(scene.told(), "member-join a");
        scene.gone(1, Gone::Failed);
        assert_eq!(scene.told(), "member-failed a");
        if forced {
            scene.gone(1, Gone::Left);
        } else {
            scene.wait(3_600);
        }
        assert_eq!(scene.told(), "member-reap a");
    }
}

#[test]
fn a_member_never_told_of_is_never_reaped() {
    let mut scene = Scene::new();
    scene.apply(PeerEvent::Record(local(1, 1, "a", &[]).record().clone()));
    assert_eq!(scene.told(), "");
    scene.wait(3_600);
    assert_eq!(scene.told(), "");
}

#[test]
fn a_restart_within_the_grace_is_one_restarted_and_nothing_else() {
    for announced in [false, true] {
        let mut scene = Scene::new();
        let mut a = local(1, 1, "a", &["service:web"]);
        scene.hear(a.record());
        assert_eq!(scene.told(), "member-join a\nservice-up [web] a");
        if announced {
            a.restart();
            scene.apply(PeerEvent::Record(a.commit(Moment::ZERO).unwrap()));
        } else {
            scene.gone(1, Gone::Unattended);
        }
        assert_eq!(scene.told(), "");
        scene.wait(3);
        assert_eq!(scene.told(), "");
        scene.apply(PeerEvent::Record(local(1, 2, "a", &["service:web"]).record().clone()));
        let mut told = scene.told();
        scene.apply(PeerEvent::Seen(Origin::Node(NodeId::from_bytes([1; 16])), Duration::ZERO));
        told += &scene.told();
        scene.wait(60);
        told += &scene.told();
        assert_eq!(told, "member-restarted a");
    }
}

#[test]
fn a_restart_that_takes_too_long_is_a_failure_and_a_return() {
    let mut scene = Scene::new();
    scene.hear(local(1, 1, "a", &["service:web"]).record());
    scene.told();
    scene.gone(1, Gone::Unattended);
    scene.wait(10);
    assert_eq!(scene.told(), "member-failed a\nservice-down [web] a");
    scene.hear(local(1, 2, "a", &["service:db"]).record());
    assert_eq!(scene.told(), "member-join a\nservice-up [db] a");
}

#[test]
fn services_come_change_and_go() {
    let mut scene = Scene::new();
    let mut a = local(1, 1, "a", &["service:web", "service:db:port:5432"]);
    scene.hear(a.record());
    scene.hear(local(2, 1, "b", &["service:web"]).record());
    assert_eq!(scene.told(), "member-join a,b\nservice-up [db] a\nservice-up [web] a,b");
    a.set_labels(["service:web", "service:web:tag:eu"].map(|label| label.parse().unwrap()));
    scene.hear(&a.commit(Moment::ZERO).unwrap());
    assert_eq!(scene.told(), "member-update a\nservice-down [db] a\nservice-update [web] a");
}

#[test]
fn who_goes_is_told_before_who_comes() {
    let mut scene = Scene::new();
    scene.hear(&bare("a"));
    assert_eq!(scene.told(), "member-join a");
    let a = local(1, 1, "a", &[]);
    scene.hear(a.record());
    assert_eq!(scene.told(), "member-leave a\nmember-join a", "the bare one hides behind the one with an id");
    scene.gone(1, Gone::Failed);
    assert_eq!(scene.told(), "member-failed a\nmember-join a");
}

#[test]
fn a_slow_watch_gets_the_latest_state_and_only_what_it_wants() {
    let mut scene = Scene::new();
    scene.watch = Watch::new([Kind::MemberJoin]);
    assert_eq!(scene.told(), "");
    let mut a = local(1, 1, "a", &[]);
    for n in 0..100 {
        scene.hear(a.record());
        let snapshot = scene.catalog.poll_snapshot().unwrap();
        scene.watch.look(&snapshot);
        a.set_labels([format!("n:{n}").parse().unwrap()]);
        a.commit(Moment::ZERO);
    }
    let batch = scene.watch.take().unwrap();
    let labels =
        batch.changes[1].node.record.entries().filter(|(key, entry)| matches!(key, Key::Label(_)) && entry.value.is_some());
    assert_eq!((batch.changes.len(), labels.count()), (2, 1), "ourselves and the newest version of the other");
    assert!(scene.watch.take().is_none());
}

proptest! {
    #[test]
    fn whoever_believes_the_events_knows_the_members(steps in steps(), slow in 1..5_usize) {
        let mut run = Run::start();
        let mut watch = Watch::new(Kind::ALL.iter().copied());
        let mut members = BTreeMap::new();
        let mut services = std::collections::BTreeSet::new();
        for (idx, step) in steps.iter().enumerate() {
            run.take(step, false);
            watch.look(&run.last);
            if idx % slow != 0 {
                continue;
            }
            while let Some(batch) = watch.take() {
                for change in batch.changes {
                    let origin = change.node.record.origin.clone();
                    if let Some(service) = &batch.service {
                        let right = match batch.kind {
                            Kind::ServiceUp => services.insert((origin, service.clone())),
                            Kind::ServiceDown => services.remove(&(origin, service.clone())),
                            _ => services.contains(&(origin, service.clone())),
                        };
                        prop_assert!(right);
                        continue;
                    }
                    let known = match batch.kind {
                        Kind::MemberJoin => members.insert(origin, change.node.record.clone()).is_none(),
                        Kind::MemberLeave | Kind::MemberFailed => members.remove(&origin).is_some(),
                        Kind::MemberReap => !members.contains_key(&origin),
                        _ => members.insert(origin, change.node.record.clone()).is_some(),
                    };
                    prop_assert!(known, "{} of one who cannot", batch.kind.as_str());
                }
            }
            let shown = run.last.nodes.iter().filter(|(_, node)| {
                node.state.is_listed() && node.state != lobby_core::catalog::NodeState::Stale
            });
            let shown: BTreeMap<_, _> = shown.map(|(origin, node)| (origin.clone(), node.record.name.clone())).collect();
            let believed: BTreeMap<_, _> = members.iter().map(|(origin, record)| (origin.clone(), record.name.clone())).collect();
            prop_assert_eq!(believed, shown);
        }
    }
}
