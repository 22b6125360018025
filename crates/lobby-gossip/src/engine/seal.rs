//! With which key we speak to a node: with the one that seals, unless the node's record says that it has not got that one.
//!
//! Who was away while a key was installed and taken into use opens only what is sealed with a key from before. As long as
//! we have one of those ourselves it hears us, is a member like any other, and can be told what it missed
//! (`engine/rekey`). Once the old key is removed here nothing helps but an operator.
//! A node whose record is unknown, or lists no keys, is spoken to with the key that seals.
//! Not here: what we open (any key of ours).

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use lobby_core::id::NodeId;

use super::Engine;
use crate::keyring::{KeyName, Keyring};

/// Nodes that have not got the key that seals, and the first of their keys that is ours too.
pub(super) type Behind = BTreeMap<NodeId, KeyName>;

impl Engine {
    /// The keyring for a stream to this address: ours, but a node that lacks our first key is spoken to with one it has.
    pub fn keyring_for(&self, to: SocketAddr) -> Arc<Keyring> {
        let other = self.key_for(to).and_then(|name| self.keyring.sealing_with(name));
        other.map_or_else(|| self.keyring.clone(), Arc::new)
    }

    /// The key for what goes to this address, if it is another than the one that seals.
    pub(super) fn key_for(&self, to: SocketAddr) -> Option<KeyName> {
        let behind = &self.user.keys.behind;
        if behind.is_empty() {
            return None;
        }
        let mut there = behind.iter().filter(|(id, _)| self.roster.member(**id).is_some_and(|member| member.id().addr == to));
        let (id, name) = there.clone().find(|(id, _)| self.roster.live_member(**id).is_some()).or_else(|| there.next())?;
        // One that is gone must not decide for another one at its address.
        (self.roster.live_member(*id).is_some() || !self.roster.has_live_at(to)).then_some(*name)
    }

    /// The record of a node changed.
    pub(super) fn note_keys_of(&mut self, id: NodeId) {
        let mut names = self.keyring.names();
        let (Some(first), Some(_)) = (names.next(), names.next()) else { return };
        let reported = self.reported(id);
        let other = reported.iter().find(|name| self.keyring.has(**name)).copied().filter(|_| !reported.contains(&first));
        match other {
            Some(other) => self.user.keys.behind.insert(id, other),
            None => self.user.keys.behind.remove(&id),
        };
    }

    /// Our own keys changed, or it is time to look at everybody again.
    pub(super) fn note_all_keys(&mut self) {
        self.user.keys.behind.clear();
        if self.keyring.names().len() > 1 {
            let ids: Vec<_> = self.roster.standings(|_| true).map(|(identity, _)| identity.id).collect();
            ids.into_iter().for_each(|id| self.note_keys_of(id));
        }
    }
}
