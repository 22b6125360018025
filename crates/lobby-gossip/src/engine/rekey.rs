//! Members that missed a change of keys are told of it until their record shows it.
//!
//! At each root period everybody compares the keys that live members' records list with its own and with what it remembers
//! of changes. The installer need not live any more: any member that holds the key passes it on.
//!
//! | missed | told by | unless |
//! |---|---|---|
//! | install | who took part in it, or has the key as most members do | it was removed since |
//! | use | who took part in it, while most members seal with it | another key was taken into use since |
//! | remove | who took part in it, while at most half hold the key | it was installed again since |
//!
//! "Since" is by the Lamport time of the queries. It is remembered for 24 h: so long no old holder brings a key back. A
//! member that is told wrongly cannot lose anything: nobody forgets the key it seals with.
//! A member that has not got the key that seals is spoken to with one that it has (`engine/seal`).
//! About four members speak to each that lacks something, and each speaks to four at most: no storm in a large cluster.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use lobby_core::{id::NodeId, time::Moment};
use rand::RngExt;

use super::{
    Engine,
    user::{Count, UserTimer},
};
use crate::{
    item::{KeyOp, UserItem},
    keyring::KeyName,
};

/// How long changes are remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Changes that are remembered, the newest: far more than anybody makes in a day.
const MOST_REMEMBERED: usize = 64;

/// How many members speak to one that missed something, and to how many of those each speaks, in one period.
const HELPERS: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Past {
    is_removed: bool,
    mark: u8,
    ltime: u64,
    at: Moment,
}

/// Changes of keys in the last 24 h.
#[derive(Debug, Default)]
pub(super) struct Memory {
    keys: HashMap<KeyName, Past>,
    /// The last change of the key that seals.
    used: Option<(KeyName, u64, Moment)>,
}

impl Memory {
    pub(super) fn note(&mut self, op: &KeyOp, mark: u8, ltime: u64, now: Moment) {
        let is_removed = match op {
            KeyOp::Use(name) => return self.used = Some((*name, ltime, now)),
            KeyOp::Install(_) => false,
            KeyOp::Remove(_) => true,
        };
        if self.keys.len() >= MOST_REMEMBERED
            && !self.keys.contains_key(&op.name())
            && let Some(oldest) = self.keys.iter().min_by_key(|(_, past)| past.at).map(|(name, _)| *name)
        {
            self.keys.remove(&oldest);
        }
        let before = self.keys.get(&op.name()).map_or((0, 0), |past| (past.ltime, past.mark));
        let mark = if mark == 0 { before.1 } else { mark };
        self.keys.insert(op.name(), Past { is_removed, mark, ltime: ltime.max(before.0), at: now });
    }

    /// Whether the key was removed at or after this time: removal wins.
    pub(super) fn removed_since(&self, name: KeyName, ltime: u64) -> bool {
        self.keys.get(&name).is_some_and(|past| past.is_removed && past.ltime >= ltime)
    }

    pub(super) fn installed_since(&self, name: KeyName, ltime: u64) -> bool {
        self.keys.get(&name).is_some_and(|past| !past.is_removed && past.ltime > ltime)
    }

    pub(super) fn used_since(&self, ltime: u64) -> bool {
        self.used.is_some_and(|(_, used, _)| used > ltime)
    }

    /// Whether a removed key has this byte on the wire.
    pub(super) fn has_removed_mark(&self, mark: u8) -> bool {
        self.keys.values().any(|past| past.is_removed && past.mark == mark)
    }

    pub(super) fn forget(&mut self, now: Moment) {
        self.keys.retain(|_, past| now.since(past.at) < REMEMBERED);
        self.used = self.used.filter(|(_, _, at)| now.since(*at) < REMEMBERED);
    }
}

impl Engine {
    /// Begins to look for members that missed a change; without keys there is none.
    pub(super) fn start_keys(&mut self, now: Moment) {
        if self.keyring.names().len() > 0 {
            let wait = self.about(self.config.root_period);
            self.arm_user(now, wait, UserTimer::Keys);
        }
    }

