//! The loop: one task, one engine, one enum of everything that can wake it.
//!
//! Each turn reads the sockets empty before any timer fires, and moves the engine's clock by its own stalls at most a
//! quarter second, so that a slow turn never expires anybody else. No stream, name, file or knock is ever waited for.
//! On stop: goodbye, if our last record says that we leave or restart; a second at most, with the last files.
//! Not here: what becomes of the engine's outputs (`carry`), of commands and queries (`desk`).

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use lobby_core::{
    id::NodeId,
    port::{
        LinkState, NodeEnded, PeerEvent, PeerLink,
        gossip::{EventId, Fingerprint, GossipCommand},
    },
    proof::Checker,
    stats::{PacketKind, Queue, Verdict},
    time::Moment,
};
use lobby_gossip::{Engine, EngineClock, Input, Nonce, Reach, Setup, StreamId};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, mpsc, watch},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Gossip,
    beacon::Beacon,
    carry::{Folder, MAX_KNOCKS},
    desk::Desk,
    join::{Found, Joins},
    seeds::Resolved,
    srv::NameServers,
    stream::{self, Context, End, Order, StreamEvent},
};
use crate::{backoff, clock::Clock};

/// Datagrams read in one turn; then timers and streams have their turn too.
const DATAGRAMS_PER_TURN: usize = 1024;

/// Larger than any datagram that we send; what is cut off is garbage anyway.
pub(super) const DATAGRAM_BYTES: usize = 2048;

/// How long goodbye may take.
const LINGER: Duration = Duration::from_millis(600);

/// How long the last files may take after that.
const SAVE_LINGER: Duration = Duration::from_millis(300);

/// Wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bound of the queue of addresses found for `join`; who finds more waits.
const FOUND: usize = 16;

/// Everything that can wake the loop.
pub(super) enum Wake {
    Datagrams,
    Accepted(TcpStream),
    Stream(StreamEvent),
    Seeds(Resolved),
    Found(Found),
    Knocked(NodeId, Reach),
    Announcement,
    Question(NodeId),
    Command(GossipCommand),
    Answered(EventId, Option<Bytes>),
    Deadline,
    Stop,
    NodeEnded,
}

/// Whose address was knocked at, and what was heard.
pub(super) type Knocked = (NodeId, Reach);

pub(super) struct Loop {
    pub(super) engine: Engine,
    engine_clock: EngineClock,
    pub(super) clock: Clock,
    pub(super) link: PeerLink,
    pub(super) udp: UdpSocket,
    tcp: TcpListener,
    beacon: Option<Beacon>,
    pub(super) desk: Desk,
    pub(super) joins: Joins,
    pub(super) context: Context,
    stream_events: mpsc::Receiver<StreamEvent>,
    /// One per open stream; the engine bounds their number, and what each may have to say to 32 MiB.
    pub(super) orders: HashMap<StreamId, mpsc::UnboundedSender<Order>>,
    /// Seeds as they were written, those of `join` among them.
    pub(super) seeds: Vec<String>,
    pub(super) servers: NameServers,
    /// The answer to the engine's last wish to resolve; one at a time.
    pub(super) resolved: (mpsc::Sender<Resolved>, mpsc::Receiver<Resolved>),
    pub(super) found: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
    pub(super) knocking: Arc<Semaphore>,
    /// Room for the answer to each knock that there may be.
    pub(super) knocked: (mpsc::Sender<Knocked>, mpsc::Receiver<Knocked>),
    pub(super) fingerprints: watch::Sender<Vec<Fingerprint>>,
    pub(super) folder: Option<Folder>,
    /// Ends the helper tasks with the loop, if their own timeouts have not.
    pub(super) abort: CancellationToken,
    questions_open: bool,
    /// No stream is accepted before.
    accept_after: Moment,
    pub(super) left: bool,
}

pub(super) async fn run(gossip: Gossip, link: PeerLink, stop: CancellationToken) {
    let mut this = Loop::new(gossip, link);
    // Whoever drops this future ends the helper tasks too: kept streams would not end by themselves.
    let helpers = this.abort.clone().drop_guard();
    // The node task has ended when this says so, and then there is nobody to work for.
    let _ = this.run(stop).await;
    drop(helpers);
    if let Some(folder) = this.folder.take() {
        // A disk that is slower than that loses no more than a crash would.
        let _ = timeout(SAVE_LINGER, folder.finish()).await;
    }
}

