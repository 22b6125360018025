//! One stream: a small task between a socket and the loop.
//!
//! Its orders come by a channel without a bound of its own: the engine never gives more than 32 MiB in one exchange.
//! What it reads goes to the loop by the one queue that all streams share (64 events); while that is full, streams
//! wait and their senders with them. Ends by itself after 30 s, or 3 s without a handshake.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lobby_core::stats::{PacketKind, Stats};
use lobby_gossip::{Keyring, StreamId};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};

use super::channel::{Channel, ChannelError};

/// A stream that is not open by then never will be.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Longer than the largest exchange over the slowest link that makes sense.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bound of the queue from all streams to the loop.
pub(super) const EVENTS: usize = 64;

/// What the loop wants of a stream.
#[derive(Debug)]
pub(super) enum Order {
    Frame(Vec<u8>),
    Close,
}

/// What a stream tells the loop.
#[derive(Debug)]
pub(super) enum StreamEvent {
    Opened(StreamId),
    Frame(StreamId, Vec<u8>),
    Closed(StreamId),
}

/// Where a stream comes from.
#[derive(Debug)]
pub(super) enum End {
    /// We open it.
    Ours(SocketAddr),
    /// Somebody else opened it.
    Theirs(TcpStream),
}

/// What every stream needs.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) keyring: Arc<Keyring>,
    pub(super) stats: Arc<Stats>,
    pub(super) events: mpsc::Sender<StreamEvent>,
}

impl Context {
    /// Runs a stream to its end and tells the loop of it.
    pub(super) async fn run(self, stream: StreamId, end: End, orders: mpsc::UnboundedReceiver<Order>) {
        let ours = matches!(end, End::Ours(_));
        let res = timeout(WHOLE_TIMEOUT, self.talk(stream, end, orders)).await;
        let err = match res {
            Ok(Ok(())) => None,
            Ok(Err(err)) => Some(err),
            Err(elapsed) => Some(ChannelError::Io(elapsed.into())),
        };
        if let Some(err) = err {
            tracing::debug!("gossip stream ended: {err}");
            if ours {
                self.stats.sent(PacketKind::Stream, err.verdict(), 0);
            } else {
                self.stats.received(PacketKind::Stream, err.verdict(), 0);
            }
        }
        // The loop is gone when this fails, and then nobody minds.
        let _ = self.events.send(StreamEvent::Closed(stream)).await;
    }

    async fn talk(&self, stream: StreamId, end: End, mut orders: mpsc::UnboundedReceiver<Order>) -> Result<(), ChannelError> {
        let mut channel = timeout(OPEN_TIMEOUT, self.open(end)).await.map_err(std::io::Error::from)??;
        if self.events.send(StreamEvent::Opened(stream)).await.is_err() {
            return Ok(());
        }
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Frame(frame)) => channel.write_frame(&frame).await?,
                    Some(Order::Close) | None => {
                        channel.close().await;
                        return Ok(());
                    }
                },
                frame = channel.read_frame() => match frame? {
                    Some(frame) => {
                        if self.events.send(StreamEvent::Frame(stream, frame)).await.is_err() {
                            return Ok(());
                        }
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    async fn open(&self, end: End) -> Result<Channel, ChannelError> {
        match end {
            End::Ours(addr) => {
                let socket = TcpStream::connect(addr).await?;
                socket.set_nodelay(true)?;
                Channel::connect(socket, &self.keyring).await
            }
            End::Theirs(socket) => {
                socket.set_nodelay(true)?;
                Channel::accept(socket, &self.keyring).await
            }
        }
    }
}
