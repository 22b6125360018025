//! Times of many observers, and one row of the table.

use std::time::Duration;

/// How long each observer took.
#[derive(Debug, Default)]
pub(crate) struct Times {
    known: Vec<Duration>,
    /// Observers that did not know in the end.
    pub(crate) missed: usize,
}

impl Times {
    pub(crate) fn new(known: Vec<Duration>, missed: usize) -> Self {
        Self { known, missed }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.known.extend(other.known);
        self.missed += other.missed;
    }

    pub(crate) fn mean(&self) -> f64 {
        ms(self.known.iter().sum::<Duration>()) / self.known.len().max(1) as f64
    }

    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.known.clone();
        sorted.sort();
        let rank = (sorted.len() as f64 * part).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().map_or(f64::NAN, ms)
    }

    pub(crate) fn worst(&self) -> f64 {
        self.quantile(1.0)
    }

    pub(crate) fn n(&self) -> usize {
        self.known.len() + self.missed
    }

    pub(crate) fn cells(&self) -> String {
        let missed = if self.missed > 0 { format!(" ({} never)", self.missed) } else { String::new() };
        format!("{:.0} | {:.0} | {:.0}{missed}", self.mean(), self.quantile(0.99), self.worst())
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Prints lobbyd's times beside Serf's.
pub(crate) fn row(what: &str, [lobby, serf]: &[Times; 2]) {
    let observers = lobby.n();
    println!("| {what} | {observers} | {} | {} | {:.1} |", lobby.cells(), serf.cells(), serf.mean() / lobby.mean());
}
