//! Goodbye: our last record and our own "down", told to five members at once and to five others three times more.
//!
//! Restarting is the same with another record. From then on foca is mute (guard 5): a leaver that hears of its own end would come back as a new member.

use std::time::Duration;

use lobby_core::time::Moment;

use super::{Engine, Output, Timer};
use crate::member::Effects;

/// When goodbye is repeated.
const AGAIN: [Duration; 3] = [Duration::from_millis(150), Duration::from_millis(300), Duration::from_millis(450)];

/// When all is said.
const LINGER: Duration = Duration::from_millis(500);

impl Engine {
    pub(super) fn leave(&mut self, now: Moment) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        self.close_watches();
        self.queue_own(now);
        let mut effects = Effects::default();
        self.membership.leave(&mut effects);
        self.last_words = effects.sends.first().map(|(_, packet)| packet.clone());
        if self.last_words.is_none() {
            self.outputs.push_back(Output::Left);
            return;
        }
        for (to, packet) in effects.sends {
            self.send(to.addr, &packet, &[]);
        }
        for after in AGAIN {
            self.timers.arm(now, after, Timer::Goodbye);
        }
        self.timers.arm(now, LINGER, Timer::Left);
    }

    pub(super) fn say_goodbye(&mut self) {
        let Some(words) = self.last_words.clone() else { return };
        for target in self.roster.choose(self.config.fanout, &[], &mut self.rng) {
            if let Some(packet) = self.membership.readdress(&words, target) {
                // The record rides along from the queue.
                self.send(target.addr, &packet, &[]);
            }
        }
    }
}
