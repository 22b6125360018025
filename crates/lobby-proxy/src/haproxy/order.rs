//! The order of servers in a backend. Decides it from names alone, so that the same set always gives the same file.

use crate::settings::Order;

/// Puts `servers` in `order`; `name` tells what one is called. Servers that come or go do not move the others.
pub fn sort<T>(servers: &mut [T], order: Order, seed: u64, name: impl Fn(&T) -> &str) {
    match order {
        Order::Found => {}
        Order::Ascending => servers.sort_by(|a, b| name(a).cmp(name(b))),
        Order::Descending => servers.sort_by(|a, b| name(b).cmp(name(a))),
        Order::Shuffled => servers.sort_by_cached_key(|server| (hash(seed, name(server)), name(server).to_owned())),
    }
}

/// A seed that differs from host to host and stays: for `server_order_seed` where none is given.
pub fn seed_of(host_name: &str) -> u64 {
    hash(0, host_name)
}

/// FNV-1a with the finaliser of SplitMix64: names that differ in the last character only would else stay neighbours.
fn hash(seed: u64, text: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let sum = text.bytes().fold(start, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let sum = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let sum = (sum ^ (sum >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    sum ^ (sum >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str], order: Order, seed: u64) -> Vec<String> {
        let mut names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        sort(&mut names, order, seed, |name| name);
        names
    }

    #[test]
    fn by_name_or_as_found() {
        assert_eq!(sorted(&["b", "c", "a"], Order::Ascending, 0), ["a", "b", "c"]);
        assert_eq!(sorted(&["b", "c", "a"], Order::Descending, 0), ["c", "b", "a"]);
        assert_eq!(sorted(&["b", "c", "a"], Order::Found, 0), ["b", "c", "a"]);
    }

    #[test]
    fn chance_is_the_same_each_time_and_differs_between_hosts() {
        let names: Vec<_> = (0..20).map(|n| format!("10.0.0.{n}:80")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let here = seed_of("here");
        let first = sorted(&names, Order::Shuffled, here);
        let backwards: Vec<_> = names.iter().rev().copied().collect();
        assert_eq!(sorted(&backwards, Order::Shuffled, here), first, "the order found does not matter");
        assert_ne!(sorted(&names, Order::Shuffled, seed_of("there")), first);
        let without: Vec<_> = names.iter().copied().filter(|name| *name != "10.0.0.7:80").collect();
        let kept: Vec<_> = first.iter().filter(|name| *name != "10.0.0.7:80").cloned().collect();
        assert_eq!(sorted(&without, Order::Shuffled, here), kept, "who goes does not move the others");
    }
}
