//! The JSON packet of the Go daemon, and what our agents add to it: what NATS and Redis carry.
//!
//! ```text
//! hi, goodbye   {"discovery":{"hostname","labels","last_check"},"message":"hi"|"goodbye","lobby":{…}}
//! ask           {"ask":"<id of the asker>","cluster":"lobby"[,"taken":true]}
//! answer        {"answer":[{"packet":<hi>,"age_ms":n}…],"more":true|false,"cluster":"lobby"}
//! ```
//! The old daemon ignores fields it does not know, so `lobby` (id, generation, version, hash, cluster, meta, services,
//! checks) rides along; an envelope without it is a valid peer and becomes a bare record. So that the old daemon sees
//! services too, the labels that show them follow the node's own ones, whose number `own_labels` tells: our agents pass over
//! the rest. Values that break their rules are dropped and counted in [`Incoming::dropped`], the rest of the packet stands.
//! Not here: subjects, asking and timing (`lobby-exchange`), the list bodies of the REST API (`rest`).

mod answer;
mod external;
mod raw;
mod service;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize};

pub use self::{
    answer::{Answer, Answered, decode_answer, encode_answer},
    external::{EXTERNALS, encode_carrying},
};
use self::{
    external::{given_tags, read_externals, read_given_tags},
    raw::{RawEntry, content_of, hex, proof_of, raw_entries, read_raw},
    service::{WireCheck, WireService},
};
use super::service::{encode_check, encode_instance};
use crate::{
    id::{ExchangeId, Generation, NodeId, Origin, Version},
    label::{self, Label},
    name::Name,
    proof::{Checker, Forged},
    record::{Entry, Key, Phase, Record, Stamp, Value},
    time::WallSecond,
};

/// What a packet says besides its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// I am here.
    Hi,
    /// I am going away.
    Goodbye,
}

/// A packet that was read and validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Hi or goodbye.
    pub message: Message,
    /// The record; its origin is bare when the sender told no id.
    pub record: Arc<Record>,
    /// The sender's cluster, if it told one.
    pub cluster: Option<String>,
    /// The content hash the sender computed; differs from ours when labels were left out for size, as in a goodbye.
    pub hash: Option<u64>,
    /// Labels, instances, checks and meta entries that broke their rules and were left out.
    pub dropped: usize,
    /// The hash of the content that a goodbye does not have; a hi has none.
    pub content: Option<[u8; 32]>,
    /// Versions of nodes without an agent that the sender wrote; at most [`EXTERNALS`].
    pub externals: Vec<Arc<Record>>,
}

impl Incoming {
    /// Whether the owner of the record wrote it, goodbyes included. Nothing of a packet that is forged counts.
    pub fn check(&self, checker: &Checker) -> Result<(), Forged> {
        match self.message {
            Message::Hi => checker.check(&self.record),
            // Without the hash that was signed nothing can be checked, so nothing is good.
            Message::Goodbye => checker.check_goodbye(&self.record, &self.content.unwrap_or_default()),
        }
    }
}

/// A question for the whole catalog, or (on a subject of its own) for one node's packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Who asks.
    #[serde(rename = "ask", with = "id_text")]
    pub asker: NodeId,
    /// The asker's cluster.
    #[serde(default)]
    pub cluster: String,
    /// Not a question: the sender is about to answer this asker, so nobody else need.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken: bool,
}

/// Why bytes are not a packet. Nothing was changed: count it and drop the packet.
#[derive(Debug, thiserror::Error)]
pub enum DecodePacketError {
    /// Not JSON of the expected shape.
    #[error("not a discovery packet")]
    Json(#[from] serde_json::Error),
    /// The host name breaks the rules for names, or there is none.
    #[error("the packet's host name is not a name")]
    Hostname,
    /// A kind of message that is neither hi nor goodbye.
    #[error("the packet is neither hi nor goodbye")]
    UnknownMessage,
    /// The node id, or the record as a whole, breaks its bounds.
    #[error("the packet's record breaks its bounds")]
    Bounds,
}

#[derive(Serialize, Deserialize)]
struct WireEnvelope<'a> {
    #[serde(borrow)]
    discovery: WirePacket<'a>,
    message: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lobby: Option<WireLobby<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WirePacket<'a> {
    hostname: std::borrow::Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_empty")]
    labels: Vec<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    last_check: i64,
}

