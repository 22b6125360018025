//! EXCHANGE_KEY under the whole contract, over a real NATS and a real Redis, and what strangers and recordings can do there.

use std::time::Duration;

use lobby_core::stats::{PacketKind, Verdict};
use lobby_exchange::{
    Exchange,
    backoff::Backoff,
    clock::Clock,
    nats::{self, Nats},
    redis::{self, Redis},
    seal::{Key, Keys},
};
use lobby_testkit::{
    eventually_async, expect, holds_async,
    server::{self, Server},
};
use tokio::sync::watch;

use crate::{
    contract::{self, Backend, KEEP_ALIVE},
    node::{Node, SOON},
};

/// How long after KEEP_ALIVE a broker waits for the slowest packet.
const SLACK: Duration = Duration::from_secs(1);

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(20), most: Duration::from_millis(200) };

struct OverNats(Server, watch::Sender<Keys>);
struct OverRedis(Server, watch::Sender<Keys>);

fn keys(numbers: &[u8]) -> Keys {
    Keys { list: numbers.iter().map(|number| Key::from_bytes([*number; 32])).collect(), takes_unsigned: false }
}

impl OverNats {
    fn start() -> Self {
        Self(server::nats::start(""), watch::Sender::new(keys(&[1])))
    }

    fn with(&self, keys: watch::Receiver<Keys>) -> Nats {
        let urls = vec![server::nats::url(&self.0)];
        let config = nats::Config { urls, keep_alive: KEEP_ALIVE, backoff: BACKOFF, keys, ..nats::Config::default() };
        Nats::try_new(config, Clock::start()).unwrap()
    }
}

impl OverRedis {
    fn start() -> Self {
        Self(server::redis::start(&[]), watch::Sender::new(keys(&[1])))
    }
}

impl Backend for OverNats {
    fn exchange(&self) -> impl Exchange {
        self.with(self.1.subscribe())
    }

    fn take_down(&mut self) {
        self.0.kill();
    }

    fn bring_back(&mut self) {
        self.0.restart();
    }
}

impl Backend for OverRedis {
    fn exchange(&self) -> impl Exchange {
        let (port, keys) = (self.0.address.port(), self.1.subscribe());
        let config = redis::Config { port, keep_alive: KEEP_ALIVE, backoff: BACKOFF, keys, ..redis::Config::default() };
        Redis::try_new(config, Clock::start()).unwrap()
    }

    fn take_down(&mut self) {
        self.0.kill();
    }

    fn bring_back(&mut self) {
        self.0.restart();
    }
}

mod over_nats {
    use super::*;
    contract::contract!(OverNats::start());
}

mod over_redis {
    use super::*;
    contract::contract!(OverRedis::start());
}

