//! What is answered is visible, each command wholly or not at all, and many at once share the disk.

use lobby_core::{
    local::SetError,
    port::registry::{Held, Source},
};
use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn what_is_answered_is_in_the_view_and_in_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let agents = [agent().await, stored(&folder).await];
    for lobby in agents {
        register_ttl(&lobby, "web-1", 10).await;
        assert_eq!(status(&lobby, "web-1"), Some(Status::Critical));
        let view = lobby.registry().view();
        assert_eq!(view.instances[&id("web-1")].source, Source::Api);
        assert_eq!(view.checks_of(&id("web-1")).count(), 1);
        beat(&lobby, "web-1-ttl", Status::Passing).await.unwrap();
        assert_eq!(status(&lobby, "web-1"), Some(Status::Passing));
        assert_eq!(&*local(&lobby, "web-1-ttl").output, "it is passing");
        beat(&lobby, "web-1-ttl", Status::Warning).await.unwrap();
        assert_eq!(status(&lobby, "web-1"), Some(Status::Warning));
        set_check(&lobby, check("node", None, ttl(10))).await.unwrap();
        assert_eq!(status(&lobby, "web-1"), Some(Status::Critical), "a check of the node counts for all of it");
        lobby.registry().ask(|answer| RegistryCommand::RemoveCheck(id("node"), answer)).await.unwrap();
        assert_eq!(status(&lobby, "web-1"), Some(Status::Warning));
        deregister(&lobby, "web-1").await.unwrap();
        assert_eq!(status(&lobby, "web-1"), None);
        let view = lobby.registry().view();
        assert!(view.instances.is_empty() && view.checks.is_empty());
        assert_eq!(lobby.reader().snapshot().local.record.checks().count(), 0);
        lobby.leave().await;
    }
}

#[tokio::test]
async fn an_instance_and_its_checks_appear_at_once() {
    let lobby = agent().await;
    let before = lobby.reader().snapshot().local.record.stamp.version;
    let checks = (0..5).map(|n| check(&format!("c{n}"), None, ttl(10))).collect();
    register(&lobby, registration("web-1", checks)).await.unwrap();
    let record = lobby.reader().snapshot().local.record.clone();
    assert_eq!(record.stamp.version, before.next(), "one version");
    assert_eq!((record.instances().count(), record.checks().count()), (1, 5));
}

#[tokio::test]
async fn what_has_no_room_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    let large = |n: usize| {
        let tags = vec!["x".repeat(512); 256].into();
        Registration { instance: Instance { tags, ..instance(&format!("large-{n}")) }, checks: Vec::new(), replace_checks: false }
    };
    let mut n_fit = 0;
    let refused = loop {
        match register(&lobby, large(n_fit)).await {
            Ok(()) => n_fit += 1,
            Err(err) => break err,
        }
    };
    assert!(matches!(refused, RegistryError::Set(SetError::TooLarge { .. })), "{refused}");
    assert!(n_fit > 3 && lobby.registry().view().instances.len() == n_fit);
    let before = lobby.reader().snapshot().local.record.stamp;
    // The instance would fit, its checks do not.
    let checks = (0..64).map(|n| NewCheck { notes: "y".repeat(512), ..check(&format!("{n}{}", "z".repeat(200)), None, ttl(9)) });
    let mut registration = registration("small", checks.collect());
    register(&lobby, Registration { checks: Vec::new(), ..registration.clone() }).await.unwrap();
    deregister(&lobby, "small").await.unwrap();
    registration.instance.tags = vec!["x".repeat(512); 200].into();
    let refused = register(&lobby, registration).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Set(SetError::TooLarge { .. })), "{refused}");
    assert!(lobby.reader().snapshot().local.record.stamp.version.0 <= before.version.0 + 2);
    assert!(lobby.registry().view().checks.is_empty());
    let lobby = kill_and_restart(lobby, &folder).await;
    assert_eq!(lobby.registry().view().instances.len(), n_fit, "what was refused is not on disk either");
}