#[derive(Serialize, Deserialize)]
struct WireLobby<'a> {
    id: String,
    generation: u64,
    version: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    hash: String,
    #[serde(default)]
    cluster: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    services: Vec<WireService>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    checks: Vec<WireCheck>,
    /// How many of the packet's labels are the node's own, when others follow that show its instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own_labels: Option<usize>,
    /// Nodes without an agent, each as a packet of its own.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    externals: Vec<WireEnvelope<'a>>,
    /// Tags for instances of the agent of this name, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    given_tags: BTreeMap<String, Vec<String>>,
    /// Entries that what stands above cannot tell as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    raw: Vec<RawEntry>,
    /// The hash of the record's content (`proof`), where the content itself is not there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    content: String,
    /// Public key and signature.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    signature: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    leaving: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    restarting: bool,
}

/// A node id as its hexadecimal text.
mod id_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::NodeId;

    pub(super) fn serialize<S: Serializer>(id: &NodeId, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<NodeId, D::Error> {
        std::borrow::Cow::<str>::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Writes a hi or goodbye. A goodbye tells nothing but who goes: whoever is too large for a hi must be able to leave.
pub fn encode(record: &Record, message: Message, cluster: &str, now: WallSecond) -> Vec<u8> {
    let mut envelope = envelope(record, message, cluster, now);
    if message == Message::Hi {
        show_instances(&mut envelope, record);
    }
    written(&envelope)
}

/// Writes a hi without the labels that show instances: less for old daemons, the same for our agents, and shorter.
pub fn encode_short(record: &Record, cluster: &str, now: WallSecond) -> Vec<u8> {
    written(&envelope(record, Message::Hi, cluster, now))
}

fn written(envelope: &WireEnvelope<'_>) -> Vec<u8> {
    serde_json::to_vec(envelope).expect("a packet of strings and numbers always serialises")
}

/// Reads a hi or goodbye that came over `exchange`.
pub fn decode(bytes: &[u8], exchange: ExchangeId) -> Result<Incoming, DecodePacketError> {
    incoming(serde_json::from_slice(bytes)?, exchange)
}

/// Writes a question.
pub fn encode_ask(ask: &Ask) -> Vec<u8> {
    serde_json::to_vec(ask).expect("a question of strings always serialises")
}

/// Reads a question.
pub fn decode_ask(bytes: &[u8]) -> Result<Ask, DecodePacketError> {
    Ok(serde_json::from_slice(bytes)?)
}

fn envelope<'a>(record: &'a Record, message: Message, cluster: &str, now: WallSecond) -> WireEnvelope<'a> {
    let entries = (message == Message::Hi).then_some(record);
    let content = record.content();
    let lobby = record.origin.node_id().map(|id| WireLobby {
        id: id.to_string(),
        generation: record.stamp.generation.0,
        version: record.stamp.version.0,
        hash: format!("{:016x}", Record::short_hash(&content)),
        cluster: cluster.into(),
        meta: entries.into_iter().flat_map(Record::metas).map(|(name, value)| (name.to_string(), value.to_owned())).collect(),
        services: entries.into_iter().flat_map(Record::instances).map(WireService::from).collect(),
        checks: entries.into_iter().flat_map(Record::checks).map(WireCheck::from).collect(),
        own_labels: None,
        externals: Vec::new(),
        given_tags: entries.map(given_tags).unwrap_or_default(),
        raw: entries.map(raw_entries).unwrap_or_default(),
        content: if message == Message::Goodbye { hex(&content) } else { String::new() },
        key: record.proof().map(|proof| hex(&proof.key)).unwrap_or_default(),
        signature: record.proof().map(|proof| hex(&proof.signature)).unwrap_or_default(),
        leaving: record.phase == Phase::Left,
        restarting: record.phase == Phase::Restarting,
    });
    let discovery = WirePacket {
        hostname: record.name.as_str().into(),
        labels: entries.into_iter().flat_map(Record::labels).map(|label| label.as_str().into()).collect(),
        last_check: i64::try_from(now.0).unwrap_or(i64::MAX),
    };
    let message = match message {
        Message::Hi => "hi",
        Message::Goodbye => "goodbye",
    };
    WireEnvelope { discovery, message: message.into(), lobby }
}

/// Appends the labels that show the record's instances, but for those that the node has anyway.
fn show_instances(envelope: &mut WireEnvelope<'_>, record: &Record) {
    let Some(lobby) = &mut envelope.lobby else { return };
    let own: BTreeSet<_> = record.labels().collect();
    let mut shown: BTreeSet<_> = record.instances().flat_map(|instance| crate::service::labels(&instance)).collect();
    shown.retain(|label| !own.contains(label));
    if !shown.is_empty() {
        lobby.own_labels = Some(own.len());
        envelope.discovery.labels.extend(shown.iter().map(|label| label.as_str().to_owned().into()));
    }
}

