//! A token bucket: how many record changes of one origin are taken per second.

use lobby_core::time::Moment;

/// Changes of one origin that may come at once.
const BURST: u64 = 64;

/// One more change is allowed in each of these many microseconds: 50 per second.
const REFILL_MICROS: u64 = 20_000;

/// Holds up to 64 tokens, one more every 20 ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// The bucket is full at this moment; each token taken moves it by one refill.
    full_at: Moment,
}

impl Bucket {
    pub(crate) const fn full() -> Self {
        Self { full_at: Moment::ZERO }
    }

    /// Takes a token; false when there is none.
    pub(crate) fn take(&mut self, now: Moment) -> bool {
        let start = self.full_at.as_micros().max(now.as_micros());
        if start + REFILL_MICROS > now.as_micros() + BURST * REFILL_MICROS {
            return false;
        }
        self.full_at = Moment::from_micros(start + REFILL_MICROS);
        true
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
