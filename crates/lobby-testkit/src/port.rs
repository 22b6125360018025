//! Free ports that stay free: below the range from which the kernel takes ports of outgoing connections.
//!
//! A server that is killed and started again needs its old port. Were that port an ephemeral one, a client that tries to
//! reconnect meanwhile could be given it as its own port, and would even connect to itself.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
};

/// Half of what lies between the usual services and the start of Linux' ephemeral ports (32 768).
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A loopback port free for TCP and UDP. No two calls of one process get the same.
pub fn free() -> u16 {
    // Processes start at places far apart, so that tests running side by side rarely try the same port.
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let idx = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + idx).expect("the range ends below 65536");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
    panic!("no free loopback port between {FIRST} and {}", FIRST + COUNT)
}

/// A free loopback address.
pub fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free()))
}

/// Whether somebody accepts TCP connections at `address`.
pub fn is_open(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200)).is_ok()
}