#[tokio::test]
async fn many_registrations_share_a_few_syncs() {
    const N: usize = 1000;
    let folder = tempfile::tempdir().unwrap();
    let lobby = Arc::new(stored(&folder).await);
    let mut tasks = JoinSet::new();
    for n in 0..N {
        let lobby = lobby.clone();
        tasks.spawn(async move { register_ttl(&lobby, &format!("web-{n}"), 10).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let stats = lobby.registry_stats();
    let journal = stats.journal.unwrap();
    assert_eq!((stats.instances, stats.checks, stats.jobs), (N as u64, [0, 0, N as u64], 0));
    assert!(journal.appended >= N as u64 && journal.commits < N as u64 / 5, "{journal:?}");
    assert_eq!(shown(&lobby.reader().snapshot()).len(), N);
}

#[tokio::test]
async fn jobs_of_one_instance_follow_each_other_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    let handle = lobby.registry();
    for n in 0..20_u16 {
        let new = Registration { instance: Instance { port: n, ..instance("web-1") }, ..registration("web-1", Vec::new()) };
        // None is waited for before the next is asked.
        let (first, second, third) = tokio::join!(
            handle.ask(|answer| RegistryCommand::Register(Box::new(new.clone()), answer)),
            handle.ask(|answer| RegistryCommand::SetCheck(Box::new(check("c", Some("web-1"), ttl(9))), answer)),
            handle.ask(|answer| RegistryCommand::Deregister(id("web-1"), answer)),
        );
        assert_eq!((first, second, third), (Ok(()), Ok(()), Ok(())));
    }
    let view = handle.view();
    assert!(view.instances.is_empty() && view.checks.is_empty());
}

#[tokio::test]
async fn the_same_again_writes_and_publishes_nothing_and_keeps_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let mut lobby = stored(&folder).await;
    for _ in 0..2 {
        register_ttl(&lobby, "web-1", 10).await;
        beat(&lobby, "web-1-ttl", Status::Passing).await.unwrap();
        let (appended, revision) = (lobby.registry_stats().journal.unwrap().appended, lobby.reader().snapshot().revision);
        register_ttl(&lobby, "web-1", 10).await;
        assert_eq!(lobby.registry_stats().journal.unwrap().appended, appended);
        assert_eq!(lobby.reader().snapshot().revision, revision);
        assert_eq!(status(&lobby, "web-1"), Some(Status::Passing));
        // What was read from disk is the same as what was written.
        lobby = kill_and_restart(lobby, &folder).await;
    }
}

#[tokio::test]
async fn a_second_registration_replaces_and_keeps_what_it_does_not_name() {
    let lobby = agent().await;
    register_ttl(&lobby, "web-1", 10).await;
    beat(&lobby, "web-1-ttl", Status::Passing).await.unwrap();
    let mut again = registration("web-1", vec![check("other", None, ttl(10))]);
    again.instance.port = 81;
    register(&lobby, again.clone()).await.unwrap();
    let ids = |lobby: &Lobby| lobby.registry().view().checks.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ids(&lobby), ["other", "web-1-ttl"]);
    assert_eq!(local(&lobby, "web-1-ttl").status, Status::Passing);
    maintain(&lobby, Target::Instance(id("web-1")), Some("")).await.unwrap();
    again.replace_checks = true;
    register(&lobby, again).await.unwrap();
    assert_eq!(ids(&lobby), ["_service_maintenance:web-1", "other"], "an operator's word stays");
    let snapshot = lobby.reader().snapshot();
    assert_eq!(snapshot.local.record.instance(&id("web-1")).unwrap().port, 81);
}

#[tokio::test]
async fn a_proxy_that_came_with_a_service_goes_with_it() {
    let lobby = agent().await;
    register(&lobby, registration("web-1", Vec::new())).await.unwrap();
    let proxy = |name: &str, of: &str| {
        let proxy = format!(r#"{{"DestinationServiceID":"{of}"}}"#);
        Registration {
            instance: Instance { kind: "connect-proxy".into(), proxy, ..instance(name) },
            ..registration(name, vec![])
        }
    };
    register(&lobby, proxy("web-1-sidecar-proxy", "web-1")).await.unwrap();
    // Of this name, but of another service; and no proxy at all.
    register(&lobby, proxy("web-2-sidecar-proxy", "db")).await.unwrap();
    register(&lobby, registration("web-3-sidecar-proxy", Vec::new())).await.unwrap();
    let new = |name: &str| Box::new(registration(name, Vec::new()));
    let held = lobby.registry().ask(|answer| RegistryCommand::Hold(new("web-2"), answer)).await.unwrap();
    register(&lobby, *new("web-3")).await.unwrap();
    deregister(&lobby, "web-1").await.unwrap();
    deregister(&lobby, "web-3").await.unwrap();
    drop(held);
    until(&lobby, |snapshot| shown(snapshot).len() == 2).await;
    let view = lobby.registry().view();
    let left: Vec<_> = view.instances.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["web-2-sidecar-proxy", "web-3-sidecar-proxy"]);
}

