//! The process with tokens, certificates and a second listener: what it refuses at the start, and what a reload changes.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use lobby_testkit::{TempDir, daemon::Daemon, eventually, expect, http, tls::Ca};
use rustix::process::Signal;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::fleet::{SOON, daemon};

const QUICK: Duration = Duration::from_secs(10);

fn token(name: &str, rules: &str) -> String {
    format!("[[token]]\nname = \"{name}\"\nsecret = \"{name}-s3cret\"\n{rules}\n")
}

fn status(daemon: &Daemon, method: &str, path: &str, token: &str) -> u16 {
    daemon.request(method, path, &[("X-Consul-Token", token)], "").status
}

/// Asks over HTTPS; `None` when there is no answer from who has a certificate of this authority.
fn https(addr: SocketAddr, ca: &Ca) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&ca.root).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let client = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut stream = StreamOwned::new(client, socket);
    stream.write_all(b"GET /v1/discovery HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn copy(ca: &Ca, folder: &Path) {
    fs::copy(&ca.cert, folder.join("cert.pem")).unwrap();
    fs::copy(&ca.key, folder.join("key.pem")).unwrap();
}

#[test]
fn consuls_clients_have_a_listener_of_their_own() {
    let mut agent = daemon("a").env("CONSUL_ADDR", "127.0.0.1:0").start();
    let consul: SocketAddr = agent.ready["consul"].as_str().unwrap().parse().unwrap();
    assert_ne!(consul, agent.http);
    assert_eq!(http::get(consul, "/v1/discovery").unwrap().json()["hostname"], "a");
    assert_eq!(agent.get("/v1/discovery").status, 200);
    let (code, log) = daemon("b").env("CONSUL_ADDR", consul).run(QUICK);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("CONSUL_ADDR"), "{log}");
    agent.stop(QUICK);
    let closed = daemon("c").start();
    assert!(closed.ready.get("consul").is_none(), "{}", closed.ready);
}

#[test]
fn named_tokens_change_at_a_reload_by_signal_and_by_verb() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tokens.toml");
    fs::write(&path, token("reader", "") + &token("admin", "operator = true")).unwrap();
    let mut agent = daemon("a").env("TOKENS_FILE", path.display()).start();
    assert_eq!(status(&agent, "GET", "/", ""), 403);
    assert_eq!(status(&agent, "GET", "/", "reader-s3cret"), 200);
    assert_eq!(status(&agent, "PUT", "/v1/agent/reload", "reader-s3cret"), 403);
    assert_eq!(status(&agent, "PUT", "/v1/agent/reload", "admin-s3cret"), 200);

    fs::write(&path, token("admin", "operator = true")).unwrap();
    assert_eq!(status(&agent, "PUT", "/v1/agent/reload", "admin-s3cret"), 200);
    assert_eq!(status(&agent, "GET", "/", "reader-s3cret"), 403, "gone when the reload is answered");

    fs::write(&path, "[[token]]\nname = \"admin\"\n").unwrap();
    let answer = agent.request("PUT", "/v1/agent/reload", &[("Authorization", "Bearer admin-s3cret")], "");
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("TOKENS_FILE") && answer.text().contains("stays in use"), "{}", answer.text());
    assert_eq!(status(&agent, "GET", "/", "admin-s3cret"), 200);

    fs::write(&path, token("late", "")).unwrap();
    agent.process.signal(Signal::HUP);
    eventually(SOON, || {
        let got = status(&agent, "GET", "/", "late-s3cret");
        expect(got == 200, got)
    });
    assert_eq!(status(&agent, "GET", "/", "admin-s3cret"), 403);
}

#[test]
fn both_listeners_speak_https_and_take_a_new_certificate() {
    let (old, new) = (Ca::new(), Ca::new());
    let folder = TempDir::new().unwrap();
    copy(&old, folder.path());
    let below = |name| folder.path().join(name).display().to_string();
    let socket = below("lobby.sock");
    let mut agent = daemon("a")
        .env("TLS_CERT", below("cert.pem"))
        .env("TLS_KEY", below("key.pem"))
        .env("CONSUL_ADDR", "127.0.0.1:0")
        .env("SOCKET", &socket)
        .start();
    let consul: SocketAddr = agent.ready["consul"].as_str().unwrap().parse().unwrap();
    for addr in [agent.http, consul] {
        assert!(https(addr, &old).unwrap().contains("\"hostname\": \"a\""), "{addr}");
        assert_eq!(http::get(addr, "/").unwrap().status, 400);
    }
    copy(&new, folder.path());
    agent.process.signal(Signal::HUP);
    eventually(SOON, || expect(https(agent.http, &new).is_some(), "the old certificate"));
    assert!(https(consul, &new).is_some() && https(consul, &old).is_none());
    // The unix socket stays plain, and takes a reload with it.
    fs::write(folder.path().join("key.pem"), "no key").unwrap();
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    stream.write_all(b"PUT /v1/agent/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 409 ") && answer.contains("TLS_KEY"), "{answer}");
    assert!(https(agent.http, &new).is_some());
}

#[test]
fn files_that_cannot_be_used_end_with_64() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bad");
    fs::write(&path, "bad").unwrap();
    let bad = path.display().to_string();
    for variables in [&[("TOKENS_FILE", &bad)][..], &[("TLS_CERT", &bad), ("TLS_KEY", &bad)], &[("TLS_CERT", &bad)]] {
        for arg in ["--check-config", "--dev"] {
            let mut agent = daemon("x").arg(arg);
            for (name, value) in variables {
                agent = agent.env(name, value);
            }
            let (code, log) = agent.run(QUICK);
            assert_eq!(code, Some(64), "{variables:?}: {log}");
            assert!(log.contains(variables[0].0), "{log}");
        }
    }
}
