//! HTTPS over real sockets: the handshake, client certificates, new files at a reload, bytes that are no TLS.

use std::{fs, path::Path, sync::Arc};

use lobby_http::{Access, Config, Limits, TlsFiles};
use lobby_testkit::tls::Ca;
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, duplex},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    cut::{dialogue, statuses},
    fixture::config,
    sockets::{PATIENCE, Running, SHORT, ask, large_fleet, limited, start, start_on, to_end},
};

fn files(ca: &Ca) -> TlsFiles {
    TlsFiles { cert: ca.cert.clone(), key: ca.key.clone(), client_ca: None }
}

fn access(files: TlsFiles) -> Access {
    Access::read(None, Some(files)).unwrap()
}

async fn serve(access: Access, limits: Limits) -> Running {
    start(Config { access, ..limited(limits) }).await
}

/// What a client trusts, shows and offers.
fn client(trusted: &Ca, shown: Option<&Ca>, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&trusted.root).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let chain = vec![CertificateDer::from_pem_file(&ca.cert).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&ca.key).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

async fn connect(running: &Running, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, running.connect().await).await
}

/// Whether a request is answered. With TLS 1.3 a client learns only then that its certificate was refused.
async fn is_answered(running: &Running, config: ClientConfig) -> bool {
    let Ok(mut stream) = connect(running, config).await else { return false };
    let request = b"GET /v1/discovery HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    if stream.write_all(request).await.is_err() {
        return false;
    }
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    bytes.starts_with(b"HTTP/1.1 200 OK\r\n")
}

