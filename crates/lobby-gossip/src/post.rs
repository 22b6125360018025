//! What people say to the whole cluster, user events and queries, and what comes back, as bytes.
//!
//! ```text
//! post   = id[16] origin[16] ltime name payload filter
//! filter = flags[1] [node] [service] [tag] [count label*]     (texts: length bytes; flags: which are there)
//! event  = post age[2]                  (10 ms units)
//! query  = post ack[1] relays[1] left[4] (ms)
//! notice = event-time query-time want have give   of an exchange, each a list
//! ```
//! The times stand last because they change while an item waits to be sent (`spread`).
//! Not here: who is told when (`engine/event`, `engine/query`).

use std::time::Duration;

use bytes::{BufMut, Bytes};
use lobby_core::{
    id::NodeId,
    port::gossip::{ANSWER_BYTES, EVENT_NAME_BYTES, EVENT_PAYLOAD_BYTES, EventId, FILTER_BYTES, Filter, GossipError, NewEvent},
    wire::binary::{DecodeError, Reader, put_bytes, put_varint},
};

/// Events that one side of an exchange offers, the newest.
pub(crate) const OFFERED: usize = 64;

pub(crate) const AGE_BYTES: usize = 2;
pub(crate) const LEFT_BYTES: usize = 4;

const HAS_NODE: u8 = 1;
const HAS_SERVICE: u8 = 2;
const HAS_TAG: u8 = 4;
const HAS_LABELS: u8 = 8;

/// An event or query, whoever fired it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Post {
    pub(crate) id: EventId,
    pub(crate) origin: NodeId,
    pub(crate) ltime: u64,
    pub(crate) event: NewEvent,
}

/// What a query says beside its post.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Terms {
    pub(crate) ack: bool,
    pub(crate) relays: u8,
    /// How long the asker still waits.
    pub(crate) left: Duration,
}

/// An answer of one node to one query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) query: EventId,
    pub(crate) node: NodeId,
    pub(crate) payload: Bytes,
}

/// The part of an exchange that is about events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EventExchange {
    pub(crate) event_time: u64,
    pub(crate) query_time: u64,
    /// Ids that the sender wants in full.
    pub(crate) want: Vec<EventId>,
    /// Ids, with their times, that the sender could give.
    pub(crate) have: Vec<(EventId, u64)>,
    /// What the other wanted, with its age.
    pub(crate) give: Vec<(Post, Duration)>,
}

/// Whether an event or query keeps its bounds.
pub(crate) fn check(event: &NewEvent) -> Result<(), GossipError> {
    let invalid = |field, why: String| Err(GossipError::Invalid { field, why });
    let NewEvent { name, payload, filter } = event;
    if name.is_empty() || name.len() > EVENT_NAME_BYTES {
        return invalid("name", format!("{} bytes: 1 to {EVENT_NAME_BYTES} are accepted", name.len()));
    }
    if let Some(wrong) = name.chars().find(|c| c.is_control()) {
        return invalid("name", format!("contains {wrong:?}: text without control characters is accepted"));
    }
    if payload.len() > EVENT_PAYLOAD_BYTES {
        return invalid("payload", format!("{} bytes: at most {EVENT_PAYLOAD_BYTES} are accepted", payload.len()));
    }
    let patterns = || texts(filter).chain(filter.labels.iter().map(String::as_str));
    let length: usize = patterns().map(str::len).sum();
    if length > FILTER_BYTES {
        return invalid("filter", format!("{length} bytes: at most {FILTER_BYTES} are accepted for all patterns together"));
    }
    if patterns().any(|pattern| pattern.is_empty() || pattern.contains(char::is_control)) {
        return invalid("filter", "a pattern is empty or has control characters: leave it out, or give text".to_owned());
    }
    Ok(())
}

fn texts(filter: &Filter) -> impl Iterator<Item = &str> {
    [&filter.node, &filter.service, &filter.tag].into_iter().filter_map(Option::as_deref)
}

/// The last bytes of an event: its age.
pub(crate) fn age_tail(age: Duration) -> [u8; AGE_BYTES] {
    u16::try_from(age.as_millis() / 10).unwrap_or(u16::MAX).to_le_bytes()
}

/// The last bytes of a query: how long its asker still waits.
pub(crate) fn left_tail(left: Duration) -> [u8; LEFT_BYTES] {
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX).to_le_bytes()
}

pub(crate) fn read_age(reader: &mut Reader<'_>) -> Result<Duration, DecodeError> {
    Ok(Duration::from_millis(10 * u64::from(u16::from_le_bytes(reader.array()?))))
}

