//! What every exchange must do, as plain functions over a [`Backend`], and the macros that make them tests.

use std::time::Duration;

use lobby_core::{
    catalog::{Liveness, NodeState, Snapshot},
    instance::Instance,
    stats::{PacketKind, Verdict},
};
use lobby_exchange::Exchange;
use lobby_testkit::{eventually_async, expect, holds_async};

pub(crate) use crate::forged::forged_packets_change_nothing;
use crate::node::{Node, SOON, Watched};

/// KEEP_ALIVE of every node in this suite.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_millis(300);

/// TTL of every node in this suite: long against the hiccups of a busy machine.
pub(crate) const TTL: Duration = Duration::from_secs(3);

/// One way for records to travel, with everything it needs running.
pub(crate) trait Backend {
    /// An exchange for one more node.
    fn exchange(&self) -> impl Exchange;

    /// How this exchange tells that a node is alive.
    fn liveness(&self) -> Liveness {
        Liveness::Ttl(TTL)
    }

    /// Breaks every link, as a dying broker does.
    fn take_down(&mut self);

    /// Undoes it, at the same place.
    fn bring_back(&mut self);

    fn node(&self, name: &str) -> Node {
        Node::start(self.exchange(), self.liveness(), name)
    }
}

/// An exchange that carries bytes, so that others may put theirs in.
pub(crate) trait Wire: Backend {
    /// Puts bytes where records of peers come from.
    async fn inject(&self, bytes: &[u8]);
}

pub(crate) async fn late_joiner_sees_all(backend: impl Backend) {
    let (a, b) = (backend.node("a"), backend.node("b"));
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    let late = backend.node("late");
    late.sees(&["a", "b", "late"]).await;
    late.is_warm().await;
    assert_eq!(late.hosts(), ["a of:a", "b of:b", "late of:late"]);
    a.sees(&["a", "b", "late"]).await;
}

pub(crate) async fn changes_arrive_at_once(backend: impl Backend) {
    let (mut a, b) = (backend.node("a"), backend.node("b"));
    b.sees(&["a", "b"]).await;
    a.set_labels(["new:1".to_owned()]);
    eventually_async(SOON, || async { expect(b.hosts()[0] == "a new:1", b.hosts()) }).await;
    a.rename("z");
    b.sees(&["b", "z"]).await;
}

/// Every node knows the services and checks of every other, and no label is made of them on the way.
pub(crate) async fn services_travel(backend: impl Backend) {
    let (mut a, b) = (backend.node("a"), backend.node("b"));
    b.sees(&["a", "b"]).await;
    let web = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
    let own = a.register(&Instance { port: 80, tags: ["blue".into()].into(), ..web });
    let late = backend.node("late");
    for node in [&b, &late] {
        let heard = || node.snapshot().node(a.id).map(|node| node.record.clone());
        let same =
            || heard().is_some_and(|record| record.instances().count() == 1 && record.content_hash() == own.content_hash());
        eventually_async(SOON, || async { expect(same(), heard()) }).await;
        assert!(heard().is_some_and(|record| record.checks().count() == 1 && record.labels().count() == 1), "{:?}", heard());
    }
}

pub(crate) async fn goodbye_removes(backend: impl Backend) {
    let (a, b) = (backend.node("a"), backend.node("b"));
    a.sees(&["a", "b"]).await;
    let id = b.id;
    b.leave().await;
    a.sees(&["a"]).await;
    assert!(a.snapshot().node(id).is_none(), "who has left is forgotten");
}

pub(crate) async fn crash_expires(backend: impl Backend) {
    let (a, b) = (backend.node("a"), backend.node("b"));
    a.sees(&["a", "b"]).await;
    let id = b.id;
    b.crash();
    a.sees(&["a"]).await;
    assert!(a.snapshot().node(id).is_some_and(|node| !node.state.is_listed()), "who has failed is remembered");
}

pub(crate) async fn a_restarted_node_is_one_node(backend: impl Backend) {
    let (a, b) = (backend.node("a"), backend.node("b"));
    a.sees(&["a", "b"]).await;
    let secret = b.secret;
    b.stop().await;
    let b = Node::start_as(backend.exchange(), backend.liveness(), "b2", secret, true);
    a.sees(&["a", "b2"]).await;
    b.leave().await;
    a.sees(&["a"]).await;
}

pub(crate) async fn a_restart_within_the_grace_is_no_change(backend: impl Backend) {
    let (a, b) = (backend.node("a"), backend.node("b"));
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    a.is_warm().await;
    let (id, secret, watched, before) = (b.id, b.secret, Watched::new(&a), a.snapshot());
    let generation = |snapshot: &Snapshot| snapshot.node(id).map(|node| (node.state, node.record.stamp.generation));
    let known = generation(&before);
    b.restart().await;
    let state = || a.snapshot().node(id).map(|node| node.state);
    eventually_async(SOON, || async { expect(state() == Some(NodeState::Restarting), state()) }).await;
    let b = Node::start_as(backend.exchange(), backend.liveness(), "b", secret, true);
    let returned = || {
        let now = generation(&a.snapshot());
        expect(now > known && now.is_some_and(|(state, _)| state == NodeState::Alive), now)
    };
    eventually_async(SOON, || async { returned() }).await;
    b.sees(&["a", "b"]).await;
    assert_eq!(watched.states(), [["a", "b"]]);
    assert_eq!(a.snapshot().revision, before.revision, "nobody was woken");
}