#[tokio::test]
async fn requests_go_over_tls() {
    let (ca, other) = (Ca::new(), Ca::new());
    let running = serve(access(files(&ca)), Limits::default()).await;
    let mut stream = connect(&running, client(&ca, None, &["h2", "http/1.1"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    for _ in 0..2 {
        assert!(ask(&mut stream, "/v1/discovery").await.contains("own:label"));
    }
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    // An end without close_notify would be an error.
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(is_answered(&running, client(&ca, None, &[])).await, "who names no protocol speaks HTTP/1");
    assert!(!is_answered(&running, client(&ca, None, &["h2"])).await);
    assert!(!is_answered(&running, client(&other, None, &[])).await);
    running.eventually("lobby_http_refused_total{reason=\"handshake\"}", "2").await;
    running.eventually("lobby_http_connections", "0").await;
}

#[tokio::test]
async fn with_an_authority_for_clients_each_must_show_a_certificate() {
    let (ca, clients, strangers) = (Ca::new(), Ca::new(), Ca::new());
    let files = TlsFiles { client_ca: Some(clients.root.clone()), ..files(&ca) };
    let running = serve(access(files), Limits::default()).await;
    assert!(is_answered(&running, client(&ca, Some(&clients), &[])).await);
    assert!(!is_answered(&running, client(&ca, Some(&strangers), &[])).await);
    assert!(!is_answered(&running, client(&ca, None, &[])).await);
    running.eventually("lobby_http_refused_total{reason=\"handshake\"}", "2").await;
}

#[tokio::test]
async fn who_must_show_a_certificate_shows_it_each_time() {
    let ca = Ca::new();
    let second = async |files, config: ClientConfig| {
        let running = serve(access(files), Limits::default()).await;
        let mut first = connect(&running, config.clone()).await.unwrap();
        assert!(ask(&mut first, "/").await.starts_with("HTTP/1.1 200 OK"));
        connect(&running, config).await.unwrap().get_ref().1.handshake_kind()
    };
    assert_eq!(second(files(&ca), client(&ca, None, &[])).await, Some(HandshakeKind::Resumed));
    let files = TlsFiles { client_ca: Some(ca.root.clone()), ..files(&ca) };
    assert_eq!(second(files, client(&ca, Some(&ca), &[])).await, Some(HandshakeKind::Full));
}

fn copy(ca: &Ca, folder: &Path) -> TlsFiles {
    let files = TlsFiles { cert: folder.join("cert"), key: folder.join("key"), client_ca: None };
    fs::copy(&ca.cert, &files.cert).unwrap();
    fs::copy(&ca.key, &files.key).unwrap();
    files
}

#[tokio::test]
async fn a_reload_shows_the_new_certificate_and_keeps_the_old_one_for_a_bad_file() {
    let (old, new) = (Ca::new(), Ca::new());
    let folder = tempfile::tempdir().unwrap();
    let files = copy(&old, folder.path());
    let access = access(files.clone());
    let running = serve(access.clone(), Limits::default()).await;
    let mut open = connect(&running, client(&old, None, &[])).await.unwrap();
    ask(&mut open, "/").await;
    // A certificate without its key, as half of a change looks.
    fs::copy(&new.cert, &files.cert).unwrap();
    for text in [None, Some("no key"), Some("-----BEGIN PRIVATE KEY-----\n????\n-----END PRIVATE KEY-----\n")] {
        if let Some(text) = text {
            fs::write(&files.key, text).unwrap();
        }
        let errors = access.reload().unwrap_err();
        assert_eq!((errors.len(), errors[0].setting()), (1, "TLS_KEY"), "{errors:?}");
        assert!(is_answered(&running, client(&old, None, &[])).await);
    }
    copy(&new, folder.path());
    access.reload().unwrap();
    assert!(is_answered(&running, client(&new, None, &[])).await);
    assert!(!is_answered(&running, client(&old, None, &[])).await);
    assert!(ask(&mut open, "/").await.starts_with("HTTP/1.1 200 OK"), "open connections go on");
}

#[test]
fn a_bad_file_is_named_by_its_setting() {
    let ca = Ca::new();
    let folder = tempfile::tempdir().unwrap();
    let (empty, missing) = (folder.path().join("empty"), folder.path().join("missing"));
    fs::write(&empty, "").unwrap();
    for bad in [&empty, &missing] {
        for (files, setting) in [
            (TlsFiles { cert: bad.clone(), ..files(&ca) }, "TLS_CERT"),
            (TlsFiles { key: bad.clone(), ..files(&ca) }, "TLS_KEY"),
            (TlsFiles { client_ca: Some(bad.clone()), ..files(&ca) }, "TLS_CLIENT_CA"),
        ] {
            assert_eq!(Access::read(None, Some(files)).unwrap_err().setting(), setting, "{bad:?}");
        }
    }
    // A file of everything does for both.
    let both = folder.path().join("both");
    fs::write(&both, [fs::read(&ca.key).unwrap(), fs::read(&ca.cert).unwrap()].concat()).unwrap();
    assert!(Access::read(None, Some(TlsFiles { cert: both.clone(), key: both, client_ca: None })).is_ok());
}

#[tokio::test]
async fn plain_http_is_told_to_use_tls() {
    let ca = Ca::new();
    let running = serve(access(files(&ca)), Limits::default()).await;
    let text = running.exchange(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "this port speaks TLS: use an https URL\n");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())) || head.ends_with(&body.len().to_string()), "{head}");
    running.eventually("lobby_http_refused_total{reason=\"plain_http\"}", "1").await;
    // Without certificates the same port speaks plain HTTP, and TLS is noise to it.
    let plain = start(config()).await;
    assert!(!is_answered(&plain, client(&ca, None, &[])).await);
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut_off() {
    let ca = Ca::new();
    let running = serve(access(files(&ca)), Limits { handshake: SHORT, ..Limits::default() }).await;
    // Nothing at all, and the begin of a record.
    for bytes in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        running.exchange(bytes).await;
    }
    running.eventually("lobby_http_refused_total{reason=\"handshake\"}", "2").await;
    running.eventually("lobby_http_connections", "0").await;
    assert!(is_answered(&running, client(&ca, None, &[])).await);
}

