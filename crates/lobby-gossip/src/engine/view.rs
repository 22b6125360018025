//! What people see of membership: every node with its state, and the numbers behind it.
//!
//! Not here: how it is shown (`lobby-http`, `lobbyctl`).

use lobby_core::{
    port::gossip::{Member, View},
    time::Moment,
};

use super::Engine;

impl Engine {
    pub(super) fn make_view(&self, now: Moment) -> View {
        let own = self.identity();
        let mut members: Vec<_> = self
            .roster
            .standings(|id| self.membership.has_proof(id, now))
            .map(|(identity, state)| (identity, state, false))
            .chain(std::iter::once((own, if self.leaving { "left" } else { "alive" }, true)))
            .map(|(identity, state, is_own)| Member {
                id: identity.id,
                name: self.roster.record(identity.id).map(|record| record.name.clone()),
                generation: identity.generation,
                addr: identity.addr,
                state,
                coordinate: self.coordinate_of(identity.id),
                rtt: self.rtt_of(identity.id),
                own: is_own,
            })
            .collect();
        members.sort_by_key(|member| member.id);
        let kept = self.kept_streams().len();
        let watching = self.deaths.watches.n_open();
        let mut numbers = vec![
            ("health_score", u64::from(self.membership.score())),
            ("rumours", self.membership.backlog() as u64),
            ("push_queue", self.push.backlog() as u64),
            ("notices", self.deaths.notices.len() as u64),
            ("streams", (self.n_streams() - kept - watching) as u64),
            ("watch_streams", watching as u64),
            ("watched_streams", kept as u64),
            ("refusals", self.deaths.n_refusals() as u64),
        ];
        numbers.extend(self.user_numbers());
        View { members, numbers }
    }
}
