//! HTTPS with a certificate that nobody trusts.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
};

use lobby_core::check::kind::{Kind, Tls};
use lobby_testkit::tls::Ca;
use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::*;

/// Which name the client asked for, and its request. `None` if there was no handshake.
type Served = Option<(Option<String>, String)>;

/// Answers one request.
fn serve() -> (SocketAddr, JoinHandle<Served>) {
    let ca = Ca::new();
    let certificate = CertificateDer::from_pem_file(&ca.cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&ca.key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = Stream::new(&mut connection, &mut socket);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut buffer = [0; 1000];
            let n_bytes = stream.read(&mut buffer).ok().filter(|n_bytes| *n_bytes > 0)?;
            request.extend_from_slice(&buffer[..n_bytes]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        Some((connection.server_name().map(str::to_owned), String::from_utf8(request).unwrap()))
    });
    (address, server)
}

async fn check_tls(host: &str, tls: Tls) -> (Verdict, SocketAddr, Served) {
    let (address, server) = serve();
    let url = format!("https://{host}:{}/", address.port());
    let verdict = check(&Kind::Http(Http { url, tls, ..Http::default() })).await;
    (verdict, address, server.join().unwrap())
}

#[tokio::test]
async fn a_certificate_is_verified_unless_that_is_skipped() {
    let (verdict, _, served) = check_tls("127.0.0.1", Tls::default()).await;
    assert_eq!((verdict.status, served), (Status::Critical, None));
    assert!(!text(&verdict).contains("within"), "{verdict:?}");
    let (verdict, ..) = check_tls("127.0.0.1", Tls { skip_verify: true, server_name: None }).await;
    assert_eq!(verdict.status, Status::Passing, "{verdict:?}");
}

#[tokio::test]
async fn the_name_for_tls_is_not_the_host_of_the_request() {
    let named = |skip_verify| Tls { skip_verify, server_name: Some("Check.test".into()) };
    let (verdict, address, served) = check_tls("127.0.0.1", named(true)).await;
    assert_eq!(verdict.status, Status::Passing, "{verdict:?}");
    assert!(text(&verdict).contains(&format!("https://{address}/")), "{verdict:?}");
    let (name, request) = served.unwrap();
    assert_eq!(name.as_deref(), Some("check.test"));
    assert!(request.to_lowercase().contains(&format!("\r\nhost: {address}\r\n")), "{request}");
    let (verdict, ..) = check_tls("127.0.0.1", named(false)).await;
    assert_eq!(verdict.status, Status::Critical, "a name does not make it trusted");
}

#[tokio::test]
async fn an_address_is_no_name_for_tls() {
    for name in ["192.0.2.1", "::1", "[::1]", "a b", "a/b", "1"] {
        let tls = Tls { skip_verify: true, server_name: Some(name.into()) };
        let verdict = check(&Kind::Http(Http { url: "https://127.0.0.1:1/".into(), tls, ..Http::default() })).await;
        assert_eq!(verdict.status, Status::Critical);
        assert!(text(&verdict).contains("TLSServerName"), "{name}: {verdict:?}");
    }
}
