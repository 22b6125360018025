//! A whole catalog for a newcomer, in as many parts as the broker's limit makes necessary.
//!
//! Not here: who asks and who answers (`lobby-exchange`), the packets inside (`super`).

use serde::{Deserialize, Serialize};

use super::{DecodePacketError, Incoming, Message, WireEnvelope, envelope, incoming};
use crate::{id::ExchangeId, record::Record, time::WallSecond};

/// One record of an answered catalog and how long ago the answerer last heard of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The record as its own `hi`.
    pub packet: Incoming,
    /// Milliseconds since the answerer heard of it.
    pub age_ms: u64,
}

/// Part of an answered catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Records of this part.
    pub records: Vec<Answered>,
    /// More parts follow.
    pub more: bool,
    /// The answerer's cluster.
    pub cluster: String,
}

#[derive(Serialize, Deserialize)]
struct WireAnswer<'a> {
    #[serde(borrow)]
    answer: Vec<WireAnswered<'a>>,
    #[serde(default)]
    more: bool,
    #[serde(default)]
    cluster: String,
}

#[derive(Serialize, Deserialize)]
struct WireAnswered<'a> {
    #[serde(borrow)]
    packet: WireEnvelope<'a>,
    #[serde(default)]
    age_ms: u64,
}

/// Writes an answer's parts, each of at most `max_bytes` bytes; a record that does not fit alone is left out.
/// There is always a last part, empty when there is nothing to tell.
pub fn encode_answer<'a>(
    records: impl IntoIterator<Item = (&'a Record, u64)>,
    cluster: &str,
    now: WallSecond,
    max_bytes: usize,
) -> Vec<Vec<u8>> {
    // Room for the answer's own fields around the records.
    let room = max_bytes.saturating_sub(64 + cluster.len() * 6);
    let mut parts = vec![Vec::new()];
    let mut used = 0;
    for (record, age_ms) in records {
        let answered = WireAnswered { packet: envelope(record, Message::Hi, cluster, now), age_ms };
        let size = serde_json::to_vec(&answered).map_or(usize::MAX, |text| text.len() + 1);
        if size > room {
            continue;
        }
        if used + size > room {
            parts.push(Vec::new());
            used = 0;
        }
        used += size;
        parts.last_mut().expect("there is always a part").push(answered);
    }
    let n_parts = parts.len();
    let wire = parts.into_iter().enumerate();
    wire.map(|(idx, answer)| {
        let part = WireAnswer { answer, more: idx + 1 < n_parts, cluster: cluster.into() };
        serde_json::to_vec(&part).expect("an answer of strings and numbers always serialises")
    })
    .collect()
}

/// Reads one part of an answer. Records that break their rules are left out and counted in the second value.
pub fn decode_answer(bytes: &[u8], exchange: ExchangeId) -> Result<(Answer, usize), DecodePacketError> {
    let wire: WireAnswer<'_> = serde_json::from_slice(bytes)?;
    let mut dropped = 0;
    let mut records = Vec::new();
    for answered in wire.answer {
        match incoming(answered.packet, exchange) {
            Ok(packet) => records.push(Answered { packet, age_ms: answered.age_ms }),
            Err(_) => dropped += 1,
        }
    }
    Ok((Answer { records, more: wire.more, cluster: wire.cluster }, dropped))
}
