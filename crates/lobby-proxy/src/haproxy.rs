//! HAProxy: what it should be like, what it is like, and how one becomes the other.
//!
//! ```text
//! settings + picture ─ text ─► Layout ─┬─► file (candidate, check, rename)
//!                                      └─ plan ─► socket commands; a reload only for what they cannot do
//! running process ─ state ─► Running ──────┘
//! ```
//! Here are the parts that these have in common.

pub mod act;
pub mod ids;
mod keyword;
pub mod manage;
pub mod master;
pub mod name;
pub mod order;
pub mod output;
pub mod plan;
pub mod ports;
pub mod reload;
mod remembered;
pub mod socket;
pub mod state;
pub mod statefile;
pub mod stats;
pub mod text;
pub mod version;
pub mod words;
pub mod write;

pub(crate) use remembered::remembered;

/// What HAProxy should be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The whole file, with a final newline.
    pub text: String,
    /// The file without its server lines: while this is what a process was started with, only servers differ.
    pub skeleton: String,
    /// The backends that we own, in the order of the file.
    pub backends: Vec<Backend>,
    /// What was left out or changed, for the log.
    pub warnings: Vec<String>,
}

/// One backend that we own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backend {
    /// As in the file.
    pub name: String,
    /// As they should be.
    pub servers: Vec<Server>,
    /// Words of `default-server` lines of defaults and backend: servers added at run time do not take them from there.
    pub server_defaults: String,
    /// Whether its balancing can take servers at run time.
    pub is_dynamic: bool,
    /// Who cannot connect to a server tries the same one again (no `option redispatch`). HAProxy 2.6 counts such clients nowhere,
    /// and crashes if the server that they will try again was deleted meanwhile.
    pub keeps_trying: bool,
    /// Cookies of servers count (`cookie` in the backend and mode http).
    pub has_cookies: bool,
    /// Names of servers that lines of the settings bring: not among `servers`, and not ours to change.
    pub foreign: Vec<String>,
    /// Words of the line that brings servers which stand by for addresses (`slot1` …).
    pub slot_options: String,
}

/// One server of a backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// Unique in its backend; only what HAProxy allows.
    pub name: String,
    /// An address (IPv6 without brackets) or a host name.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// None: HAProxy numbers it.
    pub id: Option<u32>,
    /// None: no cookie.
    pub cookie: Option<String>,
    /// The other words of its line: `check`, `inter 1s` …
    pub options: String,
    /// 0 to 256; None: HAProxy's default.
    pub weight: Option<u32>,
    /// Takes traffic only when no other does.
    pub is_backup: bool,
    /// Takes nothing new.
    pub is_draining: bool,
    /// Known, but not there: a line for a fast return.
    pub is_disabled: bool,
}
