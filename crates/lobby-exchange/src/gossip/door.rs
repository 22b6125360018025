//! The door: who may stay in the handshake, when more knock than there is room for.
//!
//! At most [`MOST`] connections of others have no slot yet. One above drives out the oldest that has not shown that it has
//! our key, of the address (of the /64 in IPv6) that has most of these. So whoever connects and says nothing pushes out
//! itself, and a member's handshake, which takes a few round trips, gets through; and agents of one host, or behind one
//! router, may start together. Whoever has shown the key is not driven out; when all have, the newcomer goes.
//! Not here: how long a handshake may take, and how long one waits for a slot (`stream`).

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// Streams of others that have no slot yet: handshakes under way, and those that wait for a slot.
pub(super) const MOST: usize = 64;

#[derive(Debug)]
struct Guest {
    from: IpAddr,
    known: bool,
    out: CancellationToken,
}

/// In the order in which they came.
#[derive(Debug, Default)]
struct Guests {
    n_came: u64,
    inside: BTreeMap<u64, Guest>,
}

/// Whoever is inside. One for all streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Door(Arc<Mutex<Guests>>);

/// The place of one who is inside; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Door,
    number: u64,
    /// Cancelled when somebody else needs the place.
    pub(super) out: CancellationToken,
}

impl Door {
    /// A place for one who comes from this address; `None` when all places are taken by those who have our key.
    pub(super) fn enter(&self, from: IpAddr) -> Option<Place> {
        let from = network(from);
        let mut guests = self.guests();
        if guests.inside.len() >= MOST {
            let (greediest, _) = guests.strangers().into_iter().max_by_key(|(from, n_strangers)| (*n_strangers, *from))?;
            guests.drive_out(greediest);
        }
        guests.n_came += 1;
        let (number, out) = (guests.n_came, CancellationToken::new());
        guests.inside.insert(number, Guest { from, known: false, out: out.clone() });
        Some(Place { door: self.clone(), number, out })
    }

    /// Those inside who have shown our key.
    #[cfg(test)]
    pub(super) fn n_known(&self) -> usize {
        self.guests().inside.values().filter(|guest| guest.known).count()
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    /// How many without a proof there are of each address.
    fn strangers(&self) -> HashMap<IpAddr, usize> {
        let mut strangers = HashMap::new();
        for guest in self.inside.values().filter(|guest| !guest.known) {
            *strangers.entry(guest.from).or_default() += 1;
        }
        strangers
    }

    /// The oldest stranger of this address has to go.
    fn drive_out(&mut self, from: IpAddr) {
        let oldest = self.inside.iter().find(|(_, guest)| guest.from == from && !guest.known).map(|(number, _)| *number);
        if let Some(guest) = oldest.and_then(|number| self.inside.remove(&number)) {
            guest.out.cancel();
        }
    }
}

impl Place {
    /// It has our key, and keeps its place; false if it was driven out just before.
    pub(super) fn prove(&self) -> bool {
        self.door.guests().inside.get_mut(&self.number).map(|guest| guest.known = true).is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.guests().inside.remove(&self.number);
    }
}

/// What one host can have many of is one address here.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn enter(door: &Door, from: IpAddr) -> Place {
        door.enter(from).expect("there is a place")
    }

    #[test]
    fn thirty_of_one_address_stay_and_one_above_all_drives_out_its_own_oldest() {
        let door = Door::default();
        let together: Vec<_> = (0..30).map(|_| enter(&door, ip(1))).collect();
        assert!(together.iter().all(|place| !place.out.is_cancelled() && place.prove()));
        drop(together);
        let door = Door::default();
        let greedy: Vec<_> = (0..=MOST).map(|_| enter(&door, ip(1))).collect();
        let out: Vec<_> = greedy.iter().filter(|place| place.out.is_cancelled()).map(|place| place.number).collect();
        assert_eq!(out, [1]);
        assert!(!greedy[0].prove() && greedy[1].prove());
        drop(greedy);
        assert!(door.guests().inside.is_empty());
    }

    #[test]
    fn a_full_house_makes_room_at_the_cost_of_the_greediest() {
        let door = Door::default();
        let modest: Vec<_> = (1..=MOST as u8 - 10).map(|last| enter(&door, ip(last))).collect();
        let greedy: Vec<_> = (0..10).map(|_| enter(&door, ip(200))).collect();
        let new = enter(&door, ip(201));
        assert!(greedy[0].out.is_cancelled() && !new.out.is_cancelled());
        assert!(modest.iter().chain(&greedy[1..]).all(|place| !place.out.is_cancelled()));
        assert_eq!(door.guests().inside.len(), MOST);
    }

    #[test]
    fn who_has_the_key_is_not_driven_out_and_then_newcomers_go() {
        let door = Door::default();
        let places: Vec<_> = (0..MOST)
            .map(|_| {
                let place = enter(&door, ip(1));
                assert!(place.prove());
                place
            })
            .collect();
        assert!(door.enter(ip(2)).is_none());
        assert!(places.iter().all(|place| !place.out.is_cancelled()));
        drop(places);
        assert!(door.enter(ip(2)).is_some());
    }

    #[test]
    fn one_network_of_ipv6_counts_as_one_address() {
        assert_eq!(network("2001:db8:1:2::3".parse().unwrap()), network("2001:db8:1:2:ffff::".parse().unwrap()));
        assert_ne!(network("2001:db8:1:2::3".parse().unwrap()), network("2001:db8:1:3::3".parse().unwrap()));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), ip(1));
    }
}
