//! Jobs under way, taken and landed by hand: their order, what is no longer so when they begin, and what a disk that refuses
//! leaves of them.

use std::collections::BTreeSet;

use lobby_core::{
    local::{RecordChange, SetError},
    port::registry::Source,
};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::{
    node::Update,
    registry::{
        guard::Unsaved,
        job::{Cause, Job, Tell, What},
        journal::{Journal, KEY_BYTES, Limits, VALUE_BYTES},
        plan::Facts,
        process,
        restore::Start,
        task::Registry,
    },
};

/// A registry without its loop, with a journal, and with nobody who gives room but the test.
struct Driven {
    registry: Registry,
    updates: mpsc::Receiver<Update>,
    journal: Journal,
    _folder: TempDir,
}

type Answered = oneshot::Receiver<Result<(), RegistryError>>;

impl Driven {
    async fn new(lobby: &Lobby, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("registry"), limits).unwrap().journal;
        let mut start = Start::open(&Store::temporary(), false, lobby.clock()).await.unwrap();
        start.journal = Some(journal.clone());
        let (sender, updates) = mpsc::channel(8);
        let (registry, ..) = start.finish(sender, lobby.reader());
        Self { registry, updates, journal, _folder: folder }
    }

    fn take(&mut self, what: What) -> Answered {
        let (answer, answered) = oneshot::channel();
        self.registry.take(Job { what, may: None, tell: Tell::Done(answer) });
        answered
    }

    fn register(&mut self, registration: Registration) -> Answered {
        self.take(What::Register(Box::new(registration), Source::Api))
    }

    fn set_check(&mut self, name: &str, instance: &str) -> Answered {
        self.take(What::SetCheck(Box::new(check(name, Some(instance), ttl(1000))), Source::Api))
    }

    /// Gives room to the next one that asks for it, and says for what.
    async fn give_room(&mut self) -> Vec<RecordChange> {
        let Some(Update::Reserve(changes, answer)) = self.updates.recv().await else { panic!("no room is asked for") };
        answer.send(Ok::<_, SetError>(())).unwrap();
        changes
    }

    /// Takes what comes from the disk next, and begins what waited for it.
    async fn land(&mut self) {
        let landed = self.registry.flights.next().await.expect("something is under way");
        self.registry.land(landed);
        self.registry.retake();
    }

    async fn registered(&mut self, registration: Registration) {
        let answered = self.register(registration);
        self.give_room().await;
        self.land().await;
        drop(answered);
    }
}

#[tokio::test]
async fn a_job_overtakes_none_that_waits_for_the_same() {
    let lobby = agent().await;
    let mut driven = Driven::new(&lobby, Limits::DEFAULT).await;
    for name in ["web-1", "web-2"] {
        driven.registered(registration(name, Vec::new())).await;
    }
    let mut again = registration("web-1", Vec::new());
    again.instance.port = 81;
    // The second waits for the first, and the third for the second only.
    let _answers = [driven.register(again), driven.set_check("c", "web-1"), driven.set_check("c", "web-2")];
    // What has nothing to do with them comes and goes meanwhile.
    let _drained = driven.take(What::Drain(Target::Node, true));
    driven.land().await;
    assert!(driven.registry.state.view.is_draining);
    for want in ["web-1", "c", "c"] {
        let changes = driven.give_room().await;
        let ids: BTreeSet<_> = changes.iter().filter_map(RecordChange::id).collect();
        assert_eq!(ids, BTreeSet::from([&id(want)]));
        driven.land().await;
    }
    assert_eq!(driven.registry.state.guards[&id("c")].definition.instance, Some(id("web-2")), "as was asked last");
    assert_eq!(driven.registry.flights.len(), 0);
}

#[tokio::test]
async fn what_is_refused_half_way_is_taken_back_and_so_is_its_room() {
    let lobby = agent().await;
    let draining =
        || Registration { instance: Instance { drain: true, ..instance("web-1") }, ..registration("web-1", Vec::new()) };
    let mut enough = Driven::new(&lobby, Limits::DEFAULT).await;
    enough.registered(draining()).await;
    let (n_entries, bytes) = (enough.journal.stats().entries, enough.journal.stats().live_bytes);
    assert_eq!(n_entries, 2, "the instance, and that it drains");
    let mut driven = Driven::new(&lobby, Limits { live_bytes: bytes - 1, ..Limits::DEFAULT }).await;
    let answered = driven.register(draining());
    let room = driven.give_room().await;
    driven.land().await;
    let refused = answered.await.unwrap().unwrap_err();
    assert!(matches!(refused, RegistryError::TooMany { what: "bytes of all registrations", .. }), "{refused}");
    assert_eq!((driven.journal.stats().entries, driven.journal.stats().refused), (0, 1), "the other is taken back");
    let released = driven.updates.try_recv();
    assert!(matches!(&released, Ok(Update::Release(changes)) if *changes == room), "it gives its room back");
    assert!(driven.registry.state.view.instances.is_empty());
}

#[tokio::test]
async fn what_a_check_says_is_not_written_after_its_end() {
    let lobby = agent().await;
    let mut driven = Driven::new(&lobby, Limits::DEFAULT).await;
    driven.registered(registration("web-1", vec![check("c", None, ttl(1000))])).await;
    let now = lobby.clock().moment();
    driven.registry.state.beat(&id("c"), Status::Passing, "", now).unwrap();
    driven.registry.save(Unsaved::Remains, now);
    driven.land().await;
    assert_eq!(driven.journal.stats().entries, 2);
    let answered = driven.take(What::Deregister(id("web-1"), Cause::Asked));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    // The entries of its end are on their way.
    driven.registry.save(Unsaved::Remains, now);
    while let Some(landed) = driven.registry.flights.next().await {
        driven.registry.land(landed);
    }
    drop(answered);
    assert_eq!(driven.journal.stats().entries, 0);
}

