//! Who delivered what no honest member does, and how often: a table with a bound, however many names a liar has.
//!
//! Not here: what counts as such a thing (`lobby_gossip`).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::id::NodeId;

/// Members that are counted one by one. Of more, those that did it most often: whoever comes takes the place of the one with
/// the least, so that made-up names do not hide who goes on.
pub const MOST_CULPRITS: usize = 64;

/// Counts by member.
#[derive(Debug, Default)]
pub struct Culprits(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    members: BTreeMap<NodeId, u64>,
    others: u64,
}

impl Culprits {
    /// Counts one more of this member's.
    pub fn add(&self, member: NodeId) {
        let mut table = self.lock();
        if let Some(count) = table.members.get_mut(&member) {
            *count += 1;
            return;
        }
        if table.members.len() >= MOST_CULPRITS {
            let least = table.members.iter().min_by_key(|(_, count)| **count).map(|(member, _)| *member);
            table.others += least.and_then(|least| table.members.remove(&least)).unwrap_or_default();
        }
        table.members.insert(member, 1);
    }

    /// How many each has; at most [`MOST_CULPRITS`].
    pub fn counts(&self) -> Vec<(NodeId, u64)> {
        self.lock().members.iter().map(|(member, count)| (*member, *count)).collect()
    }

    /// How many those have that are not counted one by one any more.
    pub fn others(&self) -> u64 {
        self.lock().others
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A map of numbers is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_made_up_names_do_not_hide_the_one_who_goes_on() {
        let culprits = Culprits::default();
        let liar = NodeId::from_bytes([0xff; 16]);
        for idx in 0..1000_u128 {
            culprits.add(NodeId::from_bytes(idx.to_be_bytes()));
            if idx % 10 == 0 {
                culprits.add(liar);
            }
        }
        let counts = culprits.counts();
        assert_eq!(counts.len(), MOST_CULPRITS);
        assert!(counts.contains(&(liar, 100)), "{counts:?}");
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>() + culprits.others(), 1100, "none is lost");
    }
}
