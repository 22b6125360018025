//! Another process that has our node key, as after a copy of DATA_DIR: the others see one node that comes and goes.
//!
//! What proves it is a version of our own record that our key has signed and that we never made, because it is later than ours.
//! An older one may be of an earlier life of ours, played again or late, so of two such processes the one that started first
//! notices. Answers are not looked at: they hold what somebody heard of us, perhaps over another exchange.
//! The node task counts what it is told of our own id. Not here: giving way, as gossip does (`lobby_gossip`, `engine/twin`).

use super::*;

/// Between two lines of the log.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// What is remembered of such packets.
#[derive(Debug, Default)]
pub(super) struct Twin {
    logged: Option<Moment>,
    /// Since that line.
    unlogged: u64,
}

impl Broker {
    /// Looks at a packet under our own id: most are ours, come back from the broker.
    pub(super) fn look_for_twin(&mut self, incoming: &Incoming, now: Moment) {
        let (record, own) = (&incoming.record, &self.announced.record);
        // Signatures are deterministic, so ours of one version are all the same.
        let is_ours = record.stamp < own.stamp || (record.stamp == own.stamp && record.proof() == own.proof());
        if is_ours || self.check(incoming).is_err() {
            return;
        }
        let (theirs, ours) = (record.stamp.generation.0, own.stamp.generation.0);
        self.outputs.push_back(Output::Tell(PeerEvent::Record(record.clone())));
        if self.twin.logged.is_some_and(|logged| now.since(logged) < LOG_EVERY) {
            self.twin.unlogged += 1;
            return;
        }
        self.twin.logged = Some(now);
        let (broker, id, more) = (self.setup.broker, self.own, std::mem::take(&mut self.twin.unlogged));
        tracing::warn!(
            broker, %id, name = %record.name, generation = theirs, ours, more,
            "another process has our node key, as after a copy of DATA_DIR: stop one of the two, remove its DATA_DIR/node.key \
             and start it again"
        );
    }
}