fn incoming(mut wire: WireEnvelope<'_>, exchange: ExchangeId) -> Result<Incoming, DecodePacketError> {
    let message = match &*wire.message {
        "hi" => Message::Hi,
        "goodbye" => Message::Goodbye,
        _ => return Err(DecodePacketError::UnknownMessage),
    };
    let name: Name = wire.discovery.hostname.parse().map_err(|_| DecodePacketError::Hostname)?;
    let mut dropped = 0;
    if let Some(own) = wire.lobby.as_ref().and_then(|lobby| lobby.own_labels) {
        wire.discovery.labels.truncate(own);
    }
    let mut labels: Vec<Label> =
        wire.discovery.labels.iter().filter_map(|text| checked(text.parse().ok(), &mut dropped)).collect();
    labels.sort();
    labels.dedup();
    let kept = label::kept(&labels);
    dropped += labels.len() - kept;
    labels.truncate(kept);

    let mut told = Vec::new();
    let externals = wire.lobby.as_mut().map(|lobby| std::mem::take(&mut lobby.externals)).unwrap_or_default();
    let externals = read_externals(externals, exchange, &mut dropped);
    let proof = wire.lobby.as_ref().and_then(|lobby| proof_of(&lobby.key, &lobby.signature));
    let content = wire.lobby.as_ref().filter(|_| message == Message::Goodbye).and_then(|lobby| content_of(&lobby.content));
    let (origin, stamp, phase, meta, cluster, hash) = match wire.lobby {
        Some(lobby) => {
            told = service_entries(lobby.services, lobby.checks, &mut dropped);
            told.extend(read_given_tags(lobby.given_tags, &mut dropped));
            told.extend(read_raw(lobby.raw, &mut dropped));
            let id: NodeId = lobby.id.parse().map_err(|_| DecodePacketError::Bounds)?;
            let stamp = Stamp { generation: Generation(lobby.generation), version: Version(lobby.version) };
            let hash = u64::from_str_radix(&lobby.hash, 16).ok();
            let phase = match (lobby.leaving, lobby.restarting) {
                (true, _) => Phase::Left,
                (false, true) => Phase::Restarting,
                (false, false) => Phase::Running,
            };
            (Origin::Node(id), stamp, phase, lobby.meta, Some(lobby.cluster), hash)
        }
        None => (Origin::Bare(exchange, name.clone()), Stamp::default(), Phase::Running, BTreeMap::new(), None, None),
    };
    let entry = |value| Entry { version: stamp.version, value: Some(value) };
    let mut entries: Vec<_> = labels.into_iter().map(|label| (Key::Label(label), entry(Value::default()))).collect();
    entries.extend(told.into_iter().map(|(key, value)| (key, entry(value))));
    for (name, value) in meta {
        let key = name.parse().ok().map(Key::Meta).filter(|key| key.takes(value.as_bytes()));
        if let Some(key) = checked(key, &mut dropped) {
            entries.push((key, entry(value.as_bytes().into())));
        }
    }
    let record = Record::from_parts(origin, name, stamp, stamp.version, phase, entries).ok_or(DecodePacketError::Bounds)?;
    let record = Arc::new(record.with_proof(proof));
    Ok(Incoming { message, record, cluster, hash, dropped, content, externals })
}

fn service_entries(services: Vec<WireService>, checks: Vec<WireCheck>, dropped: &mut usize) -> Vec<(Key, Value)> {
    let mut entries = Vec::with_capacity(services.len() + checks.len());
    for instance in services.into_iter().filter_map(|wire| checked(wire.read(), dropped)) {
        let mut bytes = Vec::new();
        encode_instance(&instance, &mut bytes);
        entries.push((Key::Instance(instance.id), bytes.as_slice().into()));
    }
    for check in checks.into_iter().filter_map(|wire| checked(wire.read(), dropped)) {
        let mut bytes = Vec::new();
        encode_check(&check, &mut bytes);
        entries.push((Key::Check(check.id), bytes.as_slice().into()));
    }
    entries
}

fn checked<T>(value: Option<T>, dropped: &mut usize) -> Option<T> {
    *dropped += usize::from(value.is_none());
    value
}

#[cfg(test)]
mod tests;
