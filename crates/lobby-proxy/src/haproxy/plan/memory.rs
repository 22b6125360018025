//! What one process was told before, as far as its answers do not show it. Decides what is forgotten when; a process that is
//! replaced (another process id) is a new one about which nothing is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::haproxy::{Backend, Server};

/// Backend and server.
pub type Key = (String, String);

/// What is remembered of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    pid: u32,
    /// Lines that it has for sure.
    applied: BTreeMap<Key, Server>,
    /// Since when servers finish their work.
    leaving: BTreeMap<Key, Instant>,
    /// Since when deletes are tried.
    deleting: BTreeMap<Key, Instant>,
    /// Those that it refuses to delete at all.
    undeletable: BTreeSet<Key>,
    /// Names of machines that have no address: how often they were looked up in vain, and when they are again.
    unresolved: BTreeMap<String, (u32, Instant)>,
}

/// The first pause before a name is looked up again; it doubles.
const NAME_PAUSE: Duration = Duration::from_secs(2);

/// So often.
const NAME_DOUBLES: u32 = 5;

impl Memory {
    /// Of a process that was started with these lines.
    pub fn started_with(pid: u32, backends: &[Backend]) -> Self {
        let lines = backends.iter().flat_map(|backend| {
            backend.servers.iter().map(|server| ((backend.name.clone(), server.name.clone()), server.clone()))
        });
        Self { pid, applied: lines.collect(), ..Self::default() }
    }

    /// Whether it is about this process.
    pub(crate) fn is_of(&self, pid: u32) -> bool {
        self.pid == pid
    }

    /// Forgets everything about another process.
    pub(crate) fn see(&mut self, pid: u32) {
        if self.pid != pid {
            *self = Self { pid, ..Self::default() };
        }
    }

    pub(crate) fn applied(&self, key: &Key) -> Option<&Server> {
        self.applied.get(key)
    }

    pub(crate) fn leaving_since(&self, key: &Key) -> Option<Instant> {
        self.leaving.get(key).copied()
    }

    pub(crate) fn deleting_since(&self, key: &Key) -> Option<Instant> {
        self.deleting.get(key).copied()
    }

    pub(crate) fn is_undeletable(&self, key: &Key) -> bool {
        self.undeletable.contains(key)
    }

    /// The names that it is time to look up, those first that were tried least.
    pub(crate) fn to_look_up(&self, hosts: &BTreeSet<&str>, now: Instant) -> Vec<String> {
        let of = |host: &&str| self.unresolved.get(*host).copied().unwrap_or((0, now));
        let mut due: Vec<_> = hosts.iter().filter(|host| of(host).1 <= now).collect();
        due.sort_by_key(|host| of(host).0);
        due.into_iter().map(|host| (*host).to_owned()).collect()
    }

    /// Remembers which have no address, and nothing of names that nobody asks for. True: this is new.
    pub(crate) fn looked_up(&mut self, hosts: &BTreeSet<&str>, in_vain: &BTreeMap<String, bool>, now: Instant) -> bool {
        let was_empty = self.unresolved.is_empty();
        let due: Vec<_> = self.to_look_up(hosts, now);
        self.unresolved.retain(|host, _| hosts.contains(host.as_str()));
        for host in due {
            let Some(is_tried) = in_vain.get(&host) else {
                self.unresolved.remove(&host);
                continue;
            };
            let n = self.unresolved.get(&host).map_or(0, |(n, _)| *n).saturating_add(u32::from(*is_tried));
            self.unresolved.insert(host, (n, now + NAME_PAUSE * 2_u32.pow(n.min(NAME_DOUBLES))));
        }
        was_empty && !self.unresolved.is_empty()
    }

    /// It has this line now.
    pub(crate) fn added(&mut self, key: Key, server: Server) {
        self.forget(&key);
        self.applied.insert(key, server);
    }

    /// It was told to drain.
    pub(crate) fn drains(&mut self, key: Key, now: Instant) {
        self.leaving.entry(key).or_insert(now);
    }

    /// It takes requests again.
    pub(crate) fn stays(&mut self, key: &Key) {
        self.leaving.remove(key);
        self.deleting.remove(key);
    }

    /// A delete was tried in vain: it is busy.
    pub(crate) fn is_busy(&mut self, key: Key, now: Instant) {
        self.deleting.entry(key).or_insert(now);
    }

    /// It cannot be deleted: it stays in MAINT.
    pub(crate) fn keep(&mut self, key: Key) {
        self.undeletable.insert(key);
    }

    /// It is no more.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.applied.remove(key);
        self.stays(key);
        self.undeletable.remove(key);
    }
}
