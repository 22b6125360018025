//! What selectors take of a snapshot's nodes and services, and why an instance is shown as it is.

use super::{services::Owner, *};
use crate::{
    catalog::{
        subject::NodeSubject,
        why::{Reason, Verdict, Why},
    },
    check::{
        Status,
        view::{CheckKind, CheckView},
    },
    instance::Instance,
    record::meta,
    selector::Selector,
};

fn instance(id: &str, service: &str, tags: &[&str]) -> Instance {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Instance { port: 80, tags, ..Instance::new(id.parse().unwrap(), service.parse().unwrap()) }
}

/// Two nodes: `eu` with a passing v1 and a critical v2 of web, `us` with db by a label.
fn fleet() -> Scene {
    let mut scene = Scene::new();
    let mut eu = Owner::new(1, 1, "eu").labels(&["zone:eu"]);
    eu.0.set_instance(&instance("w1", "Web", &["v1"])).unwrap();
    eu.0.set_instance(&instance("w2", "web", &["v2"])).unwrap();
    eu.check("c", Some("w2"), Status::Critical, "down").heard_by(&mut scene);
    Owner::new(2, 1, "us").labels(&["zone:us", "service:db:tag:v2"]).heard_by(&mut scene);
    scene
}

fn nodes(scene: &Scene, selector: &str) -> String {
    let selector: Selector = selector.parse().unwrap();
    let taken = scene.last.nodes.values().filter(|node| selector.takes(&NodeSubject::new(&scene.last, node)));
    taken.map(|node| node.record.name.as_str()).collect::<Vec<_>>().join(" ")
}

fn instances(scene: &Scene, selector: &str) -> String {
    let selector: Selector = selector.parse().unwrap();
    let views = scene.last.services.values().flat_map(|service| service.taken(&selector, &scene.last));
    views.map(|view| view.instance.id.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn selectors_take_nodes_and_instances() {
    let scene = fleet();
    for (selector, n, i) in [
        ("label=zone:eu", "eu", "w1 w2"),
        ("label:zone", "eu us", "db w1 w2"),
        ("label=service:web:tag:v2", "eu", "w2"),
        ("label=service:Web", "eu", "w1"),
        ("label=service:web:port:80", "eu", "w2"),
        ("label^=service:db", "us", "db"),
        ("label=own:1", "own", ""),
        ("service=WEB", "eu", "w1 w2"),
        ("tag=v2", "eu us", "db w2"),
        ("service=web and tag=v2 and status=passing", "", ""),
        ("service=web and tag=v1 and status=passing", "", "w1"),
        ("status=critical", "eu", "w2"),
        ("status=passing", "own us", "db w1"),
        ("not label:zone", "own", ""),
    ] {
        assert_eq!((nodes(&scene, selector).as_str(), instances(&scene, selector).as_str()), (n, i), "{selector}");
    }
}

#[test]
fn a_failed_node_is_critical_and_a_hidden_one_offers_nothing() {
    let mut scene = fleet();
    scene.hear(NATS, &bare("us", &["service:hidden", "x"]));
    assert_eq!((nodes(&scene, "label=x").as_str(), nodes(&scene, "service=hidden").as_str()), ("us", ""));
    assert_eq!(nodes(&scene, "label=x and (status=passing or status=warning or status=critical)"), "");
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(2)), Gone::Failed));
    assert_eq!(nodes(&scene, "status=critical"), "eu us");
    assert_eq!(instances(&scene, "service=db and status=critical"), "db");
}

fn why(scene: &Scene, id: &str) -> Why {
    let view = scene.last.service("web").unwrap().instances.values().find(|view| view.instance.id.as_str() == id).unwrap();
    Why::of(&scene.last, view, scene.now).unwrap()
}

fn verdict(scene: &Scene) -> Verdict {
    why(scene, "w").verdict
}

#[test]
fn the_worst_evidence_decides() {
    let mut scene = Scene::new();
    let mut node = Owner::new(1, 1, "a").offer("w", "web", 1).heard_by(&mut scene);
    assert_eq!((verdict(&scene), why(&scene, "w").reason), (Verdict::Passing, None));
    node = node.check("c", Some("w"), Status::Warning, "slow").heard_by(&mut scene);
    assert_eq!(verdict(&scene), Verdict::Warning);
    node.0.set_meta(meta::DRAIN, "true");
    node = node.heard_by(&mut scene);
    let drained = why(&scene, "w");
    assert_eq!((drained.verdict, drained.reason.clone()), (Verdict::Draining, Some(Reason::Drain)));
    assert!(drained.node_drains && !drained.instance_drains);
    node = node.check("n", None, Status::Critical, "disk").heard_by(&mut scene);
    let critical = why(&scene, "w");
    assert_eq!(critical.verdict, Verdict::Critical);
    assert!(matches!(&critical.reason, Some(Reason::Check(check)) if check.output == "disk"));
    let shown: Vec<_> = critical.checks.iter().map(|it| (it.check.id.as_str(), it.of_node, it.verdict)).collect();
    assert_eq!(shown, [("n", true, Verdict::Critical), ("c", false, Verdict::Warning)]);
    let maintenance = CheckView::new("m".parse().unwrap(), "m", Some("w".parse().unwrap()));
    node.0.set_check(&CheckView { kind: CheckKind::Maintenance, ..maintenance }).unwrap();
    node.heard_by(&mut scene);
    assert_eq!(verdict(&scene), Verdict::Maintenance);
    scene.tell(GOSSIP, PeerEvent::Gone(Origin::Node(id(1)), Gone::Failed));
    scene.wait(5_000);
    let failed = why(&scene, "w");
    assert_eq!((failed.verdict, failed.reason), (Verdict::Failed, Some(Reason::Node(NodeState::Failed))));
    assert_eq!(failed.owner.presences, [Presence { exchange: GOSSIP, state: NodeState::Failed }]);
    assert_eq!(failed.owner.age, Duration::from_secs(5));
    assert_eq!(failed.checks.len(), 3, "the evidence is still there");
}

#[test]
fn maintenance_is_known_by_its_id_too_and_only_while_critical() {
    for (id, status, want) in [
        ("_node_maintenance", Status::Critical, Verdict::Maintenance),
        ("_service_maintenance:w", Status::Critical, Verdict::Maintenance),
        ("_service_maintenance:w", Status::Passing, Verdict::Passing),
        ("maintenance", Status::Critical, Verdict::Critical),
    ] {
        let mut scene = Scene::new();
        Owner::new(1, 1, "a").offer("w", "web", 1).check(id, Some("w"), status, "").heard_by(&mut scene);
        assert_eq!(verdict(&scene), want, "{id} {status}");
    }
}

#[test]
fn labels_and_namesakes_are_told() {
    let mut scene = Scene::new();
    Owner::new(1, 1, "a").labels(&["service:web"]).heard_by(&mut scene);
    assert!(why(&scene, "web").from_label && why(&scene, "web").namesakes.is_empty());
    Owner::new(2, 1, "A").heard_by(&mut scene);
    let told = why(&scene, "web");
    assert_eq!((told.namesakes, told.owner.origin), (vec![Origin::Node(id(2))], Origin::Node(id(1))));
    assert_eq!(told.verdict, Verdict::Passing);
    let words: Vec<_> = Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect();
    assert_eq!(words, ["passing", "warning", "draining", "critical", "maintenance", "failed"]);
}
