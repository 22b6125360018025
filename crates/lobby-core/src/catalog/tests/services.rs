//! What the catalog shows of services: who offers them, how they are, and which changes their indexes tell.

use super::*;
use crate::{
    catalog::services::VANISHED,
    change::{Kind, Watch},
    check::{Status, view::CheckView},
    instance::{Id, Instance},
    record::meta,
};

/// A node whose record is under our hands.
pub(super) struct Owner(pub(super) LocalRecord);

impl Owner {
    pub(super) fn new(n: u8, generation: u64, name: &str) -> Self {
        Self(LocalRecord::new(id(n), Generation(generation), name.parse().unwrap()))
    }

    pub(super) fn labels(mut self, labels: &[&str]) -> Self {
        self.0.set_labels(labels.iter().map(|label| label.parse().unwrap()));
        self
    }

    pub(super) fn offer(mut self, id: &str, service: &str, port: u16) -> Self {
        let instance = Instance { port, ..Instance::new(id.parse().unwrap(), service.parse().unwrap()) };
        self.0.set_instance(&instance).unwrap();
        self
    }

    pub(super) fn check(mut self, id: &str, instance: Option<&str>, status: Status, output: &str) -> Self {
        let check = CheckView::new(id.parse().unwrap(), id, instance.map(|id| id.parse().unwrap()));
        self.0.set_check(&CheckView { status, output: output.into(), ..check }).unwrap();
        self
    }

    pub(super) fn without(mut self, instance: &str) -> Self {
        assert!(self.0.remove_instance(&instance.parse().unwrap()));
        self
    }

    pub(super) fn heard_by(mut self, scene: &mut Scene) -> Self {
        let record = self.0.commit(Moment::ZERO).unwrap_or_else(|| self.0.record().clone());
        scene.hear(GOSSIP, &record);
        self
    }
}

/// The instances as `node/id:port status`, with `l` for those that labels make and `!` for those of failed nodes.
fn shown(scene: &Scene, service: &str) -> String {
    let text = |view: &Arc<InstanceView>| {
        let (label, failed) = (if view.from_label { " l" } else { "" }, if view.node.failed { " !" } else { "" });
        format!("{}/{}:{} {}{label}{failed}", view.node.name, view.instance.id, view.instance.port, view.status)
    };
    let views: Vec<_> = scene.last.service(service).into_iter().flat_map(|view| view.instances.values()).map(text).collect();
    views.join(", ")
}

fn view(scene: &Scene, service: &str) -> Arc<ServiceView> {
    scene.last.service(service).unwrap().clone()
}

#[test]
fn registered_instances_and_those_of_labels_are_in_order() {
    let mut scene = Scene::new();
    Owner::new(1, 1, "b").offer("z", "web", 1).offer("a", "web", 2).offer("db", "db", 3).heard_by(&mut scene);
    let labels = ["service:web:port:80", "service:web:port:90", "service:web:tag:x"];
    let node = Owner::new(2, 1, "a").labels(&labels).offer("web:80", "web", 81).heard_by(&mut scene);
    assert_eq!(shown(&scene, "web"), "a/web:80:81 passing, a/web:90:90 passing l, b/a:2 passing, b/z:1 passing");
    assert_eq!(shown(&scene, "db"), "b/db:3 passing");
    // Its label comes to the fore again, and goes with the port.
    let node = node.without("web:80").heard_by(&mut scene);
    assert_eq!(shown(&scene, "web"), "a/web:80:80 passing l, a/web:90:90 passing l, b/a:2 passing, b/z:1 passing");
    node.labels(&["service:web:port:90"]).heard_by(&mut scene);
    assert_eq!(shown(&scene, "web"), "a/web:90:90 passing l, b/a:2 passing, b/z:1 passing");
}

#[test]
fn an_instance_is_as_well_as_its_worst_check_and_that_of_its_node() {
    let mut scene = Scene::new();
    let node = Owner::new(1, 1, "a").offer("w1", "web", 1).offer("w2", "web", 2);
    let node = node.check("c1", Some("w1"), Status::Passing, "").check("c2", Some("w1"), Status::Critical, "");
    let node = node.check("c3", Some("none"), Status::Critical, "").heard_by(&mut scene);
    assert_eq!(shown(&scene, "web"), "a/w1:1 critical, a/w2:2 passing");
    let ids = |view: &InstanceView| view.checks.iter().map(|check| check.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(view(&scene, "web").instances.values().next().unwrap()), ["c1", "c2"]);
    let node = node.check("n", None, Status::Warning, "").check("c2", Some("w2"), Status::Critical, "").heard_by(&mut scene);
    assert_eq!(shown(&scene, "web"), "a/w1:1 warning, a/w2:2 critical");
    node.offer("none", "web", 3).heard_by(&mut scene);
    assert_eq!(shown(&scene, "web"), "a/none:3 critical, a/w1:1 warning, a/w2:2 critical");
}

