//! What goes wrong on the way: cuts in one or both directions, deaf nodes, duplicates, reordering, stopped processes.
//!
//! Loss and halves stand in the simulator itself, because nearly every test has them.
//! Not here: the ends of processes and hosts (`life`).

use std::collections::HashSet;

use super::*;

#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Nothing gets from the first to the second.
    pub(crate) cut: HashSet<(usize, usize)>,
    /// Between these two, in both orders, a firewall rejects: connections are refused and datagrams lost.
    pub(crate) rejects: HashSet<(usize, usize)>,
    /// Nothing gets to these.
    pub(crate) deaf: HashSet<usize>,
    /// Part of the datagrams that arrive twice.
    pub(crate) duplicate: f64,
    /// Part of the datagrams that take up to 50 ms more.
    pub(crate) reorder: f64,
}

impl Sim {
    /// Cuts both directions.
    pub(crate) fn cut(&mut self, one: usize, other: usize) {
        self.faults.cut.extend([(one, other), (other, one)]);
    }

    /// Puts a firewall that rejects between two nodes. Streams do not survive it.
    pub(crate) fn reject_between(&mut self, one: usize, other: usize) {
        self.faults.rejects.extend([(one, other), (other, one)]);
        self.break_streams_between(one, other);
    }

    /// Everything works again: no cuts, nobody deaf, no loss, no tricks.
    pub(crate) fn heal(&mut self) {
        self.faults = Faults::default();
        (self.loss, self.split) = (0.0, 0);
    }

    /// Stops a node's process for a while. A second pause during the first makes it longer.
    pub(crate) fn pause(&mut self, idx: usize, time: Duration) {
        let until = self.now + time;
        let node = &mut self.nodes[idx];
        node.paused_until = node.paused_until.max(until);
    }

    /// Lets a node's clock jump forward, as after a suspension of its machine that the others did not notice.
    pub(crate) fn jump(&mut self, idx: usize, time: Duration) {
        self.nodes[idx].skew += time;
        // The loop wakes up: its deadlines are long past.
        self.nodes[idx].wake_at = Some(self.now);
        self.at(Duration::ZERO, idx, Event::Wake);
    }

    /// Sets the firewall of a node for what comes in by TCP and by UDP. Streams do not survive a rejection.
    pub(crate) fn reject(&mut self, idx: usize, tcp: bool, udp: bool) {
        self.nodes[idx].reject = (tcp, udp);
        if tcp {
            self.break_streams(idx, true);
        }
    }

    /// Whether nothing gets from one to the other.
    pub(super) fn blocks(&self, from: usize, to: usize) -> bool {
        let halves = self.split > 0 && (from < self.split) != (to < self.split);
        halves || self.faults.deaf.contains(&to) || self.faults.cut.contains(&(from, to)) || self.rejects(from, to)
    }

    /// Whether a firewall between the two refuses connections.
    pub(super) fn rejects(&self, one: usize, other: usize) -> bool {
        self.faults.rejects.contains(&(one, other))
    }

    /// Whether no connection comes about between the two.
    pub(super) fn is_cut(&self, one: usize, other: usize) -> bool {
        self.blocks(one, other) || self.blocks(other, one)
    }

    pub(super) fn chance(&mut self, part: f64) -> bool {
        part > 0.0 && self.rng.random_bool(part)
    }
}
