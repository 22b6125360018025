//! The sockets: binding them, and the threads and tasks that answer on them.
//!
//! ```text
//! UDP: n threads, a socket each (SO_REUSEPORT), each with a cache of its own      (`udp`)
//! TCP: one task accepts, one for each connection, one thread answers for all      (`tcp`)
//! ```
//! A datagram is answered by the thread that took it, without waking any other: that is half of the speed. Names of others
//! are asked for by tasks, so that nobody waits behind them.
//! Not here: what is answered (`respond`), when DNS starts and stops (lobbyd).

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use lobby_core::port::gossip::{GossipCommand, GossipHandle};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::sync::watch;

use crate::{
    forward::{Forward, Resolvers},
    limit::Limiter,
    respond::{Responder, Shared},
    settings::Limits,
};

mod local;
mod tcp;
mod udp;

/// How often it is tried to find a port that both protocols have free.
const PORT_TRIES: usize = 16;

/// Bytes of answers and questions that may wait in the system for each UDP socket: some thousand of them. The system may have
/// a smaller bound.
const UDP_BUFFER: usize = 1 << 20;

/// TCP clients that may wait to be accepted.
const BACKLOG: i32 = 256;

/// How often it is asked how far the others are.
const MEASURE: Duration = Duration::from_secs(2);

/// Bound sockets on which nobody answers yet.
#[derive(Debug)]
pub struct Sockets {
    addr: SocketAddr,
    tcp: TcpListener,
    udp: Vec<UdpSocket>,
}

/// What answers. Dropped without [`Server::stop`], its threads go on until the process ends.
pub struct Server {
    addr: SocketAddr,
    workers: Vec<(UdpSocket, JoinHandle<()>)>,
    stopping: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<()>,
}

/// How many threads answer datagrams: half of the processors, for there are programs on this machine that do the real work.
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get() / 2).clamp(1, 4)
}

impl Sockets {
    /// Binds both protocols to one number. Port 0 is any that both have free.
    ///
    /// # Errors
    /// When the address is taken or not ours. Nothing is bound then.
    pub fn bind(addr: SocketAddr, n_workers: usize) -> io::Result<Self> {
        for _ in 1..PORT_TRIES {
            match Self::try_bind(addr, n_workers) {
                Err(err) if addr.port() == 0 && err.kind() == io::ErrorKind::AddrInUse => {}
                bound => return bound,
            }
        }
        Self::try_bind(addr, n_workers)
    }

    fn try_bind(addr: SocketAddr, n_workers: usize) -> io::Result<Self> {
        let tcp = socket(addr, Type::STREAM)?;
        tcp.set_reuse_address(true)?;
        tcp.bind(&addr.into())?;
        tcp.listen(BACKLOG)?;
        tcp.set_nonblocking(true)?;
        let tcp = TcpListener::from(tcp);
        let addr = tcp.local_addr()?;
        // Sockets that share a port would share it with another process of ours, too: first one that does not.
        socket(addr, Type::DGRAM)?.bind(&addr.into())?;
        let udp = || {
            let udp = socket(addr, Type::DGRAM)?;
            udp.set_reuse_port(true)?;
            // Smaller ones work as well.
            let _ = udp.set_recv_buffer_size(UDP_BUFFER);
            let _ = udp.set_send_buffer_size(UDP_BUFFER);
            udp.bind(&addr.into())?;
            io::Result::Ok(UdpSocket::from(udp))
        };
        let udp = (0..n_workers.max(1)).map(|_| udp()).collect::<io::Result<_>>()?;
        Ok(Self { addr, tcp, udp })
    }

    /// Where they are bound.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

fn socket(addr: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    Socket::new(Domain::for_address(addr), kind, Some(protocol))
}

impl Server {
    /// Answers on these sockets from now on. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// When a thread cannot be started or a socket cannot be watched.
    pub fn start(
        sockets: Sockets,
        shared: &Shared,
        limits: Limits,
        resolvers: Option<Resolvers>,
        gossip: GossipHandle,
    ) -> io::Result<Self> {
        let Sockets { addr, tcp, udp } = sockets;
        let forward = resolvers.map(|resolvers| Arc::new(Forward::new(resolvers, shared.clone())));
        let stopping = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = watch::channel(false);
        let limiter = Arc::new(Limiter::new(shared.settings.rate));
        let mut workers = Vec::new();
        for socket in udp {
            let handle = socket.try_clone()?;
            let responder = Responder::with_limiter(shared.clone(), limiter.clone());
            let worker = udp::Worker::new(socket, responder, shared.counters.clone(), forward.clone(), stopping.clone())?;
            let thread = std::thread::Builder::new().name("dns".into()).spawn(move || worker.run())?;
            workers.push((handle, thread));
        }
        let listener = tokio::net::TcpListener::from_std(tcp)?;
        let accepting = tokio::spawn(tcp::accept(
            listener,
            tcp::answering(shared.clone())?,
            shared.clone(),
            limits,
            forward,
            stopped.clone(),
        ));
        if shared.settings.near && gossip.is_some() {
            tokio::spawn(measure(shared.clone(), gossip, stopped));
        }
        Ok(Self { addr, workers, stopping, stop, accepting })
    }

    /// Where it answers.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops: no datagram is answered any more, and connections are closed.
    pub async fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Its receiver may be gone already.
        let _ = self.stop.send(true);
        for (socket, _) in &self.workers {
            // An unconnected socket says that it is not connected, and wakes its reader all the same.
            let _ = SockRef::from(socket).shutdown(std::net::Shutdown::Both);
        }
        let workers = self.workers;
        let join = tokio::task::spawn_blocking(move || {
            for (_, thread) in workers {
                if thread.join().is_err() {
                    tracing::error!("a thread of DNS ended badly");
                }
            }
        });
        // They end badly only when the process ends.
        let _ = join.await;
        let _ = self.accepting.await;
    }
}

/// Keeps where all nodes are, for those who ask for the nearest first.
async fn measure(shared: Shared, gossip: GossipHandle, mut stop: watch::Receiver<bool>) {
    loop {
        if let Ok(view) = gossip.ask(GossipCommand::View).await {
            shared.distances.set(&view.members);
        }
        tokio::select! {
            () = tokio::time::sleep(MEASURE) => {}
            _ = stop.changed() => return,
        }
    }
}