/// Everything that was said, as it can be recorded by whoever reaches the broker, with its subject.
async fn record(client: &async_nats::Client) -> async_nats::Subscriber {
    let recorder = client.subscribe("lobby.>").await.unwrap();
    client.flush().await.unwrap();
    recorder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_life_played_to_all_and_to_who_starts_later_changes_nothing() {
    use futures_util::{FutureExt, StreamExt};
    let broker = OverNats::start();
    let client = async_nats::connect(server::nats::url(&broker.0)).await.unwrap();
    let mut recorder = record(&client).await;
    let (a, b) = (broker.node("a"), broker.node("b"));
    a.sees(&["a", "b"]).await;
    b.sees(&["a", "b"]).await;
    let secret = b.secret;
    b.leave().await;
    a.sees(&["a"]).await;
    client.flush().await.unwrap();
    let mut recorded = Vec::new();
    while let Some(Some(message)) = recorder.next().now_or_never() {
        recorded.push(message);
    }
    assert!(recorded.iter().any(|message| message.payload.windows(7).any(|text| text == b"goodbye")));
    // b is back, and somebody else has just come.
    let b = Node::start_as(broker.exchange(), broker.liveness(), "b", secret, true);
    let late = broker.node("late");
    for node in [&a, &b, &late] {
        node.sees(&["a", "b", "late"]).await;
    }
    let newest = broker.node("newest");
    for node in [&a, &b, &late, &newest] {
        node.sees(&["a", "b", "late", "newest"]).await;
    }
    let before = a.snapshot().revision;
    for message in &recorded {
        client.publish(message.subject.clone(), message.payload.clone()).await.unwrap();
    }
    client.flush().await.unwrap();
    let replayed = || a.stats.received_count(PacketKind::Hi, Verdict::Replayed);
    eventually_async(SOON, || async { expect(replayed() > 0, replayed()) }).await;
    let all = || async { expect([&a, &b, &late].iter().all(|node| node.names() == ["a", "b", "late", "newest"]), a.names()) };
    eventually_async(SOON, all).await;
    holds_async(KEEP_ALIVE * 4, all).await;
    assert_eq!(a.snapshot().revision, before);

    // Nobody but those who live: a fleet that ended, played to one that knows nothing.
    for node in [a, b, late, newest] {
        node.stop().await;
    }
    let alone = broker.node("alone");
    alone.is_up(true).await;
    for message in &recorded {
        client.publish(message.subject.clone(), message.payload.clone()).await.unwrap();
    }
    client.flush().await.unwrap();
    let unproven = || alone.stats.received_count(PacketKind::Hi, Verdict::Unproven);
    eventually_async(SOON, || async { expect(unproven() > 0, unproven()) }).await;
    holds_async(KEEP_ALIVE * 2, || async { expect(alone.names() == ["alone"], alone.names()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_without_a_key_or_with_another_are_nobody_and_cannot_say_goodbye_for_us() {
    let broker = OverNats::start();
    let (a, b) = (broker.node("a"), broker.node("b"));
    a.sees(&["a", "b"]).await;
    let open = Node::start(broker.with(lobby_exchange::seal::fixed(Keys::default())), broker.liveness(), "open");
    let other = Node::start(broker.with(lobby_exchange::seal::fixed(keys(&[2]))), broker.liveness(), "other");
    // The packets stay readable: who has no key sees us all.
    open.sees(&["a", "b", "open", "other"]).await;
    let client = async_nats::connect(server::nats::url(&broker.0)).await.unwrap();
    let forged = r#"{"discovery":{"hostname":"b","labels":null,"last_check":1},"message":"goodbye"}"#;
    client.publish("lobby.discovery", forged.into()).await.unwrap();
    client.flush().await.unwrap();
    let count = |verdict| a.stats.received_count(PacketKind::Hi, verdict);
    let both = || (count(Verdict::NoKey), count(Verdict::WrongKey));
    eventually_async(SOON, || async { expect(both().0 > 2 && both().1 > 1, both()) }).await;
    for node in [&a, &b] {
        assert_eq!(node.names(), ["a", "b"]);
    }
    assert_eq!(other.names(), ["other"]);
}

/// Step by step at different times: everybody is heard of all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_loses_nobody() {
    let broker = OverNats::start();
    let holders: Vec<_> = (0..3).map(|_| watch::Sender::new(keys(&[1]))).collect();
    let nodes: Vec<_> = holders
        .iter()
        .zip(["a", "b", "c"])
        .map(|(keys, name)| Node::start(broker.with(keys.subscribe()), broker.liveness(), name))
        .collect();
    for node in &nodes {
        node.sees(&["a", "b", "c"]).await;
    }
    for step in [&[1, 2][..], &[2, 1], &[2]] {
        for holder in &holders {
            holder.send_replace(keys(step));
            tokio::time::sleep(KEEP_ALIVE).await;
        }
        for node in &nodes {
            assert_eq!(node.names(), ["a", "b", "c"]);
        }
    }
    for node in &nodes {
        let lost = node.stats.received_count(PacketKind::Hi, Verdict::WrongKey);
        assert_eq!(lost, 0);
    }
    let late = watch::Sender::new(keys(&[1]));
    let old = Node::start(broker.with(late.subscribe()), broker.liveness(), "old");
    let refused = || old.stats.received_count(PacketKind::Hi, Verdict::WrongKey);
    eventually_async(SOON, || async { expect(refused() > 0, refused()) }).await;
    // Others are there, so it does not take itself for all there is.
    holds_async(KEEP_ALIVE * 2 + SLACK, || async { expect(!old.snapshot().warm, old.snapshot()) }).await;
    assert_eq!((old.names(), nodes[0].names()), (vec!["old".to_owned()], vec!["a".to_owned(), "b".into(), "c".into()]));
    // Until it knows the key as well.
    late.send_replace(keys(&[2]));
    old.sees(&["a", "b", "c", "old"]).await;
    old.is_warm().await;
}

/// Two processes with one node key, as after a copy of DATA_DIR: the one that started first finds out, with a key and without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_key_in_use_twice_is_counted() {
    for (keys, broker) in [(keys(&[1]), OverNats::start()), (Keys::default(), OverNats::start())] {
        let keys = watch::Sender::new(keys);
        let start = |name, secret| Node::start_as(broker.with(keys.subscribe()), broker.liveness(), name, secret, true);
        let (a, b) = (start("a", [1; 32]), start("b", [2; 32]));
        a.sees(&["a", "b"]).await;
        let secret = a.secret;
        // A restart is none, nor what the others still tell of the life before.
        b.stop().await;
        let b = start("b", [2; 32]);
        a.sees(&["a", "b"]).await;
        b.is_warm().await;
        assert_eq!((a.conflicts(), b.conflicts()), (0, 0));
        let twin = start("a2", secret);
        eventually_async(SOON, || async { expect(a.conflicts() > 1, a.conflicts()) }).await;
        assert_eq!((b.conflicts(), twin.conflicts()), (0, 0), "only the first of both knows");
    }
}
