//! Single steps of a plan, and reasons why the socket is not enough. Decides how they are shown to people and counted.

use std::fmt;

use super::Key;
use crate::haproxy::{Server, state::Admin};

/// One step; each can be tried whatever became of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A server that is not there yet.
    Add {
        /// Where.
        key: Key,
        /// Its line.
        server: Server,
        /// The words of its line as they are sent.
        words: String,
        /// Its check must be switched on.
        has_check: bool,
        /// Its agent must be switched on.
        has_agent: bool,
    },
    /// One that stands by becomes `server`.
    Slot {
        /// Which.
        key: Key,
        /// What it becomes.
        server: Server,
        /// Its weight.
        weight: u32,
        /// It takes requests, but its checks say no: they start anew.
        rests_first: bool,
    },
    /// Another address.
    Address {
        /// Which.
        key: Key,
        /// An address or a name that is looked up.
        host: String,
        /// With it.
        port: u16,
    },
    /// Another weight.
    Weight {
        /// Which.
        key: Key,
        /// From 0 to 256; None: the one on its line (all that static balancing takes).
        weight: Option<u32>,
    },
    /// Its check is switched on.
    Health {
        /// Which.
        key: Key,
    },
    /// Takes something, nothing new, nothing.
    State {
        /// Which.
        key: Key,
        /// What it becomes.
        to: Admin,
    },
    /// A frontend takes connections again.
    Frontend {
        /// Its name, and no server.
        key: Key,
    },
    /// Away with it.
    Delete {
        /// Which.
        key: Key,
        /// What it still works on is cut first.
        cuts: bool,
    },
}

/// What HAProxy is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Everything but the others.
    Set,
    /// `enable frontend`
    Frontend,
    /// `add server`
    Add,
    /// `del server`
    Delete,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set server",
            Self::Frontend => "enable frontend",
            Self::Add => "add server",
            Self::Delete => "del server",
        }
    }
}

impl Action {
    /// What it counts as.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Add { .. } => Kind::Add,
            Self::Delete { .. } => Kind::Delete,
            Self::Frontend { .. } => Kind::Frontend,
            _ => Kind::Set,
        }
    }

    /// Backend and server; of a frontend, its name and nothing.
    pub fn key(&self) -> &Key {
        match self {
            Self::Add { key, .. }
            | Self::Slot { key, .. }
            | Self::Address { key, .. }
            | Self::Weight { key, .. }
            | Self::Health { key }
            | Self::State { key, .. }
            | Self::Frontend { key }
            | Self::Delete { key, .. } => key,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (backend, name) = self.key();
        match self {
            Self::Add { server, words, .. } => {
                write!(f, "add server {backend}/{name} {}", endpoint(&server.host, server.port))?;
                if words.is_empty() { Ok(()) } else { write!(f, " {words}") }
            }
            Self::Slot { server, .. } => {
                write!(f, "set server {backend}/{name} addr {} (for {})", endpoint(&server.host, server.port), server.name)
            }
            Self::Address { host, port, .. } => write!(f, "set server {backend}/{name} addr {}", endpoint(host, *port)),
            Self::Weight { weight: Some(weight), .. } => write!(f, "set server {backend}/{name} weight {weight}"),
            Self::Weight { weight: None, .. } => write!(f, "set server {backend}/{name} weight 100%"),
            Self::Health { .. } => write!(f, "enable health {backend}/{name}"),
            Self::State { to, .. } => write!(f, "set server {backend}/{name} state {}", to.as_str()),
            Self::Frontend { .. } => write!(f, "enable frontend {backend}"),
            Self::Delete { cuts: false, .. } => write!(f, "del server {backend}/{name}"),
            Self::Delete { cuts: true, .. } => write!(f, "del server {backend}/{name}, cutting its sessions"),
        }
    }
}

/// `10.0.0.1:80`, `[::1]:80`
pub(crate) fn endpoint(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Something that only a reload does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// Where.
    pub backend: String,
    /// None: the whole backend.
    pub server: Option<String>,
    /// Why.
    pub why: Why,
}

/// Why the socket is not enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Somebody shut its frontend down.
    Frontend,
    /// The process does not have it.
    BackendUnknown,
    /// Its balancing or its release cannot take servers at run time, and none stands by.
    NoPlace,
    /// A cookie at run time takes 3.0.
    Cookie,
    /// Its words cannot be sent: quotes, variables, or too long.
    Words,
    /// `backup` of a server that is there cannot be changed.
    Backup,
    /// Other words for a server that is there and cannot be replaced without a gap.
    Options,
    /// Static balancing takes no weight.
    Weight,
    /// HAProxy said no, with its words.
    Refused(String),
}

impl Why {
    /// For counters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::BackendUnknown => "backend_unknown",
            Self::NoPlace => "no_place",
            Self::Cookie => "cookie",
            Self::Words => "words",
            Self::Backup => "backup",
            Self::Options => "options",
            Self::Weight => "weight",
            Self::Refused(_) => "refused",
        }
    }
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.backend)?;
        if let Some(server) = &self.server {
            write!(f, "/{server}")?;
        }
        f.write_str(match &self.why {
            Why::Frontend => ": its frontend was shut down",
            Why::BackendUnknown => ": the process does not have this backend",
            Why::NoPlace => ": servers cannot be added here at run time, and none stands by",
            Why::Cookie => ": a cookie at run time needs HAProxy 3.0",
            Why::Words => ": its options cannot be said through the socket",
            Why::Backup => ": backup cannot be changed at run time, and it cannot be replaced without a gap",
            Why::Options => ": its options differ, and it cannot be replaced without a gap",
            Why::Weight => ": static balancing takes no weight at run time",
            Why::Refused(answer) => return write!(f, ": refused: {answer}"),
        })
    }
}
