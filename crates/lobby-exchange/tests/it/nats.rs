//! NATS under the contract, against a real nats-server; and the Go daemon's packets, users, TLS and clusters.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use lobby_core::{
    instance::Instance,
    stats::{PacketKind, Verdict},
};
use lobby_exchange::{
    Exchange,
    backoff::Backoff,
    clock::Clock,
    nats::{Config, Nats},
};
use lobby_testkit::{
    eventually_async, expect, holds_async,
    server::{Server, nats},
    tls::Ca,
};

use crate::{
    contract::{self, Backend, KEEP_ALIVE, Wire},
    forged::forged_answer,
    node::{Node, SOON, Watched},
};

struct Broker(Server);

fn config(url: String) -> Config {
    let backoff = Backoff { first: Duration::from_millis(20), most: Duration::from_millis(200) };
    Config { urls: vec![url], keep_alive: KEEP_ALIVE, backoff, ..Config::default() }
}

fn open(config: Config) -> Nats {
    Nats::try_new(config, Clock::start()).unwrap()
}

impl Broker {
    fn start() -> Self {
        Self(nats::start(""))
    }

    async fn client(&self) -> async_nats::Client {
        async_nats::connect(nats::url(&self.0)).await.unwrap()
    }
}

impl Backend for Broker {
    fn exchange(&self) -> impl Exchange {
        open(config(nats::url(&self.0)))
    }

    fn take_down(&mut self) {
        self.0.kill();
    }

    fn bring_back(&mut self) {
        self.0.restart();
    }
}

impl Wire for Broker {
    async fn inject(&self, bytes: &[u8]) {
        let client = self.client().await;
        client.publish("lobby.discovery", Bytes::copy_from_slice(bytes)).await.unwrap();
        client.flush().await.unwrap();
    }
}

contract::contract!(Broker::start());
contract::wire_contract!(Broker::start());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_signed_makes_nobody() {
    let broker = Broker::start();
    let client = broker.client().await;
    let mut asks = client.subscribe("lobby.discovery.ask").await.unwrap();
    client.flush().await.unwrap();
    let patient = Config { keep_alive: Duration::from_secs(3600), ..config(nats::url(&broker.0)) };
    let node = Node::start(open(patient), broker.liveness(), "a");
    let inbox = asks.next().await.unwrap().reply.unwrap();
    client.publish(inbox, forged_answer().into()).await.unwrap();
    client.flush().await.unwrap();
    node.is_warm().await;
    node.sees(&["a"]).await;
    assert_eq!(node.stats.received_count(PacketKind::Answer, Verdict::Trimmed), 1);
}

