//! Tags that others give to an agent's instance: shown while it says that they may, and only for it.

use super::*;
use crate::{
    external::{Change, NodeData, next, tags},
    instance::{Id, Instance},
    local::RecordChange,
    service,
};

const START: u64 = 1_000_000;

fn web() -> Id {
    "web-1".parse().unwrap()
}

/// The record of an agent with one instance of a service.
fn agent(name: &str, version: u64, tags: &[&str], open: bool) -> Arc<Record> {
    let mut local = LocalRecord::new(id(5), Generation(version), name.parse().unwrap());
    let mut instance = Instance::new(web(), "web".parse().unwrap());
    instance.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    instance.enable_tag_override = open;
    local.apply(&RecordChange::SetInstance(instance.into())).unwrap();
    local.commit(Moment::ZERO).unwrap()
}

fn version(old: Option<&Record>, now: u64, changes: &[Change]) -> Arc<Record> {
    Arc::new(next(old, &"db".parse().unwrap(), id(9), now * 1_000_000, changes).unwrap().unwrap())
}

fn give(tags: &[&str]) -> Change {
    Change::Tags(web(), Some(tags.iter().map(|tag| (*tag).to_owned()).collect()))
}

/// The tags that show of the agent's instance.
fn shown(scene: &Scene) -> String {
    let views = scene.last.service("web").into_iter().flat_map(|service| service.instances.values());
    views.map(|view| view.instance.tags.join(",")).collect::<Vec<_>>().join(" ")
}

#[test]
fn given_tags_show_while_the_owner_says_that_they_may() {
    let mut scene = Scene::new();
    scene.hear(GOSSIP, &agent("DB", 1, &["a"], true));
    let (tables, index) = (scene.last.tables, scene.last.service_index("web"));
    let one = version(None, START, &[give(&["b", "c"])]);
    assert_eq!(scene.tell(NATS, PeerEvent::Record(one.clone())), Outcome::Applied);
    assert_eq!(shown(&scene), "b,c");
    assert!(scene.last.tables.services > tables.services && scene.last.service_index("web") > index);
    let labels: Vec<_> = scene.last.hosts["DB"].labels.iter().map(ToString::to_string).collect();
    assert_eq!(labels, ["service:web", "service:web:tag:b", "service:web:tag:c"]);
    assert_eq!(scene.hosts(), "DB own", "it is no node");
    assert!(tags::open_to_tags(&scene.last, &"Db".parse().unwrap(), &web()).is_some());
    // Whatever else the owner says, and however often.
    scene.hear(GOSSIP, &agent("DB", 2, &["x"], true));
    assert_eq!(shown(&scene), "b,c");
    scene.hear(GOSSIP, &agent("DB", 3, &["x"], false));
    assert_eq!(shown(&scene), "x");
    assert!(tags::open_to_tags(&scene.last, &"db".parse().unwrap(), &web()).is_none());
    scene.hear(GOSSIP, &agent("DB", 4, &["x"], true));
    assert_eq!(shown(&scene), "b,c");
    let index = scene.last.service_index("web");
    let two = version(Some(&one), START + 1, &[Change::RemoveInstance(web())]);
    assert!(two.has_left(), "nothing is left of it");
    scene.tell(NATS, PeerEvent::Record(two));
    assert_eq!(shown(&scene), "x");
    assert!(scene.last.service_index("web") > index);
}

#[test]
fn tags_that_came_before_their_agent_wait_for_it_and_make_nothing_without_it() {
    let mut scene = Scene::new();
    scene.tell(NATS, PeerEvent::Record(version(None, START, &[give(&["b"])])));
    assert!(scene.last.service("web").is_none() && scene.hosts() == "own");
    let agent = agent("db", 1, &["a"], true);
    scene.hear(GOSSIP, &agent);
    assert_eq!(shown(&scene), "b");
    scene.tell(GOSSIP, PeerEvent::Gone(agent.origin.clone(), Gone::Failed));
    assert_eq!(scene.hosts(), "own", "what is dead is not brought back by its tags");
    assert_eq!(scene.last.service("web").unwrap().instances.values().next().unwrap().status, crate::check::Status::Critical);
}

