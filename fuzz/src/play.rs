//! One gossip engine, always the same at its start, and the strangers around it.
//!
//! Streams that it wants open at once, seeds that it wants resolved are [`SEED`]. What it sends is checked and handed
//! back, so that the seeds of the corpus can be recorded from a real conversation.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lobby_core::{
    port::Announcement,
    proof::Signer,
    stats::{PacketKind, Stats},
    time::Moment,
};
use lobby_gossip::{Engine, FRAME_BYTES, Input, Keyring, Output, Profile, Setup, StreamId};

/// Where the engine listens.
pub const ADDR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1314);

/// Its only seed, from which all datagrams come.
pub const SEED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1315);

/// One tick of a script.
pub const TICK: Duration = Duration::from_millis(50);

/// On which stream a frame comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A new one that a stranger opened.
    New,
    /// The last such.
    Theirs,
    /// The last one that the engine opened.
    Ours,
}

/// The engine and its surroundings.
pub struct Play {
    engine: Engine,
    now: Moment,
    stats: Arc<Stats>,
    preamble: Vec<u8>,
    ours: Option<StreamId>,
    theirs: Option<StreamId>,
    n_datagrams: u64,
}

/// An engine of the node of this number, without a key.
pub fn engine(number: u8, advertise: SocketAddr, keyring: &Arc<Keyring>, stats: &Arc<Stats>) -> Engine {
    let setup = Setup {
        config: Profile::Lan.config(),
        keyring: keyring.clone(),
        advertise,
        announcement: Announcement::new(crate::local(number).record().clone(), true),
        seeded: true,
        peers: Vec::new(),
        nonces: Box::new(|| [0; 24]),
        seed: u64::from(number),
        // No fuzzer finds a signature: what is behind them is to be found.
        check: lobby_core::proof::unchecked(),
        signer: Arc::new(Signer::new(&[number; 32], "lobby")),
        stats: stats.clone(),
    };
    Engine::new(setup, Moment::ZERO)
}

/// The keyring of the cluster `lobby` without a key.
pub fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::new("lobby", &[]).expect("no keys are no trouble"))
}

impl Default for Play {
    fn default() -> Self {
        Self::new()
    }
}

impl Play {
    /// The engine at its start.
    pub fn new() -> Self {
        let (keyring, stats) = (keyring(), Arc::default());
        let engine = engine(1, ADDR, &keyring, &stats);
        let preamble = keyring.preamble().to_vec();
        Self { engine, now: Moment::ZERO, stats, preamble, ours: None, theirs: None, n_datagrams: 0 }
    }

    /// Lets this many ticks pass.
    pub fn wait(&mut self, ticks: u8) -> Vec<Output> {
        let end = self.now + TICK * u32::from(ticks);
        let mut outputs = self.drain();
        while let Some(at) = self.engine.next_deadline().filter(|at| *at <= end) {
            assert!(at >= self.now || ticks > 0, "a deadline passes when it is handled");
            self.now = self.now.max(at);
            self.engine.handle_deadline(self.now);
            outputs.extend(self.drain());
        }
        self.now = end;
        outputs
    }

    /// A datagram comes in, its preamble in front of it.
    pub fn datagram(&mut self, plaintext: &[u8]) -> Vec<Output> {
        let datagram = [&self.preamble, plaintext].concat();
        self.raw_datagram(&datagram)
    }

    /// A datagram comes in.
    pub fn raw_datagram(&mut self, bytes: &[u8]) -> Vec<Output> {
        self.engine.handle(Input::Datagram(SEED, bytes), self.now);
        self.n_datagrams += 1;
        let counts = self.stats.received_counts().filter(|(kind, ..)| *kind == PacketKind::Datagram);
        assert_eq!(counts.map(|(.., count)| count).sum::<u64>(), self.n_datagrams, "each datagram is counted once");
        self.drain()
    }

    /// A frame comes in; nothing happens when there is no such stream.
    pub fn frame(&mut self, on: Frame, bytes: &[u8]) -> Vec<Output> {
        let stream = match on {
            Frame::New => {
                self.theirs = self.engine.accept();
                self.theirs
            }
            Frame::Theirs => self.theirs,
            Frame::Ours => self.ours,
        };
        if let Some(stream) = stream {
            self.engine.handle(Input::Frame(stream, bytes), self.now);
        }
        self.drain()
    }

    /// The last stream that the engine opened ends.
    pub fn end(&mut self) -> Vec<Output> {
        if let Some(stream) = self.ours.take() {
            self.engine.handle(Input::Closed(stream), self.now);
        }
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match &output {
                Output::Datagram(_, bytes) => assert!(bytes.len() <= Profile::Lan.config().datagram_bytes),
                Output::Frame(_, bytes) => assert!(bytes.len() <= FRAME_BYTES),
                Output::Resolve => self.engine.handle(Input::Seeds { addrs: vec![SEED], all_resolved: true }, self.now),
                Output::Open(stream, _) => {
                    self.ours = Some(*stream);
                    self.engine.handle(Input::Opened(*stream), self.now);
                }
                _ => {}
            }
            outputs.push(output);
        }
        outputs
    }
}
