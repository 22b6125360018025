//! The engine's time: real time without our own stalls.
//!
//! An agent that was stopped for seconds would, on waking, find every answer late and everybody else's time over. So its
//! clock moves at most [`MOST`] beyond the moment at which the loop should have woken; the rest of a stall never happened.
//! The shell calls [`EngineClock::turn`] once per turn of its loop, after reading the real clock.

use std::time::Duration;

use lobby_core::time::Moment;

/// How much of a stall counts: twice the resolution that probes need.
const MOST: Duration = Duration::from_millis(250);

/// Real time minus the stalls so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineClock {
    behind: Duration,
    last: Moment,
}

impl EngineClock {
    /// The engine's time in this turn. `deadline` is what the engine said it is waiting for.
    pub fn turn(&mut self, real: Moment, deadline: Option<Moment>) -> Moment {
        let now = real - self.behind;
        let awaited = deadline.map_or(now, |deadline| deadline.max(self.last));
        let stall = now.since(awaited).saturating_sub(MOST);
        self.behind += stall;
        self.last = self.last.max(now - stall);
        self.last
    }

    /// The real moment of an engine's moment.
    pub fn real(&self, engine: Moment) -> Moment {
        engine + self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_micros(ms * 1000)
    }

    #[test]
    fn a_stall_counts_a_quarter_second_and_sleep_counts_whole() {
        let mut clock = EngineClock::default();
        assert_eq!(clock.turn(at(1000), Some(at(1000))), at(1000));
        assert_eq!(clock.turn(at(1400), Some(at(1500))), at(1400), "woken early by a datagram");
        assert_eq!(clock.turn(at(4500), Some(at(1500))), at(1750), "stopped for three seconds");
        assert_eq!(clock.real(at(1750)), at(4500));
        assert_eq!(clock.turn(at(5500), Some(at(2750))), at(2750));
    }
}
