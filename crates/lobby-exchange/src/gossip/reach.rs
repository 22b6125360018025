//! Knocking: whether anything listens at an address. A refusal is the proof that a host lives and its agent does not.

use std::{io::ErrorKind, net::SocketAddr};

use lobby_gossip::{CONNECT_TIMEOUT, Reach};
use tokio::{net::TcpStream, time::timeout};

/// Connects and hangs up. Only an outright refusal counts as one: a router's "unreachable" says nothing about the host.
pub(super) async fn knock(addr: SocketAddr) -> Reach {
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)).await {
        // Nobody listened, and the system happened to give us that very port: we reached ourselves.
        Ok(Ok(stream)) if is_own_end(&stream) => Reach::Refused,
        Ok(Ok(_)) => Reach::Open,
        Ok(Err(err)) if err.kind() == ErrorKind::ConnectionRefused => Reach::Refused,
        Ok(Err(_)) | Err(_) => Reach::Silent,
    }
}

fn is_own_end(stream: &TcpStream) -> bool {
    stream.local_addr().is_ok_and(|local| stream.peer_addr().is_ok_and(|peer| peer == local))
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn open_and_refused_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(knock(addr).await, Reach::Open);
        drop(listener);
        assert_eq!(knock(addr).await, Reach::Refused);
    }

    /// A queue of connections that nobody accepts is full at some point, and then the system says nothing any more.
    #[tokio::test]
    async fn who_says_nothing_is_silent() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)).await {
            waiting.push(stream);
        }
        assert_eq!(knock(addr).await, Reach::Silent);
    }
    #[tokio::test]
    async fn who_reaches_only_itself_has_reached_nobody() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let addr = socket.local_addr().unwrap();
        assert!(is_own_end(&socket.connect(addr).await.unwrap()));
    }
}
