//! Timers as values in the order in which they are due. None is ever cancelled: whoever gets one looks whether it still matters.

use std::{collections::BTreeMap, time::Duration};

use lobby_core::time::Moment;

/// An ordered heap of timers; equal moments keep the order of arming.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    due: BTreeMap<(Moment, u64), T>,
    n_armed: u64,
}

impl<T> Timers<T> {
    pub(crate) const fn new() -> Self {
        Self { due: BTreeMap::new(), n_armed: 0 }
    }

    pub(crate) fn arm(&mut self, now: Moment, after: Duration, timer: T) {
        self.n_armed += 1;
        self.due.insert((now + after, self.n_armed), timer);
    }

    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<T> {
        let first = self.due.first_entry()?;
        if first.key().0 <= now { Some(first.remove()) } else { None }
    }
}
