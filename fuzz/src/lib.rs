//! What the targets share: a host to select from, and a gossip engine that is played through a script of bytes.
//!
//! ```text
//! script    = step*        step = how[1] length[2, little endian] payload
//! datagrams: how / 2 = time before it in 50 ms, how % 2 = 1: as it is, 0: with the right preamble in front
//! frames:    how / 4 = time before it in 50 ms, how % 4 = 0: on a stream newly opened to us, 1: on the last such,
//!            2: on the last stream that we opened, 3: that stream ends instead
//! ```
//! After each step: nothing that goes out is larger than it may be, and every datagram is counted once. The engine has
//! no key, because nothing of a sealed packet is looked at before the cipher has said that a member sent it.

mod dns;
mod play;

use std::{sync::Arc, time::Duration};

use lobby_core::{
    catalog::{Catalog, Host},
    id::{Generation, NodeId, Revision},
    local::LocalRecord,
    time::{Moment, Now},
};

use lobby_exchange::seal::{Key, Keys};

pub use dns::responder;
pub use play::{ADDR, Frame, Play, SEED, TICK, engine, keyring};

/// Labels of [`host`] and of the engine's node.
const LABELS: &[&str] = &["service:smtp", "prometheus:node:host:10.0.0.1", "public_ip6:2a03::1", "ž", "with blank"];

/// The record of a node of this number.
pub fn local(number: u8) -> LocalRecord {
    let name = format!("fuzz-{number}").parse().expect("a name");
    let mut local = LocalRecord::new(NodeId::from_bytes([number; 16]), Generation(7), name);
    local.set_labels(LABELS.iter().map(|label| label.parse().expect("a label")));
    local.commit(Moment::ZERO);
    local
}

/// The keys under which packets of the corpus are sealed.
pub fn exchange_keys() -> Keys {
    Keys { list: vec![Key::from_bytes([7; 32]), Key::from_bytes([8; 32])], takes_unsigned: false }
}

/// A host as lists show it.
pub fn host() -> Arc<Host> {
    let own = local(1).record().clone();
    let mut catalog = Catalog::new(Revision(1), [], own, true, Duration::ZERO, Now::default());
    let snapshot = catalog.poll_snapshot().expect("a new catalog has a first snapshot");
    snapshot.hosts.values().next().expect("we list ourselves").clone()
}

/// Plays a script of datagrams.
pub fn play_datagrams(script: &[u8]) {
    let mut play = Play::new();
    for (how, payload) in steps(script) {
        play.wait(how / 2);
        if how % 2 == 1 {
            play.raw_datagram(payload)
        } else {
            play.datagram(payload)
        };
    }
    play.wait(100);
}

/// Plays a script of frames.
pub fn play_frames(script: &[u8]) {
    let mut play = Play::new();
    for (how, payload) in steps(script) {
        play.wait(how / 4);
        match how % 4 {
            0 => play.frame(Frame::New, payload),
            1 => play.frame(Frame::Theirs, payload),
            2 => play.frame(Frame::Ours, payload),
            _ => play.end(),
        };
    }
    play.wait(100);
}

/// The steps of a script; a length beyond the end means the rest.
fn steps(mut script: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [how, low, high, rest @ ..] = script else { return None };
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        script = rest;
        Some((*how, payload))
    })
}

/// Appends a step to a script.
pub fn push_step(script: &mut Vec<u8>, how: u8, payload: &[u8]) {
    let length = u16::try_from(payload.len()).expect("seeds are short");
    script.push(how);
    script.extend_from_slice(&length.to_le_bytes());
    script.extend_from_slice(payload);
}
