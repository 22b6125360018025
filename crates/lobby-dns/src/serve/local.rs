//! A UDP socket that answers from the address that was asked, also when it is bound to all addresses of the machine (RFC 2181
//! §4): the system would take the one that it likes best, and the client would not know it.
//!
//! Not here: what is answered.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::AsRawFd,
};

use nix::{
    cmsg_space, libc,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt},
};

/// The socket.
pub(super) struct Udp {
    socket: UdpSocket,
    /// Of all addresses.
    any: bool,
}

/// Who asked, and at which address.
#[derive(Clone, Copy)]
pub(super) struct Client {
    pub(super) addr: SocketAddr,
    asked_at: Option<AskedAt>,
}

#[derive(Clone, Copy)]
enum AskedAt {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Udp {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        let addr = socket.local_addr()?;
        let any = addr.ip().is_unspecified();
        match addr {
            SocketAddr::V4(_) if any => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) if any => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            _ => {}
        }
        Ok(Self { socket, any })
    }

    /// Waits for a datagram, of which as much as fits is taken.
    pub(super) fn receive(&self, bytes: &mut [u8]) -> io::Result<(usize, Client)> {
        if !self.any {
            let (len, addr) = self.socket.recv_from(bytes)?;
            return Ok((len, Client { addr, asked_at: None }));
        }
        let mut space = cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
        let mut parts = [IoSliceMut::new(bytes)];
        let received = recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())?;
        let asked_at = received.cmsgs()?.find_map(|message| match message {
            // By which interface it goes is for the routes to say.
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(AskedAt::V4(libc::in_pktinfo { ipi_ifindex: 0, ..info })),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(AskedAt::V6(libc::in6_pktinfo { ipi6_ifindex: 0, ..info })),
            _ => None,
        });
        let addr = received.address.as_ref().and_then(address).ok_or(io::ErrorKind::InvalidData)?;
        Ok((received.bytes, Client { addr, asked_at }))
    }

    /// Answers.
    pub(super) fn send(&self, bytes: &[u8], to: &Client) -> io::Result<()> {
        let message = match &to.asked_at {
            None => return self.socket.send_to(bytes, to.addr).map(drop),
            Some(AskedAt::V4(info)) => ControlMessage::Ipv4PacketInfo(info),
            Some(AskedAt::V6(info)) => ControlMessage::Ipv6PacketInfo(info),
        };
        let addr = SockaddrStorage::from(to.addr);
        sendmsg(self.socket.as_raw_fd(), &[IoSlice::new(bytes)], &[message], MsgFlags::empty(), Some(&addr))?;
        Ok(())
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|addr| SocketAddr::V4(SocketAddrV4::from(*addr)));
    v4.or_else(|| storage.as_sockaddr_in6().map(|addr| SocketAddr::V6(SocketAddrV6::from(*addr))))
}