#[test]
fn a_node_and_tags_of_one_name_are_kept_apart() {
    let mut scene = Scene::new();
    let node = Change::Node(NodeData { address: "10.0.0.9".into(), ..NodeData::default() });
    let mut instance = Instance::new(web(), "web".parse().unwrap());
    (instance.tags, instance.enable_tag_override) = (["of the node".to_owned()].into(), true);
    let one = version(None, START, &[node, Change::Instance(Box::new(instance)), give(&["given"])]);
    scene.tell(NATS, PeerEvent::Record(one.clone()));
    assert_eq!(shown(&scene), "of the node");
    let agent = agent("db", 1, &["a"], true);
    scene.hear(GOSSIP, &agent);
    assert_eq!(shown(&scene), "given");
    scene.tell(NATS, PeerEvent::Record(version(Some(&one), START + 1, &[Change::Tags(web(), None)])));
    assert_eq!(shown(&scene), "a");
    // A node that became tags in versions that we did not hear of is no node any more.
    let gone = version(Some(&one), START + 2, &[Change::Remove]);
    scene.tell(NATS, PeerEvent::Record(version(Some(&gone), START + 3, &[give(&["later"])])));
    assert_eq!(shown(&scene), "later");
    scene.tell(GOSSIP, PeerEvent::Gone(agent.origin.clone(), Gone::Left));
    assert!(scene.last.service("web").is_none() && scene.hosts() == "own");
}

#[test]
fn our_own_instances_take_tags_as_those_of_others() {
    let mut scene = Scene::new();
    let mut local = LocalRecord::new(id(0), Generation(7), "own".parse().unwrap());
    let mut instance = Instance::new(web(), "web".parse().unwrap());
    instance.enable_tag_override = true;
    local.apply(&RecordChange::SetInstance(instance.into())).unwrap();
    scene.catalog.set_local(local.commit(Moment::ZERO).unwrap());
    let given = Arc::new(next(None, &"own".parse().unwrap(), id(9), 1, &[give(&["eu"])]).unwrap().unwrap());
    assert_eq!(scene.catalog.put_external(given, scene.now), Outcome::Applied);
    let snapshot = scene.catalog.poll_snapshot().unwrap();
    let view = snapshot.service("web").unwrap().instances.values().next().unwrap().clone();
    assert_eq!(*view.instance.tags, ["eu".to_owned()]);
    assert!(service::any_label(&view.instance, &|label| label == "service:web:tag:eu"));
}

#[test]
fn versions_of_several_nodes_count_together_or_not_at_all() {
    let mut scene = Scene::new();
    let of = |name: &str, now: u64, old: Option<&Record>| {
        let node = Change::Node(NodeData { address: format!("10.0.0.{now}"), ..NodeData::default() });
        Arc::new(next(old, &name.parse().unwrap(), id(9), now, &[node]).unwrap().unwrap())
    };
    let (a, b) = (of("a", 1, None), of("b", 1, None));
    assert_eq!(scene.catalog.put_externals(vec![a.clone()], scene.now), [Outcome::Applied]);
    let put = scene.catalog.put_externals(vec![b.clone(), a.clone()], scene.now);
    assert_eq!(put, [Outcome::Applied, Outcome::Stale]);
    assert_eq!(scene.catalog.externals().len(), 1, "the first is not there either");
    // At the bound: one is in it, the other is one too many.
    let fill = (0..limits::EXTERNALS - 2).map(|n| of(&format!("n{n}"), 1, None)).collect();
    assert!(scene.catalog.put_externals(fill, scene.now).iter().all(|outcome| *outcome == Outcome::Applied));
    let pair = || vec![b.clone(), of("c", 1, None)];
    assert_eq!(scene.catalog.put_externals(pair(), scene.now), [Outcome::Applied, Outcome::Refused]);
    assert_eq!(scene.catalog.externals().len(), limits::EXTERNALS - 1);
    // A removed one makes room, but not if it comes back itself.
    let gone = Arc::new(next(Some(&a), &a.name, id(9), 2, &[Change::Remove]).unwrap().unwrap());
    assert_eq!(scene.catalog.put_external(gone.clone(), scene.now), Outcome::Applied);
    let three = vec![b.clone(), of("c", 1, None), of("a", 3, Some(&gone))];
    assert_eq!(scene.catalog.put_externals(three, scene.now).last(), Some(&Outcome::Refused));
    assert!(scene.catalog.put_externals(pair(), scene.now).iter().all(|outcome| *outcome == Outcome::Applied));
    assert_eq!(scene.catalog.externals().len(), limits::EXTERNALS);
}