#[tokio::test]
async fn a_status_that_finds_the_queue_full_is_written_soon() {
    let lobby = agent().await;
    // Room for one entry, the longest.
    let mut driven = Driven::new(&lobby, Limits { queue_bytes: 0, ..Limits::DEFAULT }).await;
    driven.registered(registration("web-1", vec![check("c", None, ttl(1000))])).await;
    let longest = (bytes::Bytes::from(vec![b'k'; KEY_BYTES]), bytes::Bytes::from(vec![b'v'; VALUE_BYTES]));
    let now = lobby.clock().moment();
    // It is written by another thread, which may be faster than we are.
    for _ in 0..100 {
        let pending = loop {
            match driven.journal.submit(longest.0.clone(), Some(longest.1.clone())) {
                Ok(pending) => break pending,
                // What was written before gives its room back in a moment.
                Err(_) => tokio::task::yield_now().await,
            }
        };
        driven.registry.state.save_later(&id("c"));
        driven.registry.save(Unsaved::Status, now);
        if driven.registry.state.is_status_unsaved {
            return;
        }
        pending.await.unwrap();
    }
    panic!("the queue is never full");
}

#[tokio::test]
async fn what_is_no_longer_so_takes_nothing_away() {
    let lobby = agent().await;
    let mut driven = Driven::new(&lobby, Limits::DEFAULT).await;
    let deadly = Draft { deregister_after: 60 * SECOND, ..ttl(1000) };
    driven.registered(registration("web-1", vec![check("c", None, deadly)])).await;
    let (answer, _held) = oneshot::channel();
    let held = What::Register(Box::new(registration("held", Vec::new())), Source::Hold);
    driven.registry.take(Job { what: held, may: None, tell: Tell::Held(answer) });
    driven.give_room().await;
    driven.land().await;
    let hold = driven.registry.state.holds[&id("held")].0;
    let mut late = vec![
        What::Deregister(id("web-1"), Cause::Critical(id("c"))),
        What::Deregister(id("held"), Cause::Closed(hold + 1)),
        What::Deregister(id("web-1"), Cause::File("a.toml".into())),
        What::RemoveCheck(id("c"), Cause::File("a.toml".into())),
    ];
    let pid = std::process::id();
    if process::open(pid).is_ok() {
        let kind = Draft { kinds: vec![Kind::Process { pid }], ..Draft::default() };
        driven.registered(registration("bound", vec![check("p", None, kind)])).await;
        let watch = driven.registry.state.guards[&id("p")].watch.as_ref().unwrap().0;
        late.push(What::Deregister(id("bound"), Cause::Exited(id("p"), watch + 1)));
    }
    let n_instances = driven.registry.state.view.instances.len();
    for what in late {
        driven.registry.take(Job::own(what.clone()));
        let view = &driven.registry.state.view;
        assert_eq!((driven.registry.flights.len(), view.instances.len()), (0, n_instances), "{what:?}");
        assert!(view.checks.contains_key(&id("c")), "{what:?}");
    }
    driven.registry.take(Job::own(What::Deregister(id("held"), Cause::Closed(hold))));
    assert!(!driven.registry.state.view.instances.contains_key(&id("held")), "at once: it has nothing on disk");
}

#[tokio::test]
async fn a_check_that_is_another_now_watches_no_process() {
    let pid = std::process::id();
    if process::open(pid).is_err() {
        return;
    }
    let lobby = agent().await;
    let mut driven = Driven::new(&lobby, Limits::DEFAULT).await;
    let kind = Draft { kinds: vec![Kind::Process { pid }], ..Draft::default() };
    driven.registered(registration("web-1", vec![check("c", None, kind)])).await;
    assert!(driven.registry.state.guards[&id("c")].watch.is_some());
    driven.registered(registration("web-1", vec![check("c", None, ttl(1000))])).await;
    assert!(driven.registry.state.guards[&id("c")].watch.is_none());
}

#[tokio::test]
async fn a_proxy_that_a_file_made_stays_when_somebody_takes_its_service_away() {
    let lobby = agent().await;
    let mut driven = Driven::new(&lobby, Limits::DEFAULT).await;
    driven.registered(registration("web-1", Vec::new())).await;
    let proxy = Instance {
        kind: "connect-proxy".into(),
        proxy: r#"{"DestinationServiceID":"web-1"}"#.into(),
        ..instance("web-1-sidecar-proxy")
    };
    let of_file = || Registration { instance: proxy.clone(), checks: vec![check("c", None, ttl(1000))], replace_checks: false };
    driven.registry.take(Job::own(What::Register(Box::new(of_file()), Source::File("a.toml".into()))));
    driven.give_room().await;
    driven.land().await;
    // The file read again is no sign of life; a hold takes room each time.
    let (snapshot, now) = (lobby.reader().snapshot(), lobby.clock().moment());
    let facts = Facts { own: &snapshot.local.record, now };
    let plan = |source| driven.registry.state.plan(What::Register(Box::new(of_file()), source), &facts).unwrap();
    assert!(plan(Source::File("a.toml".into())).steps.is_empty());
    assert!(!plan(Source::Hold).reserve.is_empty());
    let answered = driven.take(What::Deregister(id("web-1"), Cause::Asked));
    driven.land().await;
    drop(answered);
    let left: Vec<_> = driven.registry.state.view.instances.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["web-1-sidecar-proxy"]);
}