#[test]
fn names_that_differ_in_case_are_one_service() {
    let mut scene = Scene::new();
    Owner::new(1, 1, "b").offer("1", "web", 1).heard_by(&mut scene);
    assert_eq!(view(&scene, "WEB").name.as_str(), "web");
    let node = Owner::new(2, 1, "a").offer("2", "Web", 2).heard_by(&mut scene);
    assert_eq!(shown(&scene, "wEb"), "a/2:2 passing, b/1:1 passing");
    assert_eq!((view(&scene, "web").name.as_str(), scene.last.services.len()), ("Web", 1));
    assert_eq!(scene.last.service_index("WEB"), scene.last.revision);
    node.offer("2", "WEB", 2).heard_by(&mut scene);
    assert_eq!((view(&scene, "web").name.as_str(), scene.last.services.len()), ("WEB", 1));
}

#[test]
fn instances_of_a_failed_node_are_critical_until_it_is_forgotten() {
    let mut scene = Scene::new();
    Owner::new(1, 1, "a").offer("w", "web", 1).heard_by(&mut scene);
    let before = scene.last.revision;
    scene.tell(GOSSIP, PeerEvent::Suspect(Origin::Node(id(1))));
    assert_eq!((shown(&scene, "web").as_str(), scene.last.revision), ("a/w:1 passing", before));
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Failed));
    assert_eq!(shown(&scene, "web"), "a/w:1 critical !");
    let failed = view(&scene, "web").index;
    assert!(failed > before && failed == scene.last.revision);
    scene.wait(3_600_000);
    assert_eq!(shown(&scene, "web"), "");
    assert!(scene.last.service_index("web") > failed);
    assert_eq!(scene.last.service_index("web"), scene.last.revision, "although no list has changed");
}

#[test]
fn what_tells_nothing_new_changes_no_view() {
    let mut scene = Scene::new();
    let node = |generation| {
        let node = Owner::new(1, generation, "a").labels(&["service:db"]).offer("w", "web", 1);
        node.check("c", Some("w"), Status::Passing, "ok").check("n", None, Status::Passing, "ok")
    };
    node(1).heard_by(&mut scene);
    let (first, services) = (scene.last.clone(), ["web", "db"]);
    scene.wait(5_000);
    scene.tell(NATS, PeerEvent::Seen(Origin::Node(id(1)), Duration::ZERO));
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Unattended));
    node(2).heard_by(&mut scene);
    assert_eq!(scene.last.nodes[&Origin::Node(id(1))].record.stamp.generation, Generation(2));
    assert_eq!(scene.last.revision, first.revision);
    for name in services {
        assert!(Arc::ptr_eq(&scene.last.services[name], &first.services[name]), "{name}");
    }
}

#[test]
fn a_change_of_one_instance_leaves_all_others_as_they_are() {
    let mut scene = Scene::new();
    let node = Owner::new(1, 1, "a").labels(&["service:l"]).offer("w1", "web", 1).offer("w2", "web", 2).offer("d", "db", 3);
    let node = node.check("c", Some("w1"), Status::Passing, "1").heard_by(&mut scene);
    let first = scene.last.clone();
    let node = node.check("c", Some("w1"), Status::Passing, "2").heard_by(&mut scene);
    let (old, new) = (&first.services["web"].instances, &scene.last.services["web"].instances);
    let same: Vec<_> = old.iter().map(|(place, view)| Arc::ptr_eq(view, &new[place])).collect();
    assert_eq!(same, [false, true]);
    assert!(old.iter().all(|(place, view)| Arc::ptr_eq(&view.instance, &new[place].instance)), "decoded once");
    assert!(["db", "l"].iter().all(|name| Arc::ptr_eq(&scene.last.services[*name], &first.services[*name])));
    assert_eq!(scene.last.service_index("web"), scene.last.revision);
    assert_eq!(scene.last.revision, first.revision.next());
    assert_eq!(scene.last.hosts["a"].rendered, first.hosts["a"].rendered, "no list has changed");
    // Labels of one service are not those of another.
    let before = scene.last.clone();
    node.labels(&["service:l", "service:m", "x"]).heard_by(&mut scene);
    assert!(Arc::ptr_eq(&scene.last.services["l"], &before.services["l"]));
    assert!(scene.last.services.contains_key("m"));
}

#[test]
fn addresses_and_the_name_of_a_node_show_in_its_services() {
    let mut scene = Scene::new();
    let mut node = Owner::new(1, 1, "a").offer("w", "web", 1).heard_by(&mut scene);
    node.0.set_meta(meta::ADDRESSES, "192.0.2.1");
    let before = scene.last.revision;
    let mut node = node.heard_by(&mut scene);
    assert_eq!(scene.last.service_index("web"), before.next());
    let addresses = |scene: &Scene| view(scene, "web").instances.values().next().unwrap().node.addresses.clone();
    assert_eq!(addresses(&scene).as_deref(), Some("192.0.2.1"));
    node.0.set_meta(meta::GOSSIP_KEYS, "k");
    let mut node = node.heard_by(&mut scene);
    assert_eq!(scene.last.revision, before.next());
    node.0.set_name("b".parse().unwrap());
    node.heard_by(&mut scene);
    assert_eq!(shown(&scene, "web"), "b/w:1 passing");
}

