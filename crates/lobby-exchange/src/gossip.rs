//! Gossip between our own agents: UDP for probes and changes, TCP for whole states. No other server.
//!
//! The decisions are all in `lobby_gossip::Engine`; here are its sockets, its clock, its files and its tasks:
//!
//! ```text
//!   UDP socket, beacon ─┐                                  ┌─► UDP socket (carry.rs)
//!   streams ────────────┤                                  ├─► streams (stream.rs: one small task each)
//!   PeerLink ───────────┼─► run.rs: one task, one Engine ──┼─► PeerLink
//!   GossipHandle ───────┤                                  ├─► whoever asked (desk.rs)
//!   names, knocks ──────┘                                  └─► names (seeds.rs), knocks (reach.rs), files (saver.rs)
//! ```
//! Starting has two steps, so that the agent can print its real port and advertise it before anything runs.
//! Not here: whether a configuration is safe (no key off loopback), which the configuration checks.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use lobby_core::port::{
    PeerLink,
    gossip::{COMMANDS, EventLog, Fingerprint, GossipHandle, IncomingQuery, QUERIES},
};
use lobby_gossip::{Keyring, is_reachable};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

pub use lobby_gossip::{Key, Profile};

use crate::{Exchange, ExchangeError, clock::Clock};

mod beacon;
mod bind;
mod carry;
mod channel;
mod desk;
mod door;
mod join;
mod keys;
#[cfg(test)]
mod lab;
mod peers;
mod reach;
mod run;
mod saver;
mod seeds;
mod srv;
mod stream;

use beacon::Beacon;
use desk::Ends;
use srv::NameServers;

/// The port of a seed that names none.
pub const DEFAULT_PORT: u16 = 1314;

/// How to take part.
#[derive(Clone, Debug)]
pub struct Config {
    /// GOSSIP_ADDR: UDP and TCP. Port 0 takes any that is free for both.
    pub bind: SocketAddr,
    /// GOSSIP_ADVERTISE: where others reach us; port 0 stands for the port that was bound. Guessed when absent.
    pub advertise: Option<SocketAddr>,
    /// GOSSIP_JOIN: `host`, `host:port`, `address:port`, or `_name._tcp.domain` (SRV), resolved anew at each try.
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
    beacon: Option<Beacon>,
    /// Members of our last life.
    peers: Vec<SocketAddr>,
    servers: NameServers,
    config: Config,
    clock: Clock,
    handle: GossipHandle,
    ends: Ends,
    fingerprints: watch::Sender<Vec<Fingerprint>>,
    queries: Option<mpsc::Receiver<IncomingQuery>>,
}

impl Gossip {
    /// Takes the sockets and reads what was kept in the folder. Nothing is sent yet.
    ///
    /// # Errors
    /// When the address is taken or not ours, nobody can be reached at the one to advertise, the keys do not make a
    /// keyring, the beacon's group is none, or the file with the keys is damaged.
    pub async fn bind(config: Config, clock: Clock) -> Result<Self, ExchangeError> {
        let folder = config.folder.as_deref();
        let keyring = Keyring::new(&config.cluster, &keys::choose(folder, &config.keys)?)
            .map_err(|err| ExchangeError::Setting { setting: "GOSSIP_KEY", why: err.to_string() })?;
        let peers = folder.map(peers::load).unwrap_or_default();
        let failed = |source| ExchangeError::Bind { address: config.bind.to_string(), source };
        let (tcp, udp) = bind::both(config.bind).await.map_err(failed)?;
        let local = tcp.local_addr().map_err(failed)?;
        let servers = NameServers::default();
        let advertise = match config.advertise {
            Some(addr) if addr.port() == 0 => SocketAddr::new(addr.ip(), local.port()),
            Some(addr) => addr,
            None if local.ip().is_unspecified() => {
                SocketAddr::new(bind::guess_own_ip(local.ip(), &config.join, &servers).await, local.port())
            }
            None => local,
        };
        if config.advertise.is_some() && !is_reachable(advertise) {
            let why = format!("{advertise}: the address of one host is accepted, no multicast, broadcast or unspecified one");
            return Err(ExchangeError::Setting { setting: "GOSSIP_ADVERTISE", why });
        }
        let interface = if local.ip().is_unspecified() { advertise.ip() } else { local.ip() };
        let beacon = config.beacon.map(|group| Beacon::join(group, interface, &udp)).transpose()?;
        let (commands_in, commands) = mpsc::channel(COMMANDS);
        let (events, seen) = watch::channel(EventLog::default());
        let (queries_in, queries) = mpsc::channel(QUERIES);
        Ok(Self {
            udp,
            tcp,
            local,
            advertise,
            keyring: Arc::new(keyring),
            beacon,
            peers,
            servers,
            config,
            clock,
            handle: GossipHandle::new(commands_in, seen),
            ends: Ends { commands, events, queries: queries_in },
            fingerprints: watch::Sender::default(),
            queries: Some(queries),
        })
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

    /// The names of our keys, the one that seals first, as they change: whoever owns our record tells them in it.
    pub fn fingerprints(&self) -> watch::Receiver<Vec<Fingerprint>> {
        self.fingerprints.subscribe()
    }

    /// The address under which others will know us.
    pub const fn advertised(&self) -> SocketAddr {
        self.advertise
    }

    /// Asks these name servers for SRV names instead of the system's.
    pub fn with_name_servers(mut self, servers: Vec<SocketAddr>) -> Self {
        self.servers = NameServers { instead: servers };
        self
    }
}

impl Exchange for Gossip {
    async fn run(self, link: PeerLink, stop: CancellationToken) -> Result<(), ExchangeError> {
        run::run(self, link, stop).await;
        Ok(())
    }
}
