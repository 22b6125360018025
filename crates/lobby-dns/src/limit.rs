//! How many datagrams the clients of one network get: response rate limiting.
//!
//! A sender's address can be made up, so that we flood somebody else. Above the rate every second question is answered with
//! "ask again over TCP", which only those can do who are where they say; the others are dropped. Buckets are a fixed table:
//! networks that share one by chance share its rate.
//! Not here: bounds of TCP (`serve`).

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use lobby_core::time::Moment;

/// Buckets: one for each network of a large data centre, at 24 bytes each.
const BUCKETS: usize = 4096;

/// What becomes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is answered.
    Answer,
    /// It is to be asked again over TCP.
    Again,
    /// It gets no answer.
    Drop,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// When it was last filled, in microseconds.
    at: u64,
    /// Questions that may be answered, times a million.
    room: u32,
    /// The next one above the rate is told to come again.
    again: bool,
}

/// The buckets of all workers: the system gives all datagrams of one client socket to one of them.
#[derive(Debug)]
pub(crate) struct Limiter {
    /// Each held for a look.
    buckets: Vec<Mutex<Bucket>>,
    hasher: RandomState,
    /// Questions a second; 0: any number.
    rate: u32,
}

impl Limiter {
    /// So many a second for each network; 0: any number.
    pub(crate) fn new(rate: u32) -> Self {
        let n_buckets = if rate == 0 { 0 } else { BUCKETS };
        let buckets = (0..n_buckets).map(|_| Mutex::new(Bucket { at: 0, room: rate, again: false })).collect();
        Self { buckets, hasher: RandomState::new(), rate }
    }

    /// Whether a question from there is answered. Our own machine may ask as much as it likes.
    pub(crate) fn judge(&self, from: IpAddr, now: Moment) -> Verdict {
        let from = from.to_canonical();
        if self.rate == 0 || from.is_loopback() {
            return Verdict::Answer;
        }
        // A bucket index is below BUCKETS, which a machine word holds.
        let idx = usize::try_from(self.hasher.hash_one(network(from)) % BUCKETS as u64).unwrap_or_default();
        let mut bucket = self.buckets[idx].lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.as_micros().saturating_sub(bucket.at);
        let filled = u128::from(passed) * u128::from(self.rate) / 1_000_000;
        if filled > 0 {
            bucket.room = u32::try_from((u128::from(bucket.room) + filled).min(u128::from(self.rate))).unwrap_or(self.rate);
            bucket.at = now.as_micros();
        }
        if bucket.room > 0 {
            bucket.room -= 1;
            return Verdict::Answer;
        }
        bucket.again = !bucket.again;
        if bucket.again { Verdict::Again } else { Verdict::Drop }
    }
}

/// The first bits of an address: what one customer usually has.
pub(crate) fn network(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => u64::from(u32::from(ip) >> 8),
        IpAddr::V6(ip) => u64::try_from(u128::from(ip) >> 72).unwrap_or_default() | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_micros(10_000_000 + ms * 1000)
    }

    #[test]
    fn a_network_gets_its_rate_and_then_every_second_one_is_sent_to_tcp() {
        let limiter = Limiter::new(10);
        let ips = ["192.0.2.1", "192.0.2.200"].map(|ip| ip.parse().unwrap());
        let verdicts =
            |limiter: &Limiter, ms, n: usize| -> Vec<_> { (0..n).map(|i| limiter.judge(ips[i % 2], at(ms))).collect() };
        assert_eq!(verdicts(&limiter, 0, 10), [Verdict::Answer; 10]);
        assert_eq!(verdicts(&limiter, 0, 4), [Verdict::Again, Verdict::Drop, Verdict::Again, Verdict::Drop]);
        assert_eq!(verdicts(&limiter, 100, 2), [Verdict::Answer, Verdict::Again]);
        assert_eq!(verdicts(&limiter, 60_000, 11)[9..], [Verdict::Answer, Verdict::Drop]);
        // Others are not concerned, unless they share a bucket: one of many does not.
        let others = (0..100).filter(|n| limiter.judge(IpAddr::from([198, 51, *n, 1]), at(60_000)) == Verdict::Answer);
        assert!(others.count() > 95);
    }

    #[test]
    fn many_small_steps_fill_a_bucket_as_one_large_one() {
        let limiter = Limiter::new(10);
        let ip = "192.0.2.1".parse().unwrap();
        (0..10).for_each(|_| _ = limiter.judge(ip, at(0)));
        let answered = (1..=1000).filter(|ms| limiter.judge(ip, at(*ms)) == Verdict::Answer).count();
        assert_eq!(answered, 10);
    }

    #[test]
    fn networks_are_24_and_56_bits_and_we_ourselves_are_none() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("192.0.2.1", "192.0.2.255") && !same("192.0.2.1", "192.0.3.1"));
        assert!(same("2001:db8:0:100::1", "2001:db8:0:1ff::2") && !same("2001:db8:0:100::1", "2001:db8:0:200::1"));
        let limiter = Limiter::new(1);
        assert!((0..9).all(|_| limiter.judge("127.0.0.1".parse().unwrap(), at(0)) == Verdict::Answer));
        assert!((0..9).all(|_| limiter.judge("::ffff:127.0.0.1".parse().unwrap(), at(0)) == Verdict::Answer));
        assert!((0..9).all(|_| Limiter::new(0).judge("192.0.2.1".parse().unwrap(), at(0)) == Verdict::Answer));
    }
}
