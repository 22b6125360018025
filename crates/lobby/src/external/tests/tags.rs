//! Tags given to an instance at any agent: all show them, the owner's disk and word decide how long.

use lobby_core::{
    external::tags::tagged,
    port::registry::{Registration, RegistryCommand},
};

use super::*;

fn id() -> lobby_core::instance::Id {
    "web-1".parse().unwrap()
}

fn tags(texts: &[&str]) -> Arc<[String]> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn give(texts: &[&str]) -> Write {
    write("b", vec![Change::Tags(id(), Some(tags(texts)))])
}

async fn register(lobby: &Lobby, own: &[&str], open: bool) {
    let mut instance = Instance::new(id(), "web".parse().unwrap());
    (instance.tags, instance.enable_tag_override) = (tags(own), open);
    let registration = Box::new(Registration { instance, checks: Vec::new(), replace_checks: false });
    lobby.registry().ask(|answer| RegistryCommand::Register(registration, answer)).await.unwrap();
}

/// The tags of the one instance, as this agent shows them.
fn shown(lobby: &Lobby) -> String {
    let snapshot = lobby.reader().snapshot();
    let views = snapshot.service("web").into_iter().flat_map(|web| web.instances.values());
    views.map(|view| view.instance.tags.join(",")).collect::<Vec<_>>().join(" ")
}

async fn show(lobbies: &[&Lobby], want: &str) {
    for lobby in lobbies {
        let looks = || async { (shown(lobby) == want).then_some(()).ok_or_else(|| shown(lobby)) };
        eventually_async(Duration::from_secs(10), looks).await;
    }
}

#[tokio::test]
async fn tags_given_anywhere_show_everywhere_until_their_instance_goes() {
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    let (a, b, c) = (agent(&hub, "a", None).await, agent(&hub, "b", Some(folder.path())).await, agent(&hub, "c", None).await);
    register(&b, &["own"], true).await;
    show(&[&a, &b, &c], "own").await;
    a.externals().write(vec![give(&["x", "y"])]).await.unwrap();
    assert_eq!(shown(&a), "x,y", "seen before it is answered");
    show(&[&a, &b, &c], "x,y").await;
    // The program tells its own again and again, and an agent restarts.
    register(&b, &["own", "again"], true).await;
    b.leave().await;
    show(&[&a, &c], "").await;
    let b = agent(&hub, "b", Some(folder.path())).await;
    show(&[&a, &b, &c], "x,y").await;
    c.externals().write(vec![give(&["z"])]).await.unwrap();
    show(&[&a, &b, &c], "z").await;
    b.externals().write(vec![give(&[])]).await.unwrap();
    show(&[&a, &b, &c], "").await;
    assert_eq!(a.reader().snapshot().service("web").unwrap().instances.len(), 1, "an instance without tags");
    // Taken back, its own show.
    a.externals().write(vec![write("b", vec![Change::RemoveInstance(id())])]).await.unwrap();
    show(&[&a, &b, &c], "own,again").await;

    a.externals().write(vec![give(&["last"])]).await.unwrap();
    show(&[&b], "last").await;
    b.registry().ask(|answer| RegistryCommand::Deregister(id(), answer)).await.unwrap();
    let kept = |lobby: &Lobby| lobby.reader().snapshot().externals.values().map(|record| tagged(record).count()).sum::<usize>();
    eventually_async(Duration::from_secs(10), || async { (kept(&a) == 0 && kept(&b) == 0).then_some(()).ok_or("still given") })
        .await;
    register(&b, &["anew"], true).await;
    show(&[&a, &b, &c], "anew").await;
}

#[tokio::test]
async fn what_is_not_open_takes_no_tags() {
    let hub = Hub::new();
    let (a, b) = (agent(&hub, "a", None).await, agent(&hub, "b", None).await);
    register(&b, &["own"], true).await;
    show(&[&a], "own").await;
    a.externals().write(vec![give(&["x"])]).await.unwrap();
    show(&[&a, &b], "x").await;
    register(&b, &["closed"], false).await;
    show(&[&a, &b], "closed").await;
    let err = Err(ExternalError::Changed("b".parse().unwrap()));
    assert_eq!(a.externals().write(vec![give(&["y"])]).await, err);
    let nobody = write("nobody", vec![Change::Tags(id(), Some(tags(&["y"])))]);
    assert_eq!(a.externals().write(vec![nobody]).await, Err(ExternalError::Changed("nobody".parse().unwrap())));
    // Nothing else of it either.
    let adds = a.externals().write(vec![write("b", vec![node("10.0.0.1")])]).await;
    assert_eq!(adds, Err(ExternalError::HasAgent("b".parse().unwrap())));
    // What was given before it was closed is gone for good.
    eventually_async(Duration::from_secs(10), || async {
        let snapshot = a.reader().snapshot();
        snapshot.externals.values().all(|record| record.has_left()).then_some(()).ok_or("still given")
    })
    .await;
    register(&b, &["open"], true).await;
    show(&[&a, &b], "open").await;
}
