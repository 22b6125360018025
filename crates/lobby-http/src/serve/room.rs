//! Who still gets in: connections in all, of each client address, and those that are only told why not.
//!
//! One [`Room`] is shared by all listeners of an agent. A [`Place`] counts a connection for as long as it lives. Our own
//! machine is not held to the bound of one address: it has only one.
//! Not here: what those who get no place are told (`serve::connection`), places for handshakes (`serve::tls`).

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Semaphore;

use crate::{Limits, counters::Refusal};

/// Connections above the bounds that still get an answer; those above are dropped.
const REFUSALS: usize = 64;

/// The places of all listeners.
#[derive(Debug)]
pub(crate) struct Room {
    open: AtomicUsize,
    /// Open connections of each address that has one; so there are no more addresses than connections.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    /// Places to tell a client why it gets none.
    pub(super) refusals: Arc<Semaphore>,
    /// Places for TLS handshakes under way.
    pub(super) handshakes: Semaphore,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    address: Option<IpAddr>,
    /// Nearly all places are taken.
    pub(super) crowded: bool,
}

impl Room {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            open: AtomicUsize::new(0),
            addresses: Mutex::default(),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            handshakes: Semaphore::new(limits.handshakes),
        }
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A place for a connection from this address, or of the unix socket.
    pub(super) fn enter(self: &Arc<Self>, limits: &Limits, peer: Option<IpAddr>) -> Result<Place, Refusal> {
        let address = peer.map(|peer| peer.to_canonical()).filter(|peer| !peer.is_loopback());
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        // From here on dropping it gives back what was taken.
        let mut place =
            Place { room: self.clone(), address: None, crowded: before >= limits.connections - limits.connections / 10 };
        if before >= limits.connections {
            return Err(Refusal::Full);
        }
        if let Some(address) = address {
            let mut addresses = self.addresses();
            let open = addresses.get(&address).copied().unwrap_or_default();
            if open >= limits.per_address {
                drop(addresses);
                return Err(Refusal::Address);
            }
            addresses.insert(address, open + 1);
            place.address = Some(address);
        }
        Ok(place)
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.open.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        if let Entry::Occupied(mut open) = self.room.addresses().entry(address) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(connections: usize, per_address: usize) -> (Arc<Room>, Limits) {
        let limits = Limits { connections, per_address, ..Limits::default() };
        (Arc::new(Room::new(&limits)), limits)
    }

    fn enter(room: &Arc<Room>, limits: &Limits, peer: &str) -> Result<Place, Refusal> {
        room.enter(limits, Some(peer.parse().unwrap()))
    }

    #[test]
    fn one_address_has_its_bound_and_the_others_theirs() {
        let (room, limits) = room(100, 2);
        let mut places: Vec<_> = (0..2).map(|_| enter(&room, &limits, "192.0.2.1").unwrap()).collect();
        // The same address, as a listener on every address of both families sees it.
        for peer in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(enter(&room, &limits, peer).unwrap_err(), Refusal::Address, "{peer}");
        }
        places.push(enter(&room, &limits, "192.0.2.2").unwrap());
        places.push(enter(&room, &limits, "2001:db8::1").unwrap());
        assert_eq!(room.open(), 4, "who is refused holds no place");
        places.remove(0);
        places.push(enter(&room, &limits, "192.0.2.1").unwrap());
        assert_eq!(enter(&room, &limits, "192.0.2.1").unwrap_err(), Refusal::Address);
        drop(places);
        assert_eq!((room.open(), room.addresses().len()), (0, 0));
    }

    #[test]
    fn our_own_machine_is_exempt() {
        let (room, limits) = room(100, 1);
        let peers = ["127.0.0.1", "127.0.0.1", "::1", "::1", "::ffff:127.0.0.1", "::ffff:127.0.0.1"];
        let _places: Vec<_> = peers.iter().map(|peer| enter(&room, &limits, peer).unwrap()).collect();
        let _unix: Vec<_> = (0..2).map(|_| room.enter(&limits, None).unwrap()).collect();
        assert_eq!((room.open(), room.addresses().len()), (8, 0));
    }

    #[test]
    fn nine_tenths_are_crowded_and_all_are_full() {
        let (room, limits) = room(20, 100);
        let places: Vec<_> = (0..20).map(|_| enter(&room, &limits, "192.0.2.1").unwrap()).collect();
        assert_eq!(places.iter().position(|place| place.crowded), Some(18));
        assert_eq!(enter(&room, &limits, "127.0.0.1").unwrap_err(), Refusal::Full);
        assert_eq!(room.open(), 20);
    }

    #[test]
    fn the_bounds_are_those_of_the_issue() {
        let limits = Limits::default();
        assert_eq!((limits.connections, limits.per_address), (16_384, 8192));
    }
}
