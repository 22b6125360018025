//! Sockets with one port number, and the address under which others will reach us.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::net::{TcpListener, UdpSocket};

use super::{DEFAULT_PORT, seeds, srv::NameServers};

/// Tries to find a number that is free for TCP and for UDP, when any will do.
const PORT_TRIES: usize = 16;

/// How long a seed's name may take to resolve when it is only wanted to guess our own address.
const GUESS_TIMEOUT: Duration = Duration::from_secs(2);

/// One port number, TCP first because it is the scarcer one.
pub(super) async fn both(addr: SocketAddr) -> std::io::Result<(TcpListener, UdpSocket)> {
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
pub(super) async fn guess_own_ip(bound: IpAddr, join: &[String], servers: &NameServers) -> IpAddr {
    let (world, loopback): (IpAddr, IpAddr) = match bound {
        // Addresses of documentation: they lead to the default route and to nobody.
        IpAddr::V4(_) => (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), Ipv6Addr::LOCALHOST.into()),
    };
    let seeds = seeds::resolve(join.first().cloned(), servers, GUESS_TIMEOUT).await;
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
