//! What a program is told about others: once when they come, once when they go, in order, and never about itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use lobby::{
    Builder, JoinError, Lobby, Member, MemberEvent, MembershipHandler,
    core::{catalog::NodeState, port::gossip::GossipError},
    memory::Hub,
    store::Store,
};
use lobby_testkit::{eventually_async, expect};
use tokio::time::timeout;

use crate::saved::until;

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Writes down what it is told.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, what: &str, name: &str, tags: &BTreeMap<String, String>) {
        let tags: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.0.lock().unwrap().push(format!("{what} {name} {}", tags.join(" ")).trim_end().to_owned());
    }

    pub(crate) async fn read(&self, want: &[&str]) {
        self.eventually(want, |notes| notes == want).await;
    }

    /// Who is there already comes in the order of ids, which are random.
    async fn in_any_order(&self, want: &[&str]) {
        let sorted = |notes: &[String]| {
            let mut notes = notes.to_vec();
            notes.sort();
            notes
        };
        self.eventually(want, |notes| sorted(notes) == want).await;
    }

    async fn eventually(&self, want: &[&str], holds: impl Fn(&[String]) -> bool) {
        let look = || {
            let notes = self.0.lock().unwrap();
            std::future::ready(expect(holds(&notes), format!("wanted {want:?}, got {notes:?}")))
        };
        eventually_async(SOON, look).await;
    }
}

impl MembershipHandler for Notes {
    fn member_join(&self, name: &str, tags: &BTreeMap<String, String>) {
        self.add("join", name, tags);
    }

    fn member_leave(&self, name: &str, tags: &BTreeMap<String, String>) {
        self.add("leave", name, tags);
    }
}

pub(crate) fn agent(hub: &Hub, name: &str) -> Builder {
    Lobby::builder().name(name.parse().unwrap()).memory(hub.join())
}

async fn next(events: &mut lobby::MemberEvents) -> MemberEvent {
    timeout(SOON, events.next()).await.expect("an event is due").expect("the agent runs")
}

/// One word for what happened to whom.
fn word(event: &MemberEvent) -> String {
    let (what, member) = match event {
        MemberEvent::Join(member) => ("join", member),
        MemberEvent::Restarted(member) => ("restarted", member),
        MemberEvent::Update { now, .. } => ("update", now),
        MemberEvent::Leave(member) => ("leave", member),
        MemberEvent::Failed(member) => ("failed", member),
        MemberEvent::Reap(member) => ("reap", member),
    };
    format!("{what} {}", member.name)
}

#[tokio::test]
async fn others_join_once_and_leave_once_with_their_last_tags_whether_they_leave_or_die() {
    let (hub, notes) = (Hub::new(), Notes::default());
    let watcher = agent(&hub, "watcher").tags([("role", "watch")]).membership(notes.clone()).start().await.unwrap();
    let a = agent(&hub, "a").tags([("role", "web"), ("zone", "eu")]).start().await.unwrap();
    notes.read(&["join a role=web zone=eu"]).await;
    let b = agent(&hub, "b").tags([("service", "web"), ("service", "db")]).start().await.unwrap();
    notes.read(&["join a role=web zone=eu", "join b service=db,web"]).await;
    a.commands().add_labels(vec!["zone:us".parse().unwrap(), "plain".parse().unwrap()]).await.unwrap();
    // Who leaves next is told after the change, so the change was not told.
    b.leave().await;
    notes.read(&["join a role=web zone=eu", "join b service=db,web", "leave b service=db,web"]).await;
    drop(a);
    let last = "leave a plain= role=web zone=eu,us";
    notes.read(&["join a role=web zone=eu", "join b service=db,web", "leave b service=db,web", last]).await;
    watcher.leave().await;
    assert_eq!(notes.0.lock().unwrap().len(), 4, "our own leave is nobody's");
}

#[tokio::test]
async fn who_comes_late_is_told_who_is_there_and_the_first_alone_is_told_nothing() {
    let (hub, notes) = (Hub::new(), Notes::default());
    let alone = Notes::default();
    let a = agent(&hub, "a").membership(alone.clone()).start().await.unwrap();
    let b = agent(&hub, "b").start().await.unwrap();
    alone.read(&["join b"]).await;
    let late = agent(&hub, "c").membership(notes.clone()).start().await.unwrap();
    alone.read(&["join b", "join c"]).await;
    notes.in_any_order(&["join a", "join b"]).await;
    drop((a, b, late));
}

#[tokio::test]
async fn who_is_killed_and_comes_back_without_its_identity_joins_again_and_its_old_life_does_not_leave() {
    let (hub, notes) = (Hub::new(), Notes::default());
    let watcher = agent(&hub, "watcher").membership(notes.clone()).start().await.unwrap();
    let start = async |life: &str| agent(&hub, "a").tags([("life", life)]).start().await.unwrap();
    let first = start("1").await;
    notes.read(&["join a life=1"]).await;
    let second = start("2").await;
    notes.read(&["join a life=1", "join a life=2"]).await;
    let old = first.id();
    drop(first);
    until(&watcher, |snapshot| snapshot.node(old).is_none_or(|node| node.state == NodeState::Failed)).await;
    second.leave().await;
    notes.read(&["join a life=1", "join a life=2", "leave a life=2"]).await;
}

