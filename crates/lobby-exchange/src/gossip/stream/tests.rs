//! Streams between real sockets: whoever is slow, silent or no member costs a bounded time and is counted by cause.
//!
//! Handshakes run in real time; then the clock is paused, and what is left to wait for is a deadline.

use lobby_gossip::Key;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc::{Receiver, UnboundedSender},
    task::JoinHandle,
    time,
};

use super::{
    super::{door, lab},
    *,
};

/// One who accepts streams.
struct Host {
    context: Context,
    stats: Arc<Stats>,
    events: Receiver<StreamEvent>,
    listener: TcpListener,
}

fn stream_id() -> StreamId {
    lab::engine().accept().unwrap()
}

fn keyring(keys: &[u8]) -> Keyring {
    let keys: Vec<_> = keys.iter().map(|byte| Key::from_bytes([*byte; 32])).collect();
    Keyring::new("test", &keys).unwrap()
}

impl Host {
    async fn new(keys: &[u8]) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        let stats = Arc::new(Stats::default());
        let context = Context::new(Arc::new(keyring(keys)), stats.clone(), sender);
        Self { context, stats, events, listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Greets the next connection.
    async fn greet(&self) -> JoinHandle<()> {
        let (socket, _) = self.listener.accept().await.unwrap();
        tokio::spawn(self.context.clone().greet(socket))
    }

    /// A stream of somebody who has the key and has said hello, at work: the other end, and where its orders go.
    async fn accept(&mut self) -> (Channel, UnboundedSender<Order>) {
        let (peer, accepted) = self.connect().await;
        let orders = self.run(accepted);
        let Some(StreamEvent::Frame(_, frame)) = self.events.recv().await else { panic!("no frame") };
        assert_eq!(frame, b"hello");
        (peer, orders)
    }

    /// A stream of somebody who has the key and says hello: the other end, and ours with its slot.
    async fn connect(&mut self) -> (Channel, End) {
        let socket = TcpStream::connect(self.addr()).await.unwrap();
        let greeted = self.greet().await;
        let mut peer = Channel::connect(socket, &keyring(&[1])).await.unwrap();
        peer.write_frame(b"hello").await.unwrap();
        greeted.await.unwrap();
        let Some(StreamEvent::Accepted(channel, slot)) = self.events.recv().await else { panic!("not accepted") };
        (peer, End::Theirs(channel, slot))
    }

    fn run(&self, end: End) -> UnboundedSender<Order> {
        let (orders, receiver) = mpsc::unbounded_channel();
        tokio::spawn(self.context.clone().run(stream_id(), end, receiver));
        orders
    }

    async fn ended(&mut self) {
        match timeout(Duration::from_secs(3600), self.events.recv()).await {
            Ok(Some(StreamEvent::Closed(_))) => {}
            _ => panic!("the stream did not end"),
        }
    }

    fn count(&self, verdict: Verdict) -> u64 {
        self.stats.received_count(PacketKind::Stream, verdict)
    }

    fn free_slots(&self) -> usize {
        self.context.slots.available_permits()
    }
}

/// A relay that writes down what goes through it towards `to`; the address to connect to, and the bytes after the end.
async fn record(to: SocketAddr) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let recorded = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(to).await.unwrap();
        let ((mut near_read, mut near_write), (mut far_read, mut far_write)) = (near.split(), far.split());
        let mut recorded = Vec::new();
        let there = async {
            let mut part = [0; 1024];
            loop {
                let n_bytes = near_read.read(&mut part).await.unwrap();
                if n_bytes == 0 {
                    break far_write.shutdown().await.unwrap();
                }
                recorded.extend_from_slice(&part[..n_bytes]);
                far_write.write_all(&part[..n_bytes]).await.unwrap();
            }
        };
        let back = async { _ = tokio::io::copy(&mut far_read, &mut near_write).await };
        tokio::select! { () = there => {}, () = back => {} }
        recorded
    });
    (addr, recorded)
}

/// A member's whole stream with one frame, as an eavesdropper has it.
async fn eavesdrop(host: &mut Host) -> Vec<u8> {
    let (addr, recorded) = record(host.addr()).await;
    let socket = TcpStream::connect(addr).await.unwrap();
    let greeted = host.greet().await;
    let mut peer = Channel::connect(socket, &keyring(&[1])).await.unwrap();
    peer.write_frame(b"hello").await.unwrap();
    greeted.await.unwrap();
    let Some(StreamEvent::Accepted(channel, slot)) = host.events.recv().await else { panic!("not accepted") };
    let _orders = host.run(End::Theirs(channel, slot));
    let Some(StreamEvent::Frame(_, frame)) = host.events.recv().await else { panic!("no frame") };
    assert_eq!(frame, b"hello");
    peer.close().await;
    host.ended().await;
    recorded.await.unwrap()
}

