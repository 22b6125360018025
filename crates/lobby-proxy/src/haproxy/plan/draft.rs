//! The plan of one backend. Decides what becomes of each server that is wanted, each that is there, and each that stands by.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Action, DELETE_WITHIN, Key, Memory, Reload, Waiting, Why, Words, is_slot, words};
use crate::haproxy::{
    Backend, Server,
    state::{Admin, RunningServer},
    version::Version,
};

/// Most servers of one backend that become backups or primaries without a reload: two machines with a pair each. They go one
/// after the other, each when it has finished what it has; with more of them, half of the requests would go to the old ones
/// for longer than anybody who swaps them waits, and a reload swaps all at once.
const SWAPS: usize = 4;

/// One backend, wanted and running.
pub(super) struct Draft<'a> {
    pub(super) backend: &'a Backend,
    pub(super) servers: &'a BTreeMap<String, RunningServer>,
    pub(super) version: Version,
    pub(super) memory: &'a Memory,
    pub(super) now: Instant,
    pub(super) drain: Duration,
    /// What brings servers.
    pub(super) early: Vec<Action>,
    /// What takes them.
    pub(super) late: Vec<Action>,
    pub(super) reload: Vec<Reload>,
    pub(super) waiting: Vec<Waiting>,
}

impl<'a> Draft<'a> {
    pub(super) fn fill(&mut self) {
        let (backend, servers) = (self.backend, self.servers);
        let replaced = self.replaced();
        let mut used: BTreeSet<&str> = BTreeSet::new();
        let mut absent = Vec::new();
        let mut kept = Vec::new();
        for server in &backend.servers {
            match servers.get_key_value(&server.name) {
                Some((name, _)) if replaced == Some(name.as_str()) => {}
                Some((name, running)) => kept.push((name, server, running)),
                None if !server.is_disabled => absent.push(server),
                // Its line is in the file; nothing is missing while it is away.
                None => {}
            }
            used.insert(&server.name);
        }
        // Those that stand by first stay what they are, then become others.
        absent.retain(|server| match self.slot(&used, |name, slot| self.is_at(server, name, slot) && self.fits(server, slot)) {
            Some((name, running)) => {
                used.insert(name);
                kept.push((name, server, running));
                false
            }
            None => true,
        });
        let is_served = kept.iter().any(|(_, server, running)| takes(server) && running.admin == Admin::Ready);
        let holds = !is_served && backend.servers.iter().any(takes);
        for (name, server, running) in kept {
            self.keep(name, server, running, holds);
        }
        for server in absent {
            if let Some(slot) = self.bring(server, &used, holds) {
                used.insert(slot);
            }
        }
        let is_foreign = |name: &String| !is_slot(name) && backend.foreign.contains(name);
        for (name, running) in servers.iter().filter(|(name, _)| !is_foreign(name)) {
            let is_replaced = replaced == Some(name.as_str());
            if is_replaced || !used.contains(name.as_str()) {
                self.leave(name, running, !is_slot(name), holds && !is_replaced);
            }
        }
    }

    /// The one server that goes in order to come back with other words. One at a time, and only while another serves. Of a
    /// pair that swaps, the standby comes first: for a moment both are primaries, and never both backups.
    fn replaced(&mut self) -> Option<&'a str> {
        let mut found: Option<(&'a str, (bool, bool))> = None;
        let n_swaps = self.servers.iter().filter(|(name, running)| self.is_swapped(name, running)).count();
        let mut alone = Vec::new();
        for server in self.backend.servers.iter().filter(|server| !server.is_disabled) {
            let Some((name, running)) = self.servers.get_key_value(&server.name) else { continue };
            let Some(why) = self.differs(server, running) else { continue };
            let others = self.backend.servers.iter().filter(|other| other.name != server.name && takes(other));
            let is_served = others.filter_map(|other| self.servers.get(&other.name)).any(RunningServer::is_usable);
            let is_possible = (why != Why::Backup || n_swaps <= SWAPS)
                && self.backend.is_dynamic
                && self.version.has_dynamic_servers()
                && Words::new(self.backend, server, self.version).is_ok()
                && !self.memory.is_undeletable(&self.key(name));
            if !is_possible {
                self.reload(name, why);
            } else if running.admin == Admin::Ready && !is_served {
                alone.push((name, why));
            } else {
                let order = (running.admin == Admin::Ready, !running.is_backup);
                if found.is_none_or(|(_, found)| order < found) {
                    found = Some((name, order));
                }
            }
        }
        // While one is away, the other waits for it.
        let mut away = self.backend.servers.iter().filter(|server| takes(server) && !self.servers.contains_key(&server.name));
        let is_away = away.any(|server| Words::new(self.backend, server, self.version).is_ok());
        for (name, why) in alone.into_iter().filter(|_| found.is_none() && !is_away) {
            self.reload(name, why);
        }
        found.map(|(name, _)| name)
    }

