//! Since when each suspect is one.
//!
//! A suspicion ends with an answer or with a verdict, and both are rumours: each of them misses a member now and then, the
//! more often the more members are dead and swallow copies. Who sees one that does not end has missed its end.
//! Not here: what is done about it (`engine/reunite`).

use std::{collections::HashMap, time::Duration};

use foca::{Member, State};
use lobby_core::{id::NodeId, time::Moment};

use crate::identity::Identity;

/// Those that are suspected, of which incarnation, and since when. At most as many as there are members.
#[derive(Debug)]
pub(super) struct Suspects {
    longest: Duration,
    since: HashMap<NodeId, (u16, Moment)>,
}

impl Suspects {
    /// Suspicions that last longer than this are overdue.
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, since: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.since.is_empty()
    }

    /// Looks at everybody.
    pub(super) fn look<'a>(&mut self, members: impl Iterator<Item = &'a Member<Identity>>, now: Moment) {
        let old = std::mem::take(&mut self.since);
        let suspects = members.filter(|member| member.state() == State::Suspect);
        let since = |member: &Member<Identity>| {
            let (id, incarnation) = (member.id().id, member.incarnation());
            let known = old.get(&id).filter(|(known, _)| *known == incarnation);
            (id, (incarnation, known.map_or(now, |(_, since)| *since)))
        };
        self.since.extend(suspects.map(since));
    }

    /// Whether some suspicion should have ended.
    pub(super) fn is_overdue(&self, now: Moment) -> bool {
        self.since.values().any(|(_, since)| now.since(*since) > self.longest)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use lobby_core::id::Generation;

    use super::*;

    fn member(byte: u8, incarnation: u16, state: State) -> Member<Identity> {
        let addr = SocketAddr::from(([10, 0, 0, byte], 1314));
        let identity = Identity { id: NodeId::from_bytes([byte; 16]), generation: Generation(5), renewal: 0, addr };
        Member::new(identity, incarnation, state)
    }

    #[test]
    fn a_suspicion_is_overdue_only_if_it_is_the_same_all_the_time() {
        let at = |ms: u64| Moment::from_micros(ms * 1000);
        let mut suspects = Suspects::new(Duration::from_secs(4));
        let mut look = |ms: u64, members: &[Member<Identity>]| {
            suspects.look(members.iter(), at(ms));
            (suspects.is_empty(), suspects.is_overdue(at(ms)))
        };
        let (alive, down) = (member(1, 0, State::Alive), member(2, 0, State::Down));
        assert_eq!(look(0, &[alive, down.clone()]), (true, false));
        assert_eq!(look(1000, &[member(1, 0, State::Suspect)]), (false, false));
        // It has refuted that one.
        assert_eq!(look(3000, &[member(1, 1, State::Suspect)]), (false, false));
        assert_eq!(look(7000, &[member(1, 1, State::Suspect)]), (false, false));
        assert_eq!(look(7001, &[member(1, 1, State::Suspect), down]), (false, true));
        assert_eq!(look(8000, &[member(1, 2, State::Alive)]), (true, false));
        assert_eq!(look(8500, &[member(1, 2, State::Suspect)]), (false, false));
    }
}
