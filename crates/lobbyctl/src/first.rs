//! The first look at a program: whether it accepts connections, or answers, so that nobody hears of it before.
//!
//! Cheap, and never final: from its registration on the daemon carries the check out. Not here: that (`lobbyd`), and kinds
//! that need more than a connection, which are registered as they are.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::definition::Probe;

/// Between two looks: a program that starts in a moment is there in a moment, and twenty connections a second are nothing.
const TURN: Duration = Duration::from_millis(50);

/// How long one look may take. What is asked is on this machine as a rule.
const WITHIN: Duration = Duration::from_secs(2);

/// Waits until it passes.
pub(crate) async fn passes(probe: &Probe) {
    while !matches!(timeout(WITHIN, look(probe)).await, Ok(Ok(true))) {
        sleep(TURN).await;
    }
}

async fn look(probe: &Probe) -> io::Result<bool> {
    match probe {
        Probe::Tcp(address) => TcpStream::connect(address).await.map(|_| true),
        Probe::Http { address, host, path } => {
            let mut stream = TcpStream::connect(address).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: */*\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            // "HTTP/1.1 200": what follows is not looked at.
            let mut line = [0; 12];
            stream.read_exact(&mut line).await?;
            Ok(line.starts_with(b"HTTP/1.") && line[8..10] == *b" 2")
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn answering(line: &'static str) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let probe = Probe::Http { host: address.clone(), address, path: "/up?x".into() };
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 256];
            let n = stream.read(&mut request).await.unwrap();
            stream.write_all(line.as_bytes()).await.unwrap();
            String::from_utf8(request[..n].to_vec()).unwrap()
        };
        let (passed, asked) = tokio::join!(look(&probe), server);
        assert!(asked.starts_with("GET /up?x HTTP/1.1\r\nHost: 127.0.0.1:"), "{asked}");
        passed.unwrap_or(false)
    }

    #[tokio::test]
    async fn only_2xx_is_an_answer() {
        assert!(answering("HTTP/1.1 204 No Content\r\n\r\n").await);
        for line in ["HTTP/1.1 503 Busy\r\n\r\n", "HTTP/1.1 302 Found\r\n\r\n", "SSH-2.0-x 2 and more", "HTTP/1.1"] {
            assert!(!answering(line).await, "{line}");
        }
    }

    #[tokio::test]
    async fn nobody_there_does_not_pass_and_somebody_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = Probe::Tcp(listener.local_addr().unwrap().to_string());
        passes(&probe).await;
        drop(listener);
        assert!(look(&probe).await.is_err());
    }
}