#[test]
fn a_bare_record_hides_behind_a_living_node_of_its_name() {
    let mut scene = Scene::new();
    scene.hear(NATS, &bare("a", &["service:web:port:1"]));
    assert_eq!(shown(&scene, "web"), "a/web:1:1 passing l");
    Owner::new(1, 1, "a").offer("w", "web", 2).heard_by(&mut scene);
    assert_eq!(shown(&scene, "web"), "a/w:2 passing");
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Failed));
    assert_eq!(shown(&scene, "web"), "a/w:2 critical !, a/web:1:1 passing l");
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Left));
    assert_eq!(shown(&scene, "web"), "a/web:1:1 passing l");
}

#[test]
fn our_own_services_show_while_we_are_listed() {
    let mut scene = Scene::new();
    let mut own = Owner::new(0, 1, "own").offer("w", "web", 1);
    scene.catalog.set_local(own.0.commit(Moment::ZERO).unwrap());
    scene.refresh();
    assert_eq!(shown(&scene, "web"), "own/w:1 passing");
    own.0.leave();
    scene.catalog.set_local(own.0.commit(Moment::ZERO).unwrap());
    scene.refresh();
    assert!(scene.last.services.is_empty());
}

#[test]
fn what_came_and_went_between_two_snapshots_is_no_change() {
    let mut scene = Scene::new();
    let node = Owner::new(1, 1, "a").offer("w", "web", 1).heard_by(&mut scene);
    let first = scene.last.clone();
    let (mut node, origin) = (node.without("w").offer("x", "new", 1), Origin::Node(id(1)));
    scene.catalog.apply(GOSSIP, PeerEvent::Record(node.0.commit(Moment::ZERO).unwrap()), scene.now);
    scene.catalog.apply(GOSSIP, PeerEvent::Gone(origin.clone(), Gone::Failed), scene.now);
    scene.catalog.apply(GOSSIP, PeerEvent::Seen(origin, Duration::ZERO), scene.now);
    node.without("x").offer("w", "web", 1).heard_by(&mut scene);
    assert!(Arc::ptr_eq(&scene.last.services["web"], &first.services["web"]));
    assert_eq!(scene.last.service_index("new"), first.service_index("new"));
}

#[test]
fn so_many_vanished_services_are_remembered_and_no_more() {
    let mut scene = Scene::new();
    let unknown = scene.last.service_index("nobody");
    let name = |n: usize| format!("s{n:05}");
    let mut node = Owner::new(1, 1, "a");
    for n in 0..=VANISHED {
        node = node.offer(&name(n), &name(n), 1);
    }
    let mut node = node.heard_by(&mut scene);
    let mut vanish = |scene: &mut Scene, numbers: std::ops::RangeInclusive<usize>| {
        numbers.for_each(|n| assert!(node.0.remove_instance(&name(n).parse::<Id>().unwrap())));
        scene.hear(GOSSIP, &node.0.commit(Moment::ZERO).unwrap());
        scene.last.revision
    };
    let first = vanish(&mut scene, 0..=0);
    vanish(&mut scene, 1..=VANISHED - 1);
    assert_eq!((scene.last.service_index("s00000"), scene.last.service_index("nobody")), (first, unknown));
    let last = vanish(&mut scene, VANISHED..=VANISHED);
    assert!(unknown < first && first < last);
    assert_eq!(scene.last.service_index("nobody"), first, "s00000 is one of many now");
    assert_eq!(scene.last.service_index("s00000"), first);
    assert_eq!(scene.last.service_index(&name(VANISHED)), last);
    assert!(scene.last.services.is_empty());
    Owner::new(2, 1, "b").offer("w", "s00001", 1).heard_by(&mut scene);
    assert_eq!(scene.last.service_index("s00001"), scene.last.revision);
}

#[test]
fn watches_tell_of_registered_instances_but_not_of_checks() {
    let mut scene = Scene::new();
    let mut watch = Watch::new([Kind::MemberUpdate, Kind::ServiceDown, Kind::ServiceUpdate, Kind::ServiceUp]);
    let mut told = |scene: &Scene| {
        watch.look(&scene.last);
        let mut batches = Vec::new();
        while let Some(batch) = watch.take() {
            batches.push(format!("{} {}", batch.kind.as_str(), batch.service.as_deref().unwrap_or("-")));
        }
        batches.join(", ")
    };
    let node = Owner::new(1, 1, "a").offer("w", "web", 1).heard_by(&mut scene);
    assert_eq!(told(&scene), "service-up web");
    let node = node.check("c", Some("w"), Status::Critical, "").heard_by(&mut scene);
    assert_eq!(told(&scene), "");
    let node = node.offer("w", "web", 2).heard_by(&mut scene);
    assert_eq!(told(&scene), "service-update web");
    let node = node.labels(&["service:web"]).without("w").heard_by(&mut scene);
    assert_eq!(told(&scene), "member-update -, service-update web");
    node.labels(&[]).heard_by(&mut scene);
    assert_eq!(told(&scene), "member-update -, service-down web");
}
