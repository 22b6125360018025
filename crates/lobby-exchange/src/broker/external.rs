//! Nodes without an agent on a broker: those that we wrote ride on our own packets, which old daemons need not understand.
//!
//! Each version rides once as soon as it can, and again after the link was down; beside that one of all rides on each
//! packet, so that whoever missed it hears of it. Newcomers are told all in the answer (`answer`).
//! Not here: what others wrote, which they tell themselves; whoever holds it answers newcomers.

use std::collections::HashMap;

use lobby_core::{external::is_by, record::Stamp};

use super::*;

/// What of ours has ridden since the link came up.
#[derive(Debug, Default)]
pub(super) struct Riders {
    sent: HashMap<NodeId, Stamp>,
    /// The last one that rode again.
    last: Option<NodeId>,
}

impl Riders {
    /// Who rides on the next packet: what is new first, then the next of the others.
    fn choose(&self, announced: &Announcement, own: NodeId) -> Vec<Arc<Record>> {
        let ours = || announced.externals.iter().filter(|(_, record)| is_by(record, own));
        let mut chosen: Vec<_> = ours().filter(|(id, record)| self.is_new(id, record)).take(packet::EXTERNALS).collect();
        if chosen.len() < packet::EXTERNALS {
            let others = || ours().filter(|(id, record)| !self.is_new(id, record));
            let next = others().find(|(id, _)| self.last.is_none_or(|last| **id > last));
            chosen.extend(next.or_else(|| others().next()));
        }
        chosen.into_iter().map(|(_, record)| record.clone()).collect()
    }

    fn is_new(&self, id: &NodeId, record: &Record) -> bool {
        self.sent.get(id) != Some(&record.stamp)
    }

    /// These have ridden.
    pub(super) fn sent(&mut self, riders: Vec<Arc<Record>>) {
        for record in riders {
            let Some(id) = record.origin.node_id() else { continue };
            if self.sent.insert(id, record.stamp) == Some(record.stamp) {
                self.last = Some(id);
            }
        }
    }

    /// Whether some are new that have not ridden yet.
    pub(super) fn are_left(&mut self, announced: &Announcement, own: NodeId) -> bool {
        self.sent.retain(|id, _| announced.externals.contains_key(id));
        announced.externals.iter().any(|(id, record)| is_by(record, own) && self.is_new(id, record))
    }
}

impl Broker {
    /// Our packet with as many riders as there is room for, and who they are.
    pub(super) fn hi_with_riders(&self, record: &Record, now: Now) -> (Vec<u8>, Vec<Arc<Record>>) {
        let mut riders = self.riders.choose(&self.announced, self.own);
        for is_short in [false, true] {
            loop {
                let carried = riders.iter().map(|rider| &**rider);
                let bytes = packet::encode_carrying(record, carried, is_short, &self.setup.cluster, now.wall);
                if bytes.len() <= self.max_bytes || (is_short && riders.is_empty()) {
                    return (bytes, riders);
                }
                if riders.is_empty() {
                    break;
                }
                riders.truncate(riders.len() / 2);
            }
        }
        unreachable!("without riders the short form is returned whatever its length")
    }
}
