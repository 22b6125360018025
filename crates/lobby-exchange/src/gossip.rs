//! Gossip between our own agents: UDP for probes and changes, TCP for whole states. No other server.
//!
//! The decisions are all in `lobby_gossip::Engine`; here are its sockets, its clock and its tasks:
//!
//! ```text
//!   UDP socket ─┐                                    ┌─► UDP socket
//!   streams ────┼─► run.rs: one task, one Engine ────┼─► streams (stream.rs: one small task each)
//!   PeerLink ───┘                                    └─► PeerLink
//! ```
//! Starting has two steps, so that the agent can print its real port and advertise it before anything runs.
//! Not here: whether a configuration is safe (no key off loopback), which the configuration checks.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use lobby_core::port::{
    PeerLink,
    gossip::{COMMANDS, EventLog, GossipCommand, GossipHandle, IncomingQuery, QUERIES},
};
use lobby_gossip::Keyring;
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

pub use lobby_gossip::{Key, Profile};

use crate::{Exchange, ExchangeError, clock::Clock};

mod channel;
mod run;
mod seeds;
mod stream;

/// The port of a seed that names none.
pub const DEFAULT_PORT: u16 = 1314;

/// Tries to find a number that is free for TCP and for UDP, when any will do.
const PORT_TRIES: usize = 16;

/// How long a seed's name may take to resolve when it is only wanted to guess our own address.
const GUESS_TIMEOUT: Duration = Duration::from_secs(2);

/// How to take part.
#[derive(Clone, Debug)]
pub struct Config {
    /// GOSSIP_ADDR: UDP and TCP. Port 0 takes any that is free for both.
    pub bind: SocketAddr,
    /// GOSSIP_ADVERTISE: where others reach us; port 0 stands for the port that was bound. Guessed when absent.
    pub advertise: Option<SocketAddr>,
    /// GOSSIP_JOIN: `host`, `host:port` or `address:port`, resolved anew at each try.
    pub join: Vec<String>,
    /// GOSSIP_KEY: the first seals, all open. Without any nothing is secret.
    pub keys: Vec<Key>,
    /// CLUSTER.
    pub cluster: String,
    /// GOSSIP_PROFILE.
    pub profile: Profile,
    /// GOSSIP_BEACON: multicast group and port on which members that need no seed find each other.
    pub beacon: Option<SocketAddr>,
    /// Where keys and peers are kept from one start to the next; without it they are not.
    pub folder: Option<PathBuf>,
}

/// A member that is bound and not yet running.
#[derive(Debug)]
pub struct Gossip {
    udp: UdpSocket,
    tcp: TcpListener,
    local: SocketAddr,
    advertise: SocketAddr,
    keyring: Arc<Keyring>,
    config: Config,
    clock: Clock,
    handle: GossipHandle,
    desk: Desk,
    queries: Option<mpsc::Receiver<IncomingQuery>>,
}

/// The other ends of the handle, which the running exchange serves.
#[derive(Debug)]
struct Desk {
    commands: mpsc::Receiver<GossipCommand>,
    events: watch::Sender<EventLog>,
    queries: mpsc::Sender<IncomingQuery>,
}

impl Gossip {
    /// Takes the sockets. Nothing is sent yet.
    ///
    /// Fails with [`ExchangeError::Bind`] when the address is taken or not ours, with [`ExchangeError::Setting`] when
    /// the keys do not make a keyring.
    pub async fn bind(config: Config, clock: Clock) -> Result<Self, ExchangeError> {
        let keyring = Keyring::new(&config.cluster, &config.keys)
            .map_err(|err| ExchangeError::Setting { setting: "GOSSIP_KEY", why: err.to_string() })?;
        let failed = |source| ExchangeError::Bind { address: config.bind.to_string(), source };
        let (tcp, udp) = bind_both(config.bind).await.map_err(failed)?;
        let local = tcp.local_addr().map_err(failed)?;
        let advertise = match config.advertise {
            Some(addr) if addr.port() == 0 => SocketAddr::new(addr.ip(), local.port()),
            Some(addr) => addr,
            None if local.ip().is_unspecified() => SocketAddr::new(guess_own_ip(local.ip(), &config.join).await, local.port()),
            None => local,
        };
        let (commands_in, commands) = mpsc::channel(COMMANDS);
        let (events, seen) = watch::channel(EventLog::default());
        let (queries_in, queries) = mpsc::channel(QUERIES);
        let (handle, queries) = (GossipHandle::new(commands_in, seen), Some(queries));
        let desk = Desk { commands, events, queries: queries_in };
        Ok(Self { udp, tcp, local, advertise, keyring: Arc::new(keyring), config, clock, handle, desk, queries })
    }

    /// The address that was bound, with its real port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Asks this member, once it runs.
    pub fn handle(&self) -> GossipHandle {
        self.handle.clone()
    }

    /// The queries of others, for the one who answers them. The second call gives none.
    pub fn take_queries(&mut self) -> Option<mpsc::Receiver<IncomingQuery>> {
        self.queries.take()
    }

    /// The address under which others will know us.
    pub const fn advertised(&self) -> SocketAddr {
        self.advertise
    }
}

impl Exchange for Gossip {
    async fn run(self, link: PeerLink, stop: CancellationToken) -> Result<(), ExchangeError> {
        run::run(self, link, stop).await;
        Ok(())
    }
}

/// One port number, TCP first because it is the scarcer one.
async fn bind_both(addr: SocketAddr) -> std::io::Result<(TcpListener, UdpSocket)> {
    let mut tries = 0;
    loop {
        let tcp = TcpListener::bind(addr).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((tcp, udp)),
            Err(err) if addr.port() != 0 || tries >= PORT_TRIES => return Err(err),
            Err(_) => tries += 1,
        }
    }
}

/// The local address of the route towards the first seed, or towards the world. Connecting a UDP socket sends nothing.
async fn guess_own_ip(bound: IpAddr, join: &[String]) -> IpAddr {
    let (world, loopback): (IpAddr, IpAddr) = match bound {
        // Addresses of documentation: they lead to the default route and to nobody.
        IpAddr::V4(_) => (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), Ipv6Addr::LOCALHOST.into()),
    };
    let seeds = seeds::resolve(join.first().cloned(), GUESS_TIMEOUT).await;
    let towards =
        seeds.addrs.into_iter().find(|seed| seed.is_ipv4() == bound.is_ipv4()).unwrap_or(SocketAddr::new(world, DEFAULT_PORT));
    let route = async {
        let socket = UdpSocket::bind(SocketAddr::new(bound, 0)).await?;
        socket.connect(towards).await?;
        socket.local_addr()
    };
    match route.await {
        Ok(addr) => addr.ip(),
        Err(err) => {
            tracing::warn!("no route to guess our own address from ({err}); set GOSSIP_ADVERTISE; using {loopback}");
            loopback
        }
    }
}
