//! Keys changed at run time: a change is a query among agents that everybody answers.
//!
//! ```text
//! install ─► all open with it too ─► (all report it) use ─► all seal with it ─► (nobody seals with the old) remove
//! ```
//! Each step is safe at any speed: whoever seals with a key seals with one that all have. Each node's record lists its keys
//! ([`crate::KEYS_META`]), so anybody can tell whether the next step may be taken.
//! Not here: what happens to members that missed a change (`engine/rekey`), files (the shell).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use lobby_core::{
    catalog::AGENT_GRACE,
    id::NodeId,
    port::gossip::{Filter, GossipError, KeyChange, KeyOutcome, Keys, NewEvent},
    time::Moment,
    wire::binary::Reader,
};

use super::{Engine, Output, rekey::Memory, seal::Behind, user::Count};
use crate::{
    item::KeyOp,
    keyring::{KEYS_META, Key, KeyName, Keyring, KeyringError, MAX_KEYS},
    post::{Reply, Terms},
};

/// How long a change waits for answers: several times what a query takes, with lost datagrams sent again.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Longest reason of a refusal that is shown.
const REASON_BYTES: usize = 200;

/// States of members that are not up and may be back.
const AWAY: [&str; 3] = ["failed", "restarting", "unattended"];

/// What helps when such a member stands in the way.
const NEVER_BACK: &str = "; `lobbyctl force-leave NODE --prune` is the way past a machine that never comes back";

const INSTALL: &str = "_lobby:key-install";
const USE: &str = "_lobby:key-use";
const REMOVE: &str = "_lobby:key-remove";

/// The first byte of an answer: it is done. Otherwise the rest says why not.
const DONE: u8 = 0;
const REFUSED: u8 = 1;

/// What is going on with keys.
#[derive(Debug, Default)]
pub(super) struct KeyChanges {
    change: Option<(u64, KeyOutcome)>,
    n_changes: u64,
    pub(super) memory: Memory,
    pub(super) behind: Behind,
    /// Who was told of what in this period (items as they travel).
    pub(super) told: Vec<(NodeId, Bytes)>,
}

impl KeyChanges {
    pub(super) fn forget(&mut self, now: Moment) {
        self.memory.forget(now);
    }
}

impl KeyOp {
    pub(super) fn name(&self) -> KeyName {
        match self {
            Self::Install(key) => key.name(),
            Self::Use(name) | Self::Remove(name) => *name,
        }
    }

    fn query_name(&self) -> &'static str {
        match self {
            Self::Install(_) => INSTALL,
            Self::Use(_) => USE,
            Self::Remove(_) => REMOVE,
        }
    }
}

impl Engine {
    /// The keys of everybody.
    pub fn keys(&self) -> Keys {
        let own: Vec<_> = self.keyring.names().map(|name| name.to_string()).collect();
        let texts = |id| self.reported(id).iter().map(KeyName::to_string).collect();
        let mut nodes: Vec<_> = self.roster.live().map(|identity| (identity.id, texts(identity.id))).collect();
        nodes.push((self.own, own.clone()));
        nodes.sort();
        Keys { nodes, own }
    }

    /// Begins a change of keys everywhere; [`Output::KeysChanged`] with the returned number ends it.
    ///
    /// # Errors
    /// When the key is none, or the cluster is in no state for it.
    pub fn change_keys(&mut self, change: KeyChange, now: Moment) -> Result<u64, GossipError> {
        self.user.now = now;
        if self.leaving {
            return Err(GossipError::Stopping);
        }
        if self.user.keys.change.is_some() {
            return Err(GossipError::Busy("key changes"));
        }
        let op = self.plan(change, now)?;
        let mut payload = Vec::new();
        op.encode(&mut payload);
        let event = NewEvent { name: op.query_name().to_owned(), payload: payload.into(), filter: Filter::default() };
        let number = self.user.keys.n_changes + 1;
        let terms = Terms { ack: false, relays: 0, left: TIMEOUT };
        let (query, ltime) = self.start_query(event, terms, Some(number), now)?;
        self.user.keys.n_changes = number;
        self.user.keys.change = Some((number, KeyOutcome::default()));
        let payload = answer_of(self.carry_out(&op, ltime, now));
        self.take_answer(Reply { query, node: self.own, payload });
        Ok(number)
    }

