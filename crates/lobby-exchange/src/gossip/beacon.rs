//! The beacon: a multicast group on which members find each other without any seed.
//!
//! What is sent is sealed like any datagram and says only that we are here; who opens it contacts us. It is sent from
//! the gossip socket, so that its source is an address at which we are reached, with a time to live of 1: it never
//! leaves the local network. It comes back to other sockets of this machine too, so that its agents find each other.
//! Not here: what a beacon says and what follows from it (`lobby_gossip::Engine`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use lobby_core::time::Moment;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use crate::ExchangeError;

/// Beacons of the first seconds: a newcomer is to be found at once, even if one is lost.
const QUICK: u32 = 5;
const QUICK_PERIOD: Duration = Duration::from_secs(1);

/// Afterwards: parts that were started apart find each other this long after their networks are joined, and a hundred
/// idle members send ten small datagrams a second.
const PERIOD: Duration = Duration::from_secs(10);

/// Datagrams taken in one turn; a flood of them waits, and is lost.
const PER_TURN: usize = 64;

/// The group, and when we speak there next.
#[derive(Debug)]
pub(super) struct Beacon {
    /// Bound to the group itself, so that it hears nothing else.
    listener: UdpSocket,
    group: SocketAddr,
    n_sent: u32,
    due: Moment,
}

impl Beacon {
    /// Joins the group on the interface of `local`, or where the system thinks best when that is unspecified, and makes
    /// `sender` send there.
    pub(super) fn join(group: SocketAddr, local: IpAddr, sender: &UdpSocket) -> Result<Self, ExchangeError> {
        let refuse = |why: String| ExchangeError::Setting { setting: "GOSSIP_BEACON", why };
        if !group.ip().is_multicast() || group.port() == 0 {
            return Err(refuse(format!("{group} is not a multicast address with a port, such as 239.255.13.14:1315")));
        }
        if group.is_ipv4() != local.is_ipv4() {
            return Err(refuse(format!("{group} and the gossip address {local} are not of the same family")));
        }
        let listener =
            listen(group, local, sender).map_err(|source| ExchangeError::Bind { address: group.to_string(), source })?;
        Ok(Self { listener, group, n_sent: 0, due: Moment::ZERO })
    }

    /// Waits until somebody may have spoken.
    pub(super) async fn readable(&self) {
        // Reading tells of an error, if there is one.
        let _ = self.listener.readable().await;
    }

    /// What was said since, some of it.
    pub(super) fn read(&self, mut each: impl FnMut(SocketAddr, &[u8])) {
        let mut datagram = [0; super::run::DATAGRAM_BYTES];
        for _ in 0..PER_TURN {
            match self.listener.try_recv_from(&mut datagram) {
                Ok((n_bytes, from)) => each(from, &datagram[..n_bytes]),
                Err(_) => break,
            }
        }
    }

    /// When [`Self::handle_deadline`] wants to be called next.
    pub(super) const fn next_deadline(&self) -> Moment {
        self.due
    }

    /// The group, if it is time to speak there. `random` spreads members that were started together.
    pub(super) fn handle_deadline(&mut self, now: Moment, random: u64) -> Option<SocketAddr> {
        if now < self.due {
            return None;
        }
        self.n_sent = self.n_sent.saturating_add(1);
        let period = if self.n_sent <= QUICK { QUICK_PERIOD } else { PERIOD };
        self.due = now + period.mul_f64(0.8 + 0.4 * ((random >> 32) as f64 / f64::from(u32::MAX)));
        Some(self.group)
    }
}

fn listen(group: SocketAddr, local: IpAddr, sender: &UdpSocket) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    // Agents on one machine share the group's port, and each of them hears everything.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    let sender = SockRef::from(sender);
    match (group, local) {
        (SocketAddr::V4(group), IpAddr::V4(local)) => {
            socket.bind(&group.into())?;
            let joined = socket.join_multicast_v4(group.ip(), &local);
            // An advertised address need not be one of ours.
            let interface = if joined.is_err() { Ipv4Addr::UNSPECIFIED } else { local };
            if joined.is_err() {
                socket.join_multicast_v4(group.ip(), &interface)?;
            }
            sender.set_multicast_if_v4(&interface)?;
            sender.set_multicast_ttl_v4(1)?;
            sender.set_multicast_loop_v4(true)?;
        }
        (SocketAddr::V6(group), _) => {
            socket.set_only_v6(true)?;
            socket.bind(&group.into())?;
            // Interfaces have numbers in IPv6: `[ff02::1314%2]:1315` names one, 0 lets the system choose.
            socket.join_multicast_v6(group.ip(), group.scope_id())?;
            sender.set_multicast_if_v6(group.scope_id())?;
            sender.set_multicast_hops_v6(1)?;
            sender.set_multicast_loop_v6(true)?;
        }
        (SocketAddr::V4(_), IpAddr::V6(_)) => return Err(io::ErrorKind::InvalidInput.into()),
    }
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    async fn sender() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").await.unwrap()
    }

    /// A group whose port nobody else uses at this moment.
    async fn free_group() -> SocketAddr {
        let port = sender().await.local_addr().unwrap().port();
        SocketAddr::from(([239, 255, 13, 14], port))
    }

    #[tokio::test]
    async fn all_agents_of_a_machine_hear_a_beacon_and_whom_it_comes_from() {
        let group = free_group().await;
        let senders = [sender().await, sender().await];
        let beacons = senders.each_ref().map(|sender| Beacon::join(group, LOOPBACK, sender).unwrap());
        senders[0].send_to(b"here", group).await.unwrap();
        for beacon in &beacons {
            let mut heard = Vec::new();
            while heard.is_empty() {
                beacon.readable().await;
                beacon.read(|from, bytes| heard.push((from, bytes.to_vec())));
            }
            assert_eq!(heard, [(senders[0].local_addr().unwrap(), b"here".to_vec())]);
        }
    }

    #[tokio::test]
    async fn five_quick_beacons_and_then_one_in_ten_seconds() {
        let mut beacon = Beacon::join(free_group().await, LOOPBACK, &sender().await).unwrap();
        let (mut now, mut waits) = (Moment::from_micros(1), Vec::new());
        for _ in 0..8 {
            assert!(beacon.handle_deadline(now, u64::MAX / 2).is_some());
            assert!(beacon.handle_deadline(now, 0).is_none(), "not twice");
            waits.push(beacon.next_deadline().since(now).as_secs_f64().round());
            now = beacon.next_deadline();
        }
        assert_eq!(waits, [1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 10.0, 10.0]);
    }

    #[tokio::test]
    async fn what_is_no_group_is_refused_and_named() {
        let sender = sender().await;
        for (group, why) in [("10.0.0.1:9", "not a multicast address"), ("239.1.1.1:0", "with a port"), ("[ff02::1]:9", "family")]
        {
            let err = Beacon::join(group.parse().unwrap(), LOOPBACK, &sender).unwrap_err().to_string();
            assert!(err.contains("GOSSIP_BEACON") && err.contains(why), "{err}");
        }
    }
}
