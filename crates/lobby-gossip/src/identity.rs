//! A member as foca sees it: small and `Copy`, because foca clones identities freely.
//!
//! Foca's unique key is the node id. Of two identities with the same id the newer (generation, renewal) wins: a restarted
//! process replaces its predecessor at once, and a live process that others hold down comes back with the next renewal.
//! A record's generation never changes while its process lives; `renewal` is foca's alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BufMut;
use lobby_core::{
    id::{Generation, NodeId},
    wire::binary::{DecodeError, Reader},
};

/// Which node, which process of it, which of that process' lives, and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The node.
    pub id: NodeId,
    /// Its process.
    pub generation: Generation,
    /// How often the process was held down by mistake and came back.
    pub renewal: u16,
    /// Where it listens, UDP and TCP alike.
    pub addr: SocketAddr,
}

impl Identity {
    /// The order of identities of one node.
    pub(crate) const fn age(&self) -> (Generation, u16) {
        (self.generation, self.renewal)
    }

    /// Writes id and generation first: datagrams carry those two in their envelope and leave them out here.
    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        out.put_slice(self.id.as_bytes());
        out.put_u64_le(self.generation.0);
        out.put_u16_le(self.renewal);
        match self.addr.ip() {
            IpAddr::V4(ip) => {
                out.put_u8(4);
                out.put_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.put_u8(6);
                out.put_slice(&ip.octets());
            }
        }
        out.put_u16_le(self.addr.port());
    }

    /// Reads what a peer tells. An address at which nobody can be is refused, with all that came with it.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = reader.node_id()?;
        let generation = Generation(u64::from_le_bytes(reader.array()?));
        let renewal = u16::from_le_bytes(reader.array()?);
        let ip = match reader.u8()? {
            4 => IpAddr::from(Ipv4Addr::from(reader.array::<4>()?)),
            6 => IpAddr::from(Ipv6Addr::from(reader.array::<16>()?)),
            _ => return Err(DecodeError::Range),
        };
        let addr = SocketAddr::new(ip, u16::from_le_bytes(reader.array()?));
        if !is_reachable(addr) {
            return Err(DecodeError::Range);
        }
        Ok(Self { id, generation, renewal, addr })
    }
}

/// Whether one member may be at this address: no port 0, no unspecified, multicast or broadcast address. Datagrams and
/// streams go wherever peers say that a member is.
pub fn is_reachable(addr: SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { renewal: self.renewal.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.id
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        // Two addresses at one age are a cloned node; any order will do that all members share.
        (self.age(), self.addr) > (adversary.age(), adversary.addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_at_which_nobody_can_be_is_not_taken_from_peers() {
        let told = |addr: &str| {
            let addr = addr.parse().unwrap();
            let identity = Identity { id: NodeId::from_bytes([1; 16]), generation: Generation(5), renewal: 0, addr };
            let mut bytes = Vec::new();
            identity.encode(&mut bytes);
            Identity::decode(&mut Reader::new(&bytes))
        };
        for addr in ["10.0.0.1:1314", "127.0.0.1:1", "[::1]:1314", "[2001:db8::1]:65535", "169.254.1.1:1314"] {
            assert!(told(addr).is_ok_and(|identity| identity.addr.to_string() == addr), "{addr}");
        }
        let nowhere = ["10.0.0.1:0", "0.0.0.0:1314", "[::]:1314", "224.0.0.1:1314", "[ff02::1]:1314", "255.255.255.255:1314"];
        for addr in nowhere.into_iter().chain(["[::ffff:0.0.0.0]:1314", "[::ffff:255.255.255.255]:9", "[::ffff:239.1.2.3]:9"]) {
            assert_eq!(told(addr), Err(DecodeError::Range), "{addr}");
        }
    }
}
