//! A token bucket: how many record changes, or posts, of one origin are taken per second.

use lobby_core::time::Moment;

/// How fast a bucket fills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// What may come at once.
    pub(crate) burst: u64,
    /// One more is allowed in each of these many microseconds.
    pub(crate) refill_micros: u64,
}

/// Changes of the record of one origin: 64 at once, 50 per second.
const RECORDS: Rate = Rate { burst: 64, refill_micros: 20_000 };

/// What one origin may still do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// The bucket is full at this moment; each token taken moves it by one refill.
    full_at: Moment,
}

impl Bucket {
    pub(crate) const fn full() -> Self {
        Self { full_at: Moment::ZERO }
    }

    /// Takes a token of the rate of records; false when there is none.
    pub(crate) fn take(&mut self, now: Moment) -> bool {
        self.take_of(RECORDS, now)
    }

    /// Takes a token; false when there is none. A bucket always has the same rate.
    pub(crate) fn take_of(&mut self, rate: Rate, now: Moment) -> bool {
        let start = self.full_at.as_micros().max(now.as_micros());
        if start + rate.refill_micros > now.as_micros() + rate.burst * rate.refill_micros {
            return false;
        }
        self.full_at = Moment::from_micros(start + rate.refill_micros);
        true
    }

    /// Whether all tokens are there again.
    pub(crate) fn is_full(&self, now: Moment) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_64_then_50_per_second() {
        let mut bucket = Bucket::full();
        let at = |micros: u64| Moment::from_micros(5_000_000 + micros);
        assert_eq!((0..100).filter(|_| bucket.take(at(0))).count(), 64);
        assert_eq!((1..=1000).filter(|ms| bucket.take(at(ms * 1000))).count(), 50);
    }
}
