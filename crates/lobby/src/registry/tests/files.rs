//! What files define: whole sets, over what programs register, and over restarts in which a file is broken.

use lobby_core::{
    id::{Generation, NodeId},
    local::LocalRecord,
    port::registry::Source,
};

use super::*;
use crate::{
    clock::Clock,
    registry::{
        files::{Definitions, File},
        restore::Start,
    },
};

fn file(name: &str, instances: &[&str]) -> File {
    let with_check = |name: &&str| registration(name, vec![check(&format!("{name}-ttl"), None, ttl(1000))]);
    File { name: name.into(), registrations: instances.iter().map(with_check).collect(), checks: Vec::new() }
}

fn defined(files: Vec<File>) -> Definitions {
    Definitions { files, ..Definitions::default() }
}

async fn define(lobby: &Lobby, files: Vec<File>) {
    lobby._inputs.send(defined(files)).await.unwrap();
}

async fn are(lobby: &Lobby, want: &[&str]) {
    let names = |snapshot: &Snapshot| shown(snapshot).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    if names(&lobby.reader().snapshot()) != want {
        until(lobby, |snapshot| names(snapshot) == want).await;
    }
}

#[tokio::test]
async fn exactly_what_files_define_is_registered() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    register(&lobby, registration("api", Vec::new())).await.unwrap();
    let mut first = file("a.toml", &["a", "b"]);
    first.checks.push(check("node", None, ttl(1000)));
    define(&lobby, vec![first, file("b.toml", &["c"])]).await;
    are(&lobby, &["a", "api", "b", "c"]).await;
    beat(&lobby, "a-ttl", Status::Warning).await.unwrap();
    assert_eq!(lobby.registry().view().instances[&id("c")].source, Source::File("b.toml".into()));
    set_check(&lobby, check("added", Some("a"), ttl(1000))).await.unwrap();
    let mut other = file("a.toml", &["a"]);
    other.registrations[0].checks.push(check("more", None, ttl(1000)));
    define(&lobby, vec![other]).await;
    are(&lobby, &["a", "api"]).await;
    let checks = || lobby.registry().view().checks.keys().map(ToString::to_string).collect::<Vec<_>>();
    let is_done = || std::future::ready(lobby_testkit::expect(checks() == ["a-ttl", "added", "more"], checks()));
    lobby_testkit::eventually_async(20 * SECOND, is_done).await;
    assert_eq!(local(&lobby, "a-ttl").status, Status::Warning, "the same check keeps its status");
    define(&lobby, Vec::new()).await;
    are(&lobby, &["api"]).await;
}

#[tokio::test]
async fn a_program_registers_over_a_file_until_files_change() {
    let lobby = agent().await;
    define(&lobby, vec![file("a.toml", &["a"])]).await;
    are(&lobby, &["a"]).await;
    let port = || lobby.registry().view().instances[&id("a")].instance.port;
    let mut over = registration("a", Vec::new());
    over.instance.port = 81;
    register(&lobby, over).await.unwrap();
    assert_eq!((port(), lobby.registry().view().instances[&id("a")].source.clone()), (81, Source::Api));
    define(&lobby, Vec::new()).await;
    define(&lobby, vec![file("b.toml", &["b"])]).await;
    are(&lobby, &["a", "b"]).await;
    define(&lobby, vec![file("a.toml", &["a"])]).await;
    are(&lobby, &["a"]).await;
    let is_back = || std::future::ready(lobby_testkit::expect(port() == 80, port()));
    lobby_testkit::eventually_async(20 * SECOND, is_back).await;
}

/// Starts up to where everybody would be told, and says what they would be.
async fn restarted(folder: &TempDir, definitions: &Definitions) -> Vec<(String, Option<Status>)> {
    let store = Store::open(folder.path()).unwrap();
    let mut local = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "a".parse().unwrap());
    let mut start = Start::open(&store, false, Clock::start()).await.unwrap();
    start.define(definitions, local.record());
    start.fill(&mut local);
    let record = local.commit(lobby_core::time::Moment::ZERO);
    let record = record.unwrap_or_else(|| local.record().clone());
    let status =
        |instance: &Id| record.checks().find(|check| check.instance.as_ref() == Some(instance)).map(|check| check.status);
    let found = record.instances().map(|instance| (instance.id.to_string(), status(&instance.id))).collect();
    if let Some(journal) = start.journal.clone() {
        drop(start);
        journal.close().await;
    }
    found
}

#[tokio::test]
async fn what_a_file_makes_is_taken_away_by_nobody_but_it() {
    let lobby = agent().await;
    let mut of_file = file("a.toml", &["a"]);
    of_file.checks.push(check("node", None, ttl(1000)));
    define(&lobby, vec![of_file]).await;
    are(&lobby, &["a"]).await;
    let refused = |name: &str| Err(RegistryError::FromFile { id: id(name), file: "a.toml".into() });
    assert_eq!(deregister(&lobby, "a").await, refused("a"));
    for name in ["a-ttl", "node"] {
        let gone = lobby.registry().ask(|answer| RegistryCommand::RemoveCheck(id(name), answer)).await;
        assert_eq!(gone, refused(name));
    }
    assert_eq!((lobby.registry().view().instances.len(), lobby.registry().view().checks.len()), (1, 2));
    // What a program takes over is its own.
    register(&lobby, registration("a", Vec::new())).await.unwrap();
    deregister(&lobby, "a").await.unwrap();
    define(&lobby, Vec::new()).await;
    are(&lobby, &[]).await;
}

#[tokio::test]
async fn a_restart_with_a_broken_file_takes_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    let files = vec![file("a.toml", &["a"]), file("b.toml", &["b"])];
    define(&lobby, files.clone()).await;
    are(&lobby, &["a", "b"]).await;
    beat(&lobby, "a-ttl", Status::Passing).await.unwrap();
    beat(&lobby, "b-ttl", Status::Warning).await.unwrap();
    lobby.restart().await;
    let (a, b) = (("a".to_owned(), Some(Status::Passing)), ("b".to_owned(), Some(Status::Warning)));
    let both = [a.clone(), b.clone()];
    assert_eq!(restarted(&folder, &defined(files)).await, both);
    let broken = Definitions { unread: vec!["b.toml".into()], ..defined(vec![file("a.toml", &["a"])]) };
    assert_eq!(restarted(&folder, &broken).await, both);
    assert_eq!(restarted(&folder, &Definitions { is_unreadable: true, ..Definitions::default() }).await, both);
    assert_eq!(restarted(&folder, &defined(vec![file("b.toml", &["b"])])).await, [b]);
}
