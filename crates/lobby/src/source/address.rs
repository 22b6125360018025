//! The node's own address, for exchanges that tell none: the one that routes outward.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses of documentation: they lead to the default route and to nobody.
const WORLD: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
];

/// The local addresses of the default routes, IPv4 first; none on a machine without a network.
pub(crate) fn outward() -> Vec<IpAddr> {
    // Connecting a UDP socket sends nothing; any port does.
    let local = |(bound, world): (IpAddr, IpAddr)| {
        let socket = UdpSocket::bind(SocketAddr::new(bound, 0)).ok()?;
        socket.connect(SocketAddr::new(world, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    WORLD.into_iter().filter_map(local).collect()
}
