//! Records that their owner did not write: not taken, not handed on, counted by whoever delivered them.
//!
//! ```text
//! newer than ours? ─ no ─► stale          is it the owner's? ─ no ─► dropped; a delta: the whole record is fetched
//!        └─ yes ──────────────────────────────────┘ └─ yes ─► taken, and passed on as it came
//! ```
//! Each version is checked once, by whatever way it comes first. Members hand on what they have checked only, so whoever
//! delivers a whole record that is forged made it, or does not check; nobody is blamed for a delta, which may be too little
//! for us alone. The datagram's sender and the other end of a stream are who they say they are: with the cluster's key
//! anybody may say anything of that.
//! Not here: what a proof is (`lobby_core::proof`).

use std::{collections::BTreeMap, time::Duration};

use lobby_core::{id::NodeId, proof::Forged, record::Record, stats::Verdict, time::Moment};

use super::{Engine, Output, StreamId, user::Count};
use crate::bucket::{Bucket, Rate};

#[cfg(test)]
mod tests;

/// Between two that are told to the shell, which logs them.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Forged records after which the sums of a member are not listened to: sums that differ because of what was forged would cost
/// an exchange each. One is forgotten each ten seconds. Its own words and records of others still count, and the exchange
/// that everybody has with anybody now and then.
const TRUST: Rate = Rate { burst: 16, refill_micros: 10_000_000 };

/// Members whose forgeries are remembered.
const MOST_FORGERS: usize = 64;

/// After something forged no record that comes by datagram is checked for this long, and for each of its entries: hashing a
/// large one takes milliseconds, and whoever forges it pays 150 bytes. Some twenty times what it takes.
const REST: Duration = Duration::from_millis(10);
const REST_PER_ENTRY: Duration = Duration::from_micros(100);

/// Who delivered what was forged.
#[derive(Debug, Default)]
pub(super) struct Forgeries {
    /// Whose words are being taken in.
    pub(super) speaker: Option<NodeId>,
    forgers: BTreeMap<NodeId, Bucket>,
    told: Option<Moment>,
    untold: u64,
    /// What comes by datagram until then is fetched by stream, of which there are few at a time.
    rest_until: Moment,
}

impl Forgeries {
    /// Whether what comes by datagram is a hint only.
    pub(super) fn is_resting(&self, now: Moment) -> bool {
        now < self.rest_until
    }
}

impl Engine {
    /// Whether the owner wrote this version; what is to be counted if not.
    pub(super) fn check_owner(&mut self, record: &Record, now: Moment) -> Result<(), Verdict> {
        (self.check)(record, None).map_err(|why| {
            self.note_forged(record, why, now);
            let n_entries = u32::try_from(record.entries().len()).unwrap_or(u32::MAX);
            self.forgeries.rest_until = now + REST + REST_PER_ENTRY.saturating_mul(n_entries);
            why.into()
        })
    }

    /// Whoever is at the other end of this stream speaks now, as far as we know.
    pub(super) fn hear_stream(&mut self, stream: StreamId) {
        self.forgeries.speaker = self.other_end(stream);
    }

    fn note_forged(&mut self, record: &Record, why: Forged, now: Moment) {
        let Some(origin) = record.origin.node_id() else { return };
        let forgeries = &mut self.forgeries;
        if let Some(from) = forgeries.speaker {
            self.stats.forged.add(from);
            if forgeries.forgers.len() >= MOST_FORGERS && !forgeries.forgers.contains_key(&from) {
                forgeries.forgers.retain(|_, trust| !trust.is_full(now));
            }
            if forgeries.forgers.len() < MOST_FORGERS || forgeries.forgers.contains_key(&from) {
                forgeries.forgers.entry(from).or_insert_with(Bucket::full).take_of(TRUST, now);
            }
        }
        if forgeries.told.is_some_and(|told| now.since(told) < TELL_EVERY) {
            forgeries.untold += 1;
            return;
        }
        forgeries.told = Some(now);
        let more = std::mem::take(&mut forgeries.untold);
        self.outputs.push_back(Output::Forged { origin, from: forgeries.speaker, why, more });
    }

    /// Whether this member has delivered so much that was forged that its sums say nothing.
    pub(super) fn is_distrusted(&self, member: NodeId, now: Moment) -> bool {
        self.forgeries.forgers.get(&member).copied().is_some_and(|mut trust| !trust.take_of(TRUST, now))
    }

    /// Counts an event or query that was refused; who delivered one that nobody honest hands on is named.
    pub(super) fn refuse_post(&mut self, why: Count) {
        if let Some(from) = self.forgeries.speaker.filter(|_| why == Count::TooFarAhead) {
            self.stats.refused_posts.add(from);
        }
        self.user.count(why);
    }
}