    /// What is to be done, if the cluster is ready for it.
    fn plan(&self, change: KeyChange, now: Moment) -> Result<KeyOp, GossipError> {
        let refused = |why: String| Err(GossipError::Keys(why));
        if self.keyring.names().len() == 0 {
            return refused("this cluster has no keys: start its agents with GOSSIP_KEY".to_owned());
        }
        match change {
            KeyChange::Install(text) => {
                let why = "not a key: the base64 of 32 bytes is accepted, as lobbyctl keygen prints it".to_owned();
                let key = text.parse::<Key>().map_err(|_| GossipError::Invalid { field: "key", why })?;
                if !self.keyring.has(key.name()) && self.keyring.names().len() >= MAX_KEYS {
                    return refused(format!("there are {MAX_KEYS} keys already: remove one first"));
                }
                Ok(KeyOp::Install(key))
            }
            KeyChange::Use(text) => {
                let name = named(&text)?;
                let lacking = self.names_of(now, |names| !names.contains(&name));
                match lacking {
                    _ if !self.keyring.has(name) => refused(format!("this node does not have key {name}: install it first")),
                    None => Ok(KeyOp::Use(name)),
                    Some((lacking, hint)) => {
                        refused(format!("key {name} is not reported by {lacking}: everybody must have it first{hint}"))
                    }
                }
            }
            KeyChange::Remove(text) => {
                let name = named(&text)?;
                if self.keyring.names().next() == Some(name) {
                    return refused(format!("this node seals with key {name}: take another one into use first"));
                }
                if let Some((users, hint)) = self.names_of(now, |names| names.first().is_none_or(|first| *first == name)) {
                    return refused(format!(
                        "{users} may still seal with key {name}: take another one into use everywhere first{hint}"
                    ));
                }
                if !self.keyring.has(name) && !self.roster.live().any(|node| self.reported(node.id).contains(&name)) {
                    return refused(format!("nobody has key {name}"));
                }
                Ok(KeyOp::Remove(name))
            }
        }
    }

    /// The names of the members whose keys are such, the first three of them, and what helps against those that are not
    /// up. These count too: they will be back, with the keys that they had.
    fn names_of(&self, now: Moment, wanted: impl Fn(&[KeyName]) -> bool) -> Option<(String, &'static str)> {
        let members = self.roster.standings(|_| true).filter(|(node, state)| *state != "left" && wanted(&self.reported(node.id)));
        let name = |id: NodeId| self.roster.record(id).map_or_else(|| id.to_string(), |record| record.name.to_string());
        let names = members.map(|(node, state)| (name(node.id), self.word(node.id, state, now)));
        let mut names: Vec<_> = names.map(|(name, state)| (AWAY.contains(&state), name, state)).collect();
        names.sort();
        let hint = if names.last()?.0 { NEVER_BACK } else { "" };
        let n_more = names.len().saturating_sub(3);
        let shown = names.iter().take(3);
        let shown = shown.map(|(is_away, name, state)| if *is_away { format!("{name} ({state})") } else { name.clone() });
        let shown = shown.collect::<Vec<_>>().join(", ");
        Some((if n_more > 0 { format!("{shown} and {n_more} more") } else { shown }, hint))
    }

