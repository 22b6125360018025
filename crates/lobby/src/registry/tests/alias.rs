//! Aliases say what others say: here, by label, on other nodes, and of each other.

use lobby_core::hold::Rule;

use super::*;
use crate::memory::Hub;

fn alias(service: Option<&str>, node: Option<&str>) -> Draft {
    let kind = Kind::Alias { service: service.map(Into::into), node: node.map(Into::into) };
    Draft { kinds: vec![kind], ..Draft::default() }
}

async fn is(lobby: &Lobby, check: &str, want: Status) {
    let mut views = lobby.registry().watch();
    let wait = views.wait_for(|view| view.checks.get(&id(check)).is_some_and(|check| check.status == want));
    let found = tokio::time::timeout(20 * SECOND, wait).await.map(|view| view.is_ok());
    assert_eq!(found, Ok(true), "{check}: {:?}", local(lobby, check));
}

#[tokio::test]
async fn an_alias_follows_an_instance_of_this_node() {
    let lobby = agent().await;
    set_check(&lobby, check("alias", None, alias(Some("web-1"), None))).await.unwrap();
    is(&lobby, "alias", Status::Critical).await;
    assert!(local(&lobby, "alias").output.contains("web-1"));
    register(&lobby, registration("web-1", Vec::new())).await.unwrap();
    is(&lobby, "alias", Status::Passing).await;
    register_ttl(&lobby, "web-1", 100).await;
    is(&lobby, "alias", Status::Critical).await;
    beat(&lobby, "web-1-ttl", Status::Warning).await.unwrap();
    is(&lobby, "alias", Status::Warning).await;
    assert!(local(&lobby, "alias").output.contains("web-1-ttl"));
    let told = lobby.reader();
    beat(&lobby, "web-1-ttl", Status::Passing).await.unwrap();
    is(&lobby, "alias", Status::Passing).await;
    set_check(&lobby, check("node", None, ttl(100))).await.unwrap();
    is(&lobby, "alias", Status::Critical).await;
    lobby.registry().ask(|answer| RegistryCommand::RemoveCheck(id("node"), answer)).await.unwrap();
    deregister(&lobby, "web-1").await.unwrap();
    is(&lobby, "alias", Status::Critical).await;
    drop(told);
}

#[tokio::test]
async fn aliases_of_aliases_and_of_each_other_settle() {
    let lobby = agent().await;
    for (name, target) in [("b", "a"), ("c", "b"), ("x", "y"), ("y", "x")] {
        let follows = check(&format!("{name}-alias"), None, alias(Some(target), None));
        register(&lobby, registration(name, vec![follows])).await.unwrap();
    }
    register_ttl(&lobby, "a", 100).await;
    for want in [Status::Passing, Status::Warning, Status::Passing] {
        beat(&lobby, "a-ttl", want).await.unwrap();
        is(&lobby, "c-alias", want).await;
    }
    for name in ["n", "m"] {
        set_check(&lobby, check(name, None, alias(None, Some("a")))).await.unwrap();
    }
    is(&lobby, "n", Status::Passing).await;
    is(&lobby, "m", Status::Passing).await;
}

#[tokio::test]
async fn aliases_in_a_circle_hold_nobody_down() {
    let lobby = agent().await;
    // Nothing but each other: as an instance without checks.
    for (name, target) in [("x", "y"), ("y", "x"), ("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")] {
        let mut checks = vec![check(&format!("{name}-alias"), None, alias(Some(target), (name == "c").then_some("A")))];
        checks.extend((name == "c").then(|| check("c-ttl", None, ttl(1000))));
        register(&lobby, registration(name, checks)).await.unwrap();
    }
    for name in ["x", "y"] {
        is(&lobby, &format!("{name}-alias"), Status::Passing).await;
    }
    // One check along the circle is what all of it says, whatever it said before.
    for want in [Status::Critical, Status::Passing, Status::Warning, Status::Critical, Status::Passing] {
        beat(&lobby, "c-ttl", want).await.unwrap();
        for name in ["a", "b", "c", "d"] {
            is(&lobby, &format!("{name}-alias"), want).await;
        }
    }
    maintain(&lobby, Target::Instance(id("x")), Some("off")).await.unwrap();
    is(&lobby, "y-alias", Status::Critical).await;
    maintain(&lobby, Target::Instance(id("x")), None).await.unwrap();
    is(&lobby, "y-alias", Status::Passing).await;
    is(&lobby, "x-alias", Status::Passing).await;
}

#[tokio::test]
async fn an_alias_follows_what_labels_make() {
    let lobby = agent().await;
    set_check(&lobby, check("alias", None, alias(Some("web"), None))).await.unwrap();
    is(&lobby, "alias", Status::Critical).await;
    lobby.commands().add_labels(vec!["service:web".parse().unwrap()]).await.unwrap();
    is(&lobby, "alias", Status::Passing).await;
    lobby.commands().remove_labels(vec!["service:web".parse().unwrap()]).await.unwrap();
    is(&lobby, "alias", Status::Critical).await;
}

#[tokio::test]
async fn an_alias_follows_an_instance_and_all_of_another_node() {
    let hub = Hub::new();
    let a = builder().memory(hub.join()).start().await.unwrap();
    set_check(&a, check("web", None, alias(Some("web-1"), Some("B")))).await.unwrap();
    set_check(&a, check("node", None, alias(None, Some("b")))).await.unwrap();
    is(&a, "web", Status::Critical).await;
    is(&a, "node", Status::Critical).await;
    let b = Lobby::builder().name("b".parse().unwrap()).memory(hub.join()).start().await.unwrap();
    is(&a, "node", Status::Passing).await;
    register_ttl(&b, "web-1", 100).await;
    beat(&b, "web-1-ttl", Status::Passing).await.unwrap();
    is(&a, "web", Status::Passing).await;
    maintain(&b, Target::Node, Some("x")).await.unwrap();
    is(&a, "web", Status::Critical).await;
    is(&a, "node", Status::Critical).await;
    maintain(&b, Target::Node, None).await.unwrap();
    is(&a, "web", Status::Passing).await;
    b.leave().await;
    is(&a, "node", Status::Critical).await;
}

#[tokio::test]
async fn an_alias_of_a_held_node_stays_as_it_was() {
    let (hub, rule) = (Hub::new(), Rule { max: SECOND, ..Rule::default() });
    let a = builder().hold(rule).memory(hub.join()).start().await.unwrap();
    let start = async |name: &str| Lobby::builder().name(name.parse().unwrap()).memory(hub.join()).start().await.unwrap();
    let others = [start("b").await, start("c").await, start("d").await];
    set_check(&a, check("node", None, alias(None, Some("b")))).await.unwrap();
    is(&a, "node", Status::Passing).await;
    let clock = a.clock();
    let cut = clock.moment();
    hub.split(others.iter().map(|lobby| (lobby.id(), 1)));
    is(&a, "node", Status::Critical).await;
    assert!(clock.moment().since(cut) >= SECOND, "as long as the hold lasts");
}