impl Post {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_slice(&self.id.0);
        out.put_slice(self.origin.as_bytes());
        put_varint(out, self.ltime);
        put_bytes(out, self.event.name.as_bytes());
        put_bytes(out, &self.event.payload);
        let filter = &self.event.filter;
        let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
        out.put_u8(
            flag(filter.node.is_some(), HAS_NODE)
                | flag(filter.service.is_some(), HAS_SERVICE)
                | flag(filter.tag.is_some(), HAS_TAG)
                | flag(!filter.labels.is_empty(), HAS_LABELS),
        );
        texts(filter).for_each(|text| put_bytes(out, text.as_bytes()));
        if !filter.labels.is_empty() {
            put_varint(out, filter.labels.len() as u64);
            filter.labels.iter().for_each(|label| put_bytes(out, label.as_bytes()));
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = EventId(reader.array()?);
        let origin = reader.node_id()?;
        let ltime = reader.varint()?;
        let name = read_text(reader, EVENT_NAME_BYTES)?;
        let payload = Bytes::copy_from_slice(reader.bytes(EVENT_PAYLOAD_BYTES)?);
        let event = NewEvent { name, payload, filter: read_filter(reader)? };
        check(&event).map_err(|_| DecodeError::Text)?;
        Ok(Self { id, origin, ltime, event })
    }
}

fn read_filter(reader: &mut Reader<'_>) -> Result<Filter, DecodeError> {
    let flags = reader.u8()?;
    if flags > (HAS_NODE | HAS_SERVICE | HAS_TAG | HAS_LABELS) {
        return Err(DecodeError::Range);
    }
    let mut text = |flag| if flags & flag == 0 { Ok(None) } else { read_text(reader, FILTER_BYTES).map(Some) };
    let (node, service, tag) = (text(HAS_NODE)?, text(HAS_SERVICE)?, text(HAS_TAG)?);
    let n_labels = if flags & HAS_LABELS == 0 { 0 } else { reader.count(FILTER_BYTES)? };
    let labels = (0..n_labels).map(|_| read_text(reader, FILTER_BYTES)).collect::<Result<_, _>>()?;
    Ok(Filter { node, service, tag, labels })
}

fn read_text(reader: &mut Reader<'_>, most: usize) -> Result<String, DecodeError> {
    let text = std::str::from_utf8(reader.bytes(most)?).map_err(|_| DecodeError::Text)?;
    Ok(text.to_owned())
}

impl Terms {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(self.ack));
        out.put_u8(self.relays);
        out.put_slice(&left_tail(self.left));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (ack, relays) = (reader.u8()? != 0, reader.u8()?);
        Ok(Self { ack, relays, left: Duration::from_millis(u32::from_le_bytes(reader.array()?).into()) })
    }
}

impl Reply {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_slice(&self.query.0);
        out.put_slice(self.node.as_bytes());
        put_bytes(out, &self.payload);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (query, node) = (EventId(reader.array()?), reader.node_id()?);
        Ok(Self { query, node, payload: Bytes::copy_from_slice(reader.bytes(ANSWER_BYTES)?) })
    }
}

impl EventExchange {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.event_time);
        put_varint(out, self.query_time);
        put_varint(out, self.want.len() as u64);
        self.want.iter().for_each(|id| out.put_slice(&id.0));
        put_varint(out, self.have.len() as u64);
        for (id, ltime) in &self.have {
            out.put_slice(&id.0);
            put_varint(out, *ltime);
        }
        put_varint(out, self.give.len() as u64);
        for (post, age) in &self.give {
            post.encode(out);
            put_varint(out, age.as_millis() as u64);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (event_time, query_time) = (reader.varint()?, reader.varint()?);
        let n_want = reader.count(OFFERED)?;
        let want = (0..n_want).map(|_| Ok(EventId(reader.array()?))).collect::<Result<_, DecodeError>>()?;
        let n_have = reader.count(OFFERED)?;
        let have = (0..n_have).map(|_| Ok((EventId(reader.array()?), reader.varint()?))).collect::<Result<_, DecodeError>>()?;
        let n_give = reader.count(OFFERED)?;
        let give = (0..n_give).map(|_| Ok((Post::decode(reader)?, Duration::from_millis(reader.varint()?))));
        let give = give.collect::<Result<_, DecodeError>>()?;
        Ok(Self { event_time, query_time, want, have, give })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_field_value_and_what_is_accepted() {
        let good = || NewEvent { name: "deploy".to_owned(), payload: Bytes::new(), filter: Filter::default() };
        let why = |event: &NewEvent| check(event).map_err(|err| err.to_string());
        assert_eq!(why(&good()), Ok(()));
        let cases = [
            (NewEvent { name: String::new(), ..good() }, "name: 0 bytes: 1 to 64 are accepted"),
            (NewEvent { name: "x".repeat(65), ..good() }, "name: 65 bytes: 1 to 64 are accepted"),
            (NewEvent { name: "a\nb".to_owned(), ..good() }, "name: contains '\\n': text without control characters is accepted"),
            (NewEvent { payload: vec![0; 1025].into(), ..good() }, "payload: 1025 bytes: at most 1024 are accepted"),
            (
                NewEvent { filter: Filter { labels: vec!["x".repeat(100), "y".repeat(29)], ..Filter::default() }, ..good() },
                "filter: 129 bytes: at most 128 are accepted for all patterns together",
            ),
            (
                NewEvent { filter: Filter { tag: Some(String::new()), ..Filter::default() }, ..good() },
                "filter: a pattern is empty or has control characters: leave it out, or give text",
            ),
        ];
        for (event, message) in cases {
            assert_eq!(why(&event), Err(message.to_owned()));
        }
        assert_eq!(why(&NewEvent { payload: vec![0; 1024].into(), name: "x".repeat(64), ..good() }), Ok(()));
    }
}