#[tokio::test]
async fn when_the_younger_life_ends_first_the_name_leaves_with_the_older_and_the_younger_s_tags() {
    let (hub, notes) = (Hub::new(), Notes::default());
    let watcher = agent(&hub, "watcher").membership(notes.clone()).start().await.unwrap();
    let start = async |life: &str| agent(&hub, "a").tags([("life", life)]).start().await.unwrap();
    let first = start("1").await;
    notes.read(&["join a life=1"]).await;
    let second = start("2").await;
    notes.read(&["join a life=1", "join a life=2"]).await;
    second.leave().await;
    first.leave().await;
    notes.read(&["join a life=1", "join a life=2", "leave a life=2"]).await;
    watcher.leave().await;
}

#[tokio::test]
async fn the_richer_events_tell_changes_restarts_and_the_two_ways_to_go_apart() {
    let hub = Hub::new();
    let folder = tempfile::tempdir().unwrap();
    let watcher = agent(&hub, "watcher").start().await.unwrap();
    let mut events = watcher.member_events();
    let start = async || {
        let store = Store::open(folder.path()).unwrap();
        agent(&hub, "a").store(store).tags([("role", "web")]).start().await.unwrap()
    };
    let a = start().await;
    let MemberEvent::Join(first) = next(&mut events).await else { panic!("a joins") };
    assert_eq!((first.name.as_str(), first.id, first.own), ("a", Some(a.id()), false));
    let revision = watcher.reader().snapshot().revision;

    a.restart().await;
    until(&watcher, |snapshot| snapshot.node(first.id.unwrap()).unwrap().state == NodeState::Restarting).await;
    let a = start().await;
    let MemberEvent::Restarted(again) = next(&mut events).await else { panic!("a restarted") };
    assert!(again.id == first.id && again.generation > first.generation && again.tags == first.tags);
    assert_eq!(watcher.reader().snapshot().revision, revision, "to lists it is no change");

    a.commands().add_labels(vec!["zone:eu".parse().unwrap()]).await.unwrap();
    let MemberEvent::Update { before, now } = next(&mut events).await else { panic!("a changes") };
    assert_eq!((before.tags.len(), now.tags.len()), (1, 2));
    drop(a);
    assert_eq!(word(&next(&mut events).await), "failed a");
    let a = start().await;
    assert_eq!(word(&next(&mut events).await), "join a");
    a.leave().await;
    assert_eq!(word(&next(&mut events).await), "leave a");
    watcher.leave().await;
    assert!(timeout(SOON, events.next()).await.unwrap().is_none(), "the stream ends with the agent");
}

#[tokio::test]
async fn a_restart_is_nothing_to_the_simple_handler_and_one_that_does_not_end_is_a_leave() {
    let (hub, notes) = (Hub::new(), Notes::default());
    let folder = tempfile::tempdir().unwrap();
    let grace = Duration::from_millis(300);
    let watcher = agent(&hub, "watcher").agent_grace(grace).membership(notes.clone()).start().await.unwrap();
    let patient = agent(&hub, "patient").start().await.unwrap();
    let start = async || agent(&hub, "a").store(Store::open(folder.path()).unwrap()).start().await.unwrap();
    notes.read(&["join patient"]).await;
    start().await.restart().await;
    let a = start().await;
    notes.read(&["join patient", "join a"]).await;
    let id = a.id();
    a.restart().await;
    notes.read(&["join patient", "join a", "leave a"]).await;
    assert_eq!(watcher.reader().snapshot().node(id).unwrap().state, NodeState::Failed);
    assert_eq!(patient.reader().snapshot().node(id).unwrap().state, NodeState::Restarting, "ten seconds are not over");
}

#[tokio::test]
async fn members_are_everybody_ourselves_too_listed_or_not() {
    let hub = Hub::new();
    let a = agent(&hub, "a").tags([("role", "web")]).start().await.unwrap();
    let hidden = agent(&hub, "hidden").listed(false).tags([("x", "1")]).start().await.unwrap();
    let mut reader = hidden.reader();
    timeout(SOON, async { while reader.changed().await.unwrap().nodes.is_empty() {} }).await.unwrap();
    let show = |member: &Member| (member.name.clone(), member.state, member.own, member.tags.len());
    let members: Vec<_> = hidden.members().iter().map(show).collect();
    assert_eq!(members, [("a".into(), NodeState::Alive, false, 1), ("hidden".into(), NodeState::Alive, true, 1)]);
    assert_eq!(hidden.members()[0].id, Some(a.id()));
    let own: Vec<_> = a.members().iter().map(show).collect();
    assert_eq!(own, [("a".into(), NodeState::Alive, true, 1)], "who is not listed is nobody's member");
}

