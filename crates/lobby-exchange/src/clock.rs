//! The one place where time is read: both clocks together, as the pure crates want them.
//!
//! Reads tokio's clock, so that a test with a paused clock reaches the cores.

use std::time::{SystemTime, UNIX_EPOCH};

use lobby_core::time::{Moment, Now, WallSecond};
use tokio::time::Instant;

/// What a clock shows at its start. Not zero, so that "heard of 20 s ago", learnt from a peer, is a moment of ours too.
const START: Moment = Moment::from_micros(3_600_000_000);

/// A clock that started some time ago. Copies share their start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now { moment: self.moment(), wall: wall_second() }
    }

    /// The monotonic clock.
    pub fn moment(&self) -> Moment {
        START + self.start.elapsed()
    }

    /// The instant of a moment, to sleep until it; for moments before the start, the start.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + moment.since(START)
    }
}

/// Unix microseconds of the wall clock; zero before 1970.
#[expect(clippy::disallowed_methods, reason = "this file is the one place where the wall clock is read")]
pub fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn wall_second() -> WallSecond {
    WallSecond(unix_micros() / 1_000_000)
}
