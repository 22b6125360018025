//! What the broker machine and its bus say to each other.
//!
//! Not here: what follows from any of it (`broker`), how it is carried out (`run`, `nats`, `redis`).

use std::sync::Arc;

use bytes::Bytes;
use lobby_core::{id::NodeId, port::PeerEvent, stats::PacketKind};

/// How the peers settle who of them answers a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(all(feature = "nats", feature = "redis")), allow(dead_code, reason = "each broker has its own way"))]
pub(crate) enum Answering {
    /// The bus gives each question to one of those who are willing.
    Queue,
    /// Everybody sees each question: who wants to answer waits a random time, then says so on the same channel.
    Claim,
}

/// Where a packet goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// To everybody.
    Packets,
    /// To whoever answers newcomers.
    Asks,
    /// To one node.
    Node(NodeId),
    /// To one newcomer, and where it wants the answer if the bus has such a thing.
    Answer(NodeId, Option<String>),
}

/// Where a packet came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Packets of everybody.
    Packets,
    /// Questions of newcomers.
    Asks,
    /// Questions to us alone.
    OwnAsks,
    /// Answers to us.
    Answers,
}

/// What a bus reports.
#[derive(Debug)]
pub(crate) enum BusEvent {
    /// Connected and subscribed; the bus carries payloads up to this size.
    Up { max_bytes: usize },
    /// Not any more.
    Down { why: Arc<str> },
    /// A payload, and where its sender wants the answer.
    Message { topic: Topic, reply: Option<String>, payload: Bytes },
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Tell the node task.
    Tell(PeerEvent),
    /// Send a payload.
    Send(Address, PacketKind, Vec<u8>),
    /// From now on take (or leave) questions of newcomers.
    Serve(bool),
}
