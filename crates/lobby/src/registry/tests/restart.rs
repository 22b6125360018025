//! What was answered is there after a kill, as it was, and nobody notices.

use super::*;
use crate::memory::Hub;

async fn on(hub: &Hub, folder: &TempDir) -> Lobby {
    builder().memory(hub.join()).store(Store::open(folder.path()).unwrap()).start().await.unwrap()
}

fn entries(lobby: &Lobby) -> u64 {
    lobby.registry_stats().journal.unwrap().entries
}

#[tokio::test]
async fn a_kill_and_a_start_change_nothing_for_a_watcher() {
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    let watcher = Lobby::builder().name("watcher".parse().unwrap()).memory(hub.join()).start().await.unwrap();
    let lobby = on(&hub, &folder).await;
    for n in 0..50 {
        register_ttl(&lobby, &format!("web-{n}"), 60).await;
        beat(&lobby, &format!("web-{n}-ttl"), if n % 2 == 0 { Status::Passing } else { Status::Warning }).await.unwrap();
    }
    // Statuses are on disk after a second.
    let saved = || std::future::ready(lobby_testkit::expect(entries(&lobby) == 100, entries(&lobby)));
    lobby_testkit::eventually_async(20 * SECOND, saved).await;
    let id = lobby.id();
    let at_watcher = |snapshot: &Snapshot| snapshot.node(id).map(|node| node.record.content_hash());
    let want = lobby.reader().snapshot().local.record.content_hash();
    if at_watcher(&watcher.reader().snapshot()) != Some(want) {
        until(&watcher, |snapshot| at_watcher(snapshot) == Some(want)).await;
    }
    let services = watcher.reader().snapshot().services.clone();
    lobby.restart().await;
    let lobby = on(&hub, &folder).await;
    assert_eq!(lobby.reader().snapshot().local.record.content_hash(), want, "before anything is announced");
    let is_same = || {
        let now = watcher.reader().snapshot().services.clone();
        std::future::ready(lobby_testkit::expect(now == services, "an index has changed"))
    };
    lobby_testkit::holds_async(SECOND / 4, is_same).await;
    kill(lobby).await;
    let lobby = on(&hub, &folder).await;
    assert_eq!(lobby.reader().snapshot().local.record.content_hash(), want);
    assert_eq!(shown(&watcher.reader().snapshot()).len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_status_a_ttl_and_the_time_in_critical_go_on() {
    let (folder, time) = (tempfile::tempdir().unwrap(), Frozen::new());
    let lobby = stored(&folder).await;
    let dying = Draft { deregister_after: 60 * SECOND, ..ttl(1000) };
    register(&lobby, registration("dying", vec![check("d", None, dying)])).await.unwrap();
    register_ttl(&lobby, "web-1", 30).await;
    beat(&lobby, "web-1-ttl", Status::Passing).await.unwrap();
    time.pass(&lobby, 25, || false).await;
    let lobby = kill_and_restart(lobby, &folder).await;
    assert_eq!((status(&lobby, "web-1"), status(&lobby, "dying")), (Some(Status::Passing), Some(Status::Critical)));
    assert_eq!(&*local(&lobby, "web-1-ttl").output, "it is passing");
    // Saved each ten seconds: at most so much of the time is given twice.
    let expired = time.pass(&lobby, 100, || status(&lobby, "web-1") == Some(Status::Critical)).await;
    assert!((5..=16).contains(&expired), "{expired}");
    let gone = expired + time.pass(&lobby, 100, || status(&lobby, "dying").is_none()).await;
    assert!((35..=46).contains(&gone), "{gone}");
    let lobby = kill_and_restart(lobby, &folder).await;
    assert_eq!(status(&lobby, "dying"), None, "it is not made again");
    assert_eq!(status(&lobby, "web-1"), Some(Status::Critical));
}

#[tokio::test]
async fn what_was_deregistered_stays_away_and_leaves_nothing_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    register_ttl(&lobby, "web-1", 10).await;
    register_ttl(&lobby, "web-2", 10).await;
    set_check(&lobby, check("node", None, ttl(10))).await.unwrap();
    // A stop saves what checks say.
    lobby.restart().await;
    let lobby = stored(&folder).await;
    drain(&lobby, Target::Instance(id("web-1")), true).await.unwrap();
    for name in ["web-1", "web-2"] {
        deregister(&lobby, name).await.unwrap();
    }
    lobby.registry().ask(|answer| RegistryCommand::RemoveCheck(id("node"), answer)).await.unwrap();
    assert_eq!(entries(&lobby), 0);
    let lobby = kill_and_restart(lobby, &folder).await;
    assert!(lobby.registry().view().instances.is_empty() && lobby.registry().view().checks.is_empty());
}

#[tokio::test]
async fn maintenance_once_more_without_a_reason_keeps_the_first() {
    let lobby = agent().await;
    let why = || local(&lobby, "_node_maintenance").notes.to_string();
    for (reason, want) in [("", "Maintenance was switched on without a reason."), ("disk", "disk"), (" ", "disk"), ("net", "net")]
    {
        maintain(&lobby, Target::Node, Some(reason)).await.unwrap();
        assert_eq!(why(), want);
    }
}

#[tokio::test]
async fn maintenance_and_drain_outlive_a_restart_and_another_registration() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    register(&lobby, registration("web-1", Vec::new())).await.unwrap();
    maintain(&lobby, Target::Instance(id("web-1")), Some("disk")).await.unwrap();
    maintain(&lobby, Target::Node, Some(" ")).await.unwrap();
    drain(&lobby, Target::Instance(id("web-1")), true).await.unwrap();
    drain(&lobby, Target::Node, true).await.unwrap();
    let check = |lobby: &Lobby| {
        assert_eq!(status(lobby, "web-1"), Some(Status::Critical));
        let (own, node) = (local(lobby, "_service_maintenance:web-1"), local(lobby, "_node_maintenance"));
        assert_eq!((&*own.notes, own.instance.clone(), node.instance.clone()), ("disk", Some(id("web-1")), None));
        assert!(node.notes.len() > 10, "{}", node.notes);
        let record = lobby.reader().snapshot().local.record.clone();
        assert!(record.instance(&id("web-1")).unwrap().drain && record.meta("drain") == Some("true"));
        assert!(lobby.registry().view().is_draining);
    };
    check(&lobby);
    register(&lobby, registration("web-1", Vec::new())).await.unwrap();
    check(&lobby);
    let lobby = kill_and_restart(lobby, &folder).await;
    check(&lobby);
    for target in [Target::Node, Target::Instance(id("web-1"))] {
        maintain(&lobby, target.clone(), None).await.unwrap();
        drain(&lobby, target.clone(), false).await.unwrap();
        maintain(&lobby, target, None).await.expect("once more is no error");
    }
    let lobby = kill_and_restart(lobby, &folder).await;
    assert_eq!((status(&lobby, "web-1"), entries(&lobby)), (Some(Status::Passing), 1));
    let record = lobby.reader().snapshot().local.record.clone();
    assert!(!record.instance(&id("web-1")).unwrap().drain && record.meta("drain").is_none());
}

