//! What is refused, by its kind, and that nothing has changed then.

use lobby_core::{
    check::{kind::Http, state::NotTtlError},
    local::SetError,
    port::registry::{Answer, CHECKS, May, NODE_MAINTENANCE, SERF_HEALTH, Source},
};
use tokio::sync::{
    mpsc,
    oneshot::{self, error::TryRecvError},
};

use super::*;
use crate::registry::{
    flight::JOBS,
    job::{Cause, Job, Tell, What},
    journal::VALUE_BYTES,
    restore::Start,
};

#[tokio::test]
async fn ids_that_are_given_by_lobbyd_are_refused() {
    let lobby = agent().await;
    for name in [SERF_HEALTH, NODE_MAINTENANCE, "_service_maintenance:web"] {
        let reserved = Err(RegistryError::Reserved(id(name)));
        assert_eq!(set_check(&lobby, check(name, None, ttl(1))).await, reserved);
        assert_eq!(register(&lobby, registration("web-1", vec![check(name, None, ttl(1))])).await, reserved);
    }
    assert!(lobby.registry().view().instances.is_empty());
    register(&lobby, registration("consul", Vec::new())).await.expect("only ids of checks are reserved");
    assert_eq!(lobby.registry_stats().refused, 6);
}

#[tokio::test]
async fn unknown_ids_are_refused() {
    let lobby = agent().await;
    let unknown = || Err(RegistryError::UnknownInstance("web-1".into()));
    assert_eq!(deregister(&lobby, "web-1").await, unknown());
    assert_eq!(set_check(&lobby, check("c", Some("web-1"), ttl(1))).await, unknown());
    assert_eq!(maintain(&lobby, Target::Instance(id("web-1")), None).await, unknown());
    assert_eq!(drain(&lobby, Target::Instance(id("web-1")), true).await, unknown());
    assert_eq!(beat(&lobby, "c", Status::Passing).await, Err(RegistryError::UnknownCheck("c".into())));
    let removed = lobby.registry().ask(|answer| RegistryCommand::RemoveCheck(id("c"), answer)).await;
    assert_eq!(removed, Err(RegistryError::UnknownCheck("c".into())));
}

#[tokio::test]
async fn only_a_check_with_a_ttl_takes_reports() {
    let lobby = agent().await;
    let alias = Draft { kinds: vec![Kind::Alias { service: Some("web".into()), node: None }], ..Draft::default() };
    set_check(&lobby, check("c", None, alias)).await.unwrap();
    assert_eq!(beat(&lobby, "c", Status::Passing).await, Err(RegistryError::NotTtl(NotTtlError("alias"))));
}

