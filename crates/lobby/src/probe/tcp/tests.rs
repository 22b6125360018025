//! Connections to real sockets: taken, refused, silent, and several addresses of one name.

use tokio::net::TcpListener;

use super::*;
use crate::probe::tests::{check, check_within, text};
use lobby_core::check::kind::Kind;

fn kind(address: impl ToString) -> Kind {
    Kind::Tcp { address: address.to_string(), tls: None }
}

#[tokio::test]
async fn taken_or_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let verdict = check(&kind(address)).await;
    assert_eq!((verdict.status, text(&verdict)), (Status::Passing, format!("TCP connect {address}: Success")));
    drop(listener);
    let verdict = check(&kind(address)).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).contains("refused"), "{verdict:?}");
}

#[tokio::test]
async fn one_address_of_a_name_is_enough() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let open = listener.local_addr().unwrap();
    assert!(connect_any(vec![closed, open]).await.is_ok());
    assert!(connect_any(vec![open, closed]).await.is_ok());
    let why = connect_any(vec![closed, closed]).await.unwrap_err();
    assert_eq!(why.matches("refused").count(), 2, "{why}");
    assert_eq!(check(&kind(format!("localhost:{}", open.port()))).await.status, Status::Passing);
}

#[tokio::test]
async fn a_name_without_address_is_critical() {
    let verdict = check_within(&kind("nothing.invalid:80"), Duration::from_secs(5), 4096).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).starts_with("TCP connect nothing.invalid:80: "), "{verdict:?}");
}

#[tokio::test]
async fn nobody_who_answers_is_critical_in_time() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: soon the system takes no more for it, and does not say so.
    let mut waiting = Vec::new();
    let fill = async {
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(10), fill).await.expect("the backlog is full");
    let verdict = check_within(&kind(address), Duration::from_millis(100), 4096).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).contains("100ms"), "{verdict:?}");
}