pub(crate) async fn two_nodes_of_one_name_are_both_known(backend: impl Backend) {
    let (a, b, c) = (backend.node("same"), backend.node("same"), backend.node("c"));
    let count = || c.snapshot().nodes.values().filter(|node| node.record.name.as_str() == "same").count();
    eventually_async(SOON, || async { expect(count() == 2, c.names()) }).await;
    c.sees(&["c", "same"]).await;
    a.leave().await;
    eventually_async(SOON, || async { expect(count() == 1, c.names()) }).await;
    c.sees(&["c", "same"]).await;
    b.leave().await;
    c.sees(&["c"]).await;
}

pub(crate) async fn an_unlisted_node_sees_and_is_not_seen(backend: impl Backend) {
    let a = backend.node("a");
    let hidden = Node::start_as(backend.exchange(), backend.liveness(), "hidden", crate::node::random_secret(), false);
    hidden.sees(&["a"]).await;
    hidden.is_warm().await;
    let watched = Watched::new(&a);
    hidden.leave().await;
    let b = backend.node("b");
    a.sees(&["a", "b"]).await;
    drop(b);
    assert!(watched.states().iter().flatten().all(|name| name != "hidden"), "{:?}", watched.states());
}

pub(crate) async fn reconnect_resyncs(mut backend: impl Backend) {
    let (mut a, b) = (backend.node("a"), backend.node("b"));
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    backend.take_down();
    a.is_up(false).await;
    b.is_up(false).await;
    a.rename("a2");
    let c = backend.node("c");
    backend.bring_back();
    for node in [&a, &b, &c] {
        node.sees(&["a2", "b", "c"]).await;
    }
}

pub(crate) async fn a_down_link_loses_nothing(mut backend: impl Backend) {
    let nodes = ["a", "b", "c"].map(|name| backend.node(name));
    for node in &nodes {
        node.sees(&["a", "b", "c"]).await;
        node.is_warm().await;
    }
    let watched = nodes.each_ref().map(Watched::new);
    let steady = || async { expect(watched.iter().all(|watched| watched.states() == [["a", "b", "c"]]), watched[0].states()) };
    backend.take_down();
    for node in &nodes {
        node.is_up(false).await;
    }
    // Longer than the TTL: nothing expires while the link is down.
    holds_async(TTL + KEEP_ALIVE, steady).await;
    backend.bring_back();
    for node in &nodes {
        node.is_up(true).await;
    }
    // And longer than the TTL after its return: everybody was heard of again.
    holds_async(TTL + KEEP_ALIVE, steady).await;
}

pub(crate) async fn garbage_is_counted(backend: impl Wire) {
    let (a, b) = (backend.node("a"), backend.node("b"));
    a.sees(&["a", "b"]).await;
    a.is_up(true).await;
    let garbage =
        || a.stats.received_counts().filter(|(_, verdict, _)| *verdict == Verdict::Garbage).map(|(.., n)| n).sum::<u64>();
    assert_eq!(garbage(), 0);
    for bytes in [&b""[..], b"x", b"{}", b"\xff\xfe", br#"{"discovery":{"hostname":"a"},"message":"resync"}"#, &[b'['; 10_000]] {
        backend.inject(bytes).await;
    }
    eventually_async(SOON, || async { expect(garbage() == 6, garbage()) }).await;
    a.sees(&["a", "b"]).await;
    drop(b);
}

pub(crate) async fn what_is_too_large_is_not_sent(backend: impl Wire) {
    let (mut a, b) = (backend.node("a"), backend.node("b"));
    b.sees(&["a", "b"]).await;
    // As many bytes as a node may have, each of which takes two in JSON.
    a.set_labels((1..=1024).map(|length| "\"".repeat(length)));
    let refused = || a.stats.sent_counts().any(|(kind, verdict, _)| (kind, verdict) == (PacketKind::Hi, Verdict::Oversize));
    eventually_async(SOON, || async { expect(refused(), a.stats.sent_counts().collect::<Vec<_>>()) }).await;
    a.is_up(true).await;
    a.set_labels(["small:again".to_owned()]);
    eventually_async(SOON, || async { expect(b.hosts().first().is_some_and(|host| host == "a small:again"), b.names()) }).await;
}

/// Makes the tests that hold for every exchange.
macro_rules! contract {
    ($start:expr) => {
        crate::contract::tests!(
            $start,
            late_joiner_sees_all,
            changes_arrive_at_once,
            services_travel,
            goodbye_removes,
            crash_expires,
            a_restarted_node_is_one_node,
            a_restart_within_the_grace_is_no_change,
            two_nodes_of_one_name_are_both_known,
            an_unlisted_node_sees_and_is_not_seen,
            reconnect_resyncs,
            a_down_link_loses_nothing,
        );
    };
}

/// Makes the further tests that hold for every exchange that carries bytes.
macro_rules! wire_contract {
    ($start:expr) => {
        crate::contract::tests!($start, garbage_is_counted, what_is_too_large_is_not_sent, forged_packets_change_nothing,);
    };
}

macro_rules! tests {
    ($start:expr, $($name:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::contract::$name($start).await;
            }
        )*
    };
}

pub(crate) use {contract, tests, wire_contract};
