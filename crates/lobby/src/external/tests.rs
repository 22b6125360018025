//! Nodes without an agent over whole agents: written at one, seen at all, kept on every disk.

use std::{path::Path, time::Duration};

use lobby_core::{
    external::{Change, NodeData},
    instance::Instance,
    local::SetError,
};
use lobby_testkit::eventually_async;

use super::*;
use crate::{Lobby, memory::Hub};

async fn agent(hub: &Hub, name: &str, folder: Option<&Path>) -> Lobby {
    let store = folder.map_or_else(Store::temporary, |folder| Store::open(folder).unwrap());
    Lobby::builder().name(name.parse().unwrap()).store(store).memory(hub.join()).start().await.unwrap()
}

fn node(address: &str) -> Change {
    Change::Node(NodeData { address: address.into(), ..NodeData::default() })
}

fn service(id: &str) -> Change {
    Change::Instance(Box::new(Instance::new(id.parse().unwrap(), "db".parse().unwrap())))
}

fn write(name: &str, changes: Vec<Change>) -> Write {
    Write { name: name.parse().unwrap(), changes, seen: None }
}

fn instances(lobby: &Lobby) -> Vec<String> {
    let snapshot = lobby.reader().snapshot();
    let service = snapshot.service("db");
    service.into_iter().flat_map(|db| db.instances.keys()).map(|place| format!("{}/{}", place.node, place.id)).collect()
}

async fn shows(lobby: &Lobby, want: &[&str]) {
    eventually_async(Duration::from_secs(10), || async {
        (instances(lobby) == want).then_some(()).ok_or_else(|| instances(lobby))
    })
    .await;
}

#[tokio::test]
async fn what_one_writes_all_see_and_keep() {
    let (hub, folders) = (Hub::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let (a, b) = (agent(&hub, "a", Some(folders[0].path())).await, agent(&hub, "b", Some(folders[1].path())).await);
    a.externals().write(vec![write("n1", vec![node("10.0.0.1"), service("x"), service("y")])]).await.unwrap();
    assert_eq!(instances(&a), ["n1/x", "n1/y"], "seen before it is answered");
    shows(&b, &["n1/x", "n1/y"]).await;
    b.externals().write(vec![write("n1", vec![Change::RemoveInstance("x".parse().unwrap())])]).await.unwrap();
    shows(&a, &["n1/y"]).await;
    assert!(a.members().iter().all(|member| member.name != "n1"), "it is no member");
    // Whoever wrote it may be gone, and the others restarted.
    a.leave().await;
    b.leave().await;
    let hub = Hub::new();
    let b = agent(&hub, "b", Some(folders[1].path())).await;
    assert_eq!(instances(&b), ["n1/y"]);
    b.externals().write(vec![write("n1", vec![Change::Remove])]).await.unwrap();
    assert!(instances(&b).is_empty());
    // An agent that was away with the node on its disk learns that it was removed.
    let a = agent(&hub, "a", Some(folders[0].path())).await;
    shows(&a, &[]).await;
    shows(&b, &[]).await;
    a.leave().await;
    let a = agent(&Hub::new(), "a", Some(folders[0].path())).await;
    assert!(instances(&a).is_empty() && a.reader().snapshot().externals.len() == 1);
}

#[tokio::test]
async fn a_batch_counts_whole_or_not_at_all() {
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    let a = agent(&hub, "a", Some(folder.path())).await;
    let _b = agent(&hub, "B", None).await;
    eventually_async(Duration::from_secs(10), || async { (a.members().len() == 2).then_some(()).ok_or("not there yet") }).await;
    let good = || write("n1", vec![node("10.0.0.1"), service("x")]);
    let refused = async |bad: Write| a.externals().write(vec![good(), bad]).await.unwrap_err();
    assert_eq!(refused(write("a", vec![node("1.1.1.1")])).await, ExternalError::HasAgent("a".parse().unwrap()));
    assert_eq!(refused(write("b", vec![node("1.1.1.1")])).await, ExternalError::HasAgent("b".parse().unwrap()));
    assert!(matches!(refused(write("n2", vec![node("0.0.0.0")])).await, ExternalError::Set { source: SetError::Invalid(_), .. }));
    let unseen = Write { seen: Some(Some(Default::default())), ..write("n2", vec![node("1.1.1.1")]) };
    assert_eq!(refused(unseen).await, ExternalError::Changed("n2".parse().unwrap()));
    let many = (0..=NODES).map(|n| write(&format!("n{n}"), vec![node("1.1.1.1")])).collect();
    assert_eq!(a.externals().write(many).await, Err(ExternalError::TooMany));
    assert!(instances(&a).is_empty() && a.reader().snapshot().externals.is_empty());
    a.leave().await;
    let a = agent(&hub, "a", Some(folder.path())).await;
    assert!(a.reader().snapshot().externals.is_empty(), "nor is it on disk");
    // Removing what an agent has comes to nothing.
    a.externals().write(vec![write("b", vec![Change::Remove])]).await.unwrap();
}

#[tokio::test]
async fn many_writers_share_syncs_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let a = agent(&Hub::new(), "a", Some(folder.path())).await;
    let writes = (0..300).map(|n| {
        let externals = a.externals();
        // Ends with its one write.
        tokio::spawn(async move {
            externals.write(vec![write(&format!("n{}", n % 50), vec![node("1.1.1.1"), service(&format!("s{n:03}"))])]).await
        })
    });
    for written in writes.collect::<Vec<_>>() {
        written.await.unwrap().unwrap();
    }
    assert_eq!(instances(&a).len(), 300);
    a.leave().await;
    let a = agent(&Hub::new(), "a", Some(folder.path())).await;
    assert_eq!(instances(&a).len(), 300);
}
