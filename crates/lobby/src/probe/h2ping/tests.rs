//! Pings to a real server, and to servers that do not answer them.

use lobby_core::check::kind::Kind;
use lobby_testkit::tls::Ca;
use tokio::{io::AsyncReadExt, net::TcpListener};

use super::*;
use crate::probe::tests::{check, check_within, grpc_server::GrpcServer, text};

fn kind(address: &impl ToString, tls: Option<Tls>) -> Kind {
    Kind::H2ping { address: address.to_string(), tls }
}

#[tokio::test]
async fn a_real_server_answers_with_and_without_tls() {
    let server = GrpcServer::start(None);
    let verdict = check(&kind(&server.address, None)).await;
    assert_eq!((verdict.status, text(&verdict)), (Status::Passing, format!("H2PING {}: answered", server.address)));
    let ca = Ca::new();
    let server = GrpcServer::start(Some(&ca));
    let any = Tls { server_name: None, skip_verify: true };
    let verdict = check(&kind(&server.address, Some(any))).await;
    assert_eq!(verdict.status, Status::Passing, "{verdict:?}");
    let verdict = check(&kind(&server.address, Some(Tls::default()))).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).contains(": TLS: "), "{verdict:?}");
}

#[tokio::test]
async fn nobody_or_no_answer_is_critical() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let silent = async {
        let mut stream = listener.accept().await.unwrap().0;
        while stream.read(&mut [0; 100]).await.is_ok_and(|n_bytes| n_bytes > 0) {}
    };
    let silent_kind = kind(&address, None);
    let (verdict, ()) = tokio::join!(check_within(&silent_kind, Duration::from_millis(500), 4096), silent);
    assert_eq!((verdict.status, text(&verdict)), (Status::Critical, format!("H2PING {address}: no answer within 500ms")));
    let hang_up = async { drop(listener.accept().await.unwrap()) };
    let (verdict, ()) = tokio::join!(check(&silent_kind), hang_up);
    assert_eq!(verdict.status, Status::Critical);
    assert!(!text(&verdict).contains("within"), "{verdict:?}");
    drop(listener);
    let verdict = check(&silent_kind).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).contains("refused"), "{verdict:?}");
}
