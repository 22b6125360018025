//! What has to be done so that a running HAProxy becomes what is wanted. PURE: decides, does nothing; `now` is a parameter.
//!
//! ```text
//! wanted + Running + Memory ─ plan ─► early: weight, addr, add, slot, ready ─► late: drain, maint ─► delete
//!                                  └► reasons for a reload: what the socket cannot do
//! ```
//! Level-triggered: whoever acted reads and plans again, until nothing is left. Only wanted backends are looked at; a server there
//! that nobody wants drains, rests (MAINT) and is deleted. What comes stands before what goes, and the last servers go only when a
//! wanted one takes requests. Where servers cannot be added, spare ones (`slot1`, `slot2` …) of the file are given addresses.
//! Not here: sending it (`act`), what a process was told before (`memory`), words of a server's line (`words`).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

pub use self::{
    action::{Action, Reload, Why},
    frontends::own_frontends,
    memory::{Key, Memory},
};
use self::{draft::Draft, words::Words};
use super::{Backend, state::Running, version::Version};

mod action;
mod draft;
mod frontends;
mod memory;
#[cfg(test)]
mod tests;
mod words;

/// How long deletes are tried before the sessions of a server are cut: the contract's 5 s. After as long again it stays in MAINT.
pub const DELETE_WITHIN: Duration = Duration::from_secs(5);

/// When a busy server is tried again: at most 100 ms by the contract.
pub const DELETE_AGAIN: Duration = Duration::from_millis(100);

/// What servers that stand by for addresses are called: this and a number. `server-template slot 8 127.0.0.1:1 … disabled`.
pub const SLOT: &str = "slot";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// What the socket cannot do.
    pub reload: Vec<Reload>,
    /// Servers that finish their work; nothing is done to them before.
    pub waiting: Vec<Waiting>,
    /// Of the process that it is for.
    pub version: Version,
    /// The process that it is for.
    pub pid: u32,
}

/// A server that finishes its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Backend and server.
    pub key: Key,
    /// When to look again at the latest.
    pub until: Instant,
}

/// Says how `running` becomes like `wanted`. A server that goes has `drain` to finish what it has.
pub fn plan(wanted: &[Backend], running: &Running, memory: &Memory, now: Instant, drain: Duration) -> Plan {
    let forgotten = Memory::default();
    let memory = if memory.is_of(running.pid) { memory } else { &forgotten };
    let mut plan =
        Plan { actions: Vec::new(), reload: Vec::new(), waiting: Vec::new(), version: running.version, pid: running.pid };
    for backend in wanted {
        match running.backends.get(&backend.name) {
            Some(servers) => {
                let mut draft = Draft {
                    backend,
                    servers,
                    version: running.version,
                    memory,
                    now,
                    drain,
                    early: Vec::new(),
                    late: Vec::new(),
                    reload: Vec::new(),
                    waiting: Vec::new(),
                };
                draft.fill();
                plan.actions.append(&mut draft.early);
                plan.actions.append(&mut draft.late);
                plan.reload.append(&mut draft.reload);
                plan.waiting.append(&mut draft.waiting);
            }
            None => plan.reload.push(Reload { backend: backend.name.clone(), server: None, why: Why::BackendUnknown }),
        }
    }
    plan
}

impl Plan {
    /// Everything is as wanted, or will be once what drains is done.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.reload.is_empty()
    }

    /// Such as `3 × set server, 1 × add server, 0 reloads`.
    pub fn summary(&self) -> String {
        let mut counts = BTreeMap::new();
        for action in &self.actions {
            *counts.entry(action.kind()).or_insert(0_usize) += 1;
        }
        let mut parts: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} × {}", kind.as_str())).collect();
        // However many reasons there are, one reload serves them all.
        parts.push(if self.reload.is_empty() { "0 reloads".into() } else { "1 reload".into() });
        parts.join(", ")
    }
}

/// The summary, then each line.
impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.summary())?;
        for action in &self.actions {
            write!(f, "\n  {action}")?;
        }
        for reload in &self.reload {
            write!(f, "\n  reload: {reload}")?;
        }
        for waiting in &self.waiting {
            write!(f, "\n  waiting: {}/{} finishes what it has", waiting.key.0, waiting.key.1)?;
        }
        Ok(())
    }
}

/// Whether it is one of those that stand by.
pub(super) fn is_slot(name: &str) -> bool {
    let digits = name.strip_prefix(SLOT).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