    /// It is wanted as a backup and is none, or the other way round.
    fn is_swapped(&self, name: &str, running: &RunningServer) -> bool {
        let mut wanted = self.backend.servers.iter().filter(|server| server.name == name && !server.is_disabled);
        wanted.next().is_some_and(|server| running.is_backup != words::is_backup(self.backend, server))
    }

    /// What of its line differs that cannot be set.
    fn differs(&self, server: &Server, running: &RunningServer) -> Option<Why> {
        // Older releases do not show cookies.
        let shows_cookies = self.version >= Version::new(1, 7);
        if self.backend.has_cookies && shows_cookies && server.cookie.is_some() && server.cookie != running.cookie {
            return Some(if self.version.has_dynamic_cookie() { Why::Options } else { Why::Cookie });
        }
        if running.is_backup != words::is_backup(self.backend, server) {
            return Some(Why::Backup);
        }
        let applied = self.memory.applied(&self.key(&server.name))?;
        (!applied.options.split_whitespace().eq(server.options.split_whitespace())).then_some(Why::Options)
    }

    /// A server that is there becomes as wanted.
    fn keep(&mut self, name: &str, server: &Server, running: &RunningServer, holds: bool) {
        let key = self.key(name);
        let want = if server.is_disabled {
            Admin::Maint
        } else if server.is_draining {
            Admin::Drain
        } else {
            Admin::Ready
        };
        if want == Admin::Maint {
            // With other words than its own it could not come back at once: it comes as a new one.
            let is_stale = !is_slot(name) && self.backend.is_dynamic && self.differs(server, running).is_some();
            return self.leave(name, running, is_stale, holds);
        }
        if self.is_elsewhere(&key, server, running) {
            self.early.push(Action::Address { key: key.clone(), host: server.host.clone(), port: server.port });
        }
        match words::weight(self.backend, server) {
            Some(weight) if weight == running.weight => {}
            Some(weight) if self.backend.is_dynamic => {
                self.early.push(Action::Weight { key: key.clone(), weight: Some(weight) });
            }
            Some(weight) if weight == running.initial_weight => {
                self.early.push(Action::Weight { key: key.clone(), weight: None });
            }
            Some(_) => self.reload(name, Why::Weight),
            None => {}
        }
        if running.lacks_check && words::has_check(self.backend, server) {
            self.early.push(Action::Health { key: key.clone() });
        }
        // Nor does one drain before another takes its requests.
        if running.admin != want && !(want == Admin::Drain && running.admin == Admin::Ready && holds) {
            let list = if want == Admin::Ready { &mut self.early } else { &mut self.late };
            list.push(Action::State { key, to: want });
        }
    }

    /// Whether it must get another address. A name is only compared with names: which of its addresses HAProxy took is its affair.
    fn is_elsewhere(&self, key: &Key, server: &Server, running: &RunningServer) -> bool {
        if running.port != 0 && running.port != server.port {
            return true;
        }
        match (server.host.parse::<IpAddr>(), &running.fqdn, self.memory.applied(key)) {
            (Ok(address), _, _) => running.address != Some(address),
            (Err(_), Some(fqdn), _) => *fqdn != server.host,
            (Err(_), None, Some(applied)) => applied.host != server.host,
            (Err(_), None, None) => false,
        }
    }

