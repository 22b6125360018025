//! Redis under the contract, against a real redis-server; and the Go daemon's packets, passwords, TLS and frozen servers.

use std::time::Duration;

use lobby_core::{
    catalog::Liveness,
    stats::{PacketKind, Verdict},
};
use lobby_exchange::{
    Exchange,
    backoff::Backoff,
    clock::Clock,
    redis::{Config, Redis},
};
use lobby_testkit::{
    eventually_async, expect,
    server::{Server, redis},
    tls::Ca,
};

use crate::{
    contract::{self, Backend, KEEP_ALIVE, TTL, Wire},
    node::{Node, SOON},
};

struct Broker(Server);

fn config(server: &Server) -> Config {
    let backoff = Backoff { first: Duration::from_millis(20), most: Duration::from_millis(200) };
    Config { port: server.address.port(), keep_alive: KEEP_ALIVE, backoff, ..Config::default() }
}

fn open(config: Config) -> Redis {
    Redis::try_new(config, Clock::start()).unwrap()
}

fn start() -> Broker {
    Broker(redis::start(&[]))
}

impl Backend for Broker {
    fn exchange(&self) -> impl Exchange {
        open(config(&self.0))
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
        let client = ::redis::Client::open(format!("redis://{}", self.0.address)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        ::redis::cmd("PUBLISH").arg("lobby:discovery").arg(bytes).exec_async(&mut connection).await.unwrap();
    }
}

contract::contract!(start());
contract::wire_contract!(start());

const GO: &str = r#"{"discovery":{"hostname":"old","labels":["service:ns"],"last_check":1},"message":"hi"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_warm_peer_hands_over_what_it_knows() {
    let broker = start();
    let peers = ["a", "b", "c"].map(|name| broker.node(name));
    for peer in &peers {
        peer.is_warm().await;
    }
    broker.inject(GO.as_bytes()).await;
    peers[0].sees(&["a", "b", "c", "old"]).await;
    let patient = Config { keep_alive: Duration::from_secs(3600), ..config(&broker.0) };
    let late = Node::start(open(patient), broker.liveness(), "late");
    late.is_warm().await;
    late.sees(&["a", "b", "c", "late", "old"]).await;
    let sent = peers.iter().flat_map(|peer| peer.stats.sent_counts());
    let answers = sent.filter(|(kind, ..)| *kind == PacketKind::Answer).map(|(.., n)| n).sum::<u64>();
    // Usually one; who claims at the same moment answers too.
    assert!((1..=3).contains(&answers), "{answers} answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_to_one_node_is_answered_at_once() {
    let broker = start();
    let patient = || Config { keep_alive: Duration::from_secs(3600), ..config(&broker.0) };
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
async fn passwords_users_databases_and_tls() {
    let ca = Ca::new();
    let plain = redis::start(&["--requirepass", "secret", "--user", "agent", "on", ">s3cret", "+@all", "&*"]);
    let tls = redis::start_tls(&ca, &["--requirepass", "secret"]);
    let password = |text: &str| Some(text.to_owned());
    let good = [
        Config { password: password("secret"), db: 3, ..config(&plain) },
        Config { user: Some("agent".into()), password: password("s3cret"), ..config(&plain) },
        Config { password: password("secret"), tls: true, ca: Some(ca.root.clone()), host: "localhost".into(), ..config(&tls) },
    ];
    for config in good {
        let node = Node::start(open(config), Liveness::Ttl(TTL), "n");
        node.is_up(true).await;
        node.leave().await;
    }
    let wrong = Node::start(open(Config { password: password("wrong"), ..config(&plain) }), Liveness::Ttl(TTL), "n");
    let distrusting = Config { password: password("secret"), tls: true, host: "localhost".into(), ..config(&tls) };
    let distrusting = Node::start(open(distrusting), Liveness::Ttl(TTL), "n");
    eventually_async(SOON, || async { expect(tls.log().contains("Error accepting a client connection"), tls.log()) }).await;
    for node in [wrong, distrusting] {
        assert!(node.snapshot().links[0].state == lobby_core::port::LinkState::Connecting);
    }
}

/// A user that may use our channels and nothing else, from an ACL file; and a server that wants a certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_an_acl_file_and_a_client_certificate() {
    let folder = lobby_testkit::TempDir::new().unwrap();
    let acl = folder.path().join("users.acl");
    let rights = "resetchannels &lobby:discovery* -@all +publish +subscribe +ping +hello +auth +select +client";
    std::fs::write(&acl, format!("user default off\nuser lobby on >s3cret {rights}\n")).unwrap();
    let server = redis::start(&["--aclfile", &acl.display().to_string()]);
    let user = Config { user: Some("lobby".into()), password: Some("s3cret".into()), ..config(&server) };
    let nodes = ["a", "b"].map(|name| Node::start(open(user.clone()), Liveness::Ttl(TTL), name));
    for node in &nodes {
        node.sees(&["a", "b"]).await;
        node.is_warm().await;
    }
    let elsewhere = Node::start(open(Config { channel: "other".into(), ..user }), Liveness::Ttl(TTL), "n");
    let stranger = Node::start(open(config(&server)), Liveness::Ttl(TTL), "n");

    let ca = Ca::new();
    let strict = redis::start_tls(&ca, &["--tls-auth-clients", "yes"]);
    let trusting = Config { ca: Some(ca.root.clone()), host: "localhost".into(), ..config(&strict) };
    let certified = Config { cert: Some(ca.cert.clone()), key: Some(ca.key.clone()), ..trusting.clone() };
    Node::start(open(certified), Liveness::Ttl(TTL), "n").is_up(true).await;
    let nameless = Node::start(open(trusting), Liveness::Ttl(TTL), "n");
    eventually_async(SOON, || async { expect(strict.log().contains("Error accepting a client connection"), strict.log()) }).await;
    for node in [elsewhere, stranger, nameless] {
        assert!(node.snapshot().links[0].state == lobby_core::port::LinkState::Connecting);
    }
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    for (cert, key, named) in
        [(Some("c"), None, "REDIS_CERT"), (None, Some("k"), "REDIS_KEY"), (Some("/no"), Some("/no"), "REDIS_CERT")]
    {
        let config = Config { cert: cert.map(Into::into), key: key.map(Into::into), ..Config::default() };
        match Redis::try_new(config, Clock::start()) {
            Err(lobby_exchange::ExchangeError::Setting { setting, .. }) => assert_eq!(setting, named),
            other => panic!("{other:?}"),
        }
    }
}

/// A server that is stopped keeps its connections open and says nothing: only a deadline finds out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_a_lost_link() {
    let mut broker = start();
    let hidden = Node::start_as(broker.exchange(), broker.liveness(), "hidden", crate::node::random_secret(), false);
    let node = broker.node("a");
    hidden.sees(&["a"]).await;
    broker.0.process().signal(lobby_testkit::process::Signal::STOP);
    node.is_up(false).await;
    hidden.is_up(false).await;
    broker.0.process().signal(lobby_testkit::process::Signal::CONT);
    node.is_up(true).await;
    hidden.sees(&["a"]).await;
}

#[test]
fn secrets_are_not_shown() {
    let config = Config { password: Some("s3cret".into()), ..Config::default() };
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let shown = format!("{:?}", open(config));
    assert!(!shown.contains("s3cret"), "{shown}");
}
