//! The catalog on disk: what an agent knows before anybody has told it anything.

use std::time::Duration;

use lobby::{
    Lobby,
    core::catalog::{NodeState, Snapshot},
    memory::Hub,
    store::Store,
};
use tokio::time::timeout;

use crate::membership::{SOON, agent};

async fn start(hub: &Hub, folder: &tempfile::TempDir) -> Lobby {
    agent(hub, "a").store(Store::open(folder.path()).unwrap()).start().await.unwrap()
}

pub(crate) async fn until(lobby: &Lobby, condition: impl Fn(&Snapshot) -> bool) {
    let mut reader = lobby.reader();
    let wait = async {
        let mut snapshot = reader.snapshot();
        while !condition(&snapshot) {
            snapshot = reader.changed().await.unwrap();
        }
    };
    assert!(timeout(SOON, wait).await.is_ok(), "{:?}", lobby.reader().snapshot());
}

#[tokio::test]
async fn who_was_there_is_listed_as_stale_until_the_first_complete_picture() {
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    let b = agent(&hub, "b").tags([("role", "web")]).start().await.unwrap();
    let c = agent(&hub, "c").start().await.unwrap();
    let a = start(&hub, &folder).await;
    until(&a, |snapshot| snapshot.hosts.len() == 3).await;
    a.leave().await;

    hub.set_up(false);
    let a = start(&hub, &folder).await;
    let first = a.reader().snapshot();
    assert_eq!((first.warm, first.hosts.len()), (false, 3));
    let known = first.node(b.id()).unwrap();
    assert_eq!((known.state, known.record.labels().count()), (NodeState::Stale, 1));
    drop(c);
    hub.set_up(true);
    until(&a, |snapshot| snapshot.warm).await;
    let snapshot = a.reader().snapshot();
    assert_eq!((snapshot.hosts.len(), snapshot.node(b.id()).unwrap().state), (2, NodeState::Alive));
}

#[tokio::test]
async fn an_agent_that_was_never_told_anything_does_not_forget_what_the_disk_knows() {
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    let b = agent(&hub, "b").start().await.unwrap();
    let a = start(&hub, &folder).await;
    until(&a, |snapshot| snapshot.hosts.len() == 2).await;
    a.leave().await;
    hub.set_up(false);
    for _ in 0..2 {
        let store = Store::open(folder.path()).unwrap();
        let a = agent(&hub, "a").store(store).warm_max(Duration::from_millis(1)).start().await.unwrap();
        assert_eq!(a.reader().snapshot().node(b.id()).unwrap().state, NodeState::Stale);
        until(&a, |snapshot| snapshot.warm && snapshot.hosts.len() == 1).await;
        a.leave().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_on_disk_within_a_minute_and_no_change_is_not_written_again() {
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("catalog");
    let a = start(&hub, &folder).await;
    let b = agent(&hub, "b").start().await.unwrap();
    until(&a, |snapshot| snapshot.hosts.len() == 2).await;
    let b_id = b.id();
    let written = async || {
        let wait = async {
            while !path.exists() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        timeout(Duration::from_secs(70), wait).await.expect("written within a minute");
        std::fs::read(&path).unwrap()
    };
    assert!(written().await.windows(16).any(|bytes| bytes == b_id.as_bytes()));
    std::fs::remove_file(&path).unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(!path.exists(), "nothing has changed");
    b.leave().await;
    assert!(!written().await.windows(16).any(|bytes| bytes == b_id.as_bytes()));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_fleet_is_saved_again_each_hour_and_at_the_stop() {
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("catalog");
    let a = start(&hub, &folder).await;
    let b = agent(&hub, "b").start().await.unwrap();
    until(&a, |snapshot| snapshot.hosts.len() == 2).await;
    let written = async |within: u64| {
        let wait = async {
            while !path.exists() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        timeout(Duration::from_secs(within), wait).await.expect("written in time");
        std::fs::remove_file(&path).unwrap();
    };
    written(70).await;
    tokio::time::sleep(Duration::from_secs(3400)).await;
    assert!(!path.exists(), "nothing has changed");
    written(300).await;
    written(3700).await;
    a.leave().await;
    assert!(path.exists(), "written at the stop");
    drop(b);
}

#[tokio::test]
async fn a_damaged_file_is_no_reason_not_to_start() {
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("catalog"), "nonsense").unwrap();
    let a = start(&hub, &folder).await;
    assert_eq!(a.reader().snapshot().hosts.len(), 1);
    std::fs::remove_file(folder.path().join("catalog")).unwrap();
    std::fs::create_dir(folder.path().join("catalog")).unwrap();
    a.leave().await;
    let a = start(&hub, &folder).await;
    until(&a, |snapshot| snapshot.warm).await;
    let stats = a.stats();
    a.leave().await;
    assert_eq!(stats.catalog_saves_failed.load(std::sync::atomic::Ordering::Relaxed), 1);
}