    /// A server that is not there comes, as a new one or in the place of one that stands by, whose name is told.
    fn bring(&mut self, server: &Server, used: &BTreeSet<&str>, holds: bool) -> Option<&'a str> {
        let mut added = server.clone();
        // Another still has its number: it comes without one now, and gets it with the next reload.
        let is_coming =
            |id| self.early.iter().any(|action| matches!(action, Action::Add { server, .. } if server.id == Some(id)));
        added.id = server.id.filter(|id| self.servers.values().all(|other| other.id != Some(*id)) && !is_coming(*id));
        let words = Words::new(self.backend, &added, self.version);
        let can_add = self.backend.is_dynamic && self.version.can_add(words.as_ref().is_ok_and(|words| words.has_check));
        let why = match words {
            Ok(Words { text, has_check, has_agent }) if can_add => {
                let key = self.key(&server.name);
                self.early.push(Action::Add { key, server: added, words: text, has_check, has_agent });
                return None;
            }
            Ok(_) => Why::NoPlace,
            Err(why) => why,
        };
        // Those that rest, then those that finish, then those that still serve somebody who is gone: but never the last of
        // these for one that takes nothing itself.
        let serving = (takes(server) || !holds).then_some(Admin::Ready);
        for admin in [Admin::Maint, Admin::Drain].into_iter().chain(serving) {
            if let Some((name, slot)) = self.slot(used, |_, slot| slot.admin == admin && self.fits(server, slot)) {
                let rests_first = admin == Admin::Ready && !slot.is_up;
                let weight = words::weight(self.backend, server).filter(|weight| *weight != slot.weight);
                if weight.is_some() && !self.backend.is_dynamic {
                    continue;
                }
                let weight = weight.unwrap_or(slot.weight);
                self.early.push(Action::Slot { key: self.key(name), server: server.clone(), weight, rests_first });
                return Some(name);
            }
        }
        self.reload(&server.name, why);
        None
    }

    /// A server that stands by, is not taken, and suits.
    fn slot(
        &self,
        used: &BTreeSet<&str>,
        suits: impl Fn(&str, &RunningServer) -> bool,
    ) -> Option<(&'a String, &'a RunningServer)> {
        let servers = self.servers;
        servers.iter().find(|(name, slot)| is_slot(name) && !used.contains(name.as_str()) && suits(name, slot))
    }

    /// A server that stands by already has its address.
    fn is_at(&self, server: &Server, name: &str, slot: &RunningServer) -> bool {
        let is_told = self.memory.applied(&self.key(name)).is_some_and(|applied| applied.host == server.host);
        let address = server.host.parse::<IpAddr>();
        slot.port == server.port && address.map_or(is_told, |address| slot.address == Some(address))
    }

    /// What a slot has for good is what the server needs.
    fn fits(&self, server: &Server, slot: &RunningServer) -> bool {
        let is_cookie_right = !self.backend.has_cookies || server.cookie.is_none() || server.cookie == slot.cookie;
        let is_backup_right = words::is_backup(self.backend, server) == slot.is_backup;
        is_cookie_right && is_backup_right && words::speaks_alike(self.backend, server)
    }

    /// A server that nobody wants finishes, rests, is deleted.
    fn leave(&mut self, name: &str, running: &RunningServer, deletes: bool, holds: bool) {
        let key = self.key(name);
        let since = self.memory.leaving_since(&key);
        match running.admin {
            Admin::Maint => return self.delete(key, deletes),
            // The last servers stay until one that is wanted is there.
            _ if holds => return,
            _ if self.drain.is_zero() || running.is_idle() => {}
            Admin::Drain if since.is_some_and(|since| self.now.saturating_duration_since(since) >= self.drain) => {}
            Admin::Drain if since.is_some() => {
                let until = since.unwrap_or(self.now) + self.drain;
                return self.waiting.push(Waiting { key, until });
            }
            // Also one that somebody else told to drain: from now on it is remembered.
            Admin::Ready | Admin::Drain => {
                self.waiting.push(Waiting { key: key.clone(), until: self.now + self.drain });
                return self.late.push(Action::State { key, to: Admin::Drain });
            }
        }
        self.late.push(Action::State { key: key.clone(), to: Admin::Maint });
        self.delete(key, deletes);
    }

    fn delete(&mut self, key: Key, deletes: bool) {
        // In MAINT it takes nothing; the next reload takes it away.
        if !deletes || self.backend.keeps_trying || !self.version.can_delete() || self.memory.is_undeletable(&key) {
            return;
        }
        let since = self.memory.deleting_since(&key).unwrap_or(self.now);
        let tried = self.now.saturating_duration_since(since);
        // After that it stays in MAINT, where it harms nobody.
        if tried < DELETE_WITHIN * 2 {
            self.late.push(Action::Delete { key, cuts: tried >= DELETE_WITHIN });
        }
    }

    fn reload(&mut self, server: &str, why: Why) {
        self.reload.push(Reload { backend: self.backend.name.clone(), server: Some(server.to_owned()), why });
    }

    fn key(&self, server: &str) -> Key {
        (self.backend.name.clone(), server.to_owned())
    }
}

/// It should take requests.
fn takes(server: &Server) -> bool {
    !server.is_disabled && !server.is_draining
}