#[tokio::test]
async fn a_join_without_gossip_is_refused_and_one_of_nobody_is_no_error() {
    let alone = Lobby::builder().name("alone".parse().unwrap()).start().await.unwrap();
    assert!(matches!(alone.join(["192.0.2.1:1314"]).await, Err(JoinError::Gossip(GossipError::NoGossip))));
    assert_eq!(alone.join(Vec::<String>::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_tag_that_makes_no_label_is_named_at_the_start() {
    let started = Lobby::builder().name("a".parse().unwrap()).tags([("role", "a\tb")]).start().await;
    assert!(matches!(started.err(), Some(lobby::StartError::Tag { tag, .. }) if tag == "role:a\tb"));
}

#[cfg(feature = "gossip")]
mod gossip {
    use lobby::{StartError, gossip::Key};

    use super::*;

    #[tokio::test]
    async fn a_bad_address_or_one_that_is_open_to_all_fails_at_the_start() {
        let start = async |addr: &str| Lobby::builder().name("a".parse().unwrap()).bind(addr).start().await.err();
        for addr in ["", "nowhere", "127.0.0.1", "localhost:1"] {
            assert!(matches!(start(addr).await, Some(StartError::BindAddress(text)) if text == addr), "{addr}");
        }
        for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            assert!(matches!(start(addr).await, Some(StartError::Insecure(_))), "{addr}");
        }
        // An address that is not ours, with a key.
        let builder = Lobby::builder().name("a".parse().unwrap()).bind("192.0.2.1:0").key(Key::from_bytes([1; 32]));
        assert!(matches!(builder.start().await.err(), Some(StartError::Exchange(_))));
    }

    #[tokio::test]
    async fn a_start_without_seeds_is_no_error_nor_is_an_open_address_that_was_allowed() {
        for (addr, insecure) in [("127.0.0.1:0", false), ("0.0.0.0:0", true)] {
            let builder = Lobby::builder().name("a".parse().unwrap()).bind(addr).insecure(insecure);
            let agent = builder.seeds(Vec::<String>::new()).start().await.unwrap();
            assert!(agent.reader().snapshot().nodes.len() == 1 && agent.exchanges()[0].address.is_some());
            agent.leave().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn over_gossip_it_is_the_same() {
        let notes = Notes::default();
        let start = async |name: &str, seeds: Vec<String>| {
            let builder = Lobby::builder().name(name.parse().unwrap()).tags([("role", name)]).bind("127.0.0.1:0");
            builder.seeds(seeds).membership(notes.clone()).start().await.unwrap()
        };
        let a = start("a", Vec::new()).await;
        let addr = a.exchanges()[0].address.unwrap().to_string();
        let quiet = Lobby::builder().name("b".parse().unwrap()).tags([("role", "b")]).bind("127.0.0.1:0").seeds([addr]);
        let b = quiet.start().await.unwrap();
        notes.read(&["join b role=b"]).await;
        // That a knows b does not say that b knows a by now.
        until(&b, |snapshot| snapshot.hosts.len() == 2).await;
        assert_eq!(b.members().len(), 2);
        b.leave().await;
        notes.read(&["join b role=b", "leave b role=b"]).await;
        assert_eq!(a.members().len(), 1, "left, not failed");
        a.leave().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_join_counts_whom_it_reached_and_goes_on_when_it_reached_nobody() {
        let start = async |name: &str| Lobby::builder().name(name.parse().unwrap()).bind("127.0.0.1:0").start().await.unwrap();
        let (a, b) = (start("a").await, start("b").await);
        let addr = a.exchanges()[0].address.unwrap().to_string();
        // A port where nobody listens any more.
        let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = stranger.local_addr().unwrap().to_string();
        drop(stranger);
        assert!(matches!(b.join([closed.as_str()]).await, Err(JoinError::Nobody(failed)) if failed.len() == 1));
        assert_eq!(b.members().len(), 1);
        assert_eq!(b.join([closed, addr]).await.unwrap(), 1);
        until(&b, |snapshot| snapshot.hosts.len() == 2).await;
        until(&a, |snapshot| snapshot.hosts.len() == 2).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn gossip_keeps_its_files_in_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let a = Lobby::builder().name("a".parse().unwrap()).bind("127.0.0.1:0").start().await.unwrap();
        let addr = a.exchanges()[0].address.unwrap().to_string();
        let start = async |seeds: Vec<String>| {
            let builder = Lobby::builder().name("b".parse().unwrap()).bind("127.0.0.1:0").seeds(seeds);
            builder.store(Store::open(folder.path()).unwrap()).start().await.unwrap()
        };
        let b = start(vec![addr]).await;
        until(&b, |snapshot| snapshot.hosts.len() == 2).await;
        b.leave().await;
        // Without any seed it finds the fleet again.
        let b = start(Vec::new()).await;
        until(&b, |snapshot| snapshot.warm && snapshot.nodes.values().all(|node| node.state == NodeState::Alive)).await;
        until(&a, |snapshot| snapshot.hosts.len() == 2).await;
        assert_eq!(b.members().len(), 2);
    }
}