#[tokio::test]
async fn who_holds_hears_that_it_is_over() {
    let lobby = agent().await;
    let hold = async || -> Held {
        let new = Box::new(registration("web-1", Vec::new()));
        lobby.registry().ask(|answer| RegistryCommand::Hold(new, answer)).await.unwrap()
    };
    let over = async |mut held: Held| {
        let over = std::future::poll_fn(|cx| held.poll_over(cx));
        tokio::time::timeout(10 * SECOND, over).await.expect("it is told");
    };
    let first = hold().await;
    let mut second = hold().await;
    over(first).await;
    drain(&lobby, Target::Instance(id("web-1")), true).await.unwrap();
    let is_over = std::future::poll_fn(|cx| std::task::Poll::Ready(second.poll_over(cx).is_ready())).await;
    assert!(!is_over, "a drain leaves it to its connection");
    register(&lobby, registration("web-1", Vec::new())).await.unwrap();
    over(second).await;
    let third = hold().await;
    deregister(&lobby, "web-1").await.unwrap();
    over(third).await;
}

#[tokio::test]
async fn a_hold_lasts_as_long_as_it_is_held_and_not_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    let hold = async |lobby: &Lobby, name: &str| -> Held {
        let new = Box::new(registration(name, Vec::new()));
        lobby.registry().ask(|answer| RegistryCommand::Hold(new, answer)).await.unwrap()
    };
    let held = hold(&lobby, "web-1").await;
    assert_eq!(lobby.registry().view().instances[&id("web-1")].source, Source::Hold);
    assert_eq!(status(&lobby, "web-1"), Some(Status::Passing));
    drop(held);
    until(&lobby, |snapshot| snapshot.service("web").is_none()).await;
    // Who registers it for good takes it over from the connection.
    let held = hold(&lobby, "web-2").await;
    register(&lobby, registration("web-2", Vec::new())).await.unwrap();
    drop(held);
    let _held = hold(&lobby, "web-3").await;
    let lobby = kill_and_restart(lobby, &folder).await;
    assert_eq!(shown(&lobby.reader().snapshot()), [("web-2".to_owned(), Status::Passing)]);
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    register_ttl(&lobby, "web-1", 1000).await;
    lobby.counters.journal.clone().unwrap().close().await;
    let before = lobby.reader().snapshot();
    let refused = register(&lobby, registration("web-2", Vec::new())).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NotSaved(_)), "{refused}");
    assert!(matches!(deregister(&lobby, "web-1").await, Err(RegistryError::NotSaved(_))));
    assert!(matches!(drain(&lobby, Target::Node, true).await, Err(RegistryError::NotSaved(_))));
    assert_eq!(lobby.reader().snapshot().local.record, before.local.record);
    assert_eq!(lobby.registry().view().instances.len(), 1);
    // What needs no disk goes on, and so does what follows a refusal.
    beat(&lobby, "web-1-ttl", Status::Passing).await.unwrap();
    register_ttl(&lobby, "web-1", 1000).await;
    assert_eq!((status(&lobby, "web-1"), lobby.registry_stats().jobs), (Some(Status::Passing), 0));
}

#[tokio::test]
async fn a_check_that_comes_to_another_instance_leaves_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    for name in ["web-1", "web-2"] {
        register(&lobby, registration(name, Vec::new())).await.unwrap();
    }
    for (to, statuses) in [
        (Some("web-1"), [Status::Critical, Status::Passing]),
        (Some("web-2"), [Status::Passing, Status::Critical]),
        (None, [Status::Critical; 2]),
        (Some("web-1"), [Status::Critical, Status::Passing]),
    ] {
        set_check(&lobby, check("c", to, ttl(1000))).await.unwrap();
        assert_eq!(shown(&lobby.reader().snapshot()).into_iter().map(|(_, status)| status).collect::<Vec<_>>(), statuses);
    }
    deregister(&lobby, "web-2").await.unwrap();
    let lobby = kill_and_restart(lobby, &folder).await;
    assert_eq!(shown(&lobby.reader().snapshot()), [("web-1".to_owned(), Status::Critical)]);
}
