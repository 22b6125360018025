//! Who we are to a NATS server: nkeys, and credentials of an operator's account, made here as `nsc` makes them.

use std::{fmt::Write as _, time::Duration};

use lobby_core::catalog::Liveness;
use lobby_exchange::{
    backoff::Backoff,
    clock::Clock,
    nats::{Config, Nats},
};
use lobby_testkit::{
    TempDir, eventually_async, expect,
    server::{Server, nats},
};
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::{
    contract::{KEEP_ALIVE, TTL},
    node::{Node, SOON},
};

/// What an agent needs, as docs/exchanges.md has it.
const SUBJECTS: &[&str] = &["lobby.discovery", "lobby.discovery.ask", "lobby.discovery.ask.>", "_INBOX.>"];

fn config(server: &Server) -> Config {
    let backoff = Backoff { first: Duration::from_millis(20), most: Duration::from_millis(200) };
    Config { urls: vec![nats::url(server)], keep_alive: KEEP_ALIVE, backoff, ..Config::default() }
}

fn node(config: Config, name: &str) -> Node {
    Node::start(Nats::try_new(config, Clock::start()).unwrap(), Liveness::Ttl(TTL), name)
}

async fn is_refused(server: &Server, config: Config) {
    let refused = || server.log().matches("authentication error").count();
    let before = refused();
    let stranger = node(config, "stranger");
    eventually_async(SOON, || async { expect(refused() > before, server.log()) }).await;
    assert!(stranger.snapshot().links[0].state != lobby_core::port::LinkState::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nkey_with_the_rights_of_the_manual_is_enough() {
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let subjects = json!(SUBJECTS);
    let server = nats::start(&format!(
        "authorization {{ users = [ {{ nkey: {}, permissions: {{ publish: {subjects}, subscribe: {subjects} }} }} ] }}",
        user.public_key()
    ));
    let seed = user.seed().unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("user.nk");
    std::fs::write(&file, format!("{seed}\n")).unwrap();
    // The seed itself, and a file that holds it.
    let nodes = [("a", seed), ("b", file.display().to_string())];
    let nodes = nodes.map(|(name, nkey)| node(Config { nkey: Some(nkey), ..config(&server) }, name));
    for node in &nodes {
        node.sees(&["a", "b"]).await;
        node.is_warm().await;
    }
    assert!(!server.log().contains("Permissions Violation"), "{}", server.log());
    is_refused(&server, Config { nkey: Some(other.seed().unwrap()), ..config(&server) }).await;
    is_refused(&server, config(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credentials_file_of_an_account() {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let operator_jwt = jwt(&operator, "fleet", &operator.public_key(), json!({ "type": "operator", "version": 2 }));
    let limits = json!({ "subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1,
        "wildcards": true });
    let account_jwt =
        jwt(&operator, "lobby", &account.public_key(), json!({ "type": "account", "version": 2, "limits": limits }));
    let server = nats::start(&format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload: {{ {}: {account_jwt} }}",
        account.public_key()
    ));
    let folder = TempDir::new().unwrap();
    let creds = |name: &str, signer: &KeyPair| {
        let allow = json!({ "allow": SUBJECTS });
        let rights = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": allow, "sub": allow });
        let jwt = jwt(signer, name, &user.public_key(), rights);
        let path = folder.path().join(format!("{name}.creds"));
        let mut text = String::new();
        for (kind, value) in [("NATS USER JWT", jwt), ("USER NKEY SEED", user.seed().unwrap())] {
            write!(text, "-----BEGIN {kind}-----\n{value}\n------END {kind}------\n\n").unwrap();
        }
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let nodes = ["a", "b"].map(|name| node(Config { creds: creds(name, &account), ..config(&server) }, name));
    for node in &nodes {
        node.sees(&["a", "b"]).await;
        node.is_warm().await;
    }
    is_refused(&server, Config { creds: creds("c", &KeyPair::new_account()), ..config(&server) }).await;
}

/// A claim as NATS has it: signed with an nkey, its id any text.
fn jwt(signer: &KeyPair, name: &str, subject: &str, nats: Value) -> String {
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let claim =
        json!({ "jti": name, "iat": 1_700_000_000, "iss": signer.public_key(), "name": name, "sub": subject, "nats": nats });
    let signed = format!("{}.{}", base64(head.to_string().as_bytes()), base64(claim.to_string().as_bytes()));
    let signature = signer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64(&signature))
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
