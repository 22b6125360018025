//! One stream: a small task between a socket and the loop.
//!
//! ```text
//! accepted ─► one of 64 handshakes (3 s) ─► one of 8 slots ─► talk ─► all is sent (30 s in all, 5 s for each frame)
//! ```
//! Whoever has no key gets no slot, and one above the 64 is dropped and counted. A slot is free again when its task has
//! ended, not when the engine is done with it. Orders come by a channel without a bound of its own: the engine never
//! gives more than 32 MiB in one exchange, and a peer that does not read ends the task and the queue with it.
//! What is read goes to the loop by the one queue that all streams share (64 events); while that is full, streams
//! wait and their senders with them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lobby_core::stats::{PacketKind, Stats, Verdict};
use lobby_gossip::{Keyring, MAX_INBOUND, StreamId};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use super::channel::{Channel, ChannelError};

/// A stream that is not open by then never will be.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Longer than the largest exchange over the slowest link that makes sense.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a peer may take to read one frame.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Streams of others that have no slot yet: handshakes under way, and those that wait for a slot.
const MAX_GREETED: usize = 64;

/// Bound of the queue from all streams to the loop.
pub(super) const EVENTS: usize = 64;

/// What the loop wants of a stream.
#[derive(Debug)]
pub(super) enum Order {
    Frame(Vec<u8>),
    Close,
}

/// What a stream tells the loop.
pub(super) enum StreamEvent {
    /// Somebody who has our key opened a stream; it has a slot.
    Accepted(Box<Channel>, OwnedSemaphorePermit),
    Opened(StreamId),
    Frame(StreamId, Vec<u8>),
    Closed(StreamId),
}

/// Where a stream comes from.
pub(super) enum End {
    /// We open it.
    Ours(SocketAddr),
    /// Somebody else opened it.
    Theirs(Box<Channel>, OwnedSemaphorePermit),
}

/// What every stream needs.
#[derive(Clone, Debug)]
pub(super) struct Context {
    keyring: Arc<Keyring>,
    stats: Arc<Stats>,
    events: mpsc::Sender<StreamEvent>,
    greeted: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

impl Context {
    pub(super) fn new(keyring: Arc<Keyring>, stats: Arc<Stats>, events: mpsc::Sender<StreamEvent>) -> Self {
        let (greeted, slots) = (Semaphore::new(MAX_GREETED).into(), Semaphore::new(MAX_INBOUND).into());
        Self { keyring, stats, events, greeted, slots }
    }

    /// Takes a stream that somebody opened through the handshake and into a slot, and hands it to the loop.
    pub(super) async fn greet(self, socket: TcpStream) {
        let Ok(_greeted) = self.greeted.clone().try_acquire_owned() else {
            return self.stats.received(PacketKind::Stream, Verdict::Refused, 0);
        };
        let accepted = async {
            socket.set_nodelay(true)?;
            Channel::accept(socket, &self.keyring).await
        };
        match timeout(OPEN_TIMEOUT, accepted).await.map_err(|elapsed| ChannelError::Io(elapsed.into())).flatten() {
            Ok(channel) => {
                // The peer does not wait for longer, and neither does anybody gain from more.
                let Ok(Ok(slot)) = timeout(WHOLE_TIMEOUT, self.slots.clone().acquire_owned()).await else {
                    return self.stats.received(PacketKind::Stream, Verdict::Refused, 0);
                };
                // The loop is gone when this fails, and then nobody minds.
                let _ = self.events.send(StreamEvent::Accepted(channel.into(), slot)).await;
            }
            Err(err) => {
                tracing::debug!("gossip stream did not open: {err}");
                self.stats.received(PacketKind::Stream, err.verdict(), 0);
            }
        }
    }

    /// Runs a stream to its end and tells the loop of it.
    pub(super) async fn run(self, stream: StreamId, end: End, orders: mpsc::UnboundedReceiver<Order>) {
        let ours = matches!(end, End::Ours(_));
        // Held until the loop was told of the end.
        let (talk, _slot) = match end {
            End::Ours(addr) => (timeout(WHOLE_TIMEOUT, self.open_and_talk(stream, addr, orders)).await, None),
            End::Theirs(channel, slot) => (timeout(WHOLE_TIMEOUT, self.talk(stream, *channel, orders)).await, Some(slot)),
        };
        let err = match talk {
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

    async fn talk(
        &self,
        stream: StreamId,
        mut channel: Channel,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) -> Result<(), ChannelError> {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Frame(frame)) => {
                        timeout(WRITE_TIMEOUT, channel.write_frame(&frame)).await.map_err(std::io::Error::from)??;
                    }
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

    async fn open_and_talk(
        &self,
        stream: StreamId,
        addr: SocketAddr,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Result<(), ChannelError> {
        let opened = async {
            let socket = TcpStream::connect(addr).await?;
            socket.set_nodelay(true)?;
            Channel::connect(socket, &self.keyring).await
        };
        let channel = timeout(OPEN_TIMEOUT, opened).await.map_err(std::io::Error::from)??;
        if self.events.send(StreamEvent::Opened(stream)).await.is_err() {
            return Ok(());
        }
        self.talk(stream, channel, orders).await
    }
}
