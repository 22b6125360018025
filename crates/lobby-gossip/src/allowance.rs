//! How many posts (user events, or queries) are taken: of each origin, of all together, and of our own.
//!
//! A post of the largest size costs each member twelve copies of 1.3 kB. So one origin gets 10 a second, which is 160 kB/s
//! of every member at worst, and all together 100 a second, in case somebody forges origins. The burst of 64 is what a
//! newcomer is offered in one exchange. Our own are held to half of that burst, so that what was fired here is never
//! refused elsewhere because the network delivered it in one lump.
//! Not here: counting what was refused (`engine/user`).

use std::collections::HashMap;

use lobby_core::{id::NodeId, time::Moment};

use crate::bucket::{Bucket, Rate};

/// What one origin may post.
const ORIGIN: Rate = Rate { burst: 64, refill_micros: 100_000 };

/// What we may.
const OWN: Rate = Rate { burst: 32, refill_micros: 100_000 };

/// What all may together.
const TOTAL: Rate = Rate { burst: 256, refill_micros: 10_000 };

/// Origins that are not at rest. Honest ones cannot be more: the total would be used up long before.
const MOST_ORIGINS: usize = 1024;

/// What may still be posted.
#[derive(Debug)]
pub(crate) struct Allowance {
    own: Bucket,
    total: Bucket,
    origins: HashMap<NodeId, Bucket>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { own: Bucket::full(), total: Bucket::full(), origins: HashMap::new() }
    }
}

impl Allowance {
    /// One of our own.
    pub(crate) fn take_own(&mut self, now: Moment) -> bool {
        self.own.take_of(OWN, now)
    }

    /// One of somebody else.
    pub(crate) fn take(&mut self, origin: NodeId, now: Moment) -> bool {
        if self.origins.len() >= MOST_ORIGINS && !self.origins.contains_key(&origin) {
            self.rest(now);
            if self.origins.len() >= MOST_ORIGINS {
                return false;
            }
        }
        // The origin first: one that talks too much must not use up what is there for all.
        self.origins.entry(origin).or_insert_with(Bucket::full).take_of(ORIGIN, now) && self.total.take_of(TOTAL, now)
    }

    /// Forgets origins that are at rest.
    pub(crate) fn rest(&mut self, now: Moment) {
        self.origins.retain(|_, bucket| !bucket.is_full(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_micros(10_000_000 + ms * 1000)
    }

    fn origin(n: u64) -> NodeId {
        NodeId::from_bytes(std::array::from_fn(|i| n.to_le_bytes()[i % 8]))
    }

    #[test]
    fn one_origin_has_64_at_once_and_ten_a_second_and_does_not_hinder_others() {
        let mut allowance = Allowance::default();
        assert_eq!((0..1000).filter(|_| allowance.take(origin(1), at(0))).count(), 64);
        assert_eq!((1..=1000).filter(|ms| allowance.take(origin(1), at(*ms))).count(), 10);
        assert!(allowance.take(origin(2), at(1000)));
        assert_eq!((0..1000).filter(|_| allowance.take_own(at(0))).count(), 32);
    }

    #[test]
    fn forged_origins_share_one_allowance_and_a_bounded_table() {
        let mut allowance = Allowance::default();
        assert_eq!((0..100_000).filter(|n| allowance.take(origin(*n), at(0))).count(), 256);
        assert!(allowance.origins.len() <= MOST_ORIGINS);
        allowance.rest(at(1000));
        assert!(allowance.origins.is_empty());
        assert_eq!((0..100_000).filter(|n| allowance.take(origin(*n), at(1000))).count(), 100);
    }
}
