//! Directed questions: is this node there? Asked until it answers or is no live member any more.

use std::time::Duration;

use lobby_core::{
    id::{NodeId, Origin},
    port::PeerEvent,
    time::Moment,
};
use rand::RngExt;

use super::{Engine, Output, Timer};
use crate::item::Item;

/// Wait before a directed question is asked for the second and the third time; afterwards it waits for the root period.
const ASK_AGAIN: Duration = Duration::from_millis(300);
const QUICK_ASKS: u8 = 3;

impl Engine {
    /// Asks until there is an answer, or the node is no live member any more: even a late answer corrects a verdict.
    pub(super) fn ask(&mut self, id: NodeId, now: Moment) {
        let number = self.rng.random();
        self.asks.insert(id, number);
        self.send_question(id, number, 0, now);
    }

    pub(super) fn send_question(&mut self, id: NodeId, number: u64, n_asked: u8, now: Moment) {
        if self.asks.get(&id) != Some(&number) {
            return;
        }
        let Some(identity) = self.roster.live_member(id).filter(|_| !self.leaving) else {
            self.asks.remove(&id);
            return;
        };
        self.send(identity.addr, &[], &[Item::Question(number).encode()]);
        let n_asked = n_asked.saturating_add(1);
        let wait = if n_asked < QUICK_ASKS { ASK_AGAIN } else { self.config.root_period };
        self.timers.arm(now, wait, Timer::Ask(id, number, n_asked));
    }

    pub(super) fn handle_answer(&mut self, sender: NodeId, number: u64, now: Moment) {
        self.note_answer(sender, number, now);
        self.note_denial(sender, number);
        if self.asks.get(&sender) == Some(&number) {
            self.prove(sender);
            self.asks.remove(&sender);
            self.outputs.push_back(Output::Event(PeerEvent::Seen(Origin::Node(sender), Duration::ZERO)));
        }
    }
}
