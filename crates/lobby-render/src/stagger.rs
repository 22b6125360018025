//! When this agent's command may run, so that at most so many agents of a fleet run theirs at once. Decides by the wall
//! clock and the live nodes alone; nothing is sent.
//!
//! ```text
//! nodes in the order of hash(what, node id), in groups of `at_once`; windows of 1.5 slots from the Unix epoch on
//! |start|     run      |gap|start|     run      |gap|…     start: ¼ slot, run: up to a slot, gap: ¼ slot
//!      group 0              group 1                        and so on, round and round
//! ```
//! Agents must see the same nodes and clocks that differ by less than a quarter of a slot; while a node comes or goes, two
//! that disagree may run together. A command that runs longer than its slot runs on into the next group's.
//! Not here: a lease that an exchange grants; no exchange offers one.

use std::time::Duration;

use crate::settings::Stagger;

/// When a command may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Now,
    /// After this time; ask again then, as nodes may have come or gone.
    In(Duration),
}

/// When `me` may start its command, `now` after the Unix epoch. `live` has each node once, in any order; whether `me` is
/// among them makes no difference. `what` names what must not run on too many at once: a template, or one name for all of
/// them, as groups of different names run beside each other.
pub fn turn<'a>(stagger: Stagger, what: &str, me: &str, live: impl IntoIterator<Item = &'a str>, now: Duration) -> Turn {
    let mine = key(what, me);
    let (mut n_nodes, mut rank) = (1, 0);
    for node in live.into_iter().filter(|node| *node != me) {
        n_nodes += 1;
        rank += u128::from(key(what, node) < mine);
    }
    let at_once = u128::from(stagger.at_once.max(1));
    let n_groups = u128::div_ceil(n_nodes, at_once);
    let slot = stagger.slot.as_nanos();
    let (window, head) = (slot + slot / 2, slot / 4);
    if n_groups == 1 || head == 0 {
        return Turn::Now;
    }
    let (round, my_start) = (n_groups * window, rank / at_once * window);
    let since_start = (now.as_nanos() % round + round - my_start) % round;
    if since_start < head { Turn::Now } else { Turn::In(nanos(round - since_start)) }
}

fn nanos(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    // The remainder is below a thousand million.
    Duration::new(seconds, (nanos % 1_000_000_000) as u32)
}

/// Orders the nodes: equal on all agents and for all versions (FNV-1a, then mixed), and different for each `what`.
fn key<'a>(what: &str, node: &'a str) -> (u64, &'a str) {
    let bytes = what.bytes().chain([0xff]).chain(node.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed ^ (mixed >> 32), node)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLOT: Duration = Duration::from_millis(400);

    fn names(n_nodes: usize) -> Vec<String> {
        (0..n_nodes).map(|node| format!("node-{node}")).collect()
    }

    fn ask(at_once: u32, what: &str, me: &str, nodes: &[String], millis: u64) -> Turn {
        let stagger = Stagger { at_once, slot: SLOT };
        turn(stagger, what, me, nodes.iter().map(String::as_str), Duration::from_millis(millis))
    }

    #[test]
    fn a_small_fleet_never_waits() {
        let nodes = names(3);
        assert!((0..2000).all(|millis| ask(3, "t", "node-1", &nodes, millis) == Turn::Now));
        assert_eq!(ask(1, "t", "alone", &[], 7), Turn::Now);
        assert_eq!(turn(Stagger { at_once: 1, slot: Duration::ZERO }, "t", "a", ["b"], Duration::ZERO), Turn::Now);
    }

    #[test]
    fn orders_differ_by_what_is_staggered() {
        let nodes = names(40);
        let order = |what: &str| nodes.iter().map(|me| ask(1, what, me, &nodes, 0)).collect::<Vec<_>>();
        assert_ne!(order("a"), order("b"));
        // The order is part of the protocol between agents of different versions.
        assert_eq!(
            (key("haproxy", "node-1").0, key("haproxy", "node-2").0),
            (17_602_179_316_320_871_610, 11_803_255_030_961_229_860)
        );
    }

    proptest! {
        /// Whoever starts when it is told to, and takes its slot, never runs beside more than the cap allows; with clocks
        /// that differ, too. Everybody gets a turn within a round.
        #[test]
        fn at_most_so_many_at_once(at_once in 1u32..4, n_nodes in 1usize..12, now in 0u64..1_000_000,
                                   skew in prop::collection::vec(0u64..100, 12), late in prop::collection::vec(0u64..100, 12)) {
            let nodes = names(n_nodes);
            let n_groups = n_nodes.div_ceil(at_once as usize) as u64;
            let mut runs = Vec::new();
            for (idx, me) in nodes.iter().enumerate() {
                let clock = now + skew[idx];
                let wait = match ask(at_once, "t", me, &nodes, clock) {
                    Turn::Now => 0,
                    Turn::In(wait) => wait.as_millis() as u64,
                };
                prop_assert!(wait <= n_groups * 600);
                prop_assert_eq!(ask(at_once, "t", me, &nodes, clock + wait), Turn::Now);
                // A little late, as long as it is still told to.
                let late = if ask(at_once, "t", me, &nodes, clock + wait + late[idx]) == Turn::Now { late[idx] } else { 0 };
                runs.push(now + wait + late..now + wait + late + 400);
            }
            if n_groups > 1 {
                for run in &runs {
                    prop_assert!(runs.iter().filter(|other| other.contains(&run.start)).count() <= at_once as usize);
                }
            }
        }
    }
}