#[tokio::test]
async fn only_so_many_handshakes_are_under_way() {
    let ca = Ca::new();
    let running = serve(access(files(&ca)), Limits { handshakes: 1, ..Limits::default() }).await;
    // Who has not begun takes no place.
    let silent = running.connect().await;
    assert!(is_answered(&running, client(&ca, None, &[])).await);
    let mut first = running.connect().await;
    first.write_all(b"\x16\x03\x01").await.unwrap();
    // The first is seen as soon as the second is refused.
    let mut refused = false;
    for _ in 0..1000 {
        refused = connect(&running, client(&ca, None, &[])).await.is_err();
        if refused {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(refused);
    running.eventually("lobby_http_refused_total{reason=\"handshakes\"}", "1").await;
    drop((first, silent));
    running.eventually("lobby_http_connections", "0").await;
    assert!(is_answered(&running, client(&ca, None, &[])).await);
}

#[tokio::test]
async fn who_gets_no_place_is_told_over_tls() {
    let ca = Ca::new();
    let running = serve(access(files(&ca)), Limits { connections: 1, ..Limits::default() }).await;
    let mut first = connect(&running, client(&ca, None, &[])).await.unwrap();
    ask(&mut first, "/").await;
    let mut second = connect(&running, client(&ca, None, &[])).await.unwrap();
    let text = to_end(&mut second).await;
    assert!(text.starts_with("HTTP/1.1 503 ") && text.ends_with("all connections are taken\n"), "{text}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_over_tls_is_cut_off() {
    let ca = Ca::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let config = Config { access: access(files(&ca)), ..limited(Limits { write_stall: SHORT, ..Limits::default() }) };
    let running = start_on(listener, addr, large_fleet().serve(config));
    let mut stream = connect(&running, client(&ca, None, &[])).await.unwrap();
    // More answers than all buffers between us hold.
    stream.write_all("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100).as_bytes()).await.unwrap();
    running.eventually("lobby_http_refused_total{reason=\"write_stall\"}", "1").await;
    running.eventually("lobby_http_connections", "0").await;
    drop(stream);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_handshakes() {
    let ca = Ca::new();
    let limits = Limits { drain: PATIENCE * 10, ..Limits::default() };
    let mut running = serve(access(files(&ca)), limits).await;
    let mut silent = running.connect().await;
    running.eventually("lobby_http_connections", "1").await;
    timeout(PATIENCE, running.stop()).await.unwrap();
    assert_eq!(to_end(&mut silent).await, "");
}

#[tokio::test]
async fn noise_does_no_harm_to_tls() {
    let ca = Ca::new();
    let running = serve(access(files(&ca)), Limits { handshake: SHORT, ..Limits::default() }).await;
    // A real first message, to be changed at random.
    let mut hello = Vec::new();
    let mut session =
        rustls::ClientConnection::new(Arc::new(client(&ca, None, &[])), ServerName::try_from("localhost").unwrap()).unwrap();
    session.write_tls(&mut hello).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200 {
        let mut bytes = hello.clone();
        for _ in 0..=random() % 4 {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        bytes.truncate(1 + random() as usize % hello.len());
        if round % 2 == 0 {
            bytes[0] = 0x16;
        }
        let mut stream = running.connect().await;
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        to_end(&mut stream).await;
    }
    running.eventually("lobby_http_connections", "0").await;
    assert!(is_answered(&running, client(&ca, None, &[])).await);
}

#[tokio::test]
async fn what_is_decrypted_is_not_lost_between_requests() {
    let ca = Ca::new();
    let running = serve(access(files(&ca)), Limits::default()).await;
    let text = dialogue();
    let name = ServerName::try_from("localhost").unwrap();
    // All requests in one record, and in many; the records whole, and in pieces of a few bytes.
    for (record, piece) in [(text.len(), 1 << 16), (text.len(), 3), (50, 1 << 16), (50, 700), (3, 5)] {
        let ((near, mut far), mut wire) = (duplex(piece), running.connect().await);
        wire.set_nodelay(true).unwrap();
        let wire = tokio::spawn(async move { copy_bidirectional(&mut far, &mut wire).await });
        let stream = TlsConnector::from(Arc::new(client(&ca, None, &[]))).connect(name.clone(), near).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let reading = tokio::spawn(async move { to_end(&mut reader).await });
        for record in text.as_bytes().chunks(record) {
            // The other end closes before it has read all.
            let _ = writer.write_all(record).await;
            let _ = writer.flush().await;
        }
        let answers: Vec<_> = reading.await.unwrap().lines().map(str::to_owned).collect();
        assert_eq!(statuses(&answers).len(), 12, "records of {record}, pieces of {piece}: {answers:?}");
        drop(writer);
        let _ = timeout(PATIENCE, wire).await.unwrap();
    }
    running.eventually("lobby_http_connections", "0").await;
}
