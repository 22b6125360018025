//! The loop: one task, one engine, one enum of everything that can wake it.
//!
//! Each turn reads the socket empty before any timer fires, and moves the engine's clock by its own stalls at most a
//! quarter second, so that a slow turn never expires anybody else. No stream is ever waited for.
//! On stop: goodbye, if our last record says that we are leaving; 600 ms at most.

use std::{collections::HashMap, time::Duration};

use lobby_core::{
    id::NodeId,
    port::{LinkState, NodeEnded, PeerEvent, PeerLink},
    stats::{PacketKind, Verdict},
    time::Moment,
};
use lobby_gossip::{Engine, EngineClock, Input, Nonce, Output, Setup, StreamId};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;

use super::{
    Gossip,
    seeds::{self, Resolved},
    stream::{self, Context, End, Order, StreamEvent},
};
use crate::{backoff, clock::Clock};

/// Datagrams read in one turn; then timers and streams have their turn too.
const DATAGRAMS_PER_TURN: usize = 1024;

/// Larger than any datagram that we send; what is cut off is garbage anyway.
const DATAGRAM_BYTES: usize = 2048;

/// How long goodbye may take.
const LINGER: Duration = Duration::from_millis(600);

/// Wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Resolving a seed may take this long.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that can wake the loop.
enum Wake {
    Datagrams,
    Accepted(TcpStream),
    Stream(StreamEvent),
    Seeds(Resolved),
    Announcement,
    Question(NodeId),
    Deadline,
    Stop,
    NodeEnded,
}

struct Loop {
    engine: Engine,
    engine_clock: EngineClock,
    clock: Clock,
    link: PeerLink,
    udp: UdpSocket,
    tcp: TcpListener,
    context: Context,
    stream_events: mpsc::Receiver<StreamEvent>,
    /// One per open stream; the engine bounds their number, and what each may have to say to 32 MiB.
    orders: HashMap<StreamId, mpsc::UnboundedSender<Order>>,
    join: Vec<String>,
    /// The answer to the engine's last wish to resolve; one at a time.
    seeds: (mpsc::Sender<Resolved>, mpsc::Receiver<Resolved>),
    /// Ends the helper tasks with the loop, if their own timeouts have not.
    abort: CancellationToken,
    questions_open: bool,
    /// No stream is accepted before.
    accept_after: Moment,
    left: bool,
}

pub(super) async fn run(gossip: Gossip, link: PeerLink, stop: CancellationToken) {
    let mut this = Loop::new(gossip, link);
    let abort = this.abort.clone();
    // The node task has ended when this says so, and then there is nobody to work for.
    let _ = this.run(stop).await;
    abort.cancel();
}

impl Loop {
    fn new(gossip: Gossip, mut link: PeerLink) -> Self {
        let (events, stream_events) = mpsc::channel(stream::EVENTS);
        let mut engine_clock = EngineClock::default();
        let setup = Setup {
            config: gossip.config.profile.config(),
            keyring: gossip.keyring.clone(),
            advertise: gossip.advertise,
            announcement: link.announcement.borrow_and_update().clone(),
            seeded: !gossip.config.join.is_empty(),
            peers: Vec::new(),
            nonces: Box::new(nonce),
            seed: backoff::random(),
            stats: link.stats.clone(),
        };
        let engine = Engine::new(setup, engine_clock.turn(gossip.clock.moment(), None));
        let context = Context::new(gossip.keyring, link.stats.clone(), events);
        Self {
            engine,
            engine_clock,
            clock: gossip.clock,
            link,
            udp: gossip.udp,
            tcp: gossip.tcp,
            context,
            stream_events,
            orders: HashMap::new(),
            join: gossip.config.join,
            seeds: mpsc::channel(1),
            abort: CancellationToken::new(),
            questions_open: true,
            accept_after: Moment::ZERO,
            left: false,
        }
    }

    async fn run(&mut self, stop: CancellationToken) -> Result<(), NodeEnded> {
        self.link.tell(PeerEvent::Link(LinkState::Up)).await?;
        loop {
            self.carry_out().await?;
            match self.next_wake(&stop).await {
                Wake::Stop => break,
                Wake::NodeEnded => return Err(NodeEnded),
                wake => self.turn(wake),
            }
        }
        self.goodbye().await
    }

    async fn goodbye(&mut self) -> Result<(), NodeEnded> {
        let announcement = self.link.announcement.borrow_and_update().clone();
        if !announcement.record.has_left() {
            return Ok(());
        }
        let now = self.now();
        self.engine.handle(Input::Announce(announcement), now);
        self.engine.handle(Input::Leave, now);
        let end = tokio::time::Instant::now() + LINGER;
        let never = CancellationToken::new();
        loop {
            self.carry_out().await?;
            if self.left {
                return Ok(());
            }
            tokio::select! {
                () = sleep_until(end) => return Ok(()),
                wake = self.next_wake(&never) => self.turn(wake),
            }
        }
    }

