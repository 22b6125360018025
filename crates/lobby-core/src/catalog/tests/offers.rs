//! What the catalog shows of each node: its offers, since when they are as they are, and its labels. The laws are in `tests/it`.

use super::{services::Owner, *};
use crate::{
    catalog::services::VANISHED,
    check::Status,
    instance::{Id, Instance},
    record::meta,
    select::Selector,
    service,
    wire::rest,
};

fn offers(scene: &Scene, n: u8) -> Arc<NodeOffers> {
    scene.last.offers[&Origin::Node(id(n))].clone()
}

fn texts(labels: &[Label]) -> Vec<&str> {
    labels.iter().map(Label::as_str).collect()
}

/// The stamps of a node, and of its only instance and check.
fn stamps(offers: &NodeOffers) -> [u64; 7] {
    let instance = offers.instances.values().next().unwrap();
    let check = offers.checks.values().next().unwrap();
    let all = [(offers.created, offers.modified), (instance.created, instance.modified), (check.created, check.modified)];
    let mut numbers = all.into_iter().flat_map(|(created, modified)| [created.0, modified.0]);
    std::array::from_fn(|idx| if idx == 6 { offers.index.0 } else { numbers.next().unwrap() })
}

#[test]
fn each_part_of_a_node_has_its_own_stamps() {
    let mut scene = Scene::new();
    let node = |generation, status| Owner::new(1, generation, "a").offer("w", "web", 1).check("c", Some("w"), status, "");
    let mut owner = node(1, Status::Passing).heard_by(&mut scene);
    // Its record came a moment before it was heard of: until then it was failed.
    let (first, alive) = (scene.last.revision.0 - 1, scene.last.revision.0);
    let stamped = [first, alive, first, first, first, first, alive];
    assert_eq!(stamps(&offers(&scene, 1)), stamped);
    // Another node's business.
    Owner::new(2, 1, "b").offer("w", "web", 1).heard_by(&mut scene);
    assert_eq!(stamps(&offers(&scene, 1)), stamped);
    // A check flaps: neither node nor registration have changed.
    owner = owner.check("c", Some("w"), Status::Critical, "").heard_by(&mut scene);
    let flap = scene.last.revision.0;
    assert_eq!(stamps(&offers(&scene, 1)), [first, alive, first, first, first, flap, flap]);
    // The node drains.
    owner.0.set_meta(meta::DRAIN, "true");
    owner = owner.heard_by(&mut scene);
    let drain = scene.last.revision.0;
    assert_eq!(stamps(&offers(&scene, 1)), [first, drain, first, first, first, flap, drain]);
    assert!(offers(&scene, 1).instances["w"].value.is_draining());
    // The instance has another port.
    owner.offer("w", "web", 2).heard_by(&mut scene);
    let port = scene.last.revision.0;
    assert_eq!(stamps(&offers(&scene, 1)), [first, drain, first, port, first, flap, port]);
    // A new process tells the same.
    let same = offers(&scene, 1);
    let mut again = node(2, Status::Critical).offer("w", "web", 2);
    again.0.set_meta(meta::DRAIN, "true");
    again.heard_by(&mut scene);
    assert!(Arc::ptr_eq(&same, &offers(&scene, 1)));
    assert_eq!(scene.last.revision.0, port);
}

#[test]
fn a_node_s_checks_and_services_are_not_the_node_itself() {
    let mut scene = Scene::new();
    let node = Owner::new(1, 1, "a").heard_by(&mut scene);
    let first = offers(&scene, 1);
    let (nodes, tables) = (scene.last.tables.nodes, scene.last.tables);
    assert!(first.instances.is_empty() && first.checks.is_empty());
    let node = node.check("n", None, Status::Warning, "").heard_by(&mut scene);
    assert_eq!(scene.last.tables, Tables { checks: scene.last.revision, ..tables });
    node.offer("w", "web", 1).labels(&["service:l"]).heard_by(&mut scene);
    assert_eq!((scene.last.tables.nodes, scene.last.tables.services), (nodes, scene.last.revision));
    let now = offers(&scene, 1);
    assert_eq!((now.modified, now.index), (first.modified, scene.last.revision));
    assert_eq!((now.instances.len(), now.checks.len()), (2, 1));
}