/// 5 000 pairs; nothing in it depends on how many they are.
#[tokio::test]
async fn coming_and_going_leaves_file_and_record_flat() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    let handle = lobby.registry();
    for n in 0..50 {
        let mut asked = tokio::task::JoinSet::new();
        for m in 0..100 {
            let (handle, name) = (handle.clone(), format!("web-{}", n * 100 + m));
            asked.spawn(async move {
                let new = Box::new(registration(&name, vec![check(&format!("{name}-ttl"), None, ttl(10))]));
                handle.ask(|answer| RegistryCommand::Register(new, answer)).await.unwrap();
                handle.ask(|answer| RegistryCommand::Deregister(id(&name), answer)).await.unwrap();
            });
        }
        while let Some(done) = asked.join_next().await {
            done.unwrap();
        }
    }
    let journal = lobby.registry_stats().journal.unwrap();
    assert!(journal.appended >= 10_000 && journal.entries == 0 && journal.file_bytes <= 3 << 20, "{journal:?}");
    let record = lobby.reader().snapshot().local.record.clone();
    assert!(record.entries().len() <= lobby_core::limits::TOMBSTONES + 100, "{}", record.entries().len());
    assert!(handle.view().checks.is_empty() && lobby.registry_stats().jobs == 0);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_left_out_and_kept() {
    use super::super::journal::{Journal, Limits};
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    register(&lobby, registration("web-1", Vec::new())).await.unwrap();
    lobby.leave().await;
    let path = folder.path().join("registry");
    let journal = Journal::open(&path, Limits::DEFAULT).unwrap().journal;
    for (key, value) in [("iweb-2", &b"\x09?"[..]), ("z", b"later"), ("sgone", b"\x01\x00\x00\x00\x00\x00"), ("dgone", b"1")] {
        journal.append(key.into(), Some(value.into())).await.unwrap();
    }
    journal.close().await;
    let lobby = stored(&folder).await;
    assert_eq!(shown(&lobby.reader().snapshot()), [("web-1".to_owned(), Status::Passing)]);
    lobby.leave().await;
    let keys: Vec<_> = Journal::open(&path, Limits::DEFAULT).unwrap().entries.into_keys().collect();
    assert_eq!(keys, ["iweb-1", "iweb-2", "z"], "what belongs to nothing is deleted");
}
