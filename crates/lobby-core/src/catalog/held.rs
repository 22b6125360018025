//! Silence that is not believed: which events of peers are silence, which explain it, and whose services stay meanwhile.
//!
//! Silence is judged once before each snapshot, so that those who fall silent together are never seen to go and come back.
//! Not here: the rule (`crate::hold`), what is shown of a held node (`show`).

use super::*;
use crate::hold::{Hold, Rule};

impl Catalog {
    /// The same with another rule for silence that is not believed.
    #[must_use]
    pub fn with_hold(mut self, rule: Rule) -> Self {
        self.hold = Hold::new(rule, self.links.len());
        self
    }

    /// Judges who fell silent since the last snapshot.
    pub(super) fn judge_silence(&mut self) {
        let peers = &self.peers;
        let is_alive = |peer: &Peer, exchange| peer.is_held() && peer.views.iter().any(|view| view.is_alive_in(exchange));
        // We are alive there, listed or not.
        let alive = |exchange| 1 + peers.values().filter(|peer| is_alive(peer, exchange)).count();
        let is_lost = |origin: &Origin| peers.get(origin).is_some_and(|peer| peer.record.is_some() && !peer.state().is_listed());
        for origin in self.hold.poll(alive, is_lost) {
            self.show(&origin);
        }
    }

    /// Lets go those who were held for long enough.
    pub(super) fn end_holds(&mut self, now: Moment) {
        self.judge_silence();
        while let Some(origin) = self.hold.pop_due(now) {
            self.show(&origin);
        }
    }

    /// There is proof that the node is gone; whether that ends a hold.
    pub(super) fn explain(&mut self, origin: &Origin) -> bool {
        let was_held = self.hold.explained(origin);
        if was_held {
            self.show(origin);
        }
        was_held
    }
}
