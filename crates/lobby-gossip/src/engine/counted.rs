//! Which counts of events and queries are packets for `/metrics` too.

use lobby_core::stats::{PacketKind, Verdict};

use super::user::Count;

impl Count {
    /// Kind and verdict of what arrived; `None` for what is counted here only.
    pub(super) const fn packet(self) -> Option<(PacketKind, Verdict)> {
        Some(match self {
            Self::EventsHeard => (PacketKind::Event, Verdict::Ok),
            Self::EventsSeen | Self::EventsOutOfTime => (PacketKind::Event, Verdict::Stale),
            Self::EventsRefused => (PacketKind::Event, Verdict::Refused),
            Self::QueriesHeard => (PacketKind::Query, Verdict::Ok),
            Self::QueriesSeen | Self::QueriesOutOfTime => (PacketKind::Query, Verdict::Stale),
            Self::QueriesRefused => (PacketKind::Query, Verdict::Refused),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use lobby_core::{
        port::gossip::{Filter, NewEvent, NewQuery},
        stats::Queue,
    };

    use super::{super::testnet::Net, *};

    #[test]
    fn events_queries_and_kept_streams_are_in_the_statistics() {
        let mut net = Net::formed(3, 1);
        let event = || NewEvent { name: "deploy".into(), payload: Bytes::new(), filter: Filter::default() };
        net.with(0, |engine, now| engine.fire(event(), now)).unwrap();
        let query = NewQuery { event: event(), timeout: Duration::from_secs(5), ack: false, relays: 0 };
        net.with(0, |engine, now| engine.ask_query(query, now)).unwrap();
        net.run(Duration::from_secs(3));
        for idx in [1, 2] {
            let stats = &net.engine(idx).stats;
            for kind in [PacketKind::Event, PacketKind::Query] {
                assert_eq!(stats.received_count(kind, Verdict::Ok), 1, "{kind:?}");
                assert!(stats.received_count(kind, Verdict::Stale) > 0, "copies of a {kind:?}");
            }
            assert!(stats.depths().any(|(queue, depth, _)| (queue, depth) == (Queue::Kept, 2)));
        }
    }
}