    /// What the catalog calls this state, as far as can be told here: for a while after its end, a member counts as
    /// unattended or restarting, later as failed.
    fn word(&self, id: NodeId, state: &'static str, now: Moment) -> &'static str {
        let is_recent = self.roster.down_since(id).is_none_or(|since| now.since(since) < AGENT_GRACE);
        match state {
            "failed" if is_recent && self.roster.is_unattended(id) => "unattended",
            "restarting" if !is_recent => "failed",
            _ => state,
        }
    }

    /// The keys that a node's record lists; none when it lists none.
    pub(super) fn reported(&self, id: NodeId) -> Vec<KeyName> {
        let list = self.roster.record(id).and_then(|record| record.meta(KEYS_META)).unwrap_or_default();
        list.split(',').filter_map(|name| name.parse().ok()).take(MAX_KEYS).collect()
    }

    /// A query among agents.
    pub(super) fn answer_agent(&mut self, id: lobby_core::port::gossip::EventId, ltime: u64, event: &NewEvent, now: Moment) {
        let mut reader = Reader::new(&event.payload);
        let op = KeyOp::decode(&mut reader).ok().filter(|op| reader.remaining() == 0 && op.query_name() == event.name);
        // From a later version.
        let Some(op) = op else { return self.pass(id, now) };
        let payload = answer_of(self.carry_out(&op, ltime, now));
        // Just taken in, and small: it is open.
        let _ = self.answer(id, payload, now);
    }

    /// Changes our own keyring; otherwise says why not.
    pub(super) fn carry_out(&mut self, op: &KeyOp, ltime: u64, now: Moment) -> Result<(), String> {
        let next = self.next_keyring(op, ltime);
        self.user.count(if next.is_ok() { Count::KeysChanged } else { Count::KeysRefused });
        let next = next?;
        let mark = self.keyring.keys().find(|key| key.name() == op.name()).map_or(0, Key::mark);
        self.user.keys.memory.note(op, mark, ltime, now);
        if let Some(next) = next {
            self.keyring = Arc::new(next);
            self.note_all_keys();
            self.outputs.push_back(Output::Keyring(self.keyring.clone()));
        }
        Ok(())
    }

    /// The keyring after a change; `None` when it is so already.
    fn next_keyring(&self, op: &KeyOp, ltime: u64) -> Result<Option<Keyring>, String> {
        let (ring, memory) = (&self.keyring, &self.user.keys.memory);
        let primary = ring.names().next();
        match op {
            _ if primary.is_none() => Err("runs without keys".to_owned()),
            KeyOp::Install(key) if memory.removed_since(key.name(), ltime) => Err("the key was removed since".to_owned()),
            KeyOp::Install(key) if ring.has(key.name()) => Ok(None),
            KeyOp::Install(key) => ring.with(key).map(Some).map_err(|err: KeyringError| err.to_string()),
            KeyOp::Use(_) if memory.used_since(ltime) => Err("another key was taken into use since".to_owned()),
            KeyOp::Use(name) if primary == Some(*name) => Ok(None),
            KeyOp::Use(name) => ring.sealing_with(*name).map(Some).ok_or_else(|| "does not have the key".to_owned()),
            KeyOp::Remove(name) if memory.installed_since(*name, ltime) => Err("the key was installed again since".to_owned()),
            KeyOp::Remove(name) if primary == Some(*name) => Err("seals with the key".to_owned()),
            KeyOp::Remove(name) if !ring.has(*name) => Ok(None),
            KeyOp::Remove(name) => Ok(ring.without(*name)),
        }
    }

    /// What a node says about the change under way.
    pub(super) fn take_key_answer(&mut self, node: NodeId, payload: &[u8]) {
        let Some((_, outcome)) = &mut self.user.keys.change else { return };
        match payload.split_first() {
            Some((&DONE, _)) => outcome.done.push(node),
            other => {
                let why = other.map_or(&[][..], |(_, why)| why);
                let why = String::from_utf8_lossy(&why[..why.len().min(REASON_BYTES)]);
                let why = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                outcome.refused.push((node, why));
            }
        }
    }

    /// All have answered, or the time is over.
    pub(super) fn end_change(&mut self, number: u64, mut silent: Vec<NodeId>) {
        let Some((_, mut outcome)) = self.user.keys.change.take() else { return };
        silent.sort();
        outcome.silent = silent;
        outcome.done.sort();
        outcome.refused.sort();
        self.outputs.push_back(Output::KeysChanged(number, outcome));
    }
}

fn answer_of(result: Result<(), String>) -> Bytes {
    match result {
        Ok(()) => Bytes::from_static(&[DONE]),
        Err(why) => [&[REFUSED], why.as_bytes()].concat().into(),
    }
}

/// A key, or the name of one. The text is not repeated in the error: it may be a secret.
fn named(text: &str) -> Result<KeyName, GossipError> {
    let text = text.trim();
    let name = text.parse().or_else(|_| text.parse::<Key>().map(|key| key.name()));
    name.map_err(|_| {
        let why = "neither a key (base64 of 32 bytes) nor the fingerprint of one (16 hexadecimal digits)".to_owned();
        GossipError::Invalid { field: "key", why }
    })
}
