//! What the system cannot do for a moment (watch a process, write a status) costs nobody anything for good.

use std::collections::BTreeMap;

use bytes::Bytes;
use lobby_core::{
    check::state::Check,
    id::{Generation, NodeId},
    local::LocalRecord,
    port::registry::Source,
    time::Moment,
};
use tokio::sync::mpsc;

use super::*;
use crate::{
    clock::Clock,
    registry::{
        guard::Unsaved,
        journal::{Journal, Limits},
        process::{self, Process},
        restore::Start,
        saved::{self, Definition},
        task::{End, Registry},
    },
};

/// The journal of an instance with a check on a process, and what the check said last.
fn entries(process: Process, said: Status) -> BTreeMap<Bytes, Bytes> {
    let draft = Draft { kinds: vec![Kind::Process { pid: 7 }], ..Draft::default() };
    let check = check("p", Some("web-1"), draft);
    let definition = Definition { process: Some(process), ..Definition::new(check, Source::Api) };
    let spec = definition.spec.clone();
    let mut says = Check::new(spec, Moment::ZERO);
    let _ = says.result(said, "said before", Moment::ZERO);
    BTreeMap::from([
        (saved::key(b'i', "web-1"), saved::encode_registration(&instance("web-1"), &Source::Api, [&definition].into_iter())),
        (saved::key(b's', "p"), saved::encode_state(&says.save(Moment::ZERO))),
    ])
}

/// A registry after a start from this.
async fn restored(lobby: &Lobby, entries: BTreeMap<Bytes, Bytes>, journal: Option<Journal>) -> Registry {
    let mut start = Start::open(&Store::temporary(), false, Clock::start()).await.unwrap();
    start.restore(entries);
    start.journal = journal;
    let mut local = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "a".parse().unwrap());
    start.fill(&mut local);
    let (registry, ..) = start.finish(mpsc::channel(8).0, lobby.reader());
    registry
}

/// No process is ever asked for: the id is none, which says nothing about whether it has ended.
fn unwatchable() -> Process {
    Process { pid: 0, start: 1, boot: "b".into() }
}

#[tokio::test]
async fn a_process_that_cannot_be_watched_has_not_ended() {
    let lobby = agent().await;
    let mut registry = restored(&lobby, entries(unwatchable(), Status::Passing), None).await;
    let local = registry.state.view.checks[&id("p")].clone();
    assert_eq!((local.status, registry.state.view.instances.len()), (Status::Critical, 1));
    assert!(local.output.contains("PID 0 cannot be watched: a process id is"), "{}", local.output);
    // Found again after a while.
    let Ok(watched) = process::open(std::process::id()) else { return };
    let number = registry.state.guards[&id("p")].watch.as_ref().unwrap().0;
    let now = lobby.clock().moment();
    let watched_again = process::open(std::process::id()).unwrap();
    registry.ended(End::Found(id("p"), number + 1, watched_again), now);
    assert_eq!(registry.state.view.checks[&id("p")].status, Status::Critical, "of another watch");
    registry.ended(End::Found(id("p"), number, watched), now);
    assert_eq!(registry.state.view.checks[&id("p")].status, Status::Passing);
    assert_ne!(registry.state.guards[&id("p")].watch.as_ref().unwrap().0, number, "it is watched");
}

#[tokio::test]
async fn a_process_that_can_be_watched_again_is_well_and_one_that_has_ended_is_gone() {
    let lobby = agent().await;
    let Ok(watched) = process::open(std::process::id()) else { return };
    let registry = restored(&lobby, entries(watched.identity().clone(), Status::Critical), None).await;
    assert_eq!(registry.state.view.checks[&id("p")].status, Status::Passing);
    let other = Process { start: 1, ..watched.identity().clone() };
    let registry = restored(&lobby, entries(other, Status::Passing), None).await;
    assert!(registry.state.view.instances.is_empty());
}

#[tokio::test]
async fn a_process_that_has_ended_takes_its_instance_along_whatever_the_disk_says() {
    let (lobby, folder) = (agent().await, tempfile::tempdir().unwrap());
    let journal = Journal::open(&folder.path().join("registry"), Limits::DEFAULT).unwrap().journal;
    let mut registry = restored(&lobby, entries(unwatchable(), Status::Passing), Some(journal.clone())).await;
    journal.close().await;
    let number = registry.state.guards[&id("p")].watch.as_ref().unwrap().0;
    let now = lobby.clock().moment();
    registry.ended(End::Process(id("p"), number + 1), now);
    assert_eq!(registry.state.view.instances.len(), 1, "of another watch");
    registry.ended(End::Process(id("p"), number), now);
    assert!(registry.state.view.instances.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_process_is_looked_for_until_it_has_ended() {
    let Ok(watched) = process::open(std::process::id()) else { return };
    let own = watched.identity().clone();
    let start = tokio::time::Instant::now();
    assert!(process::find(&own).await.is_some() && start.elapsed() == 10 * SECOND);
    assert!(process::find(&Process { start: 1, ..own }).await.is_none());
    tokio::time::timeout(100 * SECOND, process::find(&unwatchable())).await.expect_err("it is looked for again and again");
}

#[tokio::test]
async fn a_status_that_the_disk_refused_is_written_later() {
    let (lobby, folder) = (agent().await, tempfile::tempdir().unwrap());
    let limits = Limits { live_bytes: 200, ..Limits::DEFAULT };
    let journal = Journal::open(&folder.path().join("registry"), limits).unwrap().journal;
    let mut registry = restored(&lobby, entries(unwatchable(), Status::Passing), Some(journal.clone())).await;
    journal.append("x".into(), Some(vec![b'x'; 150].into())).await.unwrap();
    let now = lobby.clock().moment();
    registry.save(Unsaved::Status, now);
    assert_eq!(registry.state.guards[&id("p")].unsaved, Unsaved::Nothing, "it is on its way");
    let landed = registry.flights.next().await.unwrap();
    registry.land(landed);
    assert_eq!(registry.state.guards[&id("p")].unsaved, Unsaved::Status, "the journal is full");
    journal.append("x".into(), None).await.unwrap();
    registry.save(Unsaved::Status, now);
    let landed = registry.flights.next().await.unwrap();
    registry.land(landed);
    assert_eq!((registry.state.guards[&id("p")].unsaved, journal.stats().entries), (Unsaved::Nothing, 1));
}