    /// Waits for something to do; `turn` sees to it that the socket comes first and timers last.
    async fn next_wake(&mut self, stop: &CancellationToken) -> Wake {
        let deadline = self.engine.next_deadline().unwrap_or(Moment::from_micros(u64::MAX / 2));
        let deadline = self.clock.instant(self.engine_clock.real(deadline));
        let may_accept = self.clock.moment() >= self.accept_after;
        tokio::select! {
            () = stop.cancelled() => Wake::Stop,
            _ = self.udp.readable() => Wake::Datagrams,
            Some(event) = self.stream_events.recv() => Wake::Stream(event),
            Some(seeds) = self.seeds.1.recv() => Wake::Seeds(seeds),
            changed = self.link.announcement.changed() => match changed {
                Ok(()) => Wake::Announcement,
                Err(_) => Wake::NodeEnded,
            },
            question = self.link.questions.recv(), if self.questions_open => match question {
                Some(id) => Wake::Question(id),
                None => {
                    self.questions_open = false;
                    Wake::Datagrams
                }
            },
            accepted = self.tcp.accept(), if may_accept => match accepted {
                Ok((socket, _)) => Wake::Accepted(socket),
                Err(err) => {
                    // The peer is gone already, or we are out of file descriptors, and then at once would be in vain.
                    self.accept_after = self.clock.moment() + ACCEPT_PAUSE;
                    tracing::debug!("a gossip stream could not be accepted: {err}");
                    self.link.stats.received(PacketKind::Stream, Verdict::Refused, 0);
                    Wake::Deadline
                }
            },
            () = sleep_until(deadline) => Wake::Deadline,
        }
    }

    fn turn(&mut self, wake: Wake) {
        let now = self.now();
        self.read_datagrams(now);
        match wake {
            Wake::Datagrams | Wake::Deadline | Wake::Stop | Wake::NodeEnded => {}
            Wake::Accepted(socket) => {
                let greeted = self.context.clone().greet(socket);
                tokio::spawn(self.abort.clone().run_until_cancelled_owned(greeted));
            }
            Wake::Stream(StreamEvent::Accepted(channel, slot)) => {
                if let Some(stream) = self.engine.accept() {
                    self.start_stream(stream, End::Theirs(channel, slot));
                }
            }
            Wake::Stream(StreamEvent::Opened(stream)) => self.engine.handle(Input::Opened(stream), now),
            Wake::Stream(StreamEvent::Frame(stream, frame)) => self.engine.handle(Input::Frame(stream, &frame), now),
            Wake::Stream(StreamEvent::Closed(stream)) => {
                self.orders.remove(&stream);
                self.engine.handle(Input::Closed(stream), now);
            }
            Wake::Seeds(Resolved { addrs, all }) => self.engine.handle(Input::Seeds { addrs, all_resolved: all }, now),
            Wake::Announcement => {
                let announcement = self.link.announcement.borrow_and_update().clone();
                self.engine.handle(Input::Announce(announcement), now);
            }
            Wake::Question(id) => self.engine.handle(Input::Question(id), now),
        }
        self.engine.handle_deadline(now);
    }

    fn read_datagrams(&mut self, now: Moment) {
        let mut datagram = [0; DATAGRAM_BYTES];
        for _ in 0..DATAGRAMS_PER_TURN {
            match self.udp.try_recv_from(&mut datagram) {
                Ok((n_bytes, from)) => self.engine.handle(Input::Datagram(from, &datagram[..n_bytes]), now),
                Err(_) => break,
            }
        }
    }

    /// Does what the engine wants.
    async fn carry_out(&mut self) -> Result<(), NodeEnded> {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Datagram(to, bytes) => {
                    // A full send buffer loses the datagram, as any other queue on its way might.
                    if self.udp.try_send_to(&bytes, to).is_err() {
                        self.link.stats.sent(PacketKind::Datagram, Verdict::Failed, 0);
                    }
                }
                Output::Event(event) => self.link.tell(event).await?,
                Output::Resolve => self.resolve(),
                Output::Open(stream, to) => self.start_stream(stream, End::Ours(to)),
                Output::Frame(stream, frame) => self.order(stream, Order::Frame(frame)),
                Output::Close(stream) => {
                    self.order(stream, Order::Close);
                    self.orders.remove(&stream);
                }
                Output::Left => self.left = true,
                Output::Watch(stream, to) => self.start_stream(stream, End::Ours(to)),
                Output::Keep(_)
                | Output::Connect(..)
                | Output::Joined(..)
                | Output::Heard(_)
                | Output::Asked(_)
                | Output::News(..)
                | Output::QueryOver(_)
                | Output::Keyring(_)
                | Output::KeysChanged(..)
                | Output::Located(..) => {}
            }
        }
        Ok(())
    }

    fn resolve(&self) {
        let (join, answer, abort) = (self.join.clone(), self.seeds.0.clone(), self.abort.clone());
        tokio::spawn(abort.run_until_cancelled_owned(async move {
            let seeds = seeds::resolve(join, RESOLVE_TIMEOUT).await;
            let _ = answer.send(seeds).await;
        }));
    }

    fn start_stream(&mut self, stream: StreamId, end: End) {
        let (orders, receiver) = mpsc::unbounded_channel();
        self.orders.insert(stream, orders);
        let talk = self.context.clone().run(stream, end, receiver);
        tokio::spawn(self.abort.clone().run_until_cancelled_owned(talk));
    }

    fn order(&self, stream: StreamId, order: Order) {
        // A stream that has ended tells so by itself.
        if let Some(orders) = self.orders.get(&stream) {
            let _ = orders.send(order);
        }
    }

    fn now(&mut self) -> Moment {
        self.engine_clock.turn(self.clock.moment(), self.engine.next_deadline())
    }
}

fn nonce() -> Nonce {
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).expect("the operating system has random bytes for everybody");
    nonce
}
