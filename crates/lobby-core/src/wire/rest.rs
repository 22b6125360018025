//! List bodies of Lobby's REST API: JSON with two blanks of indentation, fields in the old daemon's order.
//!
//! The start of each packet is rendered when its host changes; a list is then a concatenation with the
//! seconds filled in. `lobbyctl` reads the same bodies back with [`Packet`].

use serde::{Deserialize, Serialize};

use crate::{catalog::Host, label::Label, name::Name, time::Now};

/// One packet of a list, as clients read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// The host name.
    pub hostname: String,
    /// Its labels, sorted.
    pub labels: Vec<String>,
    /// The Unix second at which the answering agent last heard of it.
    pub last_check: u64,
}

/// The packet of one host up to the number of `last_check`, indented as an element of a list.
pub(crate) fn packet_head(name: &Name, labels: &[Label]) -> String {
    let mut text = String::with_capacity(64 + labels.iter().map(|label| label.as_str().len() + 10).sum::<usize>());
    text.push_str("  {\n    \"hostname\": ");
    push_json(&mut text, name.as_str());
    text.push_str(",\n    \"labels\": [");
    for (idx, label) in labels.iter().enumerate() {
        text.push_str(if idx == 0 { "\n      " } else { ",\n      " });
        push_json(&mut text, label.as_str());
    }
    text.push_str(if labels.is_empty() { "],\n    \"last_check\": " } else { "\n    ],\n    \"last_check\": " });
    text
}

/// The body of a list of whole packets.
pub fn list<'a>(hosts: impl IntoIterator<Item = &'a Host>, now: Now) -> Vec<u8> {
    let mut body = Vec::with_capacity(1024);
    body.push(b'[');
    for (idx, host) in hosts.into_iter().enumerate() {
        body.extend_from_slice(if idx == 0 { b"\n" } else { b",\n" });
        push_packet(&mut body, &host.rendered, host.last_check(now).0);
    }
    body.extend_from_slice(if body.len() == 1 { b"]\n" } else { b"\n]\n" });
    body
}

/// The body of a list of packets that show only some labels of each host.
pub fn list_of_matches<'a>(hosts: impl IntoIterator<Item = (&'a Host, Vec<Label>)>, now: Now) -> Vec<u8> {
    let mut body = vec![b'['];
    for (idx, (host, labels)) in hosts.into_iter().enumerate() {
        body.extend_from_slice(if idx == 0 { b"\n" } else { b",\n" });
        push_packet(&mut body, &packet_head(&host.name, &labels), host.last_check(now).0);
    }
    body.extend_from_slice(if body.len() == 1 { b"]\n" } else { b"\n]\n" });
    body
}

fn push_packet(body: &mut Vec<u8>, head: &str, last_check: u64) {
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(itoa::Buffer::new().format(last_check).as_bytes());
    body.extend_from_slice(b"\n  }");
}

fn push_json(text: &mut String, value: &str) {
    text.push_str(&serde_json::to_string(value).expect("a text always serialises"));
}

/// A list of whole packets on one line, as CALLBACK and hooks get it on stdin.
pub fn compact_list<'a>(hosts: impl IntoIterator<Item = &'a Host>, now: Now) -> Vec<u8> {
    let packet = |host: &Host| Packet {
        hostname: host.name.to_string(),
        labels: host.labels.iter().map(ToString::to_string).collect(),
        last_check: host.last_check(now).0,
    };
    let packets: Vec<_> = hosts.into_iter().map(packet).collect();
    serde_json::to_vec(&packets).expect("packets of texts and numbers always serialise")
}
