//! How far nodes are from whoever asks, by the coordinates that gossip measures.
//!
//! A program asks the agent of its machine, or a resolver asks for it: if the address of a question is that of one member of
//! gossip, distances are seen from there, else from this agent.
//! Not here: which answers are sorted (`zone::service`), who measures (`serve`).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lobby_core::{coordinate::Coordinate, id::NodeId, port::gossip::Member};

/// Where the members of gossip were when last looked. The lock is held for a look.
#[derive(Debug, Default)]
pub struct Distances(Mutex<Option<Arc<Measured>>>);

/// Where everybody is.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    coordinates: HashMap<NodeId, Coordinate>,
    own: Option<NodeId>,
    /// Who has an address; `None`: several.
    holders: HashMap<IpAddr, Option<NodeId>>,
}

/// Distances from one node.
#[derive(Clone, Copy, Debug)]
pub struct Near<'a> {
    measured: &'a Measured,
    pub(crate) from: NodeId,
}

impl Distances {
    /// They are now here; nobody: nothing is near.
    pub fn set(&self, members: &[Member]) {
        let mut holders = HashMap::new();
        for member in members.iter().filter(|member| member.coordinate.is_some()) {
            let ip = member.addr.ip().to_canonical();
            holders.entry(ip).and_modify(|holder| *holder = None).or_insert(Some(member.id));
        }
        let measured = Measured {
            coordinates: members.iter().filter_map(|member| Some((member.id, member.coordinate?))).collect(),
            own: members.iter().find(|member| member.own).map(|own| own.id),
            holders,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(measured)).filter(|_| !members.is_empty());
    }

    pub(crate) fn read(&self) -> Option<Arc<Measured>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Measured {
    /// Distances for whoever asks from this address.
    pub(crate) fn near(&self, asker: IpAddr) -> Option<Near<'_>> {
        let asker = asker.to_canonical();
        let member = if asker.is_loopback() { None } else { self.holders.get(&asker).copied().flatten() };
        Some(Near { measured: self, from: member.or(self.own)? })
    }
}

impl Near<'_> {
    /// How far a node is; `None`: nobody knows.
    pub(crate) fn distance(&self, node: NodeId) -> Option<Duration> {
        if node == self.from {
            // A node is at no distance from itself, whatever its height.
            return Some(Duration::ZERO);
        }
        let coordinates = &self.measured.coordinates;
        Some(coordinates.get(&self.from)?.distance(coordinates.get(&node)?))
    }
}

#[cfg(test)]
mod tests {
    use lobby_core::id::Generation;

    use super::*;

    fn member(n: u8, ip: &str, east: f32) -> Member {
        let vec = std::array::from_fn(|axis| if axis == 0 { east } else { 0.0 });
        Member {
            id: NodeId::from_bytes([n; 16]),
            name: None,
            generation: Generation(1),
            addr: (ip.parse::<IpAddr>().unwrap(), 1).into(),
            state: "alive",
            coordinate: Some(Coordinate { vec, height: 0.0, adjustment: 0.0, error: 1.0 }),
            rtt: None,
            own: n == 1,
        }
    }

    #[test]
    fn distances_are_those_of_the_asker_if_it_is_one_member() {
        let distances = Distances::default();
        let (far, lost) = (member(3, "10.0.0.3", 0.5), Member { coordinate: None, ..member(6, "10.0.0.6", 0.0) });
        let twins = ["10.0.0.5", "10.0.0.5"].map(|ip| member(5, ip, 0.75));
        let twins = [twins[0].clone(), Member { id: NodeId::from_bytes([4; 16]), ..twins[1].clone() }];
        distances.set(&[&[member(1, "127.0.0.1", 0.25), far, lost][..], &twins].concat());
        let measured = distances.read().unwrap();
        let from = |ip: &str| measured.near(ip.parse().unwrap()).unwrap();
        let millis = |near: Near<'_>, n: u8| near.distance(NodeId::from_bytes([n; 16])).map(|passed| passed.as_millis());
        for (asker, want) in [
            ("10.0.0.3", [Some(250), Some(0), None]),
            ("::ffff:10.0.0.3", [Some(250), Some(0), None]),
            ("127.0.0.1", [Some(0), Some(250), None]),
            ("10.0.0.5", [Some(0), Some(250), None]),
            ("10.0.0.6", [Some(0), Some(250), None]),
            ("192.0.2.1", [Some(0), Some(250), None]),
        ] {
            assert_eq!([1, 3, 6].map(|n| millis(from(asker), n)), want, "{asker}");
        }
        distances.set(&[]);
        assert!(distances.read().is_none());
    }
}
