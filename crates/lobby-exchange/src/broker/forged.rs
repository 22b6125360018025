//! Packets whose record was not written by the node that it tells of: dropped, counted and, one a second, logged.
//!
//! A broker does not say who sent a packet, so the log names whom it was forged of. Checked is only what is newer than what
//! the catalog has of the node: a keep-alive changes nothing, whoever sent it. What is told for it is what the catalog has, for
//! the catalog may have forgotten the node by the time that it is told.
//! Not here: what a proof is (`lobby_core::proof`), who may use the broker at all.

use lobby_core::proof::Forged;

use super::*;

/// Between two lines of the log.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// What is remembered of forged packets.
#[derive(Debug, Default)]
pub(super) struct Forgeries {
    logged: Option<Moment>,
    /// Since that line.
    unlogged: u64,
}

impl Broker {
    /// Why a packet is not for us, whoever made it.
    pub(super) fn misdirected(&self, incoming: &Incoming) -> Option<Verdict> {
        match &incoming.cluster {
            Some(cluster) if *cluster != self.setup.cluster => Some(Verdict::Foreign),
            _ => (incoming.record.origin == Origin::Node(self.own)).then_some(Verdict::Own),
        }
    }

    /// What becomes of a packet of somebody, which holds a record that is checked from then on.
    pub(super) fn verdict(&mut self, incoming: &mut Incoming, now: Moment) -> Verdict {
        if let Some(verdict) = self.misdirected(incoming) {
            return verdict;
        }
        match self.prove(incoming, now) {
            Err(why) => why.into(),
            Ok(()) if incoming.dropped > 0 => Verdict::Trimmed,
            Ok(()) => Verdict::Ok,
        }
    }

    /// Whether the owner wrote what this packet tells anew.
    fn prove(&mut self, incoming: &mut Incoming, now: Moment) -> Result<(), Forged> {
        if let Some(known) = self.known(&incoming.record) {
            incoming.record = known;
            return Ok(());
        }
        let proven = self.check(incoming);
        if let Err(why) = proven {
            self.note_forged(&incoming.record, why, now);
        }
        proven
    }

    /// Whether its owner signed the version that this packet tells.
    pub(super) fn check(&self, incoming: &Incoming) -> Result<(), Forged> {
        // Who says goodbye without telling what hash it signed has said nothing that could be checked.
        let is_goodbye = incoming.message == Message::Goodbye;
        let content = if is_goodbye { Some(incoming.content.unwrap_or_default()) } else { None };
        (self.setup.check)(&incoming.record, content.as_ref())
    }

    /// A version of a node without an agent that rode on somebody's packet.
    pub(super) fn tell_external(&mut self, record: Arc<Record>, now: Moment) {
        if self.known(&record).is_some() {
            return;
        }
        match (self.setup.check)(&record, None) {
            Ok(()) => self.outputs.push_back(Output::Tell(PeerEvent::Record(record))),
            Err(why) => {
                self.stats.received(PacketKind::Record, why.into(), 0);
                self.note_forged(&record, why, now);
            }
        }
    }

    /// What the catalog has of the node, if it is this version or a newer one, so that this one changes nothing. A bare record
    /// has no versions.
    fn known(&self, record: &Record) -> Option<Arc<Record>> {
        let (snapshot, id) = (self.reader.snapshot(), record.origin.node_id()?);
        let known = if record.is_external() {
            snapshot.externals.get(&id)
        } else {
            snapshot.nodes.get(&record.origin).map(|node| &node.record)
        };
        known.filter(|known| known.stamp >= record.stamp).cloned()
    }

    fn note_forged(&mut self, record: &Record, why: Forged, now: Moment) {
        let forgeries = &mut self.forgeries;
        if forgeries.logged.is_some_and(|logged| now.since(logged) < LOG_EVERY) {
            forgeries.unlogged += 1;
            return;
        }
        forgeries.logged = Some(now);
        let (broker, more) = (self.setup.broker, std::mem::take(&mut forgeries.unlogged));
        let id = record.origin.node_id().map(|id| id.to_string()).unwrap_or_default();
        tracing::warn!(broker, name = %record.name, id, more, "a forged packet is dropped: {why}");
    }
}