fn go_packet(name: &str, labels: &str, message: &str) -> String {
    format!(r#"{{"discovery":{{"hostname":"{name}","labels":{labels},"last_check":1630612478}},"message":"{message}"}}"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_go_daemon_and_we_see_each_other() {
    let broker = Broker::start();
    let go = broker.client().await;
    let mut heard = go.subscribe("lobby.discovery").await.unwrap();
    go.flush().await.unwrap();
    let mut a = broker.node("a");
    let hi: serde_json::Value = serde_json::from_slice(&heard.next().await.unwrap().payload).unwrap();
    assert_eq!((&hi["message"], &hi["discovery"]["hostname"]), (&"hi".into(), &"a".into()));
    assert_eq!(hi["discovery"]["labels"], serde_json::json!(["of:a"]));

    broker.inject(go_packet("old", r#"["service:ns","public_ip6:2a03::1"]"#, "hi").as_bytes()).await;
    a.sees(&["a", "old"]).await;
    // A new name: the old one says goodbye with null labels.
    broker.inject(go_packet("old", "null", "goodbye").as_bytes()).await;
    a.sees(&["a"]).await;

    // Our new name: a goodbye for the old one, then the new one.
    a.rename("b");
    let mut said = Vec::new();
    while said.last().is_none_or(|(_, name): &(String, String)| name != "b") {
        let packet: serde_json::Value = serde_json::from_slice(&heard.next().await.unwrap().payload).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        said.push((text(&packet["message"]), text(&packet["discovery"]["hostname"])));
    }
    assert!(said.contains(&("goodbye".into(), "a".into())), "{said:?}");
    a.leave().await;
    let last = loop {
        let packet: serde_json::Value = serde_json::from_slice(&heard.next().await.unwrap().payload).unwrap();
        if packet["message"] == "goodbye" {
            break packet;
        }
    };
    assert_eq!(last["discovery"]["hostname"], "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_go_daemon_sees_services_as_labels() {
    let broker = Broker::start();
    let go = broker.client().await;
    let mut heard = go.subscribe("lobby.discovery").await.unwrap();
    go.flush().await.unwrap();
    let mut a = broker.node("a");
    a.is_up(true).await;
    a.register(&Instance { port: 80, ..Instance::new("web-1".parse().unwrap(), "web".parse().unwrap()) });
    loop {
        let packet: serde_json::Value = serde_json::from_slice(&heard.next().await.unwrap().payload).unwrap();
        if packet["discovery"]["labels"] == serde_json::json!(["of:a", "service:web", "service:web:port:80"]) {
            break;
        }
        assert_eq!(packet["discovery"]["labels"], serde_json::json!(["of:a"]), "before the registration was told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlisted_node_sends_nothing_but_its_question() {
    let broker = Broker::start();
    let client = broker.client().await;
    let mut heard = client.subscribe(">").await.unwrap();
    client.flush().await.unwrap();
    let hidden = Node::start_as(broker.exchange(), broker.liveness(), "hidden", crate::node::random_secret(), false);
    hidden.is_warm().await;
    hidden.leave().await;
    client.publish("end", Bytes::new()).await.unwrap();
    let mut subjects = std::collections::BTreeSet::new();
    while let Some(message) = heard.next().await
        && message.subject.as_str() != "end"
    {
        subjects.insert(message.subject.to_string());
    }
    assert_eq!(subjects.into_iter().collect::<Vec<_>>(), ["lobby.discovery.ask"]);
}

/// With a keep-alive of an hour, what is known soon was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_peer_hands_over_what_it_knows_with_old_daemons_and_ages() {
    let broker = Broker::start();
    let a = broker.node("a");
    a.is_warm().await;
    broker.inject(go_packet("old", r#"["service:ns"]"#, "hi").as_bytes()).await;
    a.sees(&["a", "old"]).await;
    let patient = Config { keep_alive: Duration::from_secs(3600), ..config(nats::url(&broker.0)) };
    let late = Node::start(open(patient), broker.liveness(), "late");
    late.sees(&["a", "late", "old"]).await;
    late.is_warm().await;
    assert_eq!(late.stats.received_count(PacketKind::Answer, Verdict::Ok), 1);
    // What nobody repeats is gone when its TTL is over, counted from when the answerer heard of it.
    late.sees(&["a", "late"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_come_in_parts() {
    let broker = Broker(nats::start("max_payload: 4096"));
    let a = broker.node("a");
    a.is_warm().await;
    for idx in 0..100 {
        broker.inject(go_packet(&format!("old-{idx:03}"), r#"["service:with-a-rather-long-name:1234"]"#, "hi").as_bytes()).await;
    }
    eventually_async(SOON, || async { expect(a.names().len() == 101, a.names()) }).await;
    let patient = Config { keep_alive: Duration::from_secs(3600), ..config(nats::url(&broker.0)) };
    let late = Node::start(open(patient), broker.liveness(), "late");
    late.is_warm().await;
    assert_eq!(late.names().len(), 102);
    assert!(late.stats.received_count(PacketKind::Answer, Verdict::Ok) > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_to_one_node_is_answered_at_once() {
    let broker = Broker::start();
    let patient = || Config { keep_alive: Duration::from_secs(3600), ..config(nats::url(&broker.0)) };
    let a = Node::start(open(patient()), broker.liveness(), "a");
    a.is_up(true).await;
    let b = Node::start(open(patient()), broker.liveness(), "b");
    a.sees(&["a", "b"]).await;
    let heard = || a.stats.received_count(PacketKind::Hi, Verdict::Ok);
    let before = heard();
    a.questions.send(b.id).await.unwrap();
    eventually_async(SOON, || async { expect(heard() == before + 1, heard()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_clusters_and_our_own_packets_are_counted_and_dropped() {
    let broker = Broker::start();
    let a = broker.node("a");
    let foreign = Config { cluster: "other".into(), ..config(nats::url(&broker.0)) };
    let b = Node::start(open(foreign), broker.liveness(), "b");
    let count = |verdict| a.stats.received_count(PacketKind::Hi, verdict);
    let both = || (count(Verdict::Foreign), count(Verdict::Own));
    eventually_async(SOON, || async { expect(both().0 > 2 && both().1 > 2, both()) }).await;
    b.is_warm().await;
    assert_eq!(a.names(), ["a"]);
    assert_eq!(b.names(), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_tokens_and_several_servers_in_the_url() {
    let user = nats::start("authorization { user: agent, password: \"p@ss\" }");
    let token = nats::start("authorization { token: \"s3cret\" }");
    let dead = lobby_testkit::port::free_address();
    let connects = async |config: Config| {
        let node = Node::start(open(config), contract_liveness(), "n");
        node.is_up(true).await;
        node.leave().await;
    };
    connects(config(format!("nats://agent:p%40ss@{}", user.address))).await;
    connects(config(format!("nats://{dead},nats://agent:p%40ss@{}", user.address))).await;
    connects(config(format!("nats://s3cret@{}", token.address))).await;
    connects(Config { token: Some("s3cret".into()), ..config(nats::url(&token)) }).await;
    connects(Config { user: Some("agent".into()), password: Some("p@ss".into()), ..config(nats::url(&user)) }).await;
}

fn contract_liveness() -> lobby_core::catalog::Liveness {
    lobby_core::catalog::Liveness::Ttl(contract::TTL)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_an_authority_and_a_client_certificate() {
    let ca = Ca::new();
    let server = nats::start_tls(&ca, "");
    let url = format!("tls://localhost:{}", server.address.port());
    let trusting = Config { ca: Some(ca.root.clone()), ..config(url.clone()) };
    let node = Node::start(open(trusting.clone()), contract_liveness(), "n");
    node.is_up(true).await;
    // The system's authorities do not vouch for it.
    let distrusting = Node::start(open(config(url)), contract_liveness(), "n");
    eventually_async(SOON, || async { expect(server.log().contains("TLS handshake error"), server.log()) }).await;
    assert!(distrusting.snapshot().links[0].state == lobby_core::port::LinkState::Connecting);

    let (cert, key) = (ca.cert.display(), ca.key.display());
    let files = format!("cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{}\"", ca.root.display());
    let strict = nats::start(&format!("tls {{ {files}, verify: true }}"));
    let with_cert = Config {
        urls: vec![format!("tls://localhost:{}", strict.address.port())],
        cert: Some(ca.cert.clone()),
        key: Some(ca.key.clone()),
        ..trusting
    };
    let node = Node::start(open(with_cert), contract_liveness(), "n");
    node.is_up(true).await;
}

/// A server that is stopped keeps its connections open and says nothing: only a deadline finds out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_a_lost_link() {
    let mut broker = Broker::start();
    let node = broker.node("a");
    node.is_up(true).await;
    broker.0.process().signal(lobby_testkit::process::Signal::STOP);
    let state = || node.snapshot().links[0].state.clone();
    let lost = || async { expect(state() != lobby_core::port::LinkState::Up, state()) };
    eventually_async(Duration::from_secs(30), lost).await;
    broker.0.process().signal(lobby_testkit::process::Signal::CONT);
    node.is_up(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_one_clustered_server_changes_nothing() {
    let mut servers = nats::cluster(3);
    let all = servers.iter().map(nats::url).collect::<Vec<_>>();
    // Each node is connected to the server that its list names; the others it learns from that server.
    let nodes: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .zip(&all)
        .map(|(name, url)| Node::start(open(config(url.clone())), contract_liveness(), name))
        .collect();
    for node in &nodes {
        node.sees(&["a", "b", "c"]).await;
        node.is_warm().await;
    }
    let revisions: Vec<_> = nodes.iter().map(|node| node.snapshot().revision).collect();
    servers[0].kill();
    let reconnects = || nodes[0].stats.reconnects();
    eventually_async(SOON, || async { expect(reconnects() == 1, reconnects()) }).await;
    nodes[0].is_up(true).await;
    let watched = Watched::new(&nodes[2]);
    let steady = || async { expect(watched.states() == [["a", "b", "c"]], watched.states()) };
    holds_async(contract::TTL + KEEP_ALIVE, steady).await;
    assert_eq!(nodes.iter().map(|node| node.snapshot().revision).collect::<Vec<_>>(), revisions, "no change event");
}

#[test]
fn secrets_are_not_shown() {
    let config = Config {
        urls: vec!["nats://agent:s3cret@a:1,b:2".into(), "tls://s3cret@c:3".into()],
        password: Some("s3cret".into()),
        token: Some("s3cret".into()),
        nkey: Some("s3cret".into()),
        ..Config::default()
    };
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    for host in ["nats://a:1,b:2", "tls://c:3"] {
        assert!(shown.contains(host), "{shown}");
    }
    let shown = format!("{:?}", open(Config { nkey: None, ..config }));
    assert!(!shown.contains("s3cret"), "{shown}");
}