#[test]
fn only_instances_and_tags_move_the_table_of_services() {
    let mut scene = Scene::new();
    let before = scene.last.tables.services;
    let node = Owner::new(1, 1, "a").offer("w", "web", 1).check("c", Some("w"), Status::Passing, "").heard_by(&mut scene);
    let services = scene.last.tables.services;
    assert!(before < services);
    let node = node.check("c", Some("w"), Status::Critical, "").offer("w", "web", 2).heard_by(&mut scene);
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Failed));
    assert_eq!((scene.last.tables.services, scene.last.tables.checks), (services, scene.last.revision));
    scene.tell(GOSSIP, PeerEvent::Seen(Origin::Node(id(1)), Duration::ZERO));
    let mut node = node;
    let tagged = Instance { tags: ["x".to_owned()].into(), ..Instance::new("w".parse().unwrap(), "web".parse().unwrap()) };
    node.0.set_instance(&tagged).unwrap();
    let node = node.heard_by(&mut scene);
    assert_eq!(scene.last.tables.services, scene.last.revision);
    assert_eq!(scene.last.tables.checks, scene.last.revision, "checks show the tags of their instance");
    let nodes = scene.last.tables.nodes;
    node.without("w").heard_by(&mut scene);
    assert_eq!((scene.last.tables.services, scene.last.tables.nodes), (scene.last.revision, nodes));
}

#[test]
fn nodes_are_found_by_name_in_whatever_case_and_all_of_them() {
    let mut scene = Scene::new();
    Owner::new(1, 1, "Web-1").offer("w", "web", 1).heard_by(&mut scene);
    Owner::new(2, 1, "web-1").heard_by(&mut scene);
    Owner::new(3, 1, "web-10").heard_by(&mut scene);
    let found = |scene: &Scene, name: &str| -> Vec<String> {
        scene.last.offers_by_name(name).map(|offers| offers.node.name.to_string()).collect()
    };
    assert_eq!(found(&scene, "wEB-1"), ["Web-1", "web-1"]);
    assert_eq!((found(&scene, "web"), found(&scene, "not a name")), (vec![], vec![]));
    assert_eq!(scene.last.node_index("not a name"), scene.last.node_index("nobody"));
    let before = scene.last.node_index("web-1");
    let mut leaving = (*record(1, 99, "Web-1", &[])).clone();
    leaving.phase = crate::record::Phase::Left;
    scene.tell(GOSSIP, PeerEvent::Record(Arc::new(leaving)));
    assert_eq!(found(&scene, "web-1"), ["web-1"]);
    assert!(scene.last.node_index("web-1") > before && scene.last.node_index("web-1") == scene.last.revision);
}

#[test]
fn so_many_vanished_nodes_are_remembered_and_no_more() {
    let mut scene = Scene::new();
    let unknown = scene.last.node_index("nobody");
    let mut node = Owner::new(1, 1, "n0").heard_by(&mut scene);
    let mut rename = |scene: &mut Scene, n: usize| {
        node.0.set_name(format!("N{n}").parse().unwrap());
        scene.hear(GOSSIP, &node.0.commit(Moment::ZERO).unwrap());
        scene.last.revision
    };
    let first = rename(&mut scene, 1);
    assert_eq!(scene.last.node_index("n0"), first);
    (2..=VANISHED).for_each(|n| _ = rename(&mut scene, n));
    assert_eq!((scene.last.node_index("N0"), scene.last.node_index("nobody")), (first, unknown));
    rename(&mut scene, VANISHED + 1);
    assert_eq!((scene.last.node_index("n0"), scene.last.node_index("nobody")), (first, first), "n0 is one of many now");
    let back = rename(&mut scene, 1);
    assert_eq!(scene.last.node_index("n1"), back);
}

#[test]
fn a_failed_node_stays_until_it_is_forgotten() {
    let mut scene = Scene::new();
    Owner::new(1, 1, "a").heard_by(&mut scene);
    let (alive, nodes) = (offers(&scene, 1), scene.last.tables.nodes);
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Failed));
    let failed = offers(&scene, 1);
    assert!(failed.node.failed && failed.created == alive.created && failed.modified == scene.last.revision);
    assert!(scene.last.tables.nodes > nodes && scene.last.tables.checks == scene.last.revision);
    scene.wait(3_600_000);
    assert!(!scene.last.offers.contains_key(&Origin::Node(id(1))));
    assert_eq!((scene.last.node_index("a"), scene.last.tables.nodes), (scene.last.revision, scene.last.revision));
    assert!(scene.last.revision > failed.modified);
}