    /// Looks who missed a change, and tells some of them.
    pub(super) fn resend_keys(&mut self, now: Moment) {
        self.start_keys(now);
        self.note_all_keys();
        let n_live = self.roster.n_live();
        if self.leaving || n_live == 0 {
            return;
        }
        let reports: Vec<_> = self.roster.live().map(|node| (node.id, self.reported(node.id))).collect();
        let reports: Vec<_> = reports.into_iter().filter(|(_, names)| !names.is_empty()).collect();
        let mut missed = self.missed_installs(&reports);
        missed.extend(self.missed_uses(&reports));
        missed.extend(self.missed_removes(&reports));
        self.user.keys.told.clear();
        for (id, op, ltime) in missed {
            if self.user.keys.told.len() >= HELPERS {
                break;
            }
            if self.rng.random_range(0..n_live) < HELPERS
                && let Some(identity) = self.roster.live_member(id)
            {
                self.user.count(Count::KeysResent);
                let item = UserItem::Key(op, ltime).encode();
                self.send_alone(identity.addr, &item);
                self.user.keys.told.push((id, item));
            }
        }
    }

    /// What a member was told lately: it asks whether that was really us, and just now.
    pub(super) fn told_keys(&self, id: NodeId) -> Vec<Bytes> {
        self.user.keys.told.iter().filter(|(told, _)| *told == id).map(|(_, item)| item.clone()).collect()
    }

    fn missed_installs(&self, reports: &[(NodeId, Vec<KeyName>)]) -> Vec<(NodeId, KeyOp, u64)> {
        let memory = &self.user.keys.memory;
        let mut missed = Vec::new();
        for key in self.keyring.keys() {
            let name = key.name();
            let (holding, lacking): (Vec<_>, Vec<_>) = reports.iter().partition(|(_, names)| names.contains(&name));
            let past = memory.keys.get(&name).filter(|past| !past.is_removed);
            let have_most = (holding.len() + 1) * 2 > reports.len() + 1;
            if past.is_some() || have_most {
                let ltime = past.map_or(0, |past| past.ltime);
                missed.extend(lacking.iter().map(|(id, _)| (*id, KeyOp::Install(key.clone()), ltime)));
            }
        }
        missed
    }

    fn missed_uses(&self, reports: &[(NodeId, Vec<KeyName>)]) -> Vec<(NodeId, KeyOp, u64)> {
        let Some((name, ltime, _)) = self.user.keys.memory.used else { return Vec::new() };
        let (using, others): (Vec<_>, Vec<_>) = reports.iter().partition(|(_, names)| names.first() == Some(&name));
        if self.keyring.names().next() != Some(name) || (using.len() + 1) * 2 < reports.len() + 1 {
            return Vec::new();
        }
        let others = others.iter().filter(|(_, names)| names.contains(&name));
        others.map(|(id, _)| (*id, KeyOp::Use(name), ltime)).collect()
    }

    fn missed_removes(&self, reports: &[(NodeId, Vec<KeyName>)]) -> Vec<(NodeId, KeyOp, u64)> {
        let mut missed = Vec::new();
        for (name, past) in self.user.keys.memory.keys.iter().filter(|(_, past)| past.is_removed) {
            let holding: Vec<_> = reports.iter().filter(|(_, names)| names.contains(name)).collect();
            if holding.len() * 2 <= reports.len() + 1 {
                // Who seals with it would refuse.
                let holding = holding.iter().filter(|(_, names)| names.first() != Some(name));
                missed.extend(holding.map(|(id, _)| (*id, KeyOp::Remove(*name), past.ltime)));
            }
        }
        // A map has no order of its own; the same seed of randomness must give the same run.
        missed.sort_by_key(|(id, op, _)| (*id, op.name()));
        missed
    }

    /// Somebody says that we missed this.
    pub(super) fn take_missed_key(&mut self, op: &KeyOp, ltime: u64, now: Moment) {
        let is_old = match op {
            KeyOp::Install(key) => self.keyring.has(key.name()),
            KeyOp::Use(name) => self.keyring.names().next() == Some(*name),
            KeyOp::Remove(name) => !self.keyring.has(*name),
        };
        if !is_old {
            // A refusal is counted; whoever spoke sees it in our record.
            let _ = self.carry_out(op, ltime, now);
        }
    }
}