impl Loop {
    fn new(gossip: Gossip, mut link: PeerLink) -> Self {
        let (events, stream_events) = mpsc::channel(stream::EVENTS);
        let mut engine_clock = EngineClock::default();
        let folder =
            gossip.config.folder.map(|path| Folder::new(&path, gossip.config.keys, &gossip.peers, gossip.clock.moment()));
        let setup = Setup {
            config: gossip.config.profile.config(),
            keyring: gossip.keyring.clone(),
            advertise: gossip.advertise,
            announcement: link.announcement.borrow_and_update().clone(),
            seeded: !gossip.config.join.is_empty(),
            peers: gossip.peers,
            nonces: Box::new(nonce),
            seed: backoff::random(),
            check: Checker::new(&gossip.config.cluster).into_check(),
            signer: link.signer.clone(),
            stats: link.stats.clone(),
        };
        let engine = Engine::new(setup, engine_clock.turn(gossip.clock.moment(), None));
        gossip.fingerprints.send_replace(engine.keys().own);
        let context = Context::new(gossip.keyring, link.stats.clone(), events);
        Self {
            engine,
            engine_clock,
            clock: gossip.clock,
            desk: Desk::new(gossip.ends, link.stats.clone()),
            link,
            udp: gossip.udp,
            tcp: gossip.tcp,
            beacon: gossip.beacon,
            joins: Joins::default(),
            context,
            stream_events,
            orders: HashMap::new(),
            seeds: gossip.config.join,
            servers: gossip.servers,
            resolved: mpsc::channel(1),
            found: mpsc::channel(FOUND),
            knocking: Arc::new(Semaphore::new(MAX_KNOCKS)),
            knocked: mpsc::channel(MAX_KNOCKS),
            fingerprints: gossip.fingerprints,
            folder,
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
        self.beacon = None;
        self.desk.close();
        self.joins.close();
        if let Some(folder) = &mut self.folder {
            folder.save_peers(&self.engine.peers());
        }
        let announcement = self.link.announcement.borrow_and_update().clone();
        if !announcement.record.is_last() {
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

    /// Waits for something to do; `turn` sees to it that the sockets come first and timers last.
    async fn next_wake(&mut self, stop: &CancellationToken) -> Wake {
        let deadline = self.clock.instant(self.next_deadline());
        let may_accept = self.clock.moment() >= self.accept_after;
        tokio::select! {
            () = stop.cancelled() => Wake::Stop,
            _ = self.udp.readable() => Wake::Datagrams,
            () = heard(self.beacon.as_ref()) => Wake::Datagrams,
            Some(event) = self.stream_events.recv() => Wake::Stream(event),
            Some(seeds) = self.resolved.1.recv() => Wake::Seeds(seeds),
            Some(found) = self.found.1.recv() => Wake::Found(found),
            Some((id, reach)) = self.knocked.1.recv() => Wake::Knocked(id, reach),
            changed = self.link.announcement.changed() => changed.map_or(Wake::NodeEnded, |()| Wake::Announcement),
            question = self.link.questions.recv(), if self.questions_open => match question {
                Some(id) => Wake::Question(id),
                None => {
                    self.questions_open = false;
                    Wake::Deadline
                }
            },
            wake = self.desk.next() => wake,
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

    fn next_deadline(&self) -> Moment {
        let engine = self.engine.next_deadline().map(|deadline| self.engine_clock.real(deadline));
        let beacon = self.beacon.as_ref().map(Beacon::next_deadline);
        let folder = self.folder.as_ref().map(Folder::next_deadline);
        let deadlines = [engine, self.joins.next_deadline(), beacon, folder];
        deadlines.into_iter().flatten().min().unwrap_or(Moment::from_micros(u64::MAX / 2))
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
            Wake::Stream(event) => self.handle_stream(event, now),
            Wake::Seeds(Resolved { addrs, all }) => self.engine.handle(Input::Seeds { addrs, all_resolved: all }, now),
            Wake::Found(found) => self.join_found(found, now),
            Wake::Knocked(id, reach) => self.engine.handle(Input::Reached(id, reach), now),
            Wake::Announcement => {
                let announcement = self.link.announcement.borrow_and_update().clone();
                self.engine.handle(Input::Announce(announcement), now);
            }
            Wake::Question(id) => self.engine.handle(Input::Question(id), now),
            Wake::Command(command) => {
                if let Some((seeds, answer)) = self.desk.serve(command, &mut self.engine, now) {
                    self.begin_join(&seeds, answer);
                }
            }
            Wake::Answered(id, payload) => self.desk.answer(id, payload, &mut self.engine, now),
        }
        self.engine.handle_deadline(now);
        self.note_depths();
        self.handle_own_deadlines(self.clock.moment());
    }

    fn handle_stream(&mut self, event: StreamEvent, now: Moment) {
        match event {
            StreamEvent::Accepted(channel, slot) => {
                if let Some(stream) = self.engine.accept() {
                    self.start_stream(stream, End::Theirs(channel, slot));
                }
            }
            StreamEvent::Opened(stream) => self.engine.handle(Input::Opened(stream), now),
            StreamEvent::Frame(stream, frame) => self.engine.handle(Input::Frame(stream, &frame), now),
            StreamEvent::Closed(stream) => {
                self.orders.remove(&stream);
                self.engine.handle(Input::Closed(stream), now);
            }
        }
    }

    fn handle_own_deadlines(&mut self, real: Moment) {
        self.joins.handle_deadline(real);
        if let Some(group) = self.beacon.as_mut().and_then(|beacon| beacon.handle_deadline(real, backoff::random())) {
            let datagram = self.engine.beacon();
            self.send(group, &datagram);
        }
        if let Some(folder) = self.folder.as_mut().filter(|folder| folder.next_deadline() <= real) {
            folder.handle_deadline(&self.engine.peers(), real);
        }
    }

    fn read_datagrams(&mut self, now: Moment) {
        let mut datagram = [0; DATAGRAM_BYTES];
        for _ in 0..DATAGRAMS_PER_TURN {
            match self.udp.try_recv_from(&mut datagram) {
                Ok((n_bytes, from)) => self.engine.handle(Input::Datagram(from, &datagram[..n_bytes]), now),
                Err(_) => break,
            }
        }
        if let Some(beacon) = &self.beacon {
            beacon.read(|from, bytes| self.engine.handle(Input::Beacon(from, bytes), now));
        }
    }

    fn note_depths(&self) {
        let stats = &self.link.stats;
        self.desk.note_depths();
        stats.depth(Queue::Knocks, MAX_KNOCKS - self.knocking.available_permits(), MAX_KNOCKS);
        stats.depth(Queue::StreamEvents, self.stream_events.len(), stream::EVENTS);
    }

    pub(super) fn now(&mut self) -> Moment {
        self.engine_clock.turn(self.clock.moment(), self.engine.next_deadline())
    }
}

async fn heard(beacon: Option<&Beacon>) {
    match beacon {
        Some(beacon) => beacon.readable().await,
        None => pending().await,
    }
}

fn nonce() -> Nonce {
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).expect("the operating system has random bytes for everybody");
    nonce
}
