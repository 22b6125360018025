//! Datagrams to real sockets: answered, swallowed, refused, and several addresses.

use super::*;
use crate::probe::tests::{SOON, check, check_within, text};
use lobby_core::check::kind::Kind;

fn kind(address: impl ToString) -> Kind {
    Kind::Udp { address: address.to_string() }
}

async fn answer(server: UdpSocket) -> usize {
    let mut buffer = [0; 100];
    let (n_bytes, from) = tokio::time::timeout(SOON, server.recv_from(&mut buffer)).await.expect("a datagram comes").unwrap();
    server.send_to(&[b'x'; 1000], from).await.unwrap();
    n_bytes
}

#[tokio::test]
async fn answered() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let kind = kind(address);
    let (n_bytes, verdict) = tokio::join!(answer(server), check(&kind));
    assert_eq!((verdict.status, text(&verdict)), (Status::Passing, format!("UDP {address}: answered")));
    assert!(n_bytes > 0, "an empty datagram would be no question to some");
}

#[tokio::test]
async fn silence_is_passing_and_refusal_is_not() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let verdict = check_within(&kind(address), Duration::from_millis(500), 4096).await;
    assert_eq!(verdict.status, Status::Passing);
    assert!(text(&verdict).contains("500ms"), "{verdict:?}");
    drop(server);
    let verdict = check(&kind(address)).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).contains("refused"), "{verdict:?}");
}

#[tokio::test]
async fn one_address_of_a_name_is_enough() {
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for is_first in [true, false] {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let open = server.local_addr().unwrap();
        let addresses = if is_first { vec![open, closed] } else { vec![closed, open] };
        let is_sent = Arc::default();
        let (_, asked) = tokio::join!(answer(server), ask_any(addresses, &is_sent));
        assert_eq!(asked, Ok(()));
    }
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let kind = kind(format!("localhost:{}", server.local_addr().unwrap().port()));
    let (_, verdict) = tokio::join!(answer(server), check(&kind));
    assert_eq!(verdict.status, Status::Passing);
}

#[tokio::test]
async fn what_was_never_sent_is_critical() {
    let verdict = check_within(&kind("nothing.invalid:80"), Duration::from_secs(5), 4096).await;
    assert_eq!(verdict.status, Status::Critical);
}
