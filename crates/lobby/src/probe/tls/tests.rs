//! Handshakes with certificates that are trusted, unknown or of another name, and with who speaks no TLS.

use std::{net::SocketAddr, time::Duration};

use lobby_core::check::{Status, kind::Kind};
use lobby_testkit::tls::Ca;
use rustls::{RootCertStore, ServerConfig, client::WebPkiServerVerifier, pki_types::PrivateKeyDer, pki_types::pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::probe::{
    Verdict, tcp,
    tests::{SOON, check, check_within, text},
};

/// Serves one connection until its end. The name that the client asked for; `None` if there was no handshake.
async fn serve(ca: &Ca, protocols: &[&[u8]]) -> (SocketAddr, JoinHandle<Option<Option<String>>>) {
    let certificate = CertificateDer::from_pem_file(&ca.cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&ca.key).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let stream = listener.accept().await.unwrap().0;
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.ok()?;
        let name = stream.get_ref().1.server_name().map(str::to_owned);
        // The client says nothing, and ends without a word.
        let _ = stream.read(&mut [0]).await;
        Some(name)
    });
    (address, server)
}

async fn check_tcp(address: SocketAddr, tls: Tls) -> Verdict {
    check(&Kind::Tcp { address: address.to_string(), tls: Some(tls) }).await
}

#[tokio::test]
async fn a_tcp_check_verifies_unless_that_is_skipped() {
    let ca = Ca::new();
    let (address, server) = serve(&ca, &[]).await;
    let verdict = check_tcp(address, Tls::default()).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).starts_with(&format!("TCP connect {address}: TLS: ")), "{verdict:?}");
    assert_eq!(server.await.unwrap(), None);
    let (address, server) = serve(&ca, &[]).await;
    let verdict = check_tcp(address, Tls { skip_verify: true, server_name: Some("check.test".into()) }).await;
    assert_eq!((verdict.status, text(&verdict)), (Status::Passing, format!("TCP connect {address}: Success")));
    assert_eq!(server.await.unwrap(), Some(Some("check.test".into())));
}

/// A handshake of who trusts this authority.
async fn trust(ca: &Ca, address: SocketAddr, name: Option<&str>, protocol: Option<&'static [u8]>) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&ca.root).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let tls = Tls { skip_verify: false, server_name: name.map(str::to_owned) };
    let address = address.to_string();
    let stream = tcp::connect(&address).await.unwrap();
    shake_hands_as(trusting(verifier, provider), stream, &address, &tls, protocol).await.map(drop)
}

#[tokio::test]
async fn a_trusted_certificate_must_have_the_name() {
    let ca = Ca::new();
    for (name, is_good) in [(None, true), (Some("localhost"), true), (Some("check.test"), false), (Some("a b"), false)] {
        let (address, _server) = serve(&ca, &[]).await;
        assert_eq!(trust(&ca, address, name, None).await.is_ok(), is_good, "{name:?}");
    }
}

#[tokio::test]
async fn a_protocol_must_be_agreed_on() {
    let ca = Ca::new();
    let (address, _server) = serve(&ca, &[b"http/1.1", b"h2"]).await;
    assert_eq!(trust(&ca, address, None, Some(b"h2")).await, Ok(()));
    let (address, _server) = serve(&ca, &[]).await;
    assert_eq!(trust(&ca, address, None, Some(b"h2")).await, Err("it does not offer the protocol h2".into()));
    let (address, _server) = serve(&ca, &[b"http/1.1"]).await;
    assert!(trust(&ca, address, None, Some(b"h2")).await.is_err());
}

#[tokio::test]
async fn every_run_does_the_whole_handshake() {
    let tls = Tls { skip_verify: true, server_name: None };
    assert!(format!("{:?}", config(&tls).unwrap().resumption).contains("NoClientSessionStorage"));
}

/// Checks a server that says `start` and then `more` until it is hung up on.
async fn check_sayer(start: &'static [u8], more: &'static [u8], timeout: Duration) -> Verdict {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let say = async {
        let mut stream: TcpStream = listener.accept().await.unwrap().0;
        let _ = stream.write_all(start).await;
        if more.is_empty() {
            while stream.read(&mut [0; 1000]).await.is_ok_and(|n_bytes| n_bytes > 0) {}
        }
        while !more.is_empty() && stream.write_all(more).await.is_ok() {}
    };
    let kind = Kind::Tcp { address, tls: Some(Tls { skip_verify: true, server_name: None }) };
    let both = async { tokio::join!(check_within(&kind, timeout, 4096), say).0 };
    tokio::time::timeout(SOON, both).await.expect("the check ends, and with it the connection")
}

#[tokio::test]
async fn who_speaks_no_tls_is_critical_in_time() {
    let verdict = check_sayer(b"SSH-2.0-x\r\n", b"", SOON).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).contains("TLS: "), "{verdict:?}");
    let verdict = check_sayer(b"", b"", Duration::from_millis(500)).await;
    assert!(text(&verdict).ends_with(": no answer within 500ms"), "{verdict:?}");
    // Handshake messages in pieces, without an end; each is a whole record.
    let verdict = check_sayer(b"\x16\x03\x03\0\x04\x02\xff\xff\xff", b"\x16\x03\x03\0\x04abcd", SOON).await;
    assert!(!text(&verdict).contains("within"), "{verdict:?}");
    // Warnings, which say nothing.
    let verdict = check_sayer(b"", b"\x15\x03\x03\0\x02\x01\x5a", SOON).await;
    assert!(!text(&verdict).contains("within"), "{verdict:?}");
}

#[test]
fn the_name_is_that_of_the_address() {
    for (address, name) in [("a.test:1", "a.test"), ("192.0.2.1:1", "192.0.2.1"), ("[::1]:1", "::1"), ("a", "a"), ("", "")] {
        assert_eq!(host(address), name);
    }
}
