//! Clients that keep their connection, thousands of them in one thread: one request and its answer at a time.
//!
//! Answers must say how long they are, as those of lobbyd do. Not here: blocking queries (`watch`).

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use lobby_testkit::daemon::Daemon;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
    task::JoinSet,
};

use crate::host::now;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `X-Consul-Index`, 0 without one.
    pub(crate) index: u64,
    pub(crate) body: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    address: SocketAddr,
    read: Vec<u8>,
}

/// A request to put something, and its body.
pub(crate) type Put = (String, String);

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address, read: Vec::new() })
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let (address, length) = (self.address, body.len());
        let text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}");
        self.stream.write_all(text.as_bytes()).await?;
        self.receive().await
    }

    async fn receive(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        let field = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).ok_or_else(|| bad(&head))?;
        let (length, index) = (field("content-length:").ok_or_else(|| bad(&head))?, field("x-consul-index:"));
        let whole = end + usize::try_from(length).map_err(|_| bad(&head))?;
        while self.read.len() < whole {
            self.read_more().await?;
        }
        let body = self.read[end..whole].to_vec();
        self.read.drain(..whole);
        Ok(Answer { status, index: index.unwrap_or(0), body })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn bad(head: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, head.to_owned())
}

/// Puts all of these over so many connections, one after the other on each; how long each took. Panics when one fails.
pub(crate) fn put_all(daemon: &Daemon, puts: Vec<Put>, connections: usize) -> Vec<Duration> {
    let address = daemon.http;
    let mut shares = vec![Vec::new(); connections.max(1)];
    puts.into_iter().enumerate().for_each(|(idx, put)| shares[idx % connections.max(1)].push(put));
    runtime().block_on(async {
        let mut tasks = JoinSet::new();
        for share in shares {
            tasks.spawn(async move { put_each(address, share).await.unwrap_or_else(|err| panic!("PUT: {err}")) });
        }
        tasks.join_all().await.into_iter().flatten().map(|(asked, answered)| answered - asked).collect()
    })
}

async fn put_each(address: SocketAddr, puts: Vec<Put>) -> io::Result<Vec<(Instant, Instant)>> {
    let mut client = Client::connect(address).await?;
    let mut times = Vec::with_capacity(puts.len());
    for (path, body) in puts {
        let asked = now();
        let answer = client.ask("PUT", &path, &body).await?;
        times.push((asked, now()));
        assert_eq!(answer.status, 200, "PUT {path} {body}: {}", String::from_utf8_lossy(&answer.body));
    }
    Ok(times)
}