#[tokio::test]
async fn what_labels_make_is_taken_away_by_nobody_but_them() {
    let labels = ["service:web:port:80", "service:web:tag:x"].map(|label| label.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let lobby = builder().labels(labels.clone()).store(Store::open(folder.path()).unwrap()).start().await.unwrap();
    let from_label = || Err(RegistryError::FromLabel { id: id("web:80"), label: labels[0].clone() });
    assert_eq!(deregister(&lobby, "web:80").await, from_label());
    assert_eq!(maintain(&lobby, Target::Instance(id("web:80")), Some("x")).await, from_label());
    assert_eq!(drain(&lobby, Target::Instance(id("web:80")), true).await, from_label());
    let no_checks = Err(RegistryError::LabelTakesNoChecks { id: id("web:80"), label: labels[0].clone() });
    assert_eq!(set_check(&lobby, check("c", Some("web:80"), ttl(1))).await, no_checks);
    // Who registers one of this id is told of instead, and may take that away.
    let mut over = registration("web:80", Vec::new());
    over.instance.port = 81;
    register(&lobby, over).await.unwrap();
    let port = |lobby: &Lobby| {
        lobby.reader().snapshot().service("web").unwrap().instances.values().map(|view| view.instance.port).collect::<Vec<_>>()
    };
    assert_eq!(port(&lobby), [81]);
    deregister(&lobby, "web:80").await.unwrap();
    assert_eq!(port(&lobby), [80]);
}

#[tokio::test]
async fn commands_in_checks_must_be_allowed() {
    let script = || Draft {
        kinds: vec![Kind::Script { args: vec!["true".into()] }],
        interval: Duration::from_millis(10),
        failures_before_critical: 3,
        ..Draft::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    assert_eq!(set_check(&lobby, check("c", None, script())).await, Err(RegistryError::ScriptsDisabled));
    kill(lobby).await;
    let store = Store::open(folder.path()).unwrap();
    let lobby = builder().store(store).script_checks(true).start().await.unwrap();
    register(&lobby, registration("web-1", vec![check("c", None, script())])).await.unwrap();
    until(&lobby, |snapshot| shown(snapshot) == [("web-1".to_owned(), Status::Passing)]).await;
    // Switched off, it neither runs nor passes any more.
    let lobby = kill_and_restart(lobby, &folder).await;
    assert_eq!((status(&lobby, "web-1"), lobby.registry_stats().runs), (Some(Status::Critical), 0));
}

#[tokio::test]
async fn there_are_bounds() {
    let lobby = agent().await;
    let checks = |count: usize| (0..count).map(|n| check(&format!("c{n}"), None, ttl(10))).collect();
    register(&lobby, registration("web-1", checks(CHECKS))).await.unwrap();
    let err = register(&lobby, registration("web-2", checks(CHECKS + 1))).await.unwrap_err();
    assert!(matches!(err, RegistryError::TooMany { most: CHECKS, .. }), "{err}");
    let mut bad = registration("web-2", Vec::new());
    bad.instance.address = "0.0.0.0".into();
    let err = register(&lobby, bad).await.unwrap_err();
    assert!(matches!(err, RegistryError::Set(SetError::Invalid(_))), "{err}");
    // Its maintenance check would have an id that is too long.
    let long = "x".repeat(250);
    register(&lobby, registration(&long, Vec::new())).await.unwrap();
    let err = maintain(&lobby, Target::Instance(id(&long)), Some("x")).await.unwrap_err();
    assert!(matches!(err, RegistryError::Set(SetError::Invalid(_))), "{err}");
}

#[tokio::test]
async fn what_is_too_large_for_the_disk_is_the_callers_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    let http = |n: usize| {
        let http = Http { url: "http://127.0.0.1:1/".into(), method: "PUT".into(), body: "x".repeat(30_000), ..Http::default() };
        let draft = Draft { kinds: vec![Kind::Http(http)], interval: 1000 * SECOND, ..Draft::default() };
        check(&format!("c{n}"), None, draft)
    };
    let err = register(&lobby, registration("web-1", (0..9).map(http).collect())).await.unwrap_err();
    assert_eq!(err, RegistryError::TooMany { what: "bytes of one registration", most: VALUE_BYTES });
    assert!(lobby.registry().view().instances.is_empty());
    register(&lobby, registration("web-1", (0..8).map(http).collect())).await.unwrap();
}

#[tokio::test]
async fn the_right_to_change_is_judged_when_a_command_is_planned() {
    let lobby = agent().await;
    let handle = lobby.registry();
    let guarded = async |command: &dyn Fn(Answer<()>) -> RegistryCommand| {
        let may = May::new(|service| service == Some("web"));
        handle.ask(|answer| RegistryCommand::Guarded(may, Box::new(command(answer)))).await
    };
    let new = |name: &str, service: &str, checks| {
        let instance = Instance { service: id(service), ..instance(name) };
        Box::new(Registration { instance, checks, replace_checks: false })
    };
    let put = |new: &Registration, answer| RegistryCommand::Register(Box::new(new.clone()), answer);
    set_check(&lobby, check("node", None, ttl(9))).await.unwrap();
    let ours = new("x", "web", vec![check("c", None, ttl(9))]);
    // Both were sent when there was none of this id; the one of the other token came first.
    let theirs = new("x", "db", vec![check("c", None, ttl(9))]);
    let put_ours = |answer| put(&ours, answer);
    let (first, second) = tokio::join!(register(&lobby, *theirs), guarded(&put_ours));
    assert_eq!((first, second), (Ok(()), Err(RegistryError::Changed(id("x")))));
    let taking = new("y", "web", vec![check("c", None, ttl(9))]);
    assert_eq!(guarded(&|answer| put(&taking, answer)).await, Err(RegistryError::Changed(id("c"))));
    assert_eq!(guarded(&|answer| RegistryCommand::Deregister(id("x"), answer)).await, Err(RegistryError::Changed(id("x"))));
    for name in ["c", "node"] {
        let gone = guarded(&|answer| RegistryCommand::RemoveCheck(id(name), answer)).await;
        assert_eq!(gone, Err(RegistryError::Changed(id(name))));
        let over = guarded(&|answer| RegistryCommand::SetCheck(Box::new(check(name, None, ttl(8))), answer)).await;
        assert_eq!(over, Err(RegistryError::Changed(id(name))));
    }
    assert_eq!(handle.view().instances[&id("x")].instance.service, id("db"));
    let own = new("y", "web", Vec::new());
    assert_eq!(guarded(&|answer| put(&own, answer)).await, Ok(()));
    assert_eq!(guarded(&|answer| RegistryCommand::Deregister(id("y"), answer)).await, Ok(()));
}

#[tokio::test]
async fn more_jobs_than_may_wait_are_refused() {
    let lobby = agent().await;
    let start = Start::open(&Store::temporary(), false, lobby.clock()).await.unwrap();
    // Nobody answers whether there is room.
    let (updates, _unread) = mpsc::channel(1);
    let (mut registry, ..) = start.finish(updates, lobby.reader());
    let mut take = |n: usize| {
        let (answer, answered) = oneshot::channel();
        let what = What::Register(Box::new(registration(&format!("web-{}", n % 7000), Vec::new())), Source::Api);
        registry.take(Job { what, may: None, tell: Tell::Done(answer) });
        answered
    };
    let mut taken: Vec<_> = (0..=JOBS).map(&mut take).collect();
    let last = taken.pop().unwrap().await.unwrap();
    assert!(matches!(last, Err(RegistryError::TooMany { most: JOBS, .. })), "{last:?}");
    assert!(taken.iter_mut().all(|answered| answered.try_recv() == Err(TryRecvError::Empty)), "all others wait");
    // What nobody asked for, such as the end of a process, is never lost.
    registry.take(Job::own(What::Deregister(id("web-1"), Cause::Closed(1))));
    assert_eq!(registry.flights.len(), JOBS + 1);
}

#[tokio::test]
async fn an_agent_that_stops_refuses() {
    let lobby = agent().await;
    let handle = lobby.registry();
    lobby.leave().await;
    let refused = handle.ask(|answer| RegistryCommand::Deregister(id("web-1"), answer)).await;
    assert_eq!(refused, Err(RegistryError::Stopping));
}
