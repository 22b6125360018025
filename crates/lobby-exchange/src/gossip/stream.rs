//! One stream: a small task between a socket and the loop.
//!
//! ```text
//! accepted ─► one of 64 handshakes (3 s) ─► first message (5 s) ─► one of 8 slots ─► talk ─► the end (30 s in all)
//!                                                                                    └─► kept: no slot, no deadline
//! ```
//! Whoever has no key or says nothing gets no slot, and one above the 64 drives out another (`door`), which is counted.
//! The proof of the key is the first message after the handshake: the handshake's own may be a recording. Who does not
//! read what we write loses the slot after 5 s. A slot is free again when its task has ended, not
//! when the engine is done with it. Orders come by a channel without a bound of its own: the engine never gives more
//! than 32 MiB in one exchange, and a peer that does not read ends the task and the queue with it.
//! What is read goes to the loop by the one queue that all streams share (64 events); while that is full, streams
//! wait and their senders with them.
//!
//! A kept stream is silent for as long as both ends live; its end is news and is told at once. How many there are is
//! the engine's bound. There is no TCP keep-alive on it and no TCP_USER_TIMEOUT: a process that dies takes its
//! sockets with it, and the system closes them, which is all that such a stream is for. A host that dies says nothing;
//! that silence is found by probes within seconds, and the engine then closes the stream.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use lobby_core::stats::{PacketKind, Stats, Verdict};
use lobby_gossip::{Keyring, MAX_INBOUND, StreamId};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};

use super::{
    channel::{Channel, ChannelError},
    door::Door,
};

#[cfg(test)]
mod tests;

/// A stream that is not open by then never will be.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Whoever opened a stream has something to say: by then, or its place goes to somebody else.
const FIRST_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than the largest exchange over the slowest link that makes sense.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a peer may take to read one frame.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bound of the queue from all streams to the loop.
pub(super) const EVENTS: usize = 64;

/// What the loop wants of a stream.
#[derive(Debug)]
pub(super) enum Order {
    Frame(Vec<u8>),
    /// It has no deadline from now on, and takes no slot.
    Keep,
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
    /// We open it and keep it.
    Watch(SocketAddr),
    /// Somebody else opened it.
    Theirs(Box<Channel>, OwnedSemaphorePermit),
}

/// What every stream needs. The loop has one and gives each stream a copy, so a new keyring is for new streams.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) keyring: Arc<Keyring>,
    stats: Arc<Stats>,
    events: mpsc::Sender<StreamEvent>,
    door: Door,
    slots: Arc<Semaphore>,
}

/// Until when a stream must come to something.
struct Term {
    /// The end of all patience; `None` for a stream that is kept.
    end: Option<Instant>,
    /// Until when the other must have spoken; `None` once it has, or when it is our turn.
    first: Option<Instant>,
}

impl Term {
    const ENDLESS: Self = Self { end: None, first: None };

    fn new(first: Option<Duration>) -> Self {
        let now = Instant::now();
        Self { end: Some(now + WHOLE_TIMEOUT), first: first.map(|first| now + first) }
    }

    fn due(&self) -> Option<Instant> {
        self.first.or(self.end)
    }
}

impl Context {
    pub(super) fn new(keyring: Arc<Keyring>, stats: Arc<Stats>, events: mpsc::Sender<StreamEvent>) -> Self {
        Self { keyring, stats, events, door: Door::default(), slots: Semaphore::new(MAX_INBOUND).into() }
    }

    /// Takes a stream that somebody opened through the handshake and into a slot, and hands it to the loop.
    pub(super) async fn greet(self, socket: TcpStream) {
        // Who is gone already has no address any more.
        let Ok(from) = socket.peer_addr() else { return };
        let Some(place) = self.door.enter(from.ip()) else {
            return self.stats.received(PacketKind::Stream, Verdict::Refused, 0);
        };
        let accepted = async {
            socket.set_nodelay(true)?;
            let mut channel = timeout(OPEN_TIMEOUT, Channel::accept(socket, &self.keyring)).await.map_err(io::Error::from)??;
            timeout(FIRST_TIMEOUT, channel.prove()).await.map_err(io::Error::from)??;
            Ok::<_, ChannelError>(channel)
        };
        let Some(accepted) = place.out.run_until_cancelled(accepted).await else {
            return self.stats.received(PacketKind::Stream, Verdict::Refused, 0);
        };
        match accepted {
            Ok(_) if !place.prove() => self.stats.received(PacketKind::Stream, Verdict::Refused, 0),
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
                if let Some(verdict) = err.verdict() {
                    self.stats.received(PacketKind::Stream, verdict, 0);
                }
            }
        }
    }

    /// Runs a stream to its end and tells the loop of it.
    pub(super) async fn run(self, stream: StreamId, end: End, mut orders: mpsc::UnboundedReceiver<Order>) {
        let ours = !matches!(end, End::Theirs(..));
        // The slot is held until the loop was told of the end, unless the stream is kept.
        let (talked, _slot) = match end {
            End::Ours(addr) => (self.open_and_talk(stream, addr, &mut orders, Term::new(None)).await, None),
            End::Watch(addr) => (self.open_and_talk(stream, addr, &mut orders, Term::ENDLESS).await, None),
            End::Theirs(channel, slot) => {
                let mut slot = Some(slot);
                (self.talk(stream, *channel, &mut orders, &mut slot, Term::new(Some(FIRST_TIMEOUT))).await, slot)
            }
        };
        if let Err(err) = talked {
            tracing::debug!("gossip stream ended: {err}");
            match err.verdict() {
                Some(verdict) if ours => self.stats.sent(PacketKind::Stream, verdict, 0),
                Some(verdict) => self.stats.received(PacketKind::Stream, verdict, 0),
                None => {}
            }
        }
        // The loop is gone when this fails, and then nobody minds.
        let _ = self.events.send(StreamEvent::Closed(stream)).await;
    }

    async fn talk(
        &self,
        stream: StreamId,
        mut channel: Channel,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        slot: &mut Option<OwnedSemaphorePermit>,
        mut term: Term,
    ) -> Result<(), ChannelError> {
        loop {
            let due = term.due();
            tokio::select! {
                // The deadline first: a peer that always has one more frame does not escape it.
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    return Err(io::Error::from(io::ErrorKind::TimedOut).into());
                }
                order = orders.recv() => match order {
                    Some(Order::Frame(frame)) => {
                        timeout(WRITE_TIMEOUT, channel.write_frame(&frame)).await.map_err(io::Error::from)??;
                    }
                    Some(Order::Keep) => {
                        term = Term::ENDLESS;
                        *slot = None;
                        channel.shrink();
                    }
                    Some(Order::Close) | None => {
                        channel.close().await;
                        return Ok(());
                    }
                },
                frame = channel.read_frame() => match frame? {
                    Some(frame) => {
                        term.first = None;
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
        orders: &mut mpsc::UnboundedReceiver<Order>,
        term: Term,
    ) -> Result<(), ChannelError> {
        let opened = async {
            let socket = TcpStream::connect(addr).await?;
            socket.set_nodelay(true)?;
            Channel::connect(socket, &self.keyring).await
        };
        let channel = timeout(OPEN_TIMEOUT, opened).await.map_err(io::Error::from)??;
        if self.events.send(StreamEvent::Opened(stream)).await.is_err() {
            return Ok(());
        }
        self.talk(stream, channel, orders, &mut None, term).await
    }
}