/// Sends bytes as a stream and hangs up; returns when the host is done with it.
async fn play(host: &mut Host, bytes: &[u8]) {
    let mut socket = TcpStream::connect(host.addr()).await.unwrap();
    let greeted = host.greet().await;
    // The host may have hung up already.
    let _ = socket.write_all(bytes).await;
    let _ = socket.shutdown().await;
    greeted.await.unwrap();
    if let Ok(StreamEvent::Accepted(channel, slot)) = host.events.try_recv() {
        let _orders = host.run(End::Theirs(channel, slot));
        host.ended().await;
    }
}

/// Opens a stream as a member does and says nothing: the other end, and the task that greets it.
async fn silent(host: &Host) -> (Channel, JoinHandle<()>) {
    let socket = TcpStream::connect(host.addr()).await.unwrap();
    let greeted = host.greet().await;
    (Channel::connect(socket, &keyring(&[1])).await.unwrap(), greeted)
}

#[tokio::test]
async fn a_member_that_says_nothing_gets_no_slot_and_loses_its_place_after_five_seconds() {
    let host = Host::new(&[1]).await;
    let (_peer, greeted) = silent(&host).await;
    time::pause();
    let start = Instant::now();
    greeted.await.unwrap();
    assert!((4..=5).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!((host.free_slots(), host.count(Verdict::Failed)), (MAX_INBOUND, 1));
}

#[tokio::test]
async fn silent_members_keep_nobody_out_and_busy_ones_for_thirty_seconds_at_most() {
    let mut host = Host::new(&[1]).await;
    let mut others = Vec::new();
    for _ in 0..MAX_INBOUND {
        others.push(silent(&host).await);
    }
    let mut busy = Vec::new();
    for _ in 0..MAX_INBOUND {
        busy.push(host.accept().await);
    }
    assert_eq!(host.free_slots(), 0);
    let (mut ninth, waits) = silent(&host).await;
    ninth.write_frame(b"hello").await.unwrap();
    while host.context.door.n_known() == 0 {
        tokio::task::yield_now().await;
    }
    time::pause();
    let start = Instant::now();
    waits.await.unwrap();
    assert!((29..=30).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    while !matches!(host.events.recv().await, Some(StreamEvent::Accepted(..))) {}
    assert_eq!(host.count(Verdict::Refused), 0);
}

/// The first message of a handshake opens with the key of the cluster whoever sends it.
#[tokio::test]
async fn recorded_handshakes_do_not_keep_a_member_out() {
    let mut host = Host::new(&[1]).await;
    let recorded = eavesdrop(&mut host).await;
    // A preamble, and a message of a key and a tag with its length.
    let opening = &recorded[..10 + 2 + 48];
    let mut strangers = Vec::new();
    for _ in 0..door::MOST {
        let mut socket = TcpStream::connect(host.addr()).await.unwrap();
        let greeted = host.greet().await;
        socket.write_all(opening).await.unwrap();
        assert_eq!(socket.read_u16().await.unwrap(), 48, "the handshake was answered");
        strangers.push((socket, greeted));
    }
    assert!(strangers.iter().all(|(_, greeted)| !greeted.is_finished()));
    let (_peer, _orders) = host.accept().await;
    assert_eq!(host.count(Verdict::Refused), 1, "the oldest of them made room");
}

#[tokio::test]
async fn silent_strangers_do_not_keep_a_member_out() {
    let mut host = Host::new(&[1]).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let socket = TcpStream::connect(host.addr()).await.unwrap();
        silent.push((socket, host.greet().await));
        tokio::task::yield_now().await;
    }
    // The oldest made room for the others.
    for (socket, greeted) in silent.drain(..100 - door::MOST) {
        greeted.await.unwrap();
        drop(socket);
    }
    assert_eq!(host.count(Verdict::Refused), 100 - door::MOST as u64);
    assert!(silent.iter().all(|(_, greeted)| !greeted.is_finished()));
    // No time passes until a member is in.
    let start = Instant::now();
    let (_peer, _orders) = host.accept().await;
    assert!(start.elapsed() < OPEN_TIMEOUT, "it waited for a silent one to go");
    assert_eq!(host.count(Verdict::Refused), 101 - door::MOST as u64);
}

#[tokio::test]
async fn a_member_that_has_spoken_has_thirty_seconds_in_all() {
    let mut host = Host::new(&[1]).await;
    let (_peer, _orders) = host.accept().await;
    time::pause();
    let start = Instant::now();
    host.ended().await;
    assert!((29..=30).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_member_that_never_reads_is_given_up() {
    let mut host = Host::new(&[1]).await;
    let (_peer, orders) = host.accept().await;
    // Far more than the system buffers between two sockets.
    for _ in 0..64 {
        orders.send(Order::Frame(vec![0; 1 << 20])).unwrap();
    }
    time::pause();
    let start = Instant::now();
    host.ended().await;
    assert!(start.elapsed() <= WRITE_TIMEOUT + Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((host.free_slots(), host.count(Verdict::Failed)), (MAX_INBOUND, 1));
    assert!(orders.is_closed(), "what was still to be sent is gone with it");
}

#[tokio::test]
async fn a_kept_stream_has_no_deadline_takes_no_slot_and_its_end_is_told_at_once() {
    let mut host = Host::new(&[1]).await;
    let (mut peer, orders) = host.accept().await;
    orders.send(Order::Keep).unwrap();
    while host.free_slots() < MAX_INBOUND {
        tokio::task::yield_now().await;
    }
    time::pause();
    let start = Instant::now();
    let quiet = timeout(Duration::from_secs(24 * 3600), host.events.recv()).await;
    assert!(quiet.is_err(), "something happened after {:?}", start.elapsed());
    // It still carries frames, both ways.
    orders.send(Order::Frame(b"goodbye".to_vec())).unwrap();
    time::resume();
    assert_eq!(peer.read_frame().await.unwrap().unwrap(), b"goodbye");
    drop(peer);
    host.ended().await;
    assert_eq!(host.count(Verdict::Failed), 0, "an end between two frames is no mistake");
}

#[tokio::test]
async fn our_end_of_a_watch_has_no_deadline_either() {
    let mut host = Host::new(&[1]).await;
    let other = Host::new(&[1]).await;
    let _orders = host.run(End::Watch(other.addr()));
    let (socket, _) = other.listener.accept().await.unwrap();
    let peer = Channel::accept(socket, &keyring(&[1])).await.unwrap();
    assert!(matches!(host.events.recv().await, Some(StreamEvent::Opened(_))));
    time::pause();
    assert!(timeout(Duration::from_secs(24 * 3600), host.events.recv()).await.is_err());
    time::resume();
    drop(peer);
    host.ended().await;
}

#[tokio::test]
async fn an_idle_stream_is_small() {
    let mut host = Host::new(&[1]).await;
    let (mut peer, end) = host.connect().await;
    let End::Theirs(mut channel, slot) = end else { unreachable!() };
    assert_eq!(channel.read_frame().await.unwrap().unwrap(), b"hello");
    peer.write_frame(&[7; 20_000]).await.unwrap();
    assert_eq!(channel.read_frame().await.unwrap().unwrap().len(), 20_000);
    assert!(channel.buffered() > 0);
    channel.shrink();
    assert_eq!(channel.buffered(), 0);
    let (_orders, receiver) = mpsc::unbounded_channel();
    let task = host.context.clone().run(stream_id(), End::Theirs(channel, slot), receiver);
    assert!(size_of_val(&task) < 4096, "{} bytes", size_of_val(&task));
}

#[tokio::test]
async fn strangers_and_broken_streams_are_counted_by_cause() {
    let mut host = Host::new(&[1]).await;
    let recorded = eavesdrop(&mut host).await;
    let change = |at: usize| {
        let mut changed = recorded.clone();
        changed[at] ^= 1;
        changed
    };
    let strangers = [keyring(&[2]).preamble(), keyring(&[]).preamble(), Keyring::new("other", &[]).unwrap().preamble()];
    let [old_key, no_key, foreign] = strangers.map(|preamble| preamble.to_vec());
    let wrong_key = [&recorded[..12], &[0; 48]].concat();
    let cases = [
        ("a recorded stream", recorded.clone(), Some(Verdict::Replayed)),
        ("a removed key", old_key, Some(Verdict::WrongKey)),
        ("no key", no_key, Some(Verdict::NoKey)),
        ("a forged handshake", wrong_key, Some(Verdict::WrongKey)),
        ("a changed handshake", change(20), Some(Verdict::WrongKey)),
        ("another cluster", foreign, Some(Verdict::Foreign)),
        ("another version", vec![9; 10], Some(Verdict::Garbage)),
        ("half a preamble", recorded[..5].to_vec(), Some(Verdict::Truncated)),
        ("half a handshake", recorded[..30].to_vec(), Some(Verdict::Truncated)),
        ("half a message", recorded[..recorded.len() - 5].to_vec(), Some(Verdict::Truncated)),
        ("a handshake of 4 kB", [&recorded[..10], &[16, 0]].concat(), Some(Verdict::Oversize)),
        ("a knock", Vec::new(), None),
    ];
    for (what, bytes, verdict) in cases {
        let before: Vec<_> = host.stats.received_counts().collect();
        play(&mut host, &bytes).await;
        let counted: Vec<_> =
            host.stats.received_counts().filter(|count| !before.contains(count)).map(|(_, verdict, _)| verdict).collect();
        assert_eq!(counted, Vec::from_iter(verdict), "{what}");
    }
    assert_eq!(host.free_slots(), MAX_INBOUND);
}

#[tokio::test]
async fn a_message_that_was_changed_on_its_way_is_told_from_a_recording() {
    let mut host = Host::new(&[1]).await;
    let (mut peer, _orders) = host.accept().await;
    peer.write_raw(&[0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]).await;
    host.ended().await;
    assert_eq!((host.count(Verdict::Garbage), host.count(Verdict::Replayed)), (1, 0));
}