#[test]
fn a_registered_instance_is_among_the_labels_of_lists() {
    let mut scene = Scene::new();
    let labels = ["a", "service:web", "service:web:tag:x", "z"];
    let node = Owner::new(1, 1, "a").labels(&labels).offer("db-1", "db", 5432).offer("db-2", "db", 5433).heard_by(&mut scene);
    let all = ["a", "service:db", "service:db:port:5432", "service:db:port:5433", "service:web", "service:web:tag:x", "z"];
    let host = scene.last.hosts["a"].clone();
    assert_eq!(texts(&host.labels), all);
    assert!(host.rendered.contains("service:db:port:5432"));
    let chosen = Selector::from_query(Some("service:db:port:5432"), None);
    assert_eq!(texts(&chosen.matching(&host)), ["service:db:port:5432"]);
    // The label that two share stays with the other.
    let node = node.without("db-1").heard_by(&mut scene);
    assert_eq!(
        texts(&scene.last.hosts["a"].labels),
        ["a", "service:db", "service:db:port:5433", "service:web", "service:web:tag:x", "z"]
    );
    node.without("db-2").heard_by(&mut scene);
    assert_eq!(texts(&scene.last.hosts["a"].labels), labels);
    assert!(scene.last.nodes.values().all(|node| node.record.labels().all(|label| !label.as_str().contains("db"))));
}

#[test]
fn a_check_that_flaps_renders_no_list_anew() {
    let mut scene = Scene::new();
    let node = Owner::new(1, 1, "a").labels(&["x"]).offer("w", "web", 1).heard_by(&mut scene);
    let rendered = scene.last.hosts["a"].rendered.clone();
    node.check("c", Some("w"), Status::Critical, "").heard_by(&mut scene);
    assert!(Arc::ptr_eq(&scene.last.hosts["a"].rendered, &rendered));
    let node = &scene.last.hosts["a"].nodes[0];
    assert_eq!(node.record.checks().count(), 1, "the newest record");
}

#[test]
fn lists_without_registered_instances_are_what_they_were() {
    let mut scene = Scene::new();
    Owner::new(1, 1, "a").labels(&["service:web:port:80", "x"]).heard_by(&mut scene);
    let body = String::from_utf8(rest::list([&*scene.last.hosts["a"]], at(0))).unwrap();
    let want = "[\n  {\n    \"hostname\": \"a\",\n    \"labels\": [\n      \"service:web:port:80\",\n      \"x\"\n    ],\n    \
                \"last_check\": 1000000\n  }\n]\n";
    assert_eq!(body, want);
}

#[test]
fn a_node_s_own_labels_come_before_those_of_its_instances() {
    let own: Vec<String> = (0..limits::LABELS - 2).map(|n| format!("z{n:04}")).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut scene = Scene::new();
    Owner::new(1, 1, "a").labels(&own).offer("a-1", "a", 1).offer("b-1", "b", 2).heard_by(&mut scene);
    let shown = scene.last.hosts["a"].labels.clone();
    assert_eq!(shown.len(), limits::LABELS);
    assert_eq!(texts(&shown[..2]), ["service:a", "service:a:port:1"], "the first in order fill what room is left");
    assert_eq!(texts(&shown[2..]), own);
}

#[test]
fn a_thousand_instances_of_a_node_make_no_more_labels_than_a_node_may_have() {
    let mut scene = Scene::new();
    let mut node = Owner::new(1, 1, "a");
    for n in 0..1000 {
        let id: Id = format!("i{n:04}").parse().unwrap();
        let tags = ["a", "b", "c"].map(|tag| format!("{tag}{n}"));
        node.0.set_instance(&Instance { tags: tags.into(), port: 1, ..Instance::new(id.clone(), id) }).unwrap();
    }
    node.heard_by(&mut scene);
    let labels = &scene.last.hosts["a"].labels;
    assert_eq!((labels.len(), labels.is_sorted()), (limits::LABELS, true));
    assert_eq!(offers(&scene, 1).instances.len(), 1000);
    let first = offers(&scene, 1).instances["i0000"].value.instance.clone();
    assert!(service::labels(&first).iter().all(|label| labels.contains(label)));
}
