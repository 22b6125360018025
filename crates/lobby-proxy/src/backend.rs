//! Where one instance of a service is, and what is known of all services at one moment. Decides what watchers, outputs and
//! configurations have in common.
//!
//! Not here: how a set of backends comes about (`backends`).

use std::{collections::BTreeMap, sync::Arc};

/// One server behind a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// For people; may be empty. Not yet fit for a proxy's file.
    pub name: String,
    /// An address (IPv6 without brackets) or a host name.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// A number that its source gave it: smallest is the leader, and HAProxy's `id` where it is set.
    pub id: Option<u64>,
    /// Share of the traffic; None: the proxy's default.
    pub weight: Option<u32>,
    /// Words at the end of HAProxy's server line.
    pub haproxy_server_options: String,
    /// What filters look at.
    pub labels: BTreeMap<String, String>,
    /// Takes traffic only when no other does.
    pub is_backup: bool,
    /// Takes nothing new, finishes what it has.
    pub is_draining: bool,
}

/// What a watcher found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A definite answer, even if it is empty.
    Backends {
        /// What is there and well.
        backends: Vec<Backend>,
        /// What is there but whose node nobody hears any more: no proof that it is gone.
        lost: Vec<Backend>,
    },
    /// No answer for now; what was found before holds.
    Trouble(String),
}

/// All services at one moment, in the order of the settings.
pub type Picture = Arc<[Known]>;

/// What is known of one service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// None: its source has not answered yet, so nobody may act on it.
    pub backends: Option<Arc<[Backend]>>,
    /// How many of them are kept although contact with their node is lost.
    pub n_held: usize,
    /// Why the source does not answer, if it does not.
    pub trouble: Option<String>,
}
